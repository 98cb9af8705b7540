"""The SQLite file itself: opening, refusing, damage, and what errors say."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import StoreDamaged, StoreError
from inlay.stores import database
from inlay.stores.migrations import MIGRATIONS
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import KEYS, ManualClock, Scene, refused
from inlay.types import CellState, Correction, Settlement

# --- opening -------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_first_use(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / ".inlay" / "store.db")
    assert list(tmp_path.iterdir()) == []
    assert store.passes("x") == {}
    assert (tmp_path / ".inlay" / "store.db").exists()
    store.close()


def test_only_the_folder_of_inlay_itself_is_made(tmp_path: Path) -> None:
    error = refused(lambda: SqliteStore(tmp_path / "tpyo" / "store.db").passes("x"))
    assert "tpyo" in str(error)
    refused(lambda: SqliteStore(tmp_path / "no" / ".inlay" / "store.db").passes("x"))
    assert "folder" in str(refused(lambda: SqliteStore(tmp_path).passes("x")))
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE schema_version (version INTEGER)")
    con.commit()
    con.close()
    before = path.read_bytes()
    error = refused(lambda: SqliteStore(path).passes("x"))
    assert str(path) in error.message
    assert "not an Inlay store" in error.message
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("買い物リスト\n" * 1000)
    before = path.read_bytes()
    error = refused(lambda: SqliteStore(path).passes("x"))
    assert isinstance(error, StoreDamaged)
    assert str(path) in error.message
    assert path.read_bytes() == before


def test_a_store_of_a_newer_inlay_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.passes("x")
    store.close()
    con = sqlite3.connect(path)
    con.execute("INSERT INTO schema_version VALUES (?, 0)", (len(MIGRATIONS) + 1,))
    con.commit()
    con.close()
    error = refused(lambda: SqliteStore(path).passes("x"))
    assert "newer" in error.remedy
    assert str(len(MIGRATIONS) + 1) in error.message


def test_a_busy_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores: Callable[..., Scene]) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    scene = stores(tmp_path / "store.db")
    blocker = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    error = refused(lambda: scene.begin())
    assert "locked" in error.message
    assert scene.store.runs("tenants") == []  # readers are not held up
    blocker.execute("ROLLBACK")
    blocker.close()
    assert scene.begin().run_id == 1


def test_a_full_disk_changes_nothing_and_names_the_remedy(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(tmp_path / "store.db")
    run = scene.begin()
    scene.ask(run, "1", "x")
    con = scene.store._db._writer
    con.execute(f"PRAGMA max_page_count = {con.execute('PRAGMA page_count').fetchone()[0] + 2}")
    error = refused(lambda: scene.ask(run, "2", "y" * 10, "日本" * 50_000))
    assert "full" in error.message
    con.execute("PRAGMA max_page_count = 1000000")
    assert scene.read("1").state == CellState.DONE
    assert scene.store.verify() == []
    scene.ask(run, "2", "y" * 11, "日本" * 50_000)


@pytest.mark.parametrize("code", [c for c in dir(sqlite3) if c.startswith("SQLITE_") and c.count("_") == 1])
def test_every_primary_result_code_of_sqlite_has_a_remedy(code: str) -> None:
    number = getattr(sqlite3, code)
    not_failures = {"SQLITE_OK", "SQLITE_ROW", "SQLITE_DONE", "SQLITE_NOTICE", "SQLITE_WARNING"}
    actions = {"SQLITE_DENY", "SQLITE_IGNORE"}  # answers of an authorizer, as are the names that follow
    names = {name for name in dir(sqlite3) if name.startswith(("SQLITE_CREATE", "SQLITE_DROP"))}
    authorizer = {
        "DELETE",
        "INSERT",
        "PRAGMA",
        "READ",
        "SELECT",
        "TRANSACTION",
        "UPDATE",
        "ATTACH",
        "DETACH",
        "REINDEX",
    }
    authorizer |= {"ANALYZE", "FUNCTION", "SAVEPOINT", "RECURSIVE"}
    if code in not_failures | actions | names or code.removeprefix("SQLITE_") in authorizer or number > 26:
        assert code not in ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_CORRUPT", "SQLITE_READONLY", "SQLITE_IOERR")
        return
    what, remedy = database._FAILURES[number]
    assert what
    assert remedy


def test_a_failure_of_any_kind_is_translated_with_its_path(tmp_path: Path) -> None:
    for error in (
        sqlite3.OperationalError("Could not decode to UTF-8 column 'key'"),
        sqlite3.ProgrammingError("odd"),
        OverflowError("too big"),
        PermissionError(13, "Permission denied"),
    ):
        told = database.translate(error, tmp_path)
        assert str(tmp_path) in told.message
        assert told.remedy
    assert isinstance(database.translate(sqlite3.OperationalError("Could not decode"), tmp_path), StoreDamaged)


def test_numbers_and_texts_that_no_store_holds_are_refused_whole(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(tmp_path / "store.db")
    run = scene.begin()
    refused(lambda: scene.claim(run, "x", reserve=2**63))
    refused(lambda: scene.settle(run, None, "1", "x", "日本", cost=2**63))
    refused(lambda: scene.settle(run, None, "half \ud83d", "x", "日本"))
    assert scene.store.stats()["answers"] == 0
    # Half a character in a provider's message must not cost the answer beside it.
    answer = scene.answer("x", None, CellState.FAILED, error_kind="refused", error_message="half \ud83d of it")
    cell = scene.cell("1", "x", CellState.FAILED, reason="refused", message="half \ud83d")
    scene.store.commit([Settlement(answer=answer, cells=(cell,))], run=run)
    assert scene.read("1").message == "half ?"
    assert scene.store.verify() == []


def test_a_store_is_refused_after_a_fork(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(tmp_path / "store.db")
    scene.begin()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            scene.store.runs("tenants")
        except StoreError as error:
            status = 0 if "fork" in error.message else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(scene.store.runs("tenants")) == 1


# --- damage --------------------------------------------------------------------------------------------------------


def fill(scene: Scene) -> None:
    """A small store with everything in it."""
    run = scene.begin()
    for place, key in enumerate(KEYS[:10]):
        scene.ask(run, key, f"text {place}", f"{key} ✓ " * 30)
    [claimed] = scene.claim(run, "broken")
    answer = scene.answer("broken", None, CellState.FAILED, error_kind="refused", raw="だめ".encode() * 200)
    cell = scene.cell("bad", "broken", CellState.FAILED, reason="refused")
    scene.store.commit([Settlement(claimed.attempt_id, "refused", 5, answer=answer, cells=(cell,))], run=run)
    for value in ("日本", "中国", "韓国"):
        scene.store.correct("tenants", [Correction("nationality", "1", field, value * 9) for field in ("a", "b")])


def everything(scene: Scene) -> dict[str, Any]:
    """Each thing a store serves, by name; an error in its place where it refuses."""
    store, pass_id = scene.store, scene.ref.pass_id
    served: dict[str, Any] = {}

    def serve(name: str, read: Callable[[], Any]) -> None:
        try:
            served[name] = read()
        except StoreError as error:
            served[name] = error

    for key in (*KEYS[:10], "bad"):
        serve(f"cell {key}", lambda key=key: store.read_cells(pass_id, [key]).get(key))
        serve(f"history {key}", lambda key=key: store.history(pass_id, key))
    for text in (*(f"text {place}" for place in range(10)), "broken"):
        serve(f"answer {text}", lambda text=text: store.find_answers([scene.address(text)]).get(scene.address(text)))
    for number in range(1, 12):
        serve(f"input {number}", lambda number=number: store.answer_input(number))
        serve(f"raw {number}", lambda number=number: store.answer_raw(number))
    serve("corrections", lambda: store.corrections("tenants", keys=["1"]))
    serve("all corrections", lambda: store.corrections("tenants", history=True))
    serve("recipe", lambda: store.recipe(1))
    serve("recipes", lambda: store.recipes(1))
    serve("runs", lambda: store.runs("tenants"))
    return served


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A sound store's file, and what it serves."""
    path = tmp_path_factory.mktemp("sound") / "store.db"
    scene = Scene(SqliteStore(path, clock=ManualClock()), ManualClock())
    fill(scene)
    served = everything(scene)
    assert scene.store.verify() == []
    scene.store.close()
    return path, served


