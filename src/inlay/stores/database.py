"""One SQLite file: how it is opened, read, written, and how its failures are told.

What stays true: one writer at a time (a lock within the process, BEGIN IMMEDIATE between processes), readers beside
it on connections of their own, every transaction durable when it returns (WAL, synchronous=FULL), and every foreign
error turned into a StoreError here and nowhere else, with the path and what to do next.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inlay.errors import StoreDamaged, StoreError
from inlay.faultpoints import reach
from inlay.stores.migrations import MIGRATIONS, migrate, present_version
from inlay.stores.transactions import Con

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

BUSY_S = 30.0
_POOL = 8  # idle readers kept open

# Primary result code to (what happened, what to do). A test holds that every code SQLite documents is listed.
_FAILURES: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_ERROR: ("it rejected a statement", "report this as a bug, with the message above"),
    sqlite3.SQLITE_INTERNAL: ("it has an internal fault", "report this as a bug, with the message above"),
    sqlite3.SQLITE_PERM: ("access is denied", "give this user read and write permission on the file and its folder"),
    sqlite3.SQLITE_ABORT: ("the statement was aborted", "run the same command again"),
    sqlite3.SQLITE_BUSY: (
        f"it stayed locked for {BUSY_S:.0f} s",
        "another process is writing to it without pause; wait for it, or stop it, and run the same command again",
    ),
    sqlite3.SQLITE_LOCKED: ("a table of it is locked", "run the same command again"),
    sqlite3.SQLITE_NOMEM: ("memory ran out", "free some memory and run the same command again"),
    sqlite3.SQLITE_READONLY: (
        "it is read-only",
        "give this user write permission on the file and its folder, or choose another path for `store:`",
    ),
    sqlite3.SQLITE_INTERRUPT: ("the statement was interrupted", "run the same command again"),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "check the disk and its mount, then run `inlay store verify`"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "run `inlay store verify`, or restore the file from a backup"),
    sqlite3.SQLITE_NOTFOUND: ("SQLite lacks a feature", "use a Python whose SQLite is 3.35 or newer"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space and run the same command again; nothing was lost"),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "check that its folder exists and that this user may read and write there",
    ),
    sqlite3.SQLITE_PROTOCOL: ("its lock could not be had", "run the same command again"),
    sqlite3.SQLITE_EMPTY: ("it is empty", "run the same command again"),
    sqlite3.SQLITE_SCHEMA: ("its schema changed meanwhile", "run the same command again"),
    sqlite3.SQLITE_TOOBIG: ("a value is too big for it", "shorten the input or the answer (the limit is 1 GB)"),
    sqlite3.SQLITE_CONSTRAINT: ("a rule of its tables was broken", "run `inlay store verify`"),
    sqlite3.SQLITE_MISMATCH: ("a value has the wrong type", "run `inlay store verify`"),
    sqlite3.SQLITE_MISUSE: ("it was misused", "report this as a bug, with the message above"),
    sqlite3.SQLITE_NOLFS: ("the file system cannot hold so large a file", "move the store to another file system"),
    sqlite3.SQLITE_AUTH: ("access is denied", "give this user read and write permission on the file"),
    sqlite3.SQLITE_FORMAT: ("its format is damaged", "restore the file from a backup"),
    sqlite3.SQLITE_RANGE: ("a parameter is out of range", "report this as a bug, with the message above"),
    sqlite3.SQLITE_NOTADB: (
        "it is not an SQLite database, or its first page is damaged",
        "choose another path for `store:`, or restore the file from a backup",
    ),
}
# What the system says, as SQLite would.
_ERRNO = {
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EDQUOT: sqlite3.SQLITE_FULL,
}
FOREIGN = (sqlite3.Error, UnicodeError, OverflowError, struct.error, OSError)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB)


def translate(error: Exception, path: Path | str) -> StoreError:
    """What a foreign error means for the store at `path`."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, UnicodeDecodeError) or (code is None and "decode" in str(error).lower()):
        code = sqlite3.SQLITE_CORRUPT  # text that is not UTF-8: Inlay writes none
    if code is not None:
        what, remedy = _FAILURES.get(code & 0xFF, _FAILURES[sqlite3.SQLITE_ERROR])
        kind = StoreDamaged if code & 0xFF in _DAMAGE else StoreError
        return kind(f"store {path}: {what} ({error})", remedy=remedy)
    if isinstance(error, UnicodeEncodeError):
        return StoreError(
            f"store {path}: a row key or name holds half of a surrogate pair, which is no text ({error.reason})",
            remedy="repair that text in the source; nothing was written",
        )
    if isinstance(error, OverflowError | struct.error):
        return StoreError(f"store {path}: a number does not fit in 64 bits", remedy="nothing was written")
    if isinstance(error, OSError):
        meant = _ERRNO.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
        return StoreError(f"store {path}: {error.strerror or error}", remedy=_FAILURES[meant][1])
    return StoreError(f"store {path}: {error}", remedy="run the same command again")


