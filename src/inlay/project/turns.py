"""Whose turn it is: one run of an enrichment after the other, for who wants that.

A run takes the turn of its enrichment where the answers are: a lock of the store's database server, or a lock on a file
beside the SQLite store. Both are the system's own, so a run that was killed frees its turn at once. What stays true: a
turn is a courtesy and never what keeps money safe (runs at the same time share their work through the store, as ever);
so a server that restarts and forgets a lock, or a run that joins another, costs nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from inlay.databases.address import Address
from inlay.databases.connection import Connection, Database
from inlay.databases.errors import DatabaseError
from inlay.errors import StoreError
from inlay.project.session import Session

LOOK_S = 0.25


class Turn:
    """The turn of one enrichment on one store. A context manager that gives it back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._file: IO[bytes] | None = None
        self._con: Connection | None = None
        name = session.enrichment.name
        self._digest = hashlib.sha256(name.encode()).hexdigest()[:24]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def take(self) -> bool:
        """Take it, if nobody has it. Raises StoreError where the server that keeps the store cannot be asked."""
        _, place = self._session.store_place
        if isinstance(place, Path):
            return self._take_file(place)
        if not isinstance(place, Address):
            return True  # in memory, or a store of somebody else's, whose locks are not known
        try:
            if self._con is None:
                self._con = Database(place).connect()
            options = self._con.address.options
            where = (self._con.address.database, options.get("schema", ""), options.get("prefix", ""))
            digest = hashlib.sha256(repr((*where, self._digest)).encode()).hexdigest()[:24]
            return self._con.dialect.lock(self._con, f"inlay:run:{digest}", 0.0)
        except DatabaseError as error:
            self.give_back()
            raise StoreError(str(error), remedy=error.remedy) from error

    def _take_file(self, store: Path) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows
            return True
        path = store.with_name(f".{store.name}.{self._digest}.turn")
        try:
            store.parent.mkdir(exist_ok=True)
            file = path.open("ab")
        except OSError:  # a folder that cannot be written to: the store itself says so, better than we could
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError:  # a file system without locks
            file.close()
            return True
        self._file = file
        return True

    def give_back(self) -> None:
        """Let the next one have it. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._con is not None:
            with contextlib.suppress(DatabaseError):
                self._con.close()
            self._con = None

    def who(self) -> str:
        """Who has it, in words, as far as the store tells."""
        going = [run for run in self._session.store(write=True).runs(self._session.enrichment.name) if not run.ended_at]
        if not going:
            return "another run"
        at = datetime.fromtimestamp(going[-1].started_at, UTC)
        return f"run {going[-1].run_id}, begun {at:%Y-%m-%d %H:%M:%S} UTC,"

    def wait(
        self, longest_s: float, stopped: Callable[[], bool], *, sleep: Callable[[float], None] = time.sleep
    ) -> bool:
        """Wait until it is free; False where it is not in time, or `stopped` says to give up."""
        deadline = time.monotonic() + longest_s
        while not self.take():
            if stopped() or time.monotonic() >= deadline:
                return False
            sleep(min(LOOK_S, max(0.0, deadline - time.monotonic())))
        return True
