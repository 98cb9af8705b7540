"""A store on a server that restarts, drops connections, is locked, refuses writes; and a runner that is killed on it.

What is proved: a run goes on by itself or stops so that the same command goes on; nothing that the store kept is asked
again, and nothing at all is asked twice while the server comes back in time; the store proves itself afterwards.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from durable_scene import SOAK, Scene, count, seeded, texts

from inlay.faultpoints import VARIABLE
from inlay.stores.server import ServerStore
from inlay.testing import Simulator
from inlay.testing.servers import MariaDB, PostgreSQL

ROWS = count(160, 2_000)


class Place:
    """A server of its own for these proofs, with a database and a user who may do no more than a store needs."""

    def __init__(self, server: MariaDB | PostgreSQL) -> None:
        self.server = server
        self.mysql = isinstance(server, MariaDB)

    def new(self, name: str) -> str:
        """The address of an empty database."""
        self.server.url(name)
        if self.mysql:
            self.server.sql(
                "CREATE USER IF NOT EXISTS storekeeper@'127.0.0.1' IDENTIFIED BY 'p%w'",
                f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON `{name}`.* "
                "TO storekeeper@'127.0.0.1'",
            )
            return self.server.url(name, user="storekeeper", password="p%25w")
        return self.server.url(name)

    def drop_connections(self) -> int:
        """End every session of a store, as an administrator or a proxy would."""
        if not self.mysql:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'inlay'"
            return len(self.server.sql(query))
        found = self.server.sql("SELECT id FROM information_schema.processlist WHERE user = 'storekeeper'")
        for (number,) in found:
            with contextlib.suppress(Exception):  # it ended by itself
                self.server.sql(f"KILL {number}")
        return len(found)

    def read_only(self, on: bool) -> None:
        """Refuse writes, as a primary that was demoted does."""
        if self.mysql:
            self.server.sql(f"SET GLOBAL read_only = {int(on)}")
        else:
            value = "on" if on else "off"
            self.server.sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the store's own rows."""
        if self.mysql:
            import pymysql

            con: Any = pymysql.connect(host="127.0.0.1", port=self.server.port, user="root", database=name)
            con.cursor().execute("SELECT * FROM inlay_counters FOR UPDATE")
        else:
            import psycopg

            con = psycopg.connect(f"host=127.0.0.1 port={self.server.port} user=inlay dbname={name}")
            con.execute("SELECT * FROM inlay_counters FOR UPDATE")
        try:
            yield
        finally:
            con.rollback()
            con.close()


ON_MARIADB = pytest.param(MariaDB, marks=pytest.mark.mariadb, id="mariadb")
ON_POSTGRESQL = pytest.param(PostgreSQL, marks=pytest.mark.postgresql, id="postgresql")


def on(kind: Any) -> Any:
    """Proofs of what does not depend on the kind of server: on this one in the tests, on both in the soak."""
    return pytest.mark.parametrize("place", [ON_MARIADB, ON_POSTGRESQL] if SOAK else [kind], indirect=True)


@pytest.fixture(scope="module", params=[ON_MARIADB, ON_POSTGRESQL])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    # What it wrote is in the system's hands, which outlives a server that is killed.
    quick = {
        MariaDB: ("--innodb-flush-log-at-trx-commit=2",),
        PostgreSQL: ("-c", "fsync=off", "-c", "full_page_writes=off"),
    }
    with request.param(tmp_path_factory.mktemp("server"), options=quick[request.param]) as server:
        yield Place(server)


class ServedScene(Scene):
    """A scene whose store is on a server."""

    url: str

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{"STORE_URL": self.url, **more})

    @contextmanager
    def open_store(self) -> Any:
        store = ServerStore(self.url)
        try:
            yield store
        finally:
            store.close()

    def asked_once(self) -> None:
        """Every row was asked and answered, none of them twice."""
        tasks = self.tasks()
        assert len(tasks) == ROWS
        assert set(tasks.values()) == {1}, [text for text, times in tasks.items() if times > 1][:3]

    def whole(self) -> None:
        """Every row has its answer, and the store is in order."""
        assert len(self.rows_out()) == ROWS
        self.is_sound()
        self.nothing_open()