class Database:
    """The connections to one SQLite file: opened at first use, shared by threads, refused after a fork."""

    def __init__(
        self, path: Path, *, now_ms: Callable[[], int], migrations: Sequence[Sequence[str]] = MIGRATIONS
    ) -> None:
        self.path = path
        self._now_ms = now_ms
        self._migrations = migrations
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False
        self._pid = os.getpid()

    def close(self) -> None:
        """Close every connection. Idempotent; a reader that is out is closed when it comes back."""
        with self._lock:
            self._closed = True
            if self._pid != os.getpid():
                return  # they belong to the parent: closing them here would drop its locks
            while self._idle:
                self._idle.pop().close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    @property
    def place(self) -> str:
        """See `Transactions.place`."""
        return str(self.path)

    def write(self, step: str, work: Callable[[sqlite3.Connection], T], *, undo: bool = False) -> T:
        """See `Transactions.write`: as if it never was when it fails."""
        try:
            with self._lock:
                con = self._writer
                if con is None or self._closed or self._pid != os.getpid():
                    con = self._open_writer()
                try:
                    con.execute("BEGIN IMMEDIATE")
                    result = work(con)
                    if undo:
                        con.execute("ROLLBACK")
                        return result
                    reach(step + ".before_commit")
                    con.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        if con.in_transaction:
                            con.execute("ROLLBACK")
                    raise
                reach(step + ".after_commit")
                return result
        except FOREIGN as error:
            raise translate(error, self.path) from error

    def erase(self, step: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """See `Transactions.erase`. What was deleted earlier leaves no bytes behind either.

        The file is written anew, which takes its size in free space and some seconds a gigabyte. StoreError where a
        reader elsewhere keeps an old state of the file alive: what was deleted is deleted, and erasing again will do.
        """
        with self._translated(), self._lock:
            con = self._open_writer()
            con.execute("PRAGMA secure_delete = ON")
            try:
                result = self.write(step, work)
                con.execute("VACUUM")
                busy, _, _ = con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                con.execute("PRAGMA secure_delete = OFF")
            if busy:
                raise StoreError(
                    f"store {self.path}: the rows are deleted, but a reader kept their bytes in the file beside it",
                    remedy="end what reads this store, and run the same command again",
                )
            return result

    def look(self, work: Callable[[sqlite3.Connection], T], *, snapshot: bool = False) -> T:
        """See `Transactions.look`."""
        with self.read() as con:
            if snapshot:
                con.execute("BEGIN")
            return work(con)

    def check_keys(self, keys: object) -> None:
        """See `Transactions.check_keys`: a file holds any text."""

    def scan(self, pass_id: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `Transactions.scan`."""
        from inlay.stores.scan import scan

        return scan(self, pass_id, columns)

    def size(self, con: Con) -> dict[str, Any]:
        """See `Transactions.size`."""

        def number(query: str) -> int:
            return con.execute(query).fetchone()[0]

        wal = self.path.with_name(self.path.name + "-wal")
        return {
            "path": str(self.path),
            "schema_version": number("SELECT max(version) FROM schema_version"),
            "bytes": self.path.stat().st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            "free_bytes": number("PRAGMA freelist_count") * number("PRAGMA page_size"),
        }

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads, beside the writer."""
        with self._translated():
            self._ensure_open()
            try:
                con = self._idle.pop()
            except IndexError:
                con = self._connect()
                con.execute("PRAGMA query_only = 1")
            try:
                yield con
            finally:
                if con.in_transaction:
                    con.execute("ROLLBACK")
                if self._closed or len(self._idle) >= _POOL:
                    con.close()
                else:
                    self._idle.append(con)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FOREIGN as error:
            raise translate(error, self.path) from error

    def _ensure_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {self.path}: it was closed", remedy="open the store again")
        if self._pid != os.getpid():
            raise StoreError(
                f"store {self.path}: it was opened before this process was forked",
                remedy="open the store again in the child process",
            )
        if self._writer is None:
            with self._lock:
                self._open_writer()

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is not None and not self._closed and self._pid == os.getpid():
            return self._writer
        if self._closed or self._pid != os.getpid():
            self._ensure_open()
        self._make_folder()
        con = self._connect()
        try:
            self._set_up(con)
        except BaseException:
            con.close()
            raise
        self._writer = con
        return con

    def _make_folder(self) -> None:
        folder = self.path.parent
        if folder.name == ".inlay" and not folder.exists():
            folder.mkdir(exist_ok=True)
        if not folder.is_dir():
            raise StoreError(
                f"store {self.path}: the folder {folder} does not exist",
                remedy="create it, or choose another path for `store:`",
            )
        if self.path.is_dir():
            raise StoreError(
                f"store {self.path}: this is a folder, not a file", remedy="choose another path for `store:`"
            )

    def _connect(self) -> sqlite3.Connection:
        # Several threads take turns on a connection, never two at once: hence no check of the thread.
        return sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def _set_up(self, con: sqlite3.Connection) -> None:
        present_version(con, self.path)  # before anything is written: the file may belong to somebody else
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                # SQLite does not wait when two processes switch a new file to WAL at the same moment.
                con.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        con.execute("PRAGMA synchronous = FULL")
        # 4 MB: with 32 MB a commit into 150,000 cells is 4% cheaper, since the system holds the pages anyway.
        con.execute("PRAGMA cache_size = -4000")
        con.execute("PRAGMA wal_autocheckpoint = 4000")
        migrate(con, self.path, self._now_ms(), self._migrations)
