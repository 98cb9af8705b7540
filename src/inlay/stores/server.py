"""The store in a MySQL, MariaDB or PostgreSQL server: for many machines, and for nights without a disk of their own.

Writers follow one another by the lock of one row, as they do in a file. A server may vanish at any moment, so a write
is a function that is run again on the next connection. Where it vanished while committing, nobody was told whether the
transaction was kept: then the next one looks, behind the same lock, for the serial that each transaction leaves in
`commits`, and does nothing if it is there. What stays true: a write is applied once; who cannot reach the server for
PATIENCE_S is told so by a StoreError that is resumable; nothing is opened before the first use.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inlay.databases.address import Address, parse
from inlay.databases.connection import PATIENCE_S, Database, persist
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError, StoreError
from inlay.faultpoints import reach
from inlay.stores import attempts, liveness
from inlay.stores.database import FOREIGN, translate
from inlay.stores.migrations import MIGRATIONS
from inlay.stores.server_connection import ServerConnection
from inlay.stores.server_schema import migrate, present
from inlay.stores.sql import SqlStore
from inlay.stores.transactions import Con
from inlay.stores.translation import LONGEST_KEY, LONGEST_KEY_BYTES, TABLES, Wording

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

PREFIX = "inlay_"
_POOL = 4  # idle readers kept open
_DAY_MS = 86_400_000
_FIRST_S = 20.0  # how long a server that was never reached is waited for, at most
_CLOSE_MS = 2_000  # two clocks that differ by less are the same


class ServerStore(SqlStore):
    """A `contracts.Store` in the tables `inlay_…` of a MySQL, MariaDB or PostgreSQL database.

    The tables are made at the first use. Options of the address: `prefix` (of the tables), `schema` (PostgreSQL), and
    `patience` (seconds that a server which is away is waited for).
    """

    def __init__(
        self,
        address: Address | str,
        *,
        clock: Callable[[], float] = time.time,
        alive: attempts.Alive = liveness.alive,
    ) -> None:
        super().__init__(clock=clock, alive=alive)
        self._of_machine = clock is time.time
        self._server = Server(parse(address, Path.cwd()) if isinstance(address, str) else address, now_ms=self._now)
        self._db = self._server

    def _now(self) -> int:
        """The server's time, as far as this machine's clock is off: leases are judged by every runner alike."""
        return super()._now() + (self._server.ahead_ms if self._of_machine else 0)

    def is_there(self) -> bool:
        """Whether the tables of this store have been made. Changes nothing."""
        return self._server.is_there()


class Server:
    """The connections to one server, for one store: opened at first use, shared by threads, refused after a fork."""

    def __init__(self, address: Address, *, now_ms: Callable[[], int]) -> None:
        self.place = address.shown
        self._now_ms = now_ms
        self._database = Database(address)
        self.wording = Wording(
            self._database.dialect, address.options.get("prefix", PREFIX), address.options.get("schema", "")
        )
        self._patience_s = _seconds(address)
        self._lock = threading.RLock()
        self._writer: ServerConnection | None = None
        self._idle: deque[ServerConnection] = deque()
        self._ready = False  # the tables are those that this Inlay knows
        self._reached = False  # it was there once: that its address is right is known
        self._gave_up = False  # waiting was in vain: the next call tries once, until one succeeds
        self._closed = False
        self._pid = os.getpid()
        self._client = secrets.token_hex(16)
        self._serial = 0
        self._wrote = False
        self.ahead_ms = 0  # by how much the server's clock is ahead of this machine's

    def close(self) -> None:
        """See `Transactions.close`. A reader that is out is closed when it comes back."""
        with self._lock:
            if self._pid == os.getpid():
                self._farewell()
                while self._idle:
                    self._idle.pop().close()
                self._drop_writer()
            self._closed = True

    def _farewell(self) -> None:
        """Take this client's row along: it is of no use to anybody else."""
        if self._wrote and self._writer is not None and not self._writer.broken:
            with suppress(DatabaseError):
                self._writer.execute("DELETE FROM commits WHERE client = ?", (self._client,))

    # --- writing

    def write(self, step: str, work: Callable[[Con], T], *, undo: bool = False) -> T:
        """See `Transactions.write`."""
        unsure: list[tuple[int, T]] = []  # the serial and the result of a commit that may have been kept

        def attempt() -> T:
            con = self._open_writer()
            try:
                con.begin()
                if unsure:
                    serial, result = unsure[0]
                    if con.kept(self._client) == serial:
                        con.rollback()
                        return result
                    unsure.clear()
                result = work(con)
                if undo:
                    con.rollback()
                    return result
                self._serial += 1
                con.keep(self._client, self._serial, self._now_ms())
                reach(step + ".before_commit")
                self._commit(con, result, unsure)
            except BaseException as error:
                con.rollback()
                if not isinstance(error, StoreError):
                    self._drop_writer()  # in the middle of something; and a new one may find who has taken over
                raise
            self._wrote = True
            return result

        with self._lock:
            result = self._patient(attempt)
            reach(step + ".after_commit")
            return result

    def _commit(self, con: ServerConnection, result: T, unsure: list[tuple[int, T]]) -> None:
        try:
            con.commit()
        except DatabaseError as error:
            if error.unsure:
                unsure[:] = [(self._serial, result)]
            raise

    def erase(self, step: str, work: Callable[[Con], T]) -> T:
        """See `Transactions.erase`. When a server's pages and logs lose the bytes is the server's own affair."""
        return self.write(step, work)

    def _open_writer(self) -> ServerConnection:
        self._ensure_open()
        if self._writer is None:
            self._make_ready()
            self._writer = ServerConnection.to(self._database, self.wording)
            ahead = self._writer.clock_ms() - int(time.time() * 1000)
            self.ahead_ms = ahead if abs(ahead) > _CLOSE_MS else 0
            if not self._wrote:
                old = self._now_ms() - _DAY_MS
                self._writer.execute("DELETE FROM commits WHERE at < ?", (old,))  # of stores that were killed
        return self._writer

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    # --- reading

    def look(self, work: Callable[[Con], T], *, snapshot: bool = False) -> T:
        """See `Transactions.look`."""

        def attempt() -> T:
            with self._reader() as con:
                if not snapshot:
                    return work(con)
                with con.snapshot():
                    return work(con)

        return self._patient(attempt)

    @contextmanager
    def read(self) -> Iterator[Con]:
        """See `Transactions.read`."""
        try:
            with self._reader() as con:
                yield con
        except DatabaseError as error:
            raise self._told(error) from error

    @contextmanager
    def _reader(self) -> Iterator[ServerConnection]:
        self._ensure_open()
        self._make_ready(reading=True)
        try:
            con = self._idle.pop()
        except IndexError:
            con = ServerConnection.to(self._database, self.wording)
        try:
            yield con
        except BaseException as error:
            # In the middle of an answer, or of a transaction: nobody knows what it would say next.
            con.close()
            if isinstance(error, DatabaseError) and error.trouble is Trouble.LOST:
                while self._idle:
                    self._idle.pop().close()
            raise
        if self._closed or len(self._idle) >= _POOL:
            con.close()
        else:
            self._idle.append(con)

    def scan(self, pass_id: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `Transactions.scan`."""
        from inlay.stores.server_scan import scan

        return scan(self, self._database.dialect.name, pass_id, columns)

    def size(self, con: Con) -> dict[str, Any]:
        """See `Transactions.size`; a server knows bytes by table, indexes included, and MySQL only about."""
        from inlay.databases.address import MYSQL

        names = {self.wording.name(table): table for table in TABLES}
        marks = ",".join("?" * len(names))
        if self._database.dialect.name == MYSQL:
            query = (
                "SELECT table_name, data_length + index_length FROM information_schema.tables "
                f"WHERE table_schema = database() AND table_name IN ({marks})"
            )
            found = con.execute(query, list(names)).fetchall()
        else:
            query = (
                "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n "
                f"ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relname IN ({marks}) "
                f"AND n.nspname = {'?' if self.wording.schema else 'current_schema()'}"
            )
            schema = [self.wording.schema] if self.wording.schema else []
            found = con.execute(query, [*names, *schema]).fetchall()
        sizes = {names[name]: int(size or 0) for name, size in sorted(found)}
        return {
            "path": self.place,
            "schema_version": con.execute("SELECT max(version) FROM schema_version").fetchone()[0],
            "bytes": sum(sizes.values()),
            **{f"{name}_bytes": size for name, size in sizes.items() if name in ("answers", "cells", "history")},
        }

    # --- all of them

    def is_there(self) -> bool:
        """Whether the tables have been made. Changes nothing."""

        def attempt() -> bool:
            with self._database.connect() as con:
                return present(con, self.wording)[0] > 0

        return self._ready or self._patient(attempt)

    def check_keys(self, keys: Iterable[str]) -> None:
        """See `Transactions.check_keys`."""
        for key in keys:
            if len(key) > LONGEST_KEY or (4 * len(key) > LONGEST_KEY_BYTES and len(key.encode()) > LONGEST_KEY_BYTES):
                raise self._no_key(key, f"is longer than {LONGEST_KEY} characters or {LONGEST_KEY_BYTES} bytes")
            if "\0" in key:
                raise self._no_key(key, "holds a NUL character")

    def _no_key(self, key: str, why: str) -> StoreError:
        shown = key if len(key) <= 80 else key[:79] + "…"
        return StoreError(
            f"store {self.place}: the row key {shown!r} {why}, which a server cannot hold",
            remedy="choose a shorter key in `source.key`, or keep the store in a file; nothing was paid for this row",
        )

    def _make_ready(self, *, reading: bool = False) -> None:
        """Make the tables, or bring them to this Inlay's schema, where nobody has yet."""
        if self._ready:
            return
        with self._lock:
            with self._database.connect() as con:
                version, _ = present(con, self.wording)
                if version < len(MIGRATIONS):
                    try:
                        migrate(con, self.wording, self._now_ms())
                    except DatabaseError as error:
                        may_not = error.trouble in (Trouble.DENIED, Trouble.READ_ONLY)
                        if not (reading and version and may_not):
                            raise
                        return  # an older store that may only be read is read as it is
            self._ready = True

    def _ensure_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {self.place}: it was closed", remedy="open the store again")
        if self._pid != os.getpid():
            raise StoreError(
                f"store {self.place}: it was opened before this process was forked",
                remedy="open the store again in the child process",
            )

    def _patient(self, attempt: Callable[[], T]) -> T:
        # Nothing is lost by giving up where nothing was begun, and a mistyped host need not be waited for.
        patience_s = self._patience_s if self._reached else min(self._patience_s, _FIRST_S)
        try:
            result = persist(attempt, patience_s=0.0 if self._gave_up else patience_s)
        except DatabaseError as error:
            self._gave_up = error.passing
            raise self._told(error, patience_s) from error
        except FOREIGN as error:
            raise translate(error, self.place) from error
        self._gave_up, self._reached = False, True
        return result

    def _told(self, error: DatabaseError, waited_s: float = 0.0) -> StoreError:
        waited = f"; waited {waited_s:.0f} s for it" if error.passing and waited_s >= 1 else ""
        ours = error.trouble in (Trouble.STATEMENT, Trouble.OTHER)
        remedy = "report this as a bug, with the message above" if ours else error.remedy
        return StoreError(f"store {self.place}: {error.message}{waited}", remedy=remedy)


def _seconds(address: Address) -> float:
    text = address.options.get("patience")
    try:
        seconds = PATIENCE_S if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise SpecError(
            f"the store's address says patience={text}, which is no number of seconds",
            key="store",
            remedy=f"leave it out for {PATIENCE_S:.0f}, or write for example patience=600",
        )
    return seconds
