"""A dump into MySQL or MariaDB: rows are sent on as the bytes that they are, tables are spelled anew.

New tables are filled beside the old ones, and one RENAME TABLE puts all of them in place at once. What stays true:
until that statement the schema's own tables are untouched; a load that dies leaves tables named inlay_new_… and
inlay_old_…, which the next load clears away; two loads of one schema do not meet. The session's sql_mode is ours,
never the dump's.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence

from inlay.databases.address import Address
from inlay.databases.connection import Connection, Database
from inlay.databases.errors import DatabaseError, Trouble
from inlay.dumps.lexing import Kind, bytes_of, named
from inlay.dumps.reading import Rows
from inlay.dumps.schema import Column, Key, Table, is_pure
from inlay.errors import SpecError, TargetError

_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', "
    "foreign_key_checks = 0, lock_wait_timeout = 60, autocommit = 0"
)
_OURS = re.compile(r"inlay_(new|old)_[0-9a-f]{16}")
_COMMIT_EVERY = 256 << 20
_SAME_CHARSET = {"utf8": "utf8mb3"}


def beside(name: str, what: str) -> str:
    """The name of the table that is filled (new) or put away (old) in place of another."""
    return f"inlay_{what}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class IntoMySQL:
    """The schema that a MySQL address names. See `loading.Target`."""

    def __init__(self, address: Address) -> None:
        if not address.database:
            raise SpecError(
                "the address names no schema to load into", key="into", remedy="write it like mysql://host/staging"
            )
        self.shown = address.shown
        self.schemas = frozenset((address.database.casefold(),))
        self.notes: list[str] = []
        self._database = Database(address)
        self._schema = address.database
        self._lock = f"inlay_load:{hashlib.sha256(self._schema.encode()).hexdigest()[:16]}"
        self._con: Connection | None = None
        self._kinds: dict[str, str] = {}  # the schema's tables and views
        self._referenced: dict[str, set[str]] = {}  # table -> those that refer to it by a foreign key
        self._collations: frozenset[str] = frozenset()
        self._maria = False
        self._packet = 1 << 20
        self._names = "utf8mb4"
        self._zone = "+00:00"
        self._sent = 0
        self._made: list[str] = []

    @property
    def con(self) -> Connection:
        """The open connection."""
        assert self._con is not None
        return self._con

    def open(self, *, write: bool) -> None:
        """See `Target.open`."""
        con = self._con = self._database.connect()
        if write:
            if not con.dialect.lock(con, self._lock, 0):
                raise busy(self.shown)
            con.run(_SESSION)
            for name in self._tables():
                if _OURS.fullmatch(name):
                    con.run(f"DROP TABLE IF EXISTS {con.quote(name)}")
        version, self._packet = con.execute("SELECT version(), @@max_allowed_packet").fetchone()
        self._maria = "mariadb" in version.lower()
        self._kinds = self._tables()
        found = con.execute("SELECT * FROM information_schema.collation_character_set_applicability").fetchall()
        self._collations = frozenset(str(value).lower() for row in found for value in row if value)
        for child, parent in con.execute(
            "SELECT table_name, referenced_table_name FROM information_schema.referential_constraints "
            "WHERE constraint_schema = ?",
            (self._schema,),
        ).fetchall():
            self._referenced.setdefault(parent, set()).add(child)

    def _tables(self) -> dict[str, str]:
        rows = self.con.execute(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = ?", (self._schema,)
        ).fetchall()
        return dict(rows)

    def check(self, tables: Sequence[str]) -> None:
        """See `Target.check`."""
        for name in tables:
            self.con.quote(name)  # a name that cannot be one there is told now
            kind = self._kinds.get(name, "BASE TABLE")
            if kind != "BASE TABLE":
                raise TargetError(
                    f"{self.shown}: {name} is a {kind.lower()} there, which a load does not replace",
                    remedy="drop or rename it, or leave the table out (load.tables)",
                )
            others = self._referenced.get(name, set()) - set(tables)
            if others:
                raise TargetError(
                    f"{self.shown}: {', '.join(sorted(others))} refers to {name} by a foreign key, "
                    "and is not in the dump",
                    remedy="drop the foreign key: a table that is replaced every night cannot keep one",
                )

    def create(self, table: Table) -> None:
        """See `Target.create`."""
        new = beside(table.name, "new")
        self._charset("utf8mb4")
        self._commit()
        self._send(self._spelled(table, new).encode())
        self._made.append(table.name)

    def write(self, table: Table, rows: Rows, charset: str, time_zone: str | None) -> int:
        """See `Target.write`."""
        self._charset("utf8mb4" if charset in ("utf8", "utf8mb3", "ascii") else charset)
        if time_zone is not None and time_zone != self._zone:
            self.con.run(f"SET time_zone = '{time_zone}'")  # matched as +hh:mm by the judge
            self._zone = time_zone
        verb = b"REPLACE" if rows.replace else b"INSERT IGNORE" if rows.ignore else b"INSERT"
        columns = ""
        if rows.columns is not None:
            columns = f"({', '.join(self.con.quote(name) for name in rows.columns)}) "
        head = f" INTO {self.con.quote(beside(table.name, 'new'))} {columns}VALUES "
        codec = "cp1252" if charset == "latin1" else "utf-8"
        statement = b"".join((verb, head.encode(codec), rows.data))
        if len(statement) + 1 > self._packet:
            raise TargetError(
                f"{self.shown}: {table.name}: a row of the dump is {len(statement) >> 20} MB, and the server takes "
                f"{self._packet >> 20} MB at once",
                remedy="raise max_allowed_packet on the server",
            )
        affected = self._send(statement)
        self._sent += len(statement)
        if self._sent > _COMMIT_EVERY:
            self._commit()
        return affected

    def finish(self, tables: Sequence[Table]) -> None:
        """See `Target.finish`: one RENAME TABLE, which is all or nothing."""
        self._commit()
        con, parts, old = self.con, [], []
        self._kinds = self._tables()
        self.check([table.name for table in tables])
        for table in tables:
            name = con.quote(table.name)
            if table.name in self._kinds:
                away = con.quote(beside(table.name, "old"))
                parts.append(f"{name} TO {away}")
                old.append(away)
            parts.append(f"{con.quote(beside(table.name, 'new'))} TO {name}")
        if parts:
            con.run(f"RENAME TABLE {', '.join(parts)}")
        for away in old:  # in place already: what is left here, the next load clears away
            with contextlib.suppress(DatabaseError):
                con.run(f"DROP TABLE {away}")

    def abandon(self) -> None:
        """See `Target.abandon`. On a connection of its own: the first may be in the middle of a statement."""
        if self._con is None:
            return
        self.close()
        if not self._made:
            return
        with contextlib.suppress(DatabaseError), self._database.connect() as con:
            if not con.dialect.lock(con, self._lock, 5):
                return  # another load is at it by now, and these names may be its own
            con.run("SET SESSION lock_wait_timeout = 5, foreign_key_checks = 0")
            for name in self._made:
                con.run(f"DROP TABLE IF EXISTS {con.quote(beside(name, 'new'))}")

    def close(self) -> None:
        """See `Target.close`."""
        if self._con is not None:
            self._con.close()
            self._con = None

    # --- statements

    def _send(self, statement: bytes) -> int:
        """Send bytes as they are; the rows that they changed."""
        with self.con.guarded():
            return self.con.raw.query(statement)

    def _commit(self) -> None:
        self._send(b"COMMIT")
        self._sent = 0

    def _charset(self, name: str) -> None:
        if name != self._names:
            self.con.run(f"SET NAMES {name}")  # one of judging.CHARSETS
            self._names = name

    # --- DDL

    def _spelled(self, table: Table, name: str) -> str:
        """CREATE TABLE, from what was understood of the dump's."""
        known = {column.name.casefold() for column in table.columns}
        impure = {column.name for column in table.columns if column.generated and not is_pure(column.generated, known)}
        table.without(impure, "columns computed by functions that are not plain")
        lines = [self._column(column, table) for column in table.columns]
        lines += [self._key(key) for key in table.keys]
        if table.auto_increment is not None and not any(column.auto_increment for column in table.columns):
            table.auto_increment = None
        options = ["ENGINE=InnoDB"]
        if table.auto_increment is not None:
            options.append(f"AUTO_INCREMENT={table.auto_increment}")
        options.append(self._letters(table.charset, table.collate, table).strip())
        if table.comment:
            options.append(f"COMMENT={_string(table.comment)}")
        body = ",\n  ".join(lines)
        return f"CREATE TABLE {self.con.quote(name)} (\n  {body}\n) {' '.join(part for part in options if part)}"

    def _column(self, column: Column, table: Table) -> str:
        args = ", ".join(_string(arg) if column.type in ("ENUM", "SET") else arg for arg in column.args)
        kind = column.type
        if kind == "JSON" and self._maria:
            kind, column.is_json = "LONGTEXT", True
            column.charset = column.collate = None
        parts = [self.con.quote(column.name), f"{kind}({args})" if args else kind]
        if column.unsigned:
            parts.append("UNSIGNED")
        if column.zerofill:
            parts.append("ZEROFILL")
        parts.append(self._letters(column.charset, column.collate, table).strip())
        if column.generated:
            parts.append(f"GENERATED ALWAYS AS ({self._expression(column)}) {'STORED' if column.stored else 'VIRTUAL'}")
        elif not column.nullable:
            parts.append("NOT NULL")
        elif column.says_null or column.type == "TIMESTAMP":
            parts.append("NULL")
        digits = f"({column.args[0]})" if column.args and column.type in ("TIMESTAMP", "DATETIME") else ""
        parts.append(_default(column, digits))
        if column.on_update:
            parts.append(f"ON UPDATE CURRENT_TIMESTAMP{digits}")
        if column.auto_increment:
            parts.append("AUTO_INCREMENT")
        if column.comment:
            parts.append(f"COMMENT {_string(column.comment)}")
        if column.is_json and self._maria:
            parts.append(f"CHECK (json_valid({self.con.quote(column.name)}))")
        return " ".join(part for part in parts if part)

    def _expression(self, column: Column) -> str:
        out = []
        for token in column.generated:
            if token.kind is Kind.NAME:
                out.append(self.con.quote(named(token.text)))
            elif token.kind is Kind.STRING:
                out.append(_string(bytes_of(token.text).decode("utf-8", "replace")))
            else:
                out.append(token.text.decode())
        # A function's name and its parenthesis may not be parted.
        return " ".join(out).replace(" (", "(")

    def _key(self, key: Key) -> str:
        parts = [
            f"{self.con.quote(name)}{f'({length})' if length else ''}{' DESC' if falling else ''}"
            for name, length, falling in key.parts
        ]
        columns = f"({', '.join(parts)})"
        if key.kind == "PRIMARY":
            return f"PRIMARY KEY {columns}"
        kind = "KEY" if key.kind == "KEY" else f"{key.kind} KEY"
        return f"{kind} {self.con.quote(key.name)} {columns}"

    def _letters(self, charset: str | None, collate: str | None, table: Table) -> str:
        """Charset and collation in the server's own words; a collation that it does not know as the nearest it does."""
        out = f" CHARACTER SET {charset}" if charset else ""
        if collate:
            chosen = self._collation(collate)
            if chosen != collate and (note := f"the collation {collate} is {chosen} there") not in self.notes:
                self.notes.append(note)
            out += f" COLLATE {chosen}"
        return out

    def _collation(self, name: str) -> str:
        if name in self._collations or name.partition("_")[2] in self._collations & _GENERIC:
            return name
        letters = name.partition("_")[0]
        exact = "_as_cs" in name or "_bin" in name
        wanted = ("nopad_bin", "bin") if exact else ("uca1400_nopad_ai_ci", "0900_ai_ci", "unicode_520_nopad_ci")
        for ending in (*wanted, "unicode_520_ci", "unicode_ci", "general_ci", "bin"):
            if (candidate := f"{letters}_{ending}") in self._collations:
                return candidate
        raise TargetError(
            f"{self.shown}: the collation {name} is not known there, nor one like it", remedy="load into a newer server"
        )