@pytest.mark.parametrize("seed", range(5))
def test_no_flipped_bit_is_ever_served(tmp_path: Path, sound: tuple[Path, dict[str, Any]], seed: int) -> None:
    original, truth = sound
    content = original.read_bytes()
    chance = random.Random(seed)
    path = tmp_path / "store.db"
    noticed = 0
    for _ in range(30):
        place = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        store = SqliteStore(path, clock=ManualClock())
        try:
            scene = object.__new__(Scene)
            scene.store, scene.clock = store, ManualClock()
            scene.record, scene.ref = record_and_ref(original)
            changed = {name: value for name, value in everything(scene).items() if value != truth[name]}
            wrong = {name for name, value in changed.items() if not missing_or_refused(value, truth[name])}
            assert not wrong, (place, wrong)
            if changed:
                noticed += 1
                try:
                    assert store.verify(), (place, changed)
                except StoreError:
                    pass  # the file as a whole is refused
        finally:
            store.close()
            for name in ("store.db-wal", "store.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
    assert noticed > 0


def missing_or_refused(value: Any, truth: Any) -> bool:
    """Whether what came back is an error, nothing, or a part of the truth: never something else."""
    if value is None or isinstance(value, StoreError):
        return True
    if isinstance(value, list):
        return all(item in truth for item in value)
    return isinstance(value, dict) and all(truth.get(name) == item for name, item in value.items())


def record_and_ref(original: Path) -> tuple[Any, Any]:
    """The registered pass of the sound store, asked without writing to the damaged one."""
    copy = original.with_name("copy.db")
    if not copy.exists():
        shutil.copy(original, copy)
    scene = Scene(SqliteStore(copy), ManualClock())
    scene.store.close()
    return scene.record, scene.ref


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE answers SET payload = replace(payload, 'v', 'w') WHERE answer_id = 3", "answer 3"),
        ("UPDATE answers SET input = x'00616263' WHERE answer_id = 4", "answer 4"),
        ("UPDATE answers SET input_tokens = 11 WHERE answer_id = 4", "answer 4"),
        ("UPDATE answers SET raw = raw || x'00' WHERE raw IS NOT NULL", "answer 11"),
        ("UPDATE recipes SET recipe = recipe || ' '", "recipe 1"),
        ("UPDATE cells SET answer_id = 5 WHERE key = '1'", "'1'"),
        ("UPDATE cells SET last_seq = 999 WHERE key = '1'", "'1'"),
        ("DELETE FROM answers WHERE answer_id = 2", "answer 2"),
        ("DELETE FROM recipes", "recipe 1"),
        ("DELETE FROM history WHERE seq = 1", "history"),
        ("UPDATE history SET message = 'x' WHERE seq = 2", "line 2"),
        ("UPDATE history SET prev_seq = 1 WHERE seq = 2", "line 2"),
        ("UPDATE passes SET name = 'other'", "pass 1"),
        ("UPDATE runs SET outcome = 'done'", "run 1"),
        ("UPDATE spending SET spent = spent - 1 WHERE scope = 'total'", "total"),
        ("UPDATE attempts SET cost = cost - 1 WHERE attempt_id = 1", "do not match"),
        ("DELETE FROM spending", "do not match"),
        ("UPDATE corrections SET value = '\"x\"' WHERE correction_id = 2", "'b' in pass 'nationality' for row '1'"),
    ],
)
def test_verify_names_what_is_wrong(
    tmp_path: Path, sound: tuple[Path, dict[str, Any]], statement: str, expected: str
) -> None:
    path = tmp_path / "store.db"
    shutil.copy(sound[0], path)
    con = sqlite3.connect(path)
    assert con.execute(statement).rowcount > 0
    con.commit()
    con.close()
    store = SqliteStore(path)
    problems = store.verify()
    assert any(expected in problem for problem in problems), problems
    store.close()


