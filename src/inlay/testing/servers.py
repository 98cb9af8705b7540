"""Real database servers for tests and examples: a private MariaDB and PostgreSQL, each in a folder of its own.

    with MariaDB(folder) as server:
        url = server.url("staging")      # mysql://root@127.0.0.1:PORT/staging, made when asked for

Needs Debian's mariadb-server and postgresql, as root or as an ordinary user. What stays true: a server listens on
loopback alone, its folder holds everything it has, and it ends with its context, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

STARTS_S = 60.0
_MARIADB_BIN = ("/usr/sbin", "/usr/libexec", "/usr/local/sbin")


def find_program(name: str) -> str | None:
    """A server's program, also where Debian keeps it beside the PATH."""
    found = shutil.which(name)
    if found is not None:
        return found
    folders = [*_MARIADB_BIN, *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    return shutil.which(name, path=os.pathsep.join(folders))


def mariadb_is_here() -> bool:
    """Whether this machine has MariaDB's server."""
    return find_program("mariadbd") is not None and find_program("mariadb-install-db") is not None


def postgresql_is_here() -> bool:
    """Whether this machine has PostgreSQL's server."""
    return find_program("initdb") is not None and (os.getuid() != 0 or shutil.which("runuser") is not None)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Server(ABC):
    """A server process with its folder. `start`, `stop`, `kill` and `restart` may be called in any order."""

    def __init__(self, folder: Path, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the folder if need be, and serve. Returns when it answers."""
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        self._log = (self.folder / "server.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603 (a program of Debian's, our own words)
            self._command(),
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=self._environment(),
        )
        deadline = time.monotonic() + STARTS_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not start; see {self.folder / 'server.log'}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as its own service manager would. Idempotent."""
        self._end(self._stop_signal(), 30)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL, 10)

    def restart(self, *, hard: bool = False, away_s: float = 0.0) -> None:
        """Stop (or kill) and start it on the same port, with a pause in between."""
        self.kill() if hard else self.stop()
        time.sleep(away_s)
        self.start()

    def _end(self, number: int, wait_s: float) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        if self._log is not None:
            self._log.close()
            self._log = None

    @abstractmethod
    def _prepare(self) -> None:
        """Make the folder's data where there is none."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's program with its options."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves already."""

    def _stop_signal(self) -> int:
        return signal.SIGTERM

    def _as_user(self) -> list[str]:
        return []

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)


class MariaDB(_Server):
    """MariaDB in a folder. The user root has no password."""

    def url(self, database: str = "", *, user: str = "root", password: str = "", query: str = "") -> str:
        """The address of a database, which is made where it is missing."""
        if database:
            self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        secret = f":{password}" if password else ""
        return f"mysql://{user}{secret}@127.0.0.1:{self.port}/{database}{'?' + query if query else ''}"

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as root; the rows of the last one."""
        import pymysql

        con = pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)
        try:
            with con.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall() or ())
        finally:
            con.close()

    def _data(self) -> Path:
        return self.folder / "data"

    def _environment(self) -> dict[str, str]:
        # A MariaDB that starts deletes the temporary tables that it finds: in /tmp they would be another one's.
        own = self.folder / "tmp"
        own.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(own)}

    def _prepare(self) -> None:
        (self.folder / "tmp").mkdir(exist_ok=True)
        if self._data().exists():
            return
        program = find_program("mariadb-install-db")
        if program is None:
            raise RuntimeError("MariaDB is not here: apt-get install mariadb-server")
        user = ["--user=root"] if os.getuid() == 0 else []
        subprocess.run(  # noqa: S603
            [
                program,
                "--no-defaults",
                *user,
                f"--datadir={self._data()}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
            env=self._environment(),
        )

    def _command(self) -> list[str]:
        program = find_program("mariadbd")
        assert program is not None
        return [
            program,
            "--no-defaults",
            *(["--user=root"] if os.getuid() == 0 else []),
            f"--datadir={self._data()}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder / 's.sock'}"
            if len(str(self.folder)) < 90
            else f"--socket=/tmp/inlay-{self.port}.sock",
            f"--pid-file={self.folder / 'server.pid'}",
            f"--tmpdir={self.folder / 'tmp'}",  # servers that share /tmp remove each other's tables
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=128M",
            "--max-allowed-packet=64M",
            "--max-connections=300",
            *self.options,
        ]

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except Exception:  # noqa: BLE001 (whatever it is, it does not answer yet)
            return False
        return True


class PostgreSQL(_Server):
    """PostgreSQL in a folder, started as the user postgres where this is root. The user inlay has no password."""

    def url(self, database: str = "postgres", *, user: str = "inlay", password: str = "", query: str = "") -> str:
        """The address of a database, which is made where it is missing."""
        import psycopg

        if database != "postgres":
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                self.sql(f'CREATE DATABASE "{database}"')
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}{'?' + query if query else ''}"

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements as the superuser; the rows of the last one."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=inlay dbname={database} connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as con:
            cursor = con.cursor()
            for statement in statements:
                cursor.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def _data(self) -> Path:
        return self.folder / "data"

    def _end(self, number: int, wait_s: float) -> None:
        """What was killed is a child of `runuser`, which does not wait for it: the next one would find it alive."""
        file = self._data() / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError):
            postmaster = Path(f"/proc/{int(file.read_text().split()[0])}")
            super()._end(number, wait_s)
            deadline = time.monotonic() + wait_s
            while postmaster.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
        super()._end(number, wait_s)

    def _as_user(self) -> list[str]:
        return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []

    def _prepare(self) -> None:
        if self._data().exists():
            return
        program = find_program("initdb")
        if program is None:
            raise RuntimeError("PostgreSQL is not here: apt-get install postgresql")
        if os.getuid() == 0:
            for part in (self.folder, *self.folder.parents):  # the user postgres has to get there
                if part.stat().st_uid == 0 and part != Path("/") and not part.stat().st_mode & 0o001:
                    part.chmod(part.stat().st_mode | 0o011)
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(  # noqa: S603
            [*self._as_user(), program, "-D", str(self._data()), "-U", "inlay", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
        )  # fmt: skip

    def _command(self) -> list[str]:
        program = find_program("postgres")
        own = find_program("initdb")
        assert own is not None
        beside = Path(own).with_name("postgres")  # another version's server would not read this folder
        program = str(beside) if beside.exists() else program
        assert program is not None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "256MB",
        }
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*self._as_user(), program, "-D", str(self._data()), *given, *self.options]

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except Exception:  # noqa: BLE001 (whatever it is, it does not answer yet)
            return False
        return True

    def _stop_signal(self) -> int:
        return signal.SIGINT  # a fast shutdown: sessions are ended
