"""Corrections in the SQLite file: damage, the way out of it, the index, and several processes at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from inlay.errors import StoreDamaged
from inlay.faultpoints import VARIABLE
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import Scene
from inlay.types import Correction

FIRST = Correction("読む", "行 '1'", '気分 "x"', "良い", note="見た", author="花子")


def spoil(path: Path, statement: str) -> None:
    """Change a store's file behind its back."""
    with closing(sqlite3.connect(path)) as con:
        assert con.execute(statement).rowcount == 1
        con.commit()


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "value = '\"悪い\"'",
        "value = CAST(x'22ff22' AS TEXT)",
        "value = x'2278'",
        "value = 'null', null_reason = 'not_stated'",
        "null_reason = 'no such reason'",
        "note = ''",
        "author = '太郎'",
        "withdrawn = 1",
        "at = at + 1",
        "check_sum = check_sum + 1",
        "enrichment = 'tenants', withdrawn = 'x'",
    ],
)
@pytest.mark.parametrize("newer", [False, True])
def test_a_damaged_correction_is_named_and_not_served(
    tmp_path: Path, stores: Callable[..., Scene], change: str, newer: bool
) -> None:
    path = tmp_path / "store.db"
    scene = stores(path)
    store = scene.store
    others = [replace(FIRST, key="2"), replace(FIRST, field="other")]
    store.correct("tenants", [FIRST, *others])
    if newer:  # which of the two is the later one cannot be told any more
        store.correct("tenants", [replace(FIRST, value="新しい")])
    spoil(path, f"UPDATE corrections SET {change} WHERE correction_id = 1")
    for read in (
        lambda: store.corrections("tenants"),
        lambda: store.corrections("tenants", history=True),
        lambda: store.corrections("tenants", keys=["2", FIRST.key]),
    ):
        with pytest.raises(StoreDamaged) as caught:
            read()
        assert all(repr(part) in caught.value.message for part in (FIRST.pass_name, FIRST.key, FIRST.field))
    [problem] = store.verify()
    assert problem == caught.value.message
    assert [one.key for one in store.corrections("tenants", keys=["2"])] == ["2"]

    # Correcting that very field again is a way out, and takes nothing else along.
    store.correct("tenants", [others[1]])
    assert store.verify() == [problem]
    store.correct("tenants", [replace(FIRST, value="もう一度")])
    assert store.verify() == []
    found = {(one.key, one.field): one.value for one in store.corrections("tenants")}
    assert found == {(FIRST.key, FIRST.field): "もう一度", **{(one.key, one.field): one.value for one in others}}
    assert len(store.corrections("tenants", history=True)) == 4 + newer


@pytest.mark.parametrize("lost", [2, 3])
def test_an_older_correction_is_not_served_where_a_later_one_is_gone(
    tmp_path: Path, stores: Callable[..., Scene], lost: int
) -> None:
    path = tmp_path / "store.db"
    store = stores(path).store
    for value in ("古い", "新しい", "最新"):
        store.correct("tenants", [replace(FIRST, value=value)])
    spoil(path, f"DELETE FROM corrections WHERE correction_id = {lost}")
    for keys in (None, [FIRST.key]):
        with pytest.raises(StoreDamaged, match="a later one, which is not there"):
            store.corrections("tenants", keys=keys)
    [problem] = store.verify()
    assert repr(FIRST.key) in problem
    assert repr(FIRST.field) in problem
    store.correct("tenants", [replace(FIRST, value="もう一度")])
    assert store.verify() == []
    assert [one.value for one in store.corrections("tenants")] == ["もう一度"]


def test_half_a_character_is_refused_in_a_key_and_mended_in_a_note(
    tmp_path: Path, stores: Callable[..., Scene]
) -> None:
    scene = stores(tmp_path / "store.db")
    for bad in ("key", "field", "pass_name"):
        with pytest.raises(Exception, match="half of a surrogate pair"):
            scene.store.correct("tenants", [FIRST, replace(FIRST, **{bad: "half \ud83d"})])
    assert scene.store.corrections("tenants", history=True) == []
    scene.store.correct("tenants", [replace(FIRST, note="half \ud83d", author="\ud83d")])
    [one] = scene.store.corrections("tenants")
    assert (one.note, one.author) == ("half ?", "?")
    assert scene.store.verify() == []


