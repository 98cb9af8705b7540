"""What the SQL stores need of a database: transactions, given as functions of a connection.

A write is a function that can be run again from its start: a server may vanish in the middle of it, and then it is
done anew on the next connection. What stays true: the function sees all of its transaction or none of it was kept, it
is applied once however often it was run, and it changes nothing outside of its connection. A file runs it once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar, cast

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class Con(Protocol):
    """A connection inside a transaction: sqlite3's own, or a server's that takes the same SQL with `?` for values."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any:
        """Run one statement; what it gives can be iterated, fetched from and has a `rowcount`."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any:
        """Run one statement for each of these rows."""
        ...


class ServerCon(Con, Protocol):
    """What a connection to a server can do besides."""

    def take_numbers(self, counter: str, count: int) -> int:
        """See `attempts.take_numbers`; written down when the transaction ends."""
        ...

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement without values, by a cursor on the server."""
        ...


def is_file(con: Con) -> TypeGuard[sqlite3.Connection]:
    """Whether this is a connection to an SQLite file."""
    return isinstance(con, sqlite3.Connection)


def on_server(con: Con) -> ServerCon:
    """The same connection, which is none to a file."""
    return cast("ServerCon", con)


class Transactions(Protocol):
    """One database that a store lives in. Nothing is opened before the first use; every failure is a StoreError."""

    @property
    def place(self) -> str:
        """Where it is, for messages: a path, or an address without its secret."""
        ...

    def close(self) -> None:
        """Close every connection. Idempotent."""
        ...

    def write(self, step: str, work: Callable[[Con], T], *, undo: bool = False) -> T:
        """Run `work` in a write transaction, durable when this returns; with `undo` it is rolled back in the end.

        One writer at a time, over all processes. `step` names the fault points around the commit.
        """
        ...

    def erase(self, step: str, work: Callable[[Con], T]) -> T:
        """The same for a transaction whose deletions are to leave no bytes behind, where the store is a file."""
        ...

    def look(self, work: Callable[[Con], T], *, snapshot: bool = False) -> T:
        """Run `work` on a connection that only reads, beside the writer; with `snapshot` it sees one moment."""
        ...

    def read(self) -> AbstractContextManager[Con]:
        """A connection that only reads, for as long as the block lasts. A server that vanishes in it is an error."""
        ...

    def check_keys(self, keys: Iterable[str]) -> None:
        """StoreError for a row key that this database cannot hold. Called before anything is paid for it."""
        ...

    def scan(self, pass_id: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `contracts.Store.scan_cells`."""
        ...

    def size(self, con: Con) -> dict[str, Any]:
        """Where it is, its schema's version, and its bytes."""
        ...
