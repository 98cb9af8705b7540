"""Stores that earlier versions wrote: they open, keep all, and can be read by those who may not migrate them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.batches import BatchState
from inlay.errors import StoreError
from inlay.stores.database import Database
from inlay.stores.migrations import MIGRATIONS, migrate
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import ManualClock, Scene, kinds, refused
from inlay.types import Correction, LaneNote, NullReason

DUMPS = {
    int(re.findall(r"\d+", path.stem)[0]): path.read_text(encoding="utf-8")
    for path in Path(__file__).parent.glob("schema_*.sql")
}


def written_by(version: int, path: Path) -> Path:
    """A file as the Inlay of this schema version left it."""
    con = sqlite3.connect(path)
    con.executescript(DUMPS[version])
    con.execute("PRAGMA journal_mode = WAL")
    con.close()
    return path


def tables(con: sqlite3.Connection) -> dict[str, str]:
    """Each table and index with the SQL that made it."""
    return dict(con.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))


def test_every_schema_version_has_a_frozen_store() -> None:
    assert sorted(DUMPS) == list(range(1, len(MIGRATIONS) + 1))


@pytest.mark.parametrize("version", sorted(DUMPS))
def test_a_released_migration_makes_what_it_always_made(tmp_path: Path, version: int) -> None:
    frozen, made = sqlite3.connect(tmp_path / "frozen.db"), sqlite3.connect(tmp_path / "made.db", isolation_level=None)
    frozen.executescript(DUMPS[version])
    migrate(made, tmp_path / "made.db", 1, MIGRATIONS[:version])
    assert tables(made) == tables(frozen)
    counters = "SELECT name FROM counters ORDER BY name"
    assert made.execute(counters).fetchall() == frozen.execute(counters).fetchall()
    frozen.close()
    made.close()


@pytest.mark.parametrize("version", sorted(DUMPS))
def test_a_store_that_an_earlier_inlay_wrote_opens_and_keeps_all(
    tmp_path: Path, stores: Callable[..., Scene], version: int
) -> None:
    scene = stores(written_by(version, tmp_path / "store.db"))
    assert scene.store.verify() == []
    assert scene.store.stats()["schema_version"] == len(MIGRATIONS)
    cell = scene.read("田中")
    assert cell.answer is not None
    assert cell.answer.payload == scene.answer("x", "日本").payload
    assert scene.read("محمد").reason == "refused"
    assert len(scene.store.history(scene.ref.pass_id, "田中")) == 1
    assert [attempt.outcome for attempt in scene.store.attempts([scene.address("x")])] == ["answered"]
    run = scene.begin("today")
    assert [type(result).__name__ for result in scene.claim(run, "x", "new")] == ["Known", "Claimed"]
    assert scene.money(run, "total")[0] == 80
    before = scene.store.corrections("tenants", history=True)
    scene.store.correct("tenants", [Correction("nationality", "x", "nationality", "今日")])
    assert scene.store.corrections("tenants", history=True)[:-1] == before
    assert scene.store.corrections("tenants", keys=["x"])[0].value == "今日"
    assert scene.store.verify() == []


def test_corrections_that_schema_2_kept_are_in_force(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(written_by(2, tmp_path / "store.db"))
    found = scene.store.corrections("tenants")
    assert [(one.key, one.value, one.null_reason, one.note, one.author) for one in found] == [
        ("田中", ["日本", "中国"], None, "通帳で確認", "花子"),
        ("محمد", None, NullReason.NOT_STATED, "", "花子"),
    ]
    assert [one.withdrawn for one in scene.store.corrections("tenants", history=True)] == [False] * 4 + [True]


@pytest.mark.parametrize("version", [4, 5])
def test_batches_that_schema_4_kept_are_still_under_way(
    tmp_path: Path, stores: Callable[..., Scene], version: int
) -> None:
    scene = stores(written_by(version, tmp_path / "store.db"))
    journal = scene.store.journal
    [batch] = journal.batches("tenants")
    assert (batch.state, batch.details, batch.requests) == (BatchState.PREPARED, {"file": "日本"}, 2)
    lines = journal.lines(batch.submission, journal.some(batch.submission, 5))
    assert [line.cells[0].key for line in lines.values()] == ["大阪", "القاهرة"]
    assert kinds(scene.claim(scene.begin("today"), "大阪")) == ["Held"]


def test_a_note_of_a_lane_that_schema_5_kept_counts_until_it_is_old(tmp_path: Path) -> None:
    path = written_by(5, tmp_path / "store.db")
    clock = ManualClock()
    store = SqliteStore(path, clock=clock, alive=lambda runner, expires, now: expires > now)
    clock.now += 125
    [said] = store.share_lanes("today", [LaneNote("openai:gpt-6-luna", True)])["openai:gpt-6-luna"]
    assert said == LaneNote("openai:gpt-6-luna", True, 1795176130.5, 600, 60000, 1795176110.25)
    clock.now += 9
    assert store.share_lanes("later", [LaneNote("openai:gpt-6-luna", True)])["openai:gpt-6-luna"] == (
        LaneNote("openai:gpt-6-luna", True),
    ), "the one of today alone"
    store.close()


@pytest.mark.parametrize("version", sorted(DUMPS))
def test_whoever_may_only_read_an_earlier_store_reads_it(
    tmp_path: Path, stores: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = written_by(version, tmp_path / "store.db")
    # What SQLite does with a file that this user may not write, whoever runs the tests.
    monkeypatch.setattr(
        Database,
        "_connect",
        lambda self: sqlite3.connect(
            f"{self.path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        ),
    )
    scene = stores(path)
    assert scene.store.stats()["schema_version"] == version
    assert scene.read("田中").answer is not None
    assert len(scene.store.attempts([scene.address("x")])) == 1
    assert len(scene.store.corrections("tenants", history=True)) == scene.store.stats()["corrections"]
    assert len(scene.store.corrections("tenants", keys=["田中"])) == (version >= 2)
    assert scene.store.verify() == []
    for write in (
        lambda: scene.begin(),
        lambda: scene.store.correct("tenants", [Correction("nationality", "x", "nationality", "今日")]),
    ):
        assert "read-only" in refused(write).message


def test_migrations_go_on_from_where_a_store_is_and_all_or_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    later = (*MIGRATIONS, ("CREATE TABLE extra (x INTEGER)",), ("INSERT INTO extra VALUES (1)",))
    broken = (*later, ("CREATE TABLE more (x INTEGER)", "INSERT INTO nowhere VALUES (1)"))
    con = sqlite3.connect(path, isolation_level=None)
    migrate(con, path, 1)
    migrate(con, path, 2, later)
    migrate(con, path, 3, later)
    assert con.execute("SELECT count(*) FROM extra").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError):
        migrate(con, path, 4, broken)
    assert con.execute("SELECT max(version) FROM schema_version").fetchone() == (len(later),)
    assert con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'more'").fetchone() == (0,)
    with pytest.raises(StoreError, match="schema version"):
        migrate(con, path, 5)
    con.close()
