"""Every store fulfils the one contract; a durable one also keeps it across processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inlay.contracts import Store
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.stores.memory import MemoryStore
from inlay.stores.server import ServerStore
from inlay.stores.sqlite import SqliteStore
from inlay.stores.translation import TABLES
from inlay.testing.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        return MemoryStore(clock=clock, alive=alive)


class TestSqliteStore(StoreContract):
    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        return SqliteStore(place / "store.db", clock=clock, alive=alive)


def emptied(url: str) -> None:
    """Leave the tables of a store, and nothing in them: making them anew costs MySQL half a second."""
    with Database(parse(url, Path())).connect() as con:
        if not con.dialect.table_columns(con, ("inlay_lanes",)):  # the last one of them
            return
        with con.transaction():
            for table in set(TABLES) - {"schema_version", "counters", "attempt_sums_3"}:
                con.run(f"DELETE FROM inlay_{table}")
            con.run("UPDATE inlay_counters SET last = 0")


class OnServer(StoreContract):
    """A store on a server: one database for all tests, emptied before each."""

    longest_key = 700
    url: str
    opened: list[ServerStore]

    @pytest.fixture(autouse=True)
    def _emptied(self, request: pytest.FixtureRequest) -> Iterator[None]:
        type(self).url = request.getfixturevalue(self.server).url("contract")
        emptied(self.url)
        self.opened = []
        yield
        for store in self.opened:
            store.close()

    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        self.opened.append(ServerStore(self.url, clock=clock, alive=alive))
        return self.opened[-1]


@pytest.mark.mariadb
class TestMariaDBStore(OnServer):
    server = "mariadb"


@pytest.mark.postgresql
class TestPostgreSQLStore(OnServer):
    server = "postgresql"
