"""A database that is connected to: statements, streams and transactions, with every failure told apart.

    with Database(address).connect() as con, con.transaction():
        con.execute("UPDATE t SET a = ? WHERE id = ?", (1, 2))

What stays true: opening a Database touches nothing; a transaction is committed when its block ends and gone when it
fails; a connection that broke is never used again; waiting for a server that is away is done in one place (`persist`).
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from inlay.databases.address import Address
from inlay.databases.dialect import Dialect
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError

T = TypeVar("T")

PATIENCE_S = 120.0
REMEMBERED_S = 300.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_DIALECTS = {
    "mysql": "inlay.databases.mysql:MySQL",
    "postgresql": "inlay.databases.postgresql:PostgreSQL",
    "sqlite": "inlay.databases.sqlite:SQLite",
    "duckdb": "inlay.databases.duckdb:DuckDB",
}


def dialect_of(kind: str) -> Dialect:
    """The dialect of a kind of database; imports no driver."""
    module, _, name = _DIALECTS[kind].partition(":")
    return getattr(importlib.import_module(module), name)()


class Database:
    """One database. Holds no connection; each `connect` makes one. A secret that AWS keeps is remembered for a few
    minutes, and asked for again at once where it does not open the door any more: it may have been rotated."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.dialect = dialect_of(address.kind)
        self._opened: tuple[float, Address] | None = None

    def connect(self) -> Connection:
        """A new connection. Raises DatabaseError, or SpecError where the driver is not installed."""
        try:
            importlib.import_module(self.dialect.driver)
        except ImportError:
            raise SpecError(
                f"{self.dialect.name} needs the package {self.dialect.driver}",
                key="connection",
                remedy=f"pip install 'inlay[{self.dialect.name}]'",
            ) from None
        address, remembered = self._with_credentials()
        try:
            return self._open(address)
        except DatabaseError as error:
            if error.trouble is not Trouble.DENIED or not remembered:
                raise
        self._opened = None
        return self._open(self._with_credentials()[0])

    def _with_credentials(self) -> tuple[Address, bool]:
        """The address to connect with, and whether it was remembered. A token is made for each connection."""
        options = self.address.options
        if not options.get("secret") and not options.get("auth"):
            return self.address, False
        if self._opened is not None and time.monotonic() - self._opened[0] < REMEMBERED_S:
            return self._opened[1], True
        from inlay.databases.aws import with_credentials

        found = with_credentials(self.address)
        if not options.get("auth"):
            self._opened = (time.monotonic(), found)
        return found, False

    def _open(self, address: Address) -> Connection:
        try:
            return Connection(self.dialect.connect(address), self.dialect, self.address, secret=address.password)
        except BaseException as error:
            known = translated(error, self.dialect, self.address, secret=address.password)
            if known is None:
                raise
            raise known from None


class Connection:
    """One connection. Used by one thread at a time; a context manager that closes it."""

    def __init__(self, raw: Any, dialect: Dialect, address: Address, *, secret: str = "") -> None:
        self._secret = secret
        self.raw = raw
        self.dialect = dialect
        self.address = address
        self.broken = False
        self.in_transaction = False
        self._kept: list[IO[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was not committed is gone, and its locks are free. Idempotent."""
        with contextlib.suppress(Exception):
            self.raw.close()
        while self._kept:
            self._kept.pop().close()

    def keep(self, file: IO[Any]) -> None:
        """Hold a file open for as long as this connection."""
        self._kept.append(file)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn the driver's errors into a DatabaseError, and note a connection that broke."""
        try:
            yield
        except DatabaseError:
            raise
        except BaseException as error:
            known = translated(error, self.dialect, self.address, secret=self._secret)
            if known is None:
                raise
            self.broken = self.broken or known.trouble is Trouble.LOST
            raise known from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement of ours (`?` for values); the driver's cursor, with its rows fetched or countable."""
        with self.guarded():
            cursor = self.dialect.cursor(self.raw)
            cursor.execute(self.dialect.text(sql), tuple(params))
            return cursor

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement of ours for each of these rows."""
        if rows:
            with self.guarded():
                self.dialect.cursor(self.raw).executemany(self.dialect.text(sql), rows)

    def run(self, sql: str) -> Any:
        """Run a text as it stands, without values: SQL of the declaration, or DDL of ours; the driver's cursor."""
        with self.guarded():
            cursor = self.dialect.cursor(self.raw)
            cursor.execute(sql)
            return cursor

    def stream(
        self, sql: str, params: Sequence[Any] | None = None, *, size: int = 5000
    ) -> Generator[list[tuple[Any, ...]]]:
        """Rows in lists of up to `size`, in bounded memory; without `params` the text is taken as it stands. Close it
        where it is not read to its end, after which the connection may be of no more use."""
        with self.guarded():
            yield from self.dialect.stream(self.raw, sql if params is None else self.dialect.text(sql), params, size)

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Self]:
        """One transaction, all or nothing (as far as the database's DDL allows). A DatabaseError whose `unsure` is set
        was raised while committing."""
        with self.guarded():
            self.dialect.begin(self.raw, read_only=read_only)
        self.in_transaction = True
        try:
            yield self
            if self.in_transaction:
                self.commit()
        except BaseException:
            self.rollback()
            raise

    def commit(self) -> None:
        """End the transaction, kept. A DatabaseError that breaks the connection here is `unsure`."""
        try:
            with self.guarded():
                self.dialect.cursor(self.raw).execute("COMMIT")
        except DatabaseError as error:
            error.unsure = error.trouble is Trouble.LOST
            raise
        finally:
            self.in_transaction = False

    def rollback(self) -> None:
        """End the transaction, undone; a broken connection did that itself. Idempotent."""
        if self.in_transaction:
            self.in_transaction = False
            try:
                self.dialect.cursor(self.raw).execute("ROLLBACK")
            except Exception:  # noqa: BLE001 (the error that counts is the first one; this connection is given up)
                self.broken = True

    # --- names

    def quote(self, name: str) -> str:
        """An identifier as SQL."""
        return self.dialect.quote(name)


def translated(error: BaseException, dialect: Dialect, address: Address, *, secret: str = "") -> DatabaseError | None:
    """A driver's error as ours; None for one that is not the driver's."""
    known = dialect.trouble(error)
    if known is None:
        return None
    trouble, code = known
    return DatabaseError(trouble, _sentence(error, secret or address.password), where=address.shown, code=code)


def _sentence(error: BaseException, secret: str) -> str:
    """A driver's message on one line, without its code and without the password."""
    parts = error.args if len(error.args) > 1 and isinstance(error.args[0], int) else (str(error),)
    text = " ".join(str(parts[-1]).split())[:500]
    return text.replace(secret, "***") if secret else text


def persist(
    work: Callable[[], T],
    *,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    told: Callable[[DatabaseError], None] | None = None,
) -> T:
    """Do something that is safe to do again, waiting for a server that is away, locked or read-only for a while.

    Raises the last DatabaseError once `patience_s` are over, and any that will not pass at once. `told` hears the
    first of each wait.
    """
    started: float | None = None
    wait = _FIRST_WAIT_S
    while True:
        try:
            return work()
        except DatabaseError as error:
            if not error.passing:
                raise
            now = clock()
            if started is None:
                started = now
                if told is not None:
                    told(error)
            if now - started + wait > patience_s:
                raise
            sleep(wait)
            wait = min(_LONGEST_WAIT_S, wait * 2)
