"""SIGKILL while a batch is prepared, sent up, ordered, waited for, fetched and applied; orders whose answer is lost.

What is proved, by the simulator's books: one remote batch a chunk, every line run and paid once, every answer applied
once; the same command again is the whole recovery.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from batch_scene import KEY, BatchScene
from durable_scene import count, texts

from inlay.faultpoints import VARIABLE
from inlay.testing import Simulator

ROWS = 24
# point, and how often it is passed before the one that counts
POINTS = [
    ("batch.before_rename", 1),  # the requests are written and not yet named
    ("prepare.before_commit", 1),
    ("prepare.after_commit", 1),
    ("take.after_commit", 1),
    ("uploaded.before_commit", 1),  # uploaded, and not known
    ("uploaded.after_commit", 1),
    ("submitting.before_commit", 1),
    ("submitting.after_commit", 1),  # nothing has left, and nobody can know
    ("batch.ordered", 1),  # the order has been answered
    ("submitted.before_commit", 1),
    ("submitted.after_commit", 1),
    ("ended.before_commit", 1),
    ("ended.after_commit", 1),
    ("batch.before_rename", 2),  # the results are fetched and not yet named
    ("downloaded.before_commit", 1),
    ("downloaded.after_commit", 1),
    ("apply.before_commit", 1),
    ("apply.after_commit", 1),
    ("applied.before_commit", 1),
    ("applied.after_commit", 1),
    ("cleaned.before_commit", 1),
    ("cleaned.after_commit", 1),
    ("end_run.before_commit", 1),
]
# Killed here, nobody can know that the order has not left: it is looked for until it counts as never made.
NEVER_LEFT = "submitting.after_commit"


@pytest.fixture
def scene(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> BatchScene:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    made = BatchScene(tmp_path, sim)
    made.rows(texts(ROWS))
    made.declare()
    return made


@pytest.mark.parametrize(("point", "nth"), POINTS, ids=lambda value: str(value))
def test_kills_at_every_step_of_a_batch(scene: BatchScene, sim: Simulator, point: str, nth: int) -> None:
    sim.control(batch_polls=1)
    for turn in range(count(1, 20)):
        made = len(sim.ledger.batches)
        scene.declare(
            passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")],
            batch={"poll_s": 0.05, "lost_after_s": 1 if point == NEVER_LEFT else 60},
        )
        process = scene.start(**{VARIABLE: f"{point}:{nth}"})
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        ended = scene.command_run()
        assert ended.code == 0, ended.err
        assert len(sim.ledger.batches) - made == 1
        scene.paid_once()
        assert not scene.batches(closed=False)
        assert all(row[f"read{turn}_success"] for row in scene.rows_out())
        assert len(scene.rows_out()) == ROWS
        # What was never journalled is left for a few hours: another run might be writing it.
        left = list((scene.folder / ".inlay" / "batches").glob("*.jsonl"))
        assert len(left) == (point == "prepare.before_commit") * (turn + 1)
        scene.nothing_open()
        scene.is_sound()
        total, lost = scene.booked()
        assert total - lost == sim.ledger.billed_nusd
        again = len(sim.ledger)
        assert scene.run().exit_code == 0
        assert len(sim.ledger) == again


@pytest.mark.parametrize(
    "fault", ["create_500_after", "create_timeout_after", "create_reset_after", "create_cut_after"]
)
def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(
    scene: BatchScene, sim: Simulator, fault: str
) -> None:
    for turn in range(count(2, 20)):
        known = len(sim.ledger.batches)
        # It may take a while until a list shows it.
        rules = [{"fault": fault, "times": 1}]
        if turn % 2:
            rules.append({"fault": "list_hidden", "times": 3, "numbers": [known + 1]})
        sim.control(batch_faults=rules)
        scene.declare(passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")], limits={"timeout_s": 1.0})
        report = scene.run()
        assert report.exit_code == 0
        assert len(sim.ledger.batches) == known + 1
        scene.paid_once()
        assert scene.booked()[0] == sim.ledger.billed_nusd
        scene.nothing_open()


@pytest.mark.parametrize("fault", ["create_500_before", "create_reset_before"])
def test_an_order_that_never_arrived_is_looked_for_before_its_rows_are_asked_again(
    scene: BatchScene, sim: Simulator, fault: str
) -> None:
    for turn in range(count(1, 20)):
        known = len(sim.ledger.batches)
        sim.control(batch_faults=[{"fault": fault, "times": 1}])
        scene.declare(
            passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")],
            batch={"poll_s": 0.05, "lost_after_s": 0.5},
        )
        first = scene.run()
        assert first.exit_code in (0, 3)
        assert scene.run().exit_code == 0
        assert len(sim.ledger.batches) == known + 1
        scene.paid_once()
        assert scene.booked()[0] == sim.ledger.billed_nusd
        scene.nothing_open()
        looked = [request.path for request in sim.ledger.batch_requests if request.method == "GET"]
        assert any(path.endswith("/batches") for path in looked)


def test_a_kill_while_an_order_whose_answer_was_lost_is_looked_for(scene: BatchScene, sim: Simulator) -> None:
    sim.control(batch_faults=[{"fault": "create_500_after", "times": 1}, {"fault": "list_500", "times": 2}])
    process = scene.start(**{VARIABLE: "submitted.before_commit:1"})
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert scene.command_run().code == 0
    assert len(sim.ledger.batches) == 1
    scene.paid_once()
    scene.nothing_open()
