"""A store on a server: what is written once however a commit ends, what it refuses, and how its tables are made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.databases.address import parse
from inlay.databases.connection import Connection, Database, dialect_of
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError, StoreError
from inlay.stores import server_scan, server_schema
from inlay.stores.migrations import MIGRATIONS
from inlay.stores.server import ServerStore
from inlay.stores.server_connection import ServerConnection
from inlay.stores.translation import TABLES, Wording
from inlay.testing.store_scene import ManualClock, Scene, refused
from inlay.types import CellState, Correction, Settlement


@pytest.fixture(
    params=[
        pytest.param("mysql", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
    ]
)
def url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    return new_database(request.param)


@pytest.fixture
def served(url: str) -> Iterator[Callable[..., Scene]]:
    """Opens scenes over the stores of one database, and closes them."""
    opened: list[ServerStore] = []

    def make(options: str = "patience=5", **named: Any) -> Scene:
        opened.append(ServerStore(f"{url}?{options}", **named))
        return Scene(opened[-1], ManualClock())

    yield make
    for store in opened:
        store.close()


def tables(url: str) -> list[str]:
    with Database(parse(url, Path())).connect() as con:
        return [name for name in TABLES if con.dialect.table_columns(con, (f"inlay_{name}",))]


# --- commits of which nobody heard


@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_that_was_cut_off_is_applied_once(
    served: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    scene = served()
    run = scene.begin()
    real = Connection.commit
    cut: list[bool] = []

    def commit(self: Connection) -> None:
        if cut:
            real(self)
            return
        cut.append(True)
        if happened:
            real(self)
        self.raw.close()
        raise DatabaseError(Trouble.LOST, "cut off", unsure=True)

    [claimed] = scene.claim(run, "x")
    monkeypatch.setattr(Connection, "commit", commit)
    number = scene.settle(run, claimed.attempt_id, "1", "x", "日本")
    monkeypatch.undo()
    assert cut
    answer = scene.read("1").answer
    assert answer is not None
    assert answer.answer_id == number
    assert scene.store.stats()["answers"] == scene.store.stats()["history"] == 1
    assert scene.money(run) == (60, 0)
    assert scene.store.verify() == []


def test_a_write_is_done_anew_when_the_server_vanishes_in_its_middle(
    served: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = served()
    run = scene.begin()
    real = ServerConnection.executemany
    calls = iter(range(100))

    def executemany(self: ServerConnection, sql: str, rows: Any) -> None:
        if next(calls) < 3:
            self.connection.raw.close()
        real(self, sql, rows)

    [claimed] = scene.claim(run, "x")
    monkeypatch.setattr(ServerConnection, "executemany", executemany)
    scene.settle(run, claimed.attempt_id, "1", "x", "日本")
    monkeypatch.undo()
    assert scene.store.stats()["answers"] == 1
    assert scene.money(run) == (60, 0)
    assert scene.store.verify() == []


def test_who_waited_in_vain_is_told_and_does_not_wait_again(served: Callable[..., Scene], url: str) -> None:
    scene = served("patience=0")
    port = parse(url, Path()).port
    store = ServerStore(url.replace(f":{port}/", ":1/") + "?patience=0.3")
    error = refused(lambda: store.passes("tenants"))
    assert "run the same command again" in error.remedy
    assert "127.0.0.1:1/" in error.message
    assert store._server._gave_up
    assert not scene.store._server._gave_up
    store.close()


def test_a_closed_store_leaves_no_trace_of_its_client(served: Callable[..., Scene], url: str) -> None:
    def clients() -> int:
        with other.store._db.read() as con:
            return con.execute("SELECT count(*) FROM commits").fetchone()[0]

    scene, other = served(), served()
    assert clients() == 1  # who registered the pass
    scene.store.close()
    assert clients() == 0


# --- what a server cannot hold


def test_a_row_key_that_a_server_cannot_hold_is_refused_before_anything_is_paid(served: Callable[..., Scene]) -> None:
    scene = served()
    pass_id = scene.ref.pass_id
    for bad, why in (("x" * 701, "longer than 700"), ("🙂" * 660, "2600 bytes"), ("a\0b", "NUL")):
        for action in (
            lambda bad=bad: scene.store.read_cells(pass_id, [bad]),
            lambda bad=bad: scene.store.corrections("tenants", keys=[bad]),
            lambda bad=bad: scene.store.correct("tenants", [Correction("nationality", bad, "nationality", "日本")]),
        ):
            assert why in refused(action).message
    longest = "🙂" * 650
    run = scene.begin()
    scene.ask(run, longest, "x")
    assert scene.read(longest).key == longest


def test_a_message_with_a_nul_costs_no_answer(served: Callable[..., Scene]) -> None:
    scene = served()
    run = scene.begin()
    failed = scene.cell("1", "x", CellState.FAILED, reason="invalid_output", message="odd \0 byte \ud83d")
    scene.store.commit([Settlement(cells=(failed,))], run=run)
    assert scene.read("1").message == "odd ␀ byte ?"
    assert scene.store.verify() == []


def test_keys_are_told_apart_by_their_bytes(served: Callable[..., Scene]) -> None:
    scene = served()
    run = scene.begin()
    keys = ["a", "A", "á", "a ", "a  ", "ａ", "ß", "ss"]
    for key in keys:
        scene.ask(run, key, f"text of {key!r}")
    assert set(scene.store.read_cells(scene.ref.pass_id, keys)) == set(keys)
    assert scene.store.counts(scene.ref.pass_id) == {("done", ""): len(keys)}


def test_a_long_history_is_told_whole(served: Callable[..., Scene]) -> None:
    scene = served()
    run = scene.begin()
    note = scene.cell("1", "x", CellState.SKIPPED, reason="budget")
    for _ in range(3):
        scene.store.commit([Settlement(cells=(note,) * 500)], run=run)
    assert len(scene.store.history(scene.ref.pass_id, "1")) == 1500


# --- the tables


def test_the_tables_are_made_once_by_whoever_comes_first(url: str) -> None:
    stores = [ServerStore(url) for _ in range(4)]
    threads = [threading.Thread(target=store.begin_run, args=("e",), kwargs={"runner": "r"}) for store in stores]
    assert not stores[0].is_there()
    assert tables(url) == []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].is_there()
    assert sorted(run.run_id for run in stores[0].runs("e")) == [1, 2, 3, 4]
    assert set(tables(url)) == set(TABLES) - {"attempt_sums_3"}
    for store in stores:
        store.close()


def test_tables_that_were_half_made_are_finished(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Wording.ddl
    for fails_at in (0, 7, 15, 24):
        calls = iter(range(1000))

        def ddl(self: Wording, statement: str, calls: Any = calls, last: int = fails_at, **named: Any) -> str:
            if next(calls) == last:
                raise KeyboardInterrupt
            return real(self, statement, **named)

        monkeypatch.setattr(Wording, "ddl", ddl)
        with pytest.raises(KeyboardInterrupt):
            ServerStore(f"{url}?prefix=h{fails_at}_").passes("e")
        monkeypatch.setattr(server_schema, "_note", _forgetful(server_schema._note))
        monkeypatch.setattr(Wording, "ddl", real)
        with pytest.raises(KeyboardInterrupt):
            ServerStore(f"{url}?prefix=h{fails_at}_").passes("e")
        monkeypatch.undo()
        scene = Scene(ServerStore(f"{url}?prefix=h{fails_at}_"), ManualClock())
        scene.ask(scene.begin(), "1", "x")
        assert scene.store.verify() == []
        scene.store.close()


def _forgetful(real: Callable[..., None]) -> Callable[..., None]:
    """Dies once, between what was done and the note of it."""
    left = iter((True,))

    def note(*given: Any) -> None:
        if next(left, False):
            raise KeyboardInterrupt
        real(*given)

    return note


def test_a_store_of_a_newer_inlay_is_refused(served: Callable[..., Scene]) -> None:
    scene = served()
    newer = len(MIGRATIONS) + 1
    scene.store._db.write(
        "x", lambda con: con.execute("INSERT INTO schema_version VALUES (?, 0, 1)", (newer,)) and None
    )
    other = ServerStore(scene.store._server._database.address)
    error = refused(lambda: other.passes("tenants"))
    assert f"schema version {newer}" in error.message
    assert "upgrade Inlay" in error.remedy
    other.close()


def test_two_stores_live_in_one_database_under_prefixes(served: Callable[..., Scene]) -> None:
    one, two = served("prefix=one_"), served("prefix=two_")
    one.ask(one.begin(), "1", "x")
    assert two.store.stats()["answers"] == 0
    assert one.store.stats()["answers"] == 1
    assert one.store.stats()["answers_bytes"] > 0
    with pytest.raises(DatabaseError, match="longer than"):
        Wording(one.store._server._database.dialect, "p" * 60).table("cells")


@pytest.mark.postgresql
def test_a_schema_of_its_own_in_postgresql(new_database: Callable[[str], str]) -> None:
    address = new_database("postgresql")
    with Database(parse(address, Path())).connect() as con:
        con.run('CREATE SCHEMA "Odd schema"')
    scene = Scene(ServerStore(f"{address}?schema=Odd%20schema"), ManualClock())
    scene.ask(scene.begin(), "1", "x")
    assert scene.store.prune(enrichment="tenants")["answers"] == 0
    assert scene.store.stats()["cells_bytes"] > 0
    assert scene.store.verify() == []
    assert tables(address) == []
    scene.store.close()


# --- scanning


def test_a_scan_goes_in_chunks_and_asks_again_for_what_was_cut_off(
    served: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = served()
    run = scene.begin()
    keys = [f'行 {number}, "x"\n' for number in range(25)] + [""]
    for key in keys:
        scene.ask(run, key, f"text {key}")
    kind = scene.store._server._database.dialect.name
    whole = server_scan._whole
    monkeypatch.setattr(server_scan, "_whole", lambda text, count: None if count > 3 else whole(text, count))
    batches = list(server_scan.scan(scene.store._db, kind, scene.ref.pass_id, CELL_SCAN_COLUMNS, chunk=10))
    assert sorted(key for batch in batches for key in batch["key"].to_pylist()) == sorted(keys)
    assert list(batches[0].schema.names) == list(CELL_SCAN_COLUMNS)
    only = list(server_scan.scan(scene.store._db, kind, scene.ref.pass_id, ["state"], chunk=3))
    assert sum(batch.num_rows for batch in only) == len(keys)
    monkeypatch.setattr(server_scan, "_whole", lambda text, count: None)
    with pytest.raises(StoreError, match="largest packet"):
        list(server_scan.scan(scene.store._db, kind, scene.ref.pass_id, ["key"]))


# --- without a server


def test_no_secret_is_shown() -> None:
    store = ServerStore("mysql://keeper:hush@127.0.0.1:1/staging?patience=0")
    assert "hush" not in repr(store)
    assert "hush" not in str(refused(lambda: store.passes("e")))


def test_a_patience_that_is_no_number_is_a_mistake() -> None:
    for bad in ("x", "-1", "nan", "1e9"):
        with pytest.raises(SpecError, match="no number of seconds"):
            ServerStore(f"mysql://127.0.0.1:1/staging?patience={bad}")


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_every_statement_of_the_migrations_is_translated(kind: str) -> None:
    wording = Wording(dialect_of(kind), "p_")
    for number in range(1, len(MIGRATIONS) + 1):
        for statement in server_schema.steps_of(number, MIGRATIONS):
            made = wording.ddl(statement, collation="utf8mb4_nopad_bin")
            assert "p_" in made
            assert "BLOB UNIQUE" not in made
            assert "ROWID" not in made


def test_what_is_inserted_where_something_is_there() -> None:
    mysql, postgresql = (Wording(dialect_of(kind), "p_") for kind in ("mysql", "postgresql"))
    adds = (
        "INSERT INTO spending (scope, spent) VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET spent = spent + excluded."
    )
    assert mysql.plain(adds + "spent") == (
        "INSERT INTO `p_spending` (scope, spent) VALUES (?, ?) ON DUPLICATE KEY UPDATE spent = spent + VALUES(spent)"
    )
    assert postgresql.plain(adds + "spent") == (
        'INSERT INTO "p_spending" (scope, spent) VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET '
        'spent = "p_spending".spent + excluded.spent'
    )
    nothing = "INSERT INTO pass_recipes (pass_id, recipe_id) VALUES (?, ?) ON CONFLICT (pass_id, recipe_id) DO NOTHING"
    assert mysql.plain(nothing).endswith("ON DUPLICATE KEY UPDATE pass_id = pass_id")
    assert postgresql.plain(nothing).endswith("ON CONFLICT (pass_id, recipe_id) DO NOTHING")
    half = "SELECT a / 2 FROM cells c WHERE c.key = ?"
    assert mysql.plain(half) == "SELECT a DIV 2 FROM `p_cells` c WHERE c.`key` = ?"
