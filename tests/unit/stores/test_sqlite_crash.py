"""Killed at any commit point, in any method: after it the store holds all of a step or nothing, and goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inlay.faultpoints import VARIABLE
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import ManualClock, Scene, kinds
from inlay.types import Budget, Claimed, LaneNote

# One run of a few steps; the n-th write of a kind dies where the environment says.
CHILD = """
import sys
from inlay.stores.liveness import new_runner
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import ManualClock, Scene
from inlay.types import Budget, LaneNote
scene = Scene(SqliteStore(sys.argv[1]), ManualClock())
run = scene.begin(new_runner())
one, two, three = scene.claim(run, "x", "y", "z", budget=Budget(1000))
scene.settle(run, one.attempt_id, "1", "x", "日本")
scene.store.extend(two.attempt_id, outcome="timeout", cost_nusd=100, run=run, budget=None)
scene.store.release([three.attempt_id])
scene.store.heartbeat(run.runner)
scene.store.reset_tries(scene.ref.pass_id)
scene.store.clear(enrichment="tenants", keys=["1"])
scene.store.prune(enrichment="tenants")
scene.store.share_lanes(run.runner, [LaneNote("l", True)])
scene.store.end_run(run.run_id, outcome="done", summary={})
"""
STEPS = (
    *("register", "begin_run", "claim", "commit", "extend", "release", "heartbeat", "reset_tries", "clear", "prune"),
    *("share_lanes", "end_run"),
)


def crash(path: Path, point: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        env={**os.environ, VARIABLE: point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr


@pytest.mark.parametrize("when", ["before_commit", "after_commit"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_there_whole_or_not_at_all_and_the_next_run_goes_on(tmp_path: Path, step: str, when: str) -> None:
    path = tmp_path / "store.db"
    crash(path, f"{step}.{when}")
    done = STEPS.index(step) + (when == "after_commit")  # steps that are durable

    scene = Scene(SqliteStore(path), ManualClock())
    store = scene.store
    assert store.verify() == []
    runs = store.runs("tenants")
    assert len(runs) == (done > 1)
    if runs:
        [dead] = runs
        expected = (0, 0) if done <= 2 else (0, 300) if done <= 3 else (60, 200)
        expected = (160, 200) if done == 5 else (160, 100) if 6 <= done < 12 else expected
        assert scene.money(dead) == (expected if done < 12 else (260, 0))
        assert (dead.outcome, dead.ended_at is None) == (("done", False) if done == 12 else ("", True))
    assert len(store.read_cells(scene.ref.pass_id, ["1"])) == (4 <= done < 9)
    assert len(store.find_answers([scene.address("x")])) == (4 <= done < 9)

    # The notes of the dead about its lanes count for nothing.
    with store._db.read() as con:
        assert con.execute("SELECT count(*) FROM lanes").fetchone()[0] == (done == 11)
    assert store.share_lanes("again", [LaneNote("l", True)]) == {"l": ()}

    # The same command again: nobody waits for the dead, what was open counts in full, the cap still holds.
    run = scene.begin("again")
    opened = {3: 300, 4: 200}.get(done, 200 if done == 5 else 100 if 6 <= done < 12 else 0)
    spent = {3: 0, 4: 60}.get(done, 160 if done >= 5 else 0)
    whole = (spent + opened, 0) if done < 12 else (0, 0)  # that run ended as done: a budget of its own
    assert scene.money(run) == whole
    cap = Budget(whole[0] + 250)
    answered = 4 <= done < 9
    expected_kinds = ["Known", "Claimed", "Claimed"] if answered else ["Claimed", "Claimed", "Unaffordable"]
    assert kinds(scene.claim(run, "x", "y", "z", budget=cap)) == expected_kinds
    assert store.verify() == []
    store.close()


def race(path: str, number: int, results: multiprocessing.Queue[list[tuple[str, int]]]) -> None:
    """One of several processes that claim the same addresses under one cap, each in its own order."""
    store = SqliteStore(path)
    scene = Scene(store, ManualClock())
    run = store.begin_run("tenants", runner=f"process {number}")
    texts = [f"住所 {(place * (2 * number + 1)) % 64}" for place in range(64)]
    won: list[tuple[str, int]] = []
    for start in range(0, 64, 4):
        group = texts[start : start + 4]
        for text, result in zip(group, scene.claim(run, *group, budget=Budget(4500)), strict=True):
            if isinstance(result, Claimed):
                won.append((text, result.attempt_id))
    for place, (text, attempt) in enumerate(won):
        if place % 2:
            scene.settle(run, attempt, text, text, "日本", cost=60)
    store.close()
    results.put(won)


def test_processes_that_open_and_claim_at_once_share_addresses_and_cap(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    path = str(tmp_path / "store.db")
    workers = [context.Process(target=race, args=(path, number, results)) for number in range(4)]
    for worker in workers:
        worker.start()
    won = [item for _ in workers for item in results.get(timeout=120)]
    for worker in workers:
        worker.join()
    results.close()
    results.join_thread()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    texts, numbers = zip(*won, strict=True)
    assert len(set(numbers)) == len(numbers)
    store = SqliteStore(path)
    scene = Scene(store, ManualClock())
    latest = store.runs("tenants")
    assert len({run.budget_run for run in latest}) == 1
    spending = store.spending(latest[0], "run")
    settled = len(store.find_answers([scene.address(text) for text in texts]))
    assert spending.spent_nusd == 60 * settled
    assert spending.spent_nusd + spending.reserved_nusd <= 4500
    assert len(set(texts)) == len(texts)
    assert len(texts) >= 45
    assert store.verify() == []
    store.close()
