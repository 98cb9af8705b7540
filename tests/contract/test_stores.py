"""Every store fulfils the one contract; a durable one also keeps it across processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inlay.contracts import Store
from inlay.stores.memory import MemoryStore
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        return MemoryStore(clock=clock, alive=alive)


class TestSqliteStore(StoreContract):
    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        return SqliteStore(place / "store.db", clock=clock, alive=alive)
