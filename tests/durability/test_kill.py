"""SIGKILL, at random moments and at every named point: the same command typed again is the whole recovery.

What is proved: the final table is the one of an undisturbed run; what a store had kept is never asked again; what is
paid again is bounded by the calls that were in flight.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from durable_scene import SOAK, Scene, count, seeded, texts, undisturbed

from inlay.faultpoints import VARIABLE
from inlay.testing import Simulator

CONCURRENCY = 32
STEPS = ("register", "begin_run", "share_lanes", "claim", "commit", "end_run")
POINTS = [f"{step}.{moment}_commit" for step in STEPS for moment in ("before", "after")]
POINTS += ["publish.before_write", "publish.within_write", "publish.after_write"]


def done_keys(scene: Scene) -> set[tuple[int, str]]:
    """What the store holds for good at this moment: (pass, key) of every cell that is done."""
    if not (scene.folder / ".inlay" / "store.db").exists():
        return set()
    with scene.open_store() as store, store._db.read() as con, contextlib.suppress(Exception):
        return set(con.execute("SELECT pass_id, key FROM cells WHERE state = 'done'").fetchall())
    return set()


def kill_somewhere(scene: Scene, rng: random.Random) -> float | None:
    """Start a run, kill it at a random moment; seconds from the start to its first call, None if it made none."""
    known = scene.sim.summary()["calls"]
    begun = time.monotonic()
    process = scene.start()
    first: float | None = None
    if rng.random() < 0.25:
        time.sleep(rng.uniform(0.05, 1.5))
    else:
        scene.asked(known, process)
        first = time.monotonic() - begun if scene.sim.summary()["calls"] > known else None
        scene.asked(known + rng.randrange(1, 8 * CONCURRENCY), process)
        time.sleep(rng.uniform(0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)
    return first


@pytest.mark.parametrize("shape", ["one_pass", "three_passes", "few_texts"])
def test_kills_at_random_moments(scene: Scene, sim: Simulator, tmp_path: Path, shape: str) -> None:
    rng = seeded(f"kills, {shape}")
    rows = count(600, 5_000) if shape == "one_pass" else count(150, 1_500)
    kills = count(5, 100) if shape == "one_pass" else count(3, 30)
    sim.control(latency="uniform:0.01,0.08", key_pattern=r"^Read.*#([0-9]+)$")
    scene.rows(texts(rows, distinct=rows // 3 if shape == "few_texts" else None))
    scene.declare(
        passes=scene.three_passes() if shape == "three_passes" else [scene.one_pass()],
        limits={"concurrency": CONCURRENCY},
    )
    slowest = 0.0
    struck = 0
    for _ in range(kills):
        kept = done_keys(scene)
        known = sim.summary()["calls"]
        first = kill_somewhere(scene, rng)
        struck += 1
        slowest = max(slowest, first or 0.0)
        again = {call.key for call in sim.ledger.calls[known:] if call.key}
        read = {
            str(int(key[1:]) % (rows // 3 if shape == "few_texts" else rows)) for number, key in kept if number == 1
        }
        assert not again & read, "an answer that was kept was asked again"
    last = scene.command_run()
    assert last.code == 0, last.err
    print(f"{struck} kills, {len(sim.ledger)} calls, slowest start of work {slowest:.2f} s")
    asked = scene.tasks()
    again = sum(asked.values()) - len(asked)
    assert again <= struck * CONCURRENCY
    assert slowest < (5 if SOAK else 20)  # a dead runner's lease would hold work up for a minute
    table = scene.table()
    assert len(table) == rows
    scene.is_sound()
    scene.nothing_open()
    assert scene.calls_of() == 0
    with Simulator(null_share=0.1) as calm:
        peace = undisturbed(tmp_path / "peace", calm, scene)
        peace.file.write_text(scene.file.read_text().replace(sim.endpoint, calm.endpoint))
        peace.run()
        assert len(calm.ledger) == len(asked)
        assert peace.table() == table


def struck_at(scene: Scene, point: str, nth: int) -> bool:
    """Run in a process that dies at the nth pass of a point; whether it did."""
    process = scene.start(**{VARIABLE: f"{point}:{nth}"})
    process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGKILL, 0, 3)
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
def test_kills_at_every_named_point(scene: Scene, sim: Simulator, point: str) -> None:
    rng = seeded(point)
    rows = 24
    step = point.partition(".")[0]
    scene.rows(texts(rows))
    scene.declare(limits={"concurrency": 1})
    hits = 0
    for turn in range(count(1, 10)):
        known = len(sim.ledger)
        # Other questions every time: the store keeps all that was answered before.
        scene.declare(passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")])
        # Every answer is a commit of its own here; claims take several addresses at once, so there are few of them.
        nth = rng.randrange(1, {"commit": 12, "claim": 3}.get(step, 2))
        hits += struck_at(scene, point, nth)
        made = len(sim.ledger) - known
        resumed = scene.calls_of()
        # One call at a time: only an answer whose commit was cut off can be asked for twice.
        repaid = made + resumed - rows
        assert repaid in (
            (1,) if point == "commit.before_commit" and hits > turn else (0, 1) if step == "claim" else (0,)
        )
        assert scene.calls_of() == 0
        assert len(scene.rows_out()) == rows
        assert all(row[f"read{turn}_success"] for row in scene.rows_out())
        scene.is_sound()
        scene.nothing_open()
    assert hits == count(1, 10)


def test_a_kill_between_two_paid_tries_of_one_call(scene: Scene, sim: Simulator) -> None:
    for nth, point in enumerate(("extend.before_commit", "extend.after_commit"), 1):
        scene.rows(texts(30))
        sim.control(faults=[{"fault": "hang_up", "first_tries": 1, "record": r"#[0-4]$"}])
        scene.declare(passes=[scene.one_pass(f"read{nth}", f"Read {nth}: {{{{ text }}}}")], limits={"concurrency": 4})
        assert struck_at(scene, point, 2)
        report = scene.run()
        assert report.exit_code == 0
        assert scene.calls_of() == 0
        scene.nothing_open()
        scene.is_sound()
    with scene.open_store() as store, store._db.read() as con:
        booked = con.execute("SELECT sum(cost) FROM attempts").fetchone()[0]
        scopes = con.execute("SELECT spent FROM spending WHERE scope = 'total'").fetchone()[0]
    assert booked == scopes >= sim.ledger.billed_nusd


@pytest.mark.parametrize("point", ["release.before_commit", "release.after_commit"])
def test_a_kill_while_giving_back_what_never_left(scene: Scene, sim: Simulator, point: str) -> None:
    scene.rows(texts(80))
    # The refusal takes its time, so that calls are ready behind it when it comes.
    sim.control(faults=[{"fault": "http_429_quota", "calls": [20]}], latency=0.05, error_latency_s=0.08)
    scene.declare(limits={"concurrency": 8})
    assert struck_at(scene, point, 1)
    report = scene.run()
    assert report.exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    asked = scene.tasks()
    assert len(asked) == 80
    assert sum(asked.values()) <= 81 + 8  # the one that was refused for the quota, and those that were in flight
    scene.nothing_open()


def test_a_killed_parent_does_not_leave_a_run_behind(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.05)
    scene.rows(texts(200))
    scene.declare(limits={"concurrency": 8})
    command = scene.command("run", "--quiet", "--json", "--yes")
    shell = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & echo $!; wait', "sh", *command],
        cwd=scene.folder,
        env=scene.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert shell.stdout is not None
    child = int(shell.stdout.readline())
    scene.asked(20)
    shell.kill()
    os.kill(child, signal.SIGKILL)
    shell.communicate()
    report = scene.run()
    assert report.exit_code == 0
    assert sum(scene.tasks().values()) <= 200 + 8
    assert scene.calls_of() == 0