_GENERIC = frozenset(("uca1400_ai_ci", "uca1400_as_cs", "uca1400_as_ci", "uca1400_nopad_ai_ci"))


def _string(text: str) -> str:
    """A string of ours in a session whose strings have backslash escapes."""
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0")
    return f"'{escaped}'"


def _default(column: Column, digits: str) -> str:
    if column.default_is == "now":
        return f"DEFAULT CURRENT_TIMESTAMP{digits}" if column.type in ("TIMESTAMP", "DATETIME") else ""
    if column.default_is == "bits" and column.default is not None:
        return f"DEFAULT b'{int(column.default):b}'"
    if column.default is not None:
        return f"DEFAULT {_string(column.default) if column.default_is == 'string' else column.default}"
    plain = column.nullable and not column.generated and column.type not in ("TINYTEXT", "JSON")
    return "DEFAULT NULL" if plain and column.type == "TIMESTAMP" else ""


def busy(shown: str) -> TargetError:
    """Another load of the same database is under way."""
    return TargetError(
        f"{shown}: another load is under way there", remedy="wait until it has ended, then type the same command again"
    )


def told(error: DatabaseError, doing: str) -> TargetError:
    """A database's trouble as this room's user reads it."""
    more = ""
    if error.unsure:
        more = " (whether it was done is not known; loading again is safe)"
    remedy = error.remedy
    if error.trouble is Trouble.STATEMENT:
        remedy = "the server does not take this table; please report the message"
    elif error.trouble is Trouble.VALUE:
        remedy = "the dump does not fit the table that it declares; the tables there are as they were"
    return TargetError(f"{error}{more}, while {doing}", remedy=remedy)
