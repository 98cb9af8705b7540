"""Several runners on one store: they share the work, pay for nothing twice, and take over from the dead at once."""

from __future__ import annotations

import signal
import time

import pytest
from durable_scene import Scene, count, texts

from inlay.testing import Simulator


@pytest.mark.parametrize("runners", [2, 4])
def test_runners_at_once_share_the_work(scene: Scene, sim: Simulator, runners: int) -> None:
    for turn in range(count(1, 20)):
        rows = 240
        sim.clear()
        sim.control(latency="uniform:0.01,0.06")
        scene.rows(texts(rows))
        scene.declare(
            passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")], limits={"concurrency": 16}
        )
        processes = [scene.start() for _ in range(runners)]
        ended = [scene.finish(process) for process in processes]
        assert [end.code for end in ended] == [0] * runners, [end.err for end in ended]
        asked = scene.tasks()
        assert len(asked) == rows
        assert set(asked.values()) == {1}, "one question was paid twice"
        assert all(row[f"read{turn}_success"] for row in scene.rows_out())
        assert scene.calls_of() == 0
        scene.is_sound()
        scene.nothing_open()


def test_runners_of_three_passes_at_once(scene: Scene, sim: Simulator) -> None:
    sim.control(latency="uniform:0.01,0.06", null_share=0)
    scene.rows(texts(80, distinct=60))
    scene.declare(passes=scene.three_passes(), limits={"concurrency": 16})
    ended = [scene.finish(process) for process in [scene.start() for _ in range(3)]]
    assert [end.code for end in ended] == [0] * 3, [end.err for end in ended]
    assert set(scene.tasks().values()) == {1}
    assert scene.calls_of() == 0
    scene.is_sound()


def test_what_a_killed_runner_held_is_taken_over_at_once(scene: Scene, sim: Simulator) -> None:
    for turn in range(count(1, 20)):
        sim.clear()
        sim.control(latency="uniform:0.05,0.15")
        scene.rows(texts(240))
        scene.declare(
            passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")], limits={"concurrency": 16}
        )
        first, second = scene.start(), scene.start()
        scene.asked(60)
        first.send_signal(signal.SIGKILL)
        begun = time.monotonic()
        first.communicate()
        end = scene.finish(second)
        assert end.code == 0, end.err
        assert time.monotonic() - begun < 45  # a lease that had to run out would take a minute
        asked = scene.tasks()
        assert len(asked) == 240
        assert sum(asked.values()) <= 240 + 16
        assert all(row[f"read{turn}_success"] for row in scene.rows_out())
        assert scene.calls_of() == 0
        scene.is_sound()
        scene.nothing_open()


def test_one_budget_over_two_runners(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.02)
    scene.rows(texts(300))
    scene.declare(budget={"usd": 0.012, "per": "total"}, limits={"concurrency": 50})
    ended = [scene.finish(process) for process in [scene.start(), scene.start()]]
    assert {end.code for end in ended} == {3}
    assert 0 < sim.ledger.billed_nusd <= 12_000_000
    scene.nothing_open()
    # What each held in reserve is free again: room for a shorter record, perhaps, and never for more than the cap.
    assert scene.calls_of() <= 2
    assert sim.ledger.billed_nusd <= 12_000_000
    assert len(set(scene.tasks().values())) == 1