def test_a_damaged_answer_is_named_and_not_served(tmp_path: Path, sound: tuple[Path, dict[str, Any]]) -> None:
    path = tmp_path / "store.db"
    shutil.copy(sound[0], path)
    con = sqlite3.connect(path)
    con.execute("UPDATE answers SET payload = x'7b7d' WHERE answer_id = 1")
    con.commit()
    con.close()
    scene = Scene(SqliteStore(path, clock=ManualClock()), ManualClock())
    for read in (
        lambda: scene.store.read_cells(scene.ref.pass_id, list(KEYS[:10])),
        lambda: scene.store.find_answers([scene.address("text 0")]),
        lambda: scene.store.answers([1]),
        lambda: scene.claim(scene.begin(), "text 0"),
    ):
        with pytest.raises(StoreDamaged, match="answer 1 ") as caught:
            read()
        assert "inlay store verify" in caught.value.remedy
    assert scene.read(KEYS[1]).state == CellState.DONE
    # Clearing the damaged row is a way out: it is asked anew.
    scene.store.clear(enrichment="tenants", keys=["1"])
    assert scene.store.verify() == []
    scene.store.close()


def test_a_file_without_permission_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    store.passes("x")
    con = store._db._writer
    con.execute("PRAGMA query_only = 1")  # what SQLite answers where the file cannot be written
    error = refused(lambda: store.heartbeat("a"))
    assert "read-only" in error.message
    assert stat.S_ISREG(path.stat().st_mode)
    store.close()
