"""SQLite, by Python's own module: a file as a source and as a place for published tables.

What stays true: a source is opened so that nothing can be written to it; a value has the type that it was written
with, whatever its column says, so `described` can only tell what the columns were declared as.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inlay.databases import dialect
from inlay.databases.address import Address
from inlay.databases.dialect import Column, Opened
from inlay.databases.errors import Trouble
from inlay.databases.mysql import dialect_type

if TYPE_CHECKING:
    import pyarrow as pa


BUSY_S = 30.0
_TROUBLES = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_READONLY: Trouble.READ_ONLY,
    sqlite3.SQLITE_PERM: Trouble.DENIED,
    sqlite3.SQLITE_AUTH: Trouble.DENIED,
    sqlite3.SQLITE_CANTOPEN: Trouble.ABSENT,
    sqlite3.SQLITE_NOTADB: Trouble.ABSENT,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_CONSTRAINT: Trouble.VALUE,
    sqlite3.SQLITE_MISMATCH: Trouble.VALUE,
    sqlite3.SQLITE_TOOBIG: Trouble.VALUE,
    sqlite3.SQLITE_ERROR: Trouble.STATEMENT,
}


class SQLite:
    """The dialect of SQLite."""

    name = "sqlite"
    driver = "sqlite3"
    longest_name = 1000
    writes_ddl_in_transactions = True

    def connect(self, address: Address) -> Any:
        """See `Dialect.connect`. A file that is not there is made by whoever writes first; its folder is not."""
        assert address.path is not None
        con = sqlite3.connect(address.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        con.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
        return con

    def cursor(self, raw: Any) -> Any:
        """See `Dialect.cursor`."""
        return raw.cursor()

    def begin(self, raw: Any, *, read_only: bool) -> None:
        """See `Dialect.begin`."""
        raw.execute(f"PRAGMA query_only = {int(read_only)}")
        raw.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        return dialect.quoted(name, '"', longest=self.longest_name, size=lambda text: len(text.encode()), what="SQLite")

    def text(self, sql: str) -> str:
        """See `Dialect.text`."""
        return sql

    def trouble(self, error: BaseException) -> tuple[Trouble, int | str | None] | None:
        """See `Dialect.trouble`."""
        if not isinstance(error, sqlite3.Error):
            return (Trouble.VALUE, None) if isinstance(error, OverflowError | UnicodeEncodeError) else None
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            return Trouble.OTHER, None
        trouble = _TROUBLES.get(code & 0xFF, Trouble.OTHER)
        if trouble is Trouble.STATEMENT and "no such" in str(error):
            trouble = Trouble.ABSENT
        return trouble, code

    def stream(self, raw: Any, sql: str, params: Sequence[Any] | None, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """See `Dialect.stream`: values as Python's own."""
        cursor = raw.execute(sql, tuple(params or ()))
        try:
            while rows := cursor.fetchmany(size):
                yield rows
        finally:
            cursor.close()

    def described(self, con: Opened, query: str) -> list[Column]:
        """See `Dialect.described`. SQLite tells a query's names alone: its types are those of a view over it."""
        with con.guarded():
            # The view is a write to what is in memory alone, which a transaction that only reads refuses, too.
            only_reads = con.raw.execute("PRAGMA query_only").fetchone()[0]
            con.raw.execute("PRAGMA query_only = 0")
            try:
                con.raw.execute(f"CREATE TEMP VIEW inlay_described AS {query}")
                rows = con.raw.execute("PRAGMA temp.table_xinfo('inlay_described')").fetchall()
                con.raw.execute("DROP VIEW temp.inlay_described")
            finally:
                con.raw.execute(f"PRAGMA query_only = {int(only_reads)}")
        return [Column(row[1], read_as(row[2]), row[2]) for row in rows]

    def table_columns(self, con: Opened, table: Sequence[str]) -> list[Column]:
        """See `Dialect.table_columns`."""
        schema = f"{self.quote(table[-2])}." if len(table) > 1 else ""
        with con.guarded():
            rows = con.raw.execute(f"PRAGMA {schema}table_xinfo({self.quote(table[-1])})").fetchall()
        return [Column(row[1], read_as(row[2]), row[2], not row[3]) for row in rows if row[6] != 1]

    def tables(self, con: Opened) -> list[str]:
        """See `Dialect.tables`."""
        rows = con.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        return [row[0] for row in rows]

    def primary_key(self, con: Opened, table: Sequence[str]) -> tuple[str, ...]:
        """See `Dialect.primary_key`. An INTEGER PRIMARY KEY is never null; any other one may be, in SQLite."""
        schema = f"{self.quote(table[-2])}." if len(table) > 1 else ""
        with con.guarded():
            rows = con.raw.execute(f"PRAGMA {schema}table_xinfo({self.quote(table[-1])})").fetchall()
        key = sorted((row for row in rows if row[5]), key=lambda row: row[5])
        rowid = len(key) == 1 and key[0][2].upper() == "INTEGER"
        return tuple(row[1] for row in key) if rowid or all(row[3] for row in key) else ()

    def column_type(self, kind: pa.DataType, *, key: bool = False, longest: int = 0) -> str:
        """See `Dialect.column_type`."""
        import pyarrow as pa

        if pa.types.is_timestamp(kind):
            return "TIMESTAMP"
        return dialect_type(
            kind, {"double": "REAL", "bytes": "BLOB", "bool": "BOOLEAN", "text": "TEXT", "unsigned": "INTEGER"}
        )

    def create_table(
        self, table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], index: tuple[str, str] | None
    ) -> list[str]:
        """See `Dialect.create_table`."""
        made = [dialect.created(table, columns, key)]
        return made if index is None else [*made, f"CREATE INDEX {index[0]} ON {table} ({index[1]})"]

    def retype(self, table: str, column: str, kind: str) -> str:
        """See `Dialect.retype`."""
        return ""

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str], *, rows: int = 1
    ) -> str:
        """See `Dialect.upsert`."""
        return dialect.on_conflict(table, columns, key, update, rows)

    def upsert_rows(
        self,
        con: Opened,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        update: Sequence[str],
        rows: Sequence[Sequence[Any]],
        schema: pa.Schema,
    ) -> None:
        """See `Dialect.upsert_rows`."""
        con.executemany(self.upsert(table, columns, key, update), rows)

    def update_rows(
        self,
        con: Opened,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Sequence[Any]],
        schema: pa.Schema,
    ) -> None:
        """See `Dialect.update_rows`."""
        con.executemany(dialect.update(table, columns, key), rows)

    def sender(self, kind: pa.DataType) -> Callable[[Any], Any] | None:
        """See `Dialect.sender`."""
        import pyarrow as pa

        if pa.types.is_timestamp(kind):
            return _moment
        if pa.types.is_date(kind):
            return dt.date.isoformat
        return str if pa.types.is_decimal(kind) else None

    def lock(self, con: Opened, name: str, wait_s: float) -> bool:
        """See `Dialect.lock`: a file beside the database, locked by the system and free when its process ends."""
        return file_lock(con, name, wait_s)


