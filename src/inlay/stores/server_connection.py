"""One connection of a store to its server: takes the SQL of the stores and gives what sqlite3 would give.

What stays true: every failure is a DatabaseError; whole numbers come back as int, sums included; a transaction that
writes begins by taking the one lock of its store, so that writers follow one another whatever process they are in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from inlay.databases.address import MYSQL
from inlay.databases.connection import Connection, Database
from inlay.databases.errors import DatabaseError
from inlay.stores.translation import Wording

LOCK_S = 30  # how long a statement waits for a lock before it says so; waiting goes on behind it
_ROWS = 1000  # of a stream, in one go
# The one that is locked; which one does not matter.
_LOCK = "SELECT last FROM counters WHERE name = 'run' FOR UPDATE"
_NUMBERS = "SELECT name, last FROM counters"
_WRITE_NUMBERS = "INSERT INTO counters (name, last) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET last = excluded.last"
_KEPT = "SELECT serial FROM commits WHERE client = ?"
_KEEP = (
    "INSERT INTO commits (client, serial, at) VALUES (?, ?, ?) "
    "ON CONFLICT (client) DO UPDATE SET serial = excluded.serial, at = excluded.at"
)


class ServerConnection:
    """A connection that speaks a store's SQL. Used by one thread at a time."""

    def __init__(self, con: Connection, wording: Wording) -> None:
        self._con = con
        self._wording = wording
        self._numbers: dict[str, int] | None = None
        self._taken: set[str] = set()

    @classmethod
    def to(cls, database: Database, wording: Wording) -> ServerConnection:
        """A new connection, set up."""
        con = database.connect()
        try:
            with con.guarded():
                _set_up(con)
        except BaseException:
            con.close()
            raise
        return cls(con, wording)

    @property
    def connection(self) -> Connection:
        """What it speaks through."""
        return self._con

    @property
    def broken(self) -> bool:
        """Whether it must not be used again."""
        return self._con.broken

    def close(self) -> None:
        """Close it. Idempotent."""
        self._con.close()

    # --- statements

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """See `transactions.Con`."""
        con = self._con
        text = self._wording.text(sql)
        with con.guarded():
            cursor = con.dialect.cursor(con.raw)
            cursor.execute(text, tuple(values))
            return cursor

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """See `transactions.Con`."""
        given = rows if isinstance(rows, list) else list(rows)
        if not given:
            return
        con = self._con
        text = self._wording.text(sql)
        with con.guarded():
            con.dialect.cursor(con.raw).executemany(text, given)

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """See `transactions.ServerCon`."""
        con = self._con
        text = self._wording.text(sql)
        with con.guarded():
            if con.dialect.name == MYSQL:
                from pymysql.cursors import SSCursor

                cursor = con.raw.cursor(SSCursor)
            else:
                cursor = con.raw.cursor(name="inlay_rows")
                cursor.itersize = _ROWS
            with contextlib.closing(cursor):
                cursor.execute(text, ())
                while rows := cursor.fetchmany(_ROWS):
                    yield from rows

    def clock_ms(self) -> int:
        """What time it is at the server, in milliseconds since the epoch."""
        now = "unix_timestamp(now(3)) * 1000 AS signed"
        if self._con.dialect.name != MYSQL:
            now = "extract(epoch FROM clock_timestamp()) * 1000 AS bigint"
        return self._con.run(f"SELECT CAST({now})").fetchone()[0]

    # --- transactions

    def begin(self) -> None:
        """Begin to write: from here on no other store on these tables writes."""
        self._numbers = None
        self._taken.clear()
        self._con.run("BEGIN")
        self._con.in_transaction = True
        self.execute(_LOCK).fetchall()

    def take_numbers(self, counter: str, count: int) -> int:
        """See `transactions.ServerCon`."""
        if self._numbers is None:
            self._numbers = dict(self.execute(_NUMBERS).fetchall())
        first = self._numbers[counter] + 1
        self._numbers[counter] += count
        self._taken.add(counter)
        return first

    def keep(self, client: str, serial: int, now_ms: int) -> None:
        """Write down what is to be known of this transaction when it is kept."""
        if self._numbers is not None:
            self.executemany(_WRITE_NUMBERS, [(name, self._numbers[name]) for name in sorted(self._taken)])
        self.execute(_KEEP, (client, serial, now_ms))

    def kept(self, client: str) -> int:
        """The serial of the last transaction of this client that was kept; 0 for none."""
        row = self.execute(_KEPT, (client,)).fetchone()
        return 0 if row is None else row[0]

    def commit(self) -> None:
        """End the transaction, kept. A DatabaseError that is `unsure` says that it may or may not have been."""
        self._con.commit()

    def rollback(self) -> None:
        """End the transaction, undone. Idempotent."""
        self._con.rollback()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one moment of the store for as long as the block lasts."""
        with self._con.transaction(read_only=True):
            yield


def _set_up(con: Connection) -> None:
    raw = con.raw
    if con.dialect.name != MYSQL:
        from psycopg.types.numeric import Int8Dumper, IntLoader

        raw.adapters.register_dumper(int, Int8Dumper)  # one type, so that a statement is prepared once
        raw.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers
        return
    from pymysql.constants import FIELD_TYPE

    raw.decoders = {**raw.decoders, FIELD_TYPE.NEWDECIMAL: int, FIELD_TYPE.DECIMAL: int}
    con.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    con.run(f"SET SESSION innodb_lock_wait_timeout = {LOCK_S}, group_concat_max_len = 1073741824")
    # A cell may have more lines than the server follows of its own accord: MySQL's name for it, and MariaDB's.
    for name in ("cte_max_recursion_depth", "max_recursive_iterations"):
        with contextlib.suppress(DatabaseError):
            con.run(f"SET SESSION {name} = 1000000")
