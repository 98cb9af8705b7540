"""Batches on the command line: ordered, listed, cancelled, collected; in words and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inlay.cli.main import cli
from inlay.testing import Simulator

sys.path.insert(0, str(Path(__file__).parents[1] / "durability"))  # where the scene is

from batch_scene import KEY, BatchScene
from durable_scene import texts


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(null_share=0.1) as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> BatchScene:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made = BatchScene(tmp_path, sim)
    made.rows(texts(12))
    made.declare(mode=None)
    return made


def inlay(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="inlay")


def test_ordered_shown_and_collected(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    ordered = inlay("run", "--mode", "batch", "--no-wait", "--yes")
    assert ordered.exit_code == 0, ordered.stderr
    [batch] = scene.batches(closed=False)
    short = batch.submission[:8]
    assert f"batch {short}: validating, 12 calls at openai" in ordered.stderr
    assert "12 cells wait in 1 batch" in ordered.output
    listed = inlay("batch", "list")
    assert short in listed.output
    assert "submitted" in listed.output
    [told] = json.loads(inlay("batch", "list", "--json").output)
    assert (told["submission"], told["requests"], told["state"]) == (batch.submission, 12, "submitted")
    status = inlay("status")
    assert "Open batches" in status.output
    assert short in status.output
    assert json.loads(inlay("status", "--json").output)["batches"][0]["submission"] == batch.submission
    assert "12 cells wait in 1 batch" in inlay("plan").output
    sim.control(release_batches=True)
    collected = inlay("run", "--yes")
    assert collected.exit_code == 0
    assert len(sim.ledger) == 12
    assert "no batch is open" in inlay("batch", "list").output
    assert "cleaned" in inlay("batch", "list", "--all").output


def test_a_batch_is_cancelled_by_the_beginning_of_its_name(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False, batch_done_share=0.25)
    inlay("run", "--mode", "batch", "--no-wait", "--yes", "--quiet")
    [batch] = scene.batches(closed=False)
    wrong = inlay("batch", "cancel", "nope")
    assert wrong.exit_code == 2
    assert batch.submission[:8] in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert inlay("batch", "cancel", batch.submission[:8]).exit_code == 0
    sim.control(release_batches=True)
    assert inlay("run", "--mode", "live", "--yes", "--quiet").exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    assert len({call.user_sha256 for call in sim.ledger.calls if call.cost_nusd}) == 12
    over = inlay("batch", "cancel", batch.submission[:8])
    assert over.exit_code == 2


def test_the_log_tells_of_batches_and_repeats_no_words_of_a_provider(scene: BatchScene, sim: Simulator) -> None:
    ended = inlay("run", "--mode", "batch", "--yes", "--log-format", "json")
    assert ended.exit_code == 0
    events = [json.loads(line) for line in ended.stderr.splitlines()]
    moved = [event for event in events if event["event"] == "batch_moved"]
    assert [event["state"] for event in moved][-1] == "cleaned"
    assert all("message" not in event for event in moved)


def test_a_mode_that_no_pass_can_have_is_one_sentence(scene: BatchScene) -> None:
    scene.declare(passes=[scene.one_pass(model="lexical", endpoint=None)])
    ended = inlay("run", "--mode", "batch", "--yes")
    assert ended.exit_code == 2
    assert "no batch API for lexical" in ended.stderr
    assert "mode: live" in ended.stderr


def test_a_dry_run_prices_the_mode(scene: BatchScene) -> None:
    live = json.loads(inlay("run", "--dry-run", "--json").output)
    batch = json.loads(inlay("run", "--dry-run", "--mode", "batch", "--json").output)
    assert live["cost_usd"] == pytest.approx(2 * batch["cost_usd"], rel=0.01)
    assert not (scene.folder / ".inlay").exists()
