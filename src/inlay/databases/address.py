"""Where a database is: a URL taken apart, with its secrets out of sight.

    mysql://user:password@host:3306/staging?ssl_ca=/etc/ca.pem     MySQL, MariaDB, Aurora MySQL
    postgresql://user:password@host:5432/warehouse?sslmode=require
    sqlite:///answers.db     sqlite:////abs/answers.db             a file, seen from the declaration's folder
    duckdb:///lake.duckdb

In place of a password: `?secret=NAME-OR-ARN` (AWS Secrets Manager) or `?auth=rds_iam` (see `databases.aws`).
What stays true: neither `repr` nor `shown` nor any error holds a password; nothing is connected to here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from inlay.errors import SpecError

MYSQL, POSTGRESQL, SQLITE, DUCKDB = "mysql", "postgresql", "sqlite", "duckdb"
KINDS = {
    "mysql": MYSQL,
    "mariadb": MYSQL,
    "postgresql": POSTGRESQL,
    "postgres": POSTGRESQL,
    "sqlite": SQLITE,
    "duckdb": DUCKDB,
}
PORTS = {MYSQL: 3306, POSTGRESQL: 5432}
FILES = frozenset((SQLITE, DUCKDB))


@dataclass(frozen=True, slots=True)
class Address:
    """A database's place. `path` for those that are a file, host and port for those that are a server ("" and 0 where
    a secret knows them).

    `options` are what stands behind the `?`, decoded; some are Inlay's own (secret, auth, region, prefix, schema).
    """

    kind: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    path: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine."""
        return self.kind in FILES

    @property
    def shown(self) -> str:
        """The place for messages and logs: no password, no options."""
        if self.path is not None:
            return f"{self.kind}:{self.path}"
        if not self.host:
            return f"{self.kind}:secret {self.options.get('secret', '')}"
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}://{self.user + '@' if self.user else ''}{self.host}{port}/{self.database}"

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What tells two databases apart, whoever connects."""
        if self.path is not None:
            return self.kind, str(self.path.resolve()), 0, ""
        if not self.host:  # a secret that names the host: asked for only when it is connected to
            return self.kind, f"secret:{self.options.get('secret', '')}", 0, self.database
        return self.kind, self.host, self.port or PORTS[self.kind], self.database


def is_address(text: str) -> bool:
    """Whether a text begins like the URL of a database that Inlay knows."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.partition("+")[0].lower() in KINDS


def parse(text: str, folder: Path, *, key: str | None = None) -> Address:
    """A URL as an Address; relative paths start in `folder`. Raises SpecError that does not show the URL."""
    scheme, mark, _ = text.partition("://")
    name = scheme.partition("+")[0].lower()
    if not mark or name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]}://? " if near and mark else ""
        raise SpecError(
            "this is not the URL of a database that Inlay knows",
            key=key,
            remedy=f"{hint}it begins with mysql://, postgresql://, sqlite:/// or duckdb:///",
        )
    kind = KINDS[name]
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SpecError(
            "the URL of the database cannot be read",
            key=key,
            remedy="write user and password with %-signs for odd characters, such as %40 for @; an IPv6 host in [ ]",
        ) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if kind in FILES:
        return _file(kind, parts.netloc, parts.path, options, folder, key)
    socket = options.get("unix_socket") or options.get("host") or ""
    secret = bool(options.get("secret"))
    if not host and not socket and not secret:
        raise SpecError(
            "the URL of the database names no host",
            key=key,
            remedy=f"write it like {kind}://user:password@host:{PORTS[kind]}/database",
        )
    return Address(
        kind,
        host=unquote(host or ("" if kind == MYSQL else socket)) or ("localhost" if socket or not secret else ""),
        port=port or _port(options, key) or (0 if secret else PORTS[kind]),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.lstrip("/")),
        options=options,
    )


def _port(options: Mapping[str, str], key: str | None) -> int:
    try:
        return int(options.get("port") or 0)
    except ValueError:
        raise SpecError("the port of the database is no number", key=key, remedy="write it behind the host") from None


def _file(kind: str, netloc: str, path: str, options: Mapping[str, str], folder: Path, key: str | None) -> Address:
    if netloc:
        raise SpecError(
            f"a {kind} file is written with three slashes, or four where its path begins with one",
            key=key,
            remedy=f"{kind}:///name.db or {kind}:////folder/name.db",
        )
    name = unquote(path.removeprefix("/"))
    if not name or "\0" in name:
        raise SpecError(f"the {kind} URL names no file", key=key, remedy=f"write it like {kind}:///name.db")
    return Address(kind, path=folder / Path(name).expanduser(), options=options)
