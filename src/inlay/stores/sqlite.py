"""The store in one SQLite file: what a single machine needs, and the model for every other SQL store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from inlay.stores import attempts, liveness
from inlay.stores.database import Database
from inlay.stores.sql import SqlStore


class SqliteStore(SqlStore):
    """A `contracts.Store` in one SQLite file.

    The folder `.inlay` is made where it is missing, any other folder has to exist. Nothing is opened until needed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        alive: attempts.Alive = liveness.alive,
    ) -> None:
        super().__init__(clock=clock, alive=alive)
        self.path = Path(path)
        self._db = Database(self.path, now_ms=self._now)