@pytest.fixture
def served(
    tmp_path: Path, sim: Simulator, place: Place, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> ServedScene:
    scene = ServedScene(tmp_path, sim)
    scene.url = place.new(f"s_{abs(hash(request.node.name)) % 10**9}")
    monkeypatch.setenv("STORE_URL", scene.url)
    sim.control(latency="uniform:0.1,0.3")
    scene.rows(texts(ROWS))
    scene.declare(store="${STORE_URL}", limits={"concurrency": 16})
    return scene


Trouble = Callable[[ServedScene, Place], None]


def restart(served: ServedScene, place: Place) -> None:
    """Orderly."""
    place.server.restart()


def crash(served: ServedScene, place: Place) -> None:
    """As a power cut would."""
    place.server.restart(hard=True)


def drop(served: ServedScene, place: Place) -> None:
    """Every session of the run at once."""
    assert place.drop_connections()


def lock(served: ServedScene, place: Place) -> None:
    """The store's own rows, for longer than anybody likes."""
    with place.locked(served.url.rpartition("/")[2]):
        time.sleep(count(3, 60))


def refuse(served: ServedScene, place: Place) -> None:
    """No writes, as during a failover."""
    place.read_only(True)
    time.sleep(count(1, 20))
    place.read_only(False)


ALL: list[Trouble] = [crash, drop, refuse, restart, drop, lock, crash]
# In the tests one run meets them all; in the soak each of them strikes often.
SERIES = {
    "restarts": [restart, crash] * 10,
    "drops": [drop] * 50,
    "locks": [lock],
    "failovers": [refuse] * 5,
}
TROUBLES = SERIES if SOAK else {"all": ALL}


@pytest.mark.parametrize("troubles", TROUBLES)
def test_troubles_with_the_server_cost_time_and_nothing_else(served: ServedScene, place: Place, troubles: str) -> None:
    rng = seeded(troubles)
    process = served.start()
    struck = 0
    for trouble in TROUBLES[troubles]:
        known = served.sim.summary()["calls"]
        served.asked(known + rng.randrange(1, max(2, ROWS // (2 * len(TROUBLES[troubles])))), process)
        if process.poll() is not None:
            break
        trouble(served, place)
        struck += 1
    ended = served.finish(process, timeout=600)
    assert ended.code == 0, ended.err[-2000:]
    assert struck >= len(TROUBLES[troubles]) - 1
    served.asked_once()
    served.whole()


@on(ON_POSTGRESQL)
def test_a_server_that_stays_away_stops_the_run_so_that_it_goes_on_later(served: ServedScene, place: Place) -> None:
    short = f"{served.url}?patience=1"
    process = served.start(STORE_URL=short)
    served.asked(40, process)
    with served.open_store() as store:
        run = store.runs("reviews")[0]
    place.read_only(True)
    try:
        ended = served.finish(process)
    finally:
        place.read_only(False)
    assert ended.code == 3, ended.err[-2000:]
    assert "p%" not in ended.err
    with served.open_store() as store:
        kept = {key for key, _ in store.events(1)}
        assert store.runs("reviews")[0].run_id == run.run_id
        assert store.verify() == []
    assert kept
    before = served.tasks()
    assert served.command_run().code == 0
    served.whole()
    # What the store had kept is not asked again; what was on its way while it was away may be.
    again = [task for task, times in served.tasks().items() if times > 1]
    assert len(again) <= len(before) - len(kept)


@on(ON_MARIADB)
def test_a_runner_that_is_killed_is_followed_by_the_same_command_at_once(served: ServedScene) -> None:
    for point in ("claim.after_commit:3", "commit.before_commit:4"):
        known = len(served.ledger)
        process = served.start(**{VARIABLE: point})
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
        assert len(served.ledger) > known or point.startswith("claim")
    with served.open_store() as store:
        kept = len(store.events(1))
    known = len(served.ledger)
    began = time.monotonic()
    assert served.command_run().code == 0
    assert time.monotonic() - began < 45  # nobody waits for a dead runner's lease of a minute
    assert len(served.ledger) - known == ROWS - kept
    served.whole()


@on(ON_POSTGRESQL)
def test_two_runners_share_one_store_and_ask_nothing_twice(served: ServedScene, place: Place) -> None:
    first, second = served.start(), served.start()
    dropping = threading.Timer(1.5, place.drop_connections)
    dropping.start()
    try:
        ends = [served.finish(process) for process in (first, second)]
    finally:
        dropping.join()
    assert {ended.code for ended in ends} <= {0, 3}
    assert served.command_run().code == 0
    served.asked_once()
    served.whole()