def _moment(value: dt.datetime) -> str:
    """A moment of UTC, with or without its zone, as SQLite's own functions read it."""
    return value.isoformat(" ", "microseconds")[:26]


def file_lock(con: Opened, name: str, wait_s: float) -> bool:
    """A lock on a file beside a database's own; held until the connection is closed."""
    import fcntl
    import hashlib

    assert con.address.path is not None
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = con.address.path.with_name(f".{con.address.path.name}.{digest}.lock")
    file = path.open("a")
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return False
            time.sleep(min(0.2, max(0.01, deadline - time.monotonic())))
        else:
            con.keep(file)
            return True


def read_as(declared: str) -> str:
    """A declared type as the DuckDB type that it is read as, by SQLite's own rules of affinity."""
    word = declared.upper()
    if "BOOL" in word:
        return "BOOLEAN"
    if word.startswith(("DATETIME", "TIMESTAMP")):
        return "TIMESTAMP"
    if word.startswith("DATE"):
        return "DATE"
    if "INT" in word:
        return "BIGINT"
    if any(part in word for part in ("CHAR", "CLOB", "TEXT")):
        return "VARCHAR"
    if "BLOB" in word:
        return "BLOB"
    if any(part in word for part in ("REAL", "FLOA", "DOUB")):
        return "DOUBLE"
    return "VARCHAR"