# --- speed ---------------------------------------------------------------------------------------------------------


def statements(scene: Scene, read: Callable[[], object]) -> list[str]:
    """The statements that a read sends to SQLite."""
    sent: list[str] = []
    scene.store.passes("tenants")
    [con] = scene.store._db._idle
    con.set_trace_callback(sent.append)
    read()
    con.set_trace_callback(None)
    return sent


def test_where_there_are_none_a_batch_of_rows_costs_one_look_into_an_index(
    tmp_path: Path, stores: Callable[..., Scene]
) -> None:
    scene = stores(tmp_path / "store.db")
    keys = [f"行 {number}" for number in range(2000)]
    scene.store.correct("another", [FIRST])
    sent = statements(scene, lambda: scene.store.corrections("tenants", keys=keys))
    assert len([statement for statement in sent if "corrections" in statement]) == 1
    assert not any(keys[0] in statement for statement in sent)


def test_a_hundred_thousand_corrections_are_looked_up_through_the_index(
    tmp_path: Path, stores: Callable[..., Scene]
) -> None:
    scene = stores(tmp_path / "store.db")
    scene.store.correct("tenants", [replace(FIRST, key=f"行 {number}") for number in range(100_000)])
    keys = [f"行 {number}" for number in range(49_000, 51_000)]
    sent = statements(scene, lambda: scene.store.corrections("tenants", keys=keys))
    looked = [statement for statement in sent if "corrections" in statement]
    assert len(looked) == 5  # whether there are any, and four chunks
    with closing(sqlite3.connect(tmp_path / "store.db")) as con:
        plans = [[row[3] for row in con.execute("EXPLAIN QUERY PLAN " + statement)] for statement in looked]
    assert plans[0] == ["SEARCH corrections USING COVERING INDEX corrections_by_row (enrichment=?)"]
    assert plans[1:] == [["SEARCH corrections USING INDEX corrections_by_row (enrichment=? AND key=?)"]] * 4
    assert [one.key for one in scene.store.corrections("tenants", keys=keys)] == keys


# --- processes -----------------------------------------------------------------------------------------------------


def say(path: str, number: int, rounds: int) -> None:
    """One of two processes that correct rows of their own and one that both correct."""
    store = SqliteStore(path)
    for turn in range(rounds):
        own = replace(FIRST, key=f"行 {number} {turn}", value=number)
        store.correct("tenants", [own, replace(FIRST, value=[number, turn])])
    store.close()


def test_processes_that_open_an_earlier_store_and_correct_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as con:
        con.executescript(Path(__file__).with_name("schema_1.sql").read_text(encoding="utf-8"))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=say, args=(str(path), number, 25)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = SqliteStore(path)
    history = store.corrections("tenants", history=True)
    assert len(history) == 100
    shared = [one.value for one in history if one.key == FIRST.key]
    for number in range(2):
        assert [value for value in shared if value[0] == number] == [[number, turn] for turn in range(25)]
    assert [one.value for one in store.corrections("tenants", keys=[FIRST.key])] == shared[-1:]
    assert {one.key for one in store.corrections("tenants")} == {one.key for one in history}
    assert store.verify() == []
    store.close()


CHILD = """
import sys
from inlay.stores.sqlite import SqliteStore
from inlay.types import Correction
store = SqliteStore(sys.argv[1])
store.correct("tenants", [Correction("p", "1", "f", "先"), Correction("p", "2", "f", "先")])
store.correct("tenants", [Correction("p", "1", "f", "後"), Correction("p", "2", "f", "後")])
"""


@pytest.mark.parametrize(("point", "kept"), [("before_commit:2", "先"), ("after_commit:2", "後")])
def test_killed_in_the_middle_corrections_are_there_whole_or_not_at_all(tmp_path: Path, point: str, kept: str) -> None:
    path = tmp_path / "store.db"
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        env={**os.environ, VARIABLE: f"correct.{point}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    store = SqliteStore(path)
    assert [one.value for one in store.corrections("tenants")] == [kept, kept]
    assert store.verify() == []
    store.close()
