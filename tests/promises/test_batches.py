"""A batch is the same cells, store, budget and resume as a live run, at half the price: by the simulator's books."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from batch_scene import KEY, BatchScene
from durable_scene import texts

from inlay import project
from inlay.batches import BatchState
from inlay.errors import SpecError
from inlay.testing import Simulator


@pytest.fixture
def scene(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> BatchScene:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    made = BatchScene(tmp_path, sim)
    made.rows(texts(40, distinct=30))
    made.declare()
    return made


def live_twin(scene: BatchScene, folder: Path, sim: Simulator) -> BatchScene:
    """The same rows and passes, asked live."""
    folder.mkdir()
    twin = BatchScene(folder, sim)
    (folder / "rows.csv").write_bytes((scene.folder / "rows.csv").read_bytes())
    twin.document = {**scene.document, "mode": "live"}
    twin.declare(passes=[{**part, "endpoint": sim.endpoints["openai"]} for part in scene.document["passes"]])
    return twin


def test_a_batch_gives_the_table_of_a_live_run_at_half_the_price(scene: BatchScene, tmp_path: Path) -> None:
    scene.declare(passes=scene.three_passes())
    report = scene.run()
    assert report.exit_code == 0
    assert len(scene.ledger.batches) == 3  # a pass goes out when the one that it reads has landed
    scene.paid_once()
    scene.nothing_open()
    scene.is_sound()
    spent, estimated = scene.booked()
    assert (spent, estimated) == (scene.ledger.billed_nusd, 0)
    assert report.summary["calls"] == len(scene.ledger)
    with Simulator(null_share=0.1) as other:
        twin = live_twin(scene, tmp_path / "live", other)
        live = twin.run()
        assert twin.table(costs=False) == scene.table(costs=False)
        assert abs(other.ledger.billed_nusd - 2 * spent) <= 2 * len(other.ledger)  # each line is rounded up
        assert live.summary["cost_usd"] > report.summary["cost_usd"]


def test_nothing_is_asked_again(scene: BatchScene) -> None:
    scene.run()
    before = len(scene.ledger)
    again = scene.run()
    assert again.exit_code == 0
    assert len(scene.ledger) == before
    assert len(scene.ledger.batches) == 1
    assert scene.run(mode="live").exit_code == 0
    assert len(scene.ledger) == before


@pytest.mark.parametrize(
    ("fault", "batches"),
    [
        ("batch_expire", 2),
        ("batch_expire_silently", 2),
        ("batch_expire_unbegun", None),
        ("batch_cancel", 2),
        ("batch_shuffled", 1),
        ("batch_doubled_line", 1),
        ("batch_foreign_line", 1),
        ("batch_unknown_state", 1),
        ("poll_500", 1),
        ("upload_500", 1),
        ("upload_reset_after", 1),
        ("create_429_before", 1),
        ("download_500", 1),
        ("download_cut", 1),
        ("download_short", 1),
    ],
)
def test_what_goes_wrong_with_a_batch_costs_no_line_twice(
    scene: BatchScene, sim: Simulator, fault: str, batches: int | None
) -> None:
    sim.control(batch_faults=[{"fault": fault, "times": 1}], batch_polls=1)
    report = scene.run()
    if batches is None:  # it brought nothing, and is not tried again unasked
        assert report.exit_code == 3
        report = scene.run()
        batches = 2
    assert report.exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    assert len(sim.ledger.batches) == batches
    scene.paid_once()
    assert scene.booked() == (sim.ledger.billed_nusd, 0)
    scene.nothing_open()
    scene.is_sound()


def test_a_line_that_ran_and_is_lost_counts_as_paid(scene: BatchScene, sim: Simulator) -> None:
    sim.control(batch_faults=[{"fault": "batch_lost_line", "numbers": [1]}])
    report = scene.run()
    assert report.exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    assert len(sim.ledger) == 31  # the provider ran it, and so it was asked twice
    total, estimated = scene.booked()
    assert total >= sim.ledger.billed_nusd
    assert estimated > 0
    scene.nothing_open()


def test_a_batch_that_is_refused_whole_stops_the_run_and_costs_nothing(scene: BatchScene, sim: Simulator) -> None:
    sim.control(batch_faults=[{"fault": "batch_fail_validation", "times": 1}])
    report = scene.run()
    assert report.exit_code == 3
    assert "refused" in report.stopped.message
    assert scene.booked() == (0, 0)
    scene.nothing_open()
    assert scene.run().exit_code == 0
    scene.paid_once()


def test_a_run_need_not_wait(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    first = scene.run(wait=False)
    assert first.exit_code == 0
    assert any("1 batch" in note for note in first.notes)
    [batch] = scene.batches(closed=False)
    assert batch.state is BatchState.SUBMITTED
    # Whoever runs meanwhile, in whatever mode, leaves these cells alone.
    assert scene.run(mode="live").summary["calls"] == 0
    assert scene.run(wait=False).summary["calls"] == 0
    assert len(sim.ledger.batches) == 1
    assert scene.booked() == (0, 0)
    assert project.status(scene.file).batches[0].submission == batch.submission
    sim.control(release_batches=True)
    found = project.status(scene.file)
    assert found.batches == ()
    assert found.passes[0].states == {"done": 40}
    assert scene.run().summary["calls"] == 0
    scene.paid_once()
    scene.nothing_open()


def test_a_look_at_the_state_never_fails_for_a_batch(
    scene: BatchScene, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    monkeypatch.delenv("OPENAI_API_KEY")
    found = project.status(scene.file)
    assert len(found.batches) == 1
    assert any("OPENAI_API_KEY" in note for note in found.notes)


def test_another_key_does_not_touch_a_batch(scene: BatchScene, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    asked = len(sim.ledger.batch_requests)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else-123")
    found = project.status(scene.file)
    assert any("another key" in note for note in found.notes)
    assert len(sim.ledger.batch_requests) == asked
    monkeypatch.setenv("OPENAI_API_KEY", KEY["OPENAI_API_KEY"])
    sim.control(release_batches=True)
    assert scene.run().exit_code == 0
    scene.paid_once()


def test_a_batch_that_cannot_be_touched_holds_up_no_other(
    scene: BatchScene, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    sim.control(release_batches=True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else-123")
    scene.rows([*texts(40, distinct=30), *({**row, "id": f"n{row['id']}"} for row in texts(50)[40:])])
    report = scene.run()
    assert any("another key" in note for note in report.notes)
    assert sum(bool(row["read_success"]) for row in scene.rows_out()) == 10
    assert len(sim.ledger) == 10
    assert [batch.run_id for batch in scene.batches(closed=False)] == [1]


def test_a_store_in_memory_has_batches_too(scene: BatchScene) -> None:
    scene.declare(store="memory", passes=scene.three_passes())
    assert scene.run().exit_code == 0
    assert len(scene.ledger.batches) == 3


def test_four_fifths_of_a_budget_are_told(scene: BatchScene, sim: Simulator) -> None:
    heard: list[Any] = []
    scene.run(listener=heard.append)
    assert "budget_warning" not in [event.name for event in heard]
    scene.declare(
        passes=[scene.one_pass(max_output_tokens=200)],
        budget={"usd": sim.ledger.billed_nusd / 1e9 * 1.25, "per": "total"},
    )
    scene.rows(texts(41, distinct=31))
    assert scene.run(listener=heard.append).exit_code == 0
    assert [event.name for event in heard].count("budget_warning") == 1


def test_a_cancelled_batch_keeps_what_was_paid_and_frees_the_rest(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    [batch] = scene.batches(closed=False)
    with pytest.raises(SpecError, match="no open batch"):
        project.cancel_batch(scene.file, "zz")
    project.cancel_batch(scene.file, batch.submission[:6])
    sim.control(release_batches=True)
    report = scene.run(mode="live")
    assert report.exit_code == 0
    assert 0 < report.summary["calls"] <= 30
    assert all(row["read_success"] for row in scene.rows_out())
    assert not scene.batches(closed=False)
    asked = [call for call in sim.ledger.calls if call.cost_nusd]
    assert len({call.user_sha256 for call in asked}) == len(asked) == 30
    scene.nothing_open()


def test_ctrl_c_while_waiting_leaves_everything_for_the_next_run(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    process = scene.start()
    began = time.monotonic()
    while not sim.ledger.batches:
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    ended = scene.finish(process, timeout=60)
    assert ended.code == 3
    assert "collects" in ended.err
    sim.control(release_batches=True)
    assert scene.command_run().code == 0
    assert len(sim.ledger.batches) == 1
    scene.paid_once()
    scene.nothing_open()


def test_two_runs_at_once_order_one_batch(scene: BatchScene, sim: Simulator) -> None:
    sim.control(batch_seconds=1.0)
    processes = [scene.start() for _ in range(2)]
    for process in processes:
        assert scene.finish(process).code == 0
    assert scene.run().exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    scene.paid_once()
    scene.nothing_open()


def test_chunks_keep_to_the_sizes_that_are_declared(scene: BatchScene, sim: Simulator) -> None:
    scene.declare(batch={"poll_s": 0.05, "requests": 7})
    assert scene.run().exit_code == 0
    sizes = sorted(len(batch.custom_ids) for batch in sim.ledger.batches)
    assert sizes == [2, 7, 7, 7, 7]
    scene.paid_once()
    scene.declare(passes=[scene.one_pass("more", "More: {{ text }}")], batch={"poll_s": 0.05, "megabytes": 0.008})
    known = len(sim.ledger.batches)
    assert scene.run().exit_code == 0
    assert len(sim.ledger.batches) - known > 3
    scene.paid_once()


def test_auto_takes_batches_where_there_are_many_calls(scene: BatchScene, sim: Simulator) -> None:
    scene.declare(mode="auto", batch={"poll_s": 0.05, "above": 29})
    assert scene.run().exit_code == 0
    assert len(sim.ledger.batches) == 1
    scene.declare(passes=[scene.one_pass("more", "More: {{ text }}")], batch={"poll_s": 0.05, "above": 30})
    assert scene.run().exit_code == 0
    assert len(sim.ledger.batches) == 1
    assert len(sim.ledger) == 60


def test_a_limit_holds_over_all_rounds(scene: BatchScene, sim: Simulator) -> None:
    scene.declare(passes=scene.three_passes())
    scene.rows(texts(40))
    report = scene.run(limit=10)
    assert report.exit_code == 0
    assert [len(batch.custom_ids) for batch in sim.ledger.batches] == [10, 10, 10]


def test_a_budget_holds_over_batches(scene: BatchScene, sim: Simulator) -> None:
    with_room = scene.run()
    assert with_room.exit_code == 0
    one = sim.ledger.billed_nusd / 30 / 1e9
    scene.declare(passes=[scene.one_pass("more", "More: {{ text }}", max_output_tokens=200)])
    before = sim.ledger.billed_nusd
    report = scene.run(budget_usd=one * 9, fresh_budget=True)
    assert report.exit_code == 3
    assert report.stopped.kind == "budget"
    assert sim.ledger.billed_nusd - before <= one * 9 * 1e9
    assert scene.run(budget_usd=one * 1000, fresh_budget=True).exit_code == 0
    scene.paid_once()
    scene.nothing_open()


def test_answers_are_read_with_the_fields_that_they_were_asked_with(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    fields = {"stars": {"type": "integer", "min": 1, "max": 5}}
    scene.declare(passes=[scene.one_pass(prompt="Read it anew: {{ text }}", fields=fields)])
    sim.control(release_batches=True)
    report = scene.run()
    assert report.exit_code == 0
    plan = project.plan(scene.file)
    assert plan.calls == 0
    cells = plan.passes[0].reasons
    assert sum(cells.values()) == 40
    assert not scene.batches(closed=False)
    assert scene.booked()[0] == sim.ledger.billed_nusd
    scene.is_sound()


def test_what_is_missing_in_an_answer_is_asked_in_the_next_batch(scene: BatchScene, sim: Simulator) -> None:
    sim.control(faults=[{"fault": "missing_key", "first_tries": 1, "record": r"#[0-4]$"}])
    report = scene.run()
    assert report.exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    assert len(sim.ledger.batches[0].custom_ids) == 30
    assert len(sim.ledger.batches) == 2
    assert scene.booked() == (sim.ledger.billed_nusd, 0)


def test_no_key_is_written_down(scene: BatchScene, sim: Simulator) -> None:
    sim.control(release_batches=False)
    scene.run(wait=False)
    secret = KEY["OPENAI_API_KEY"].encode()
    for place, _, names in os.walk(scene.folder):
        for name in names:
            assert secret not in (Path(place) / name).read_bytes()


def test_batches_are_refused_where_no_pass_can_have_them(scene: BatchScene) -> None:
    scene.declare(passes=[scene.one_pass(model="lexical", endpoint=None)])
    with pytest.raises(SpecError, match="no batch API") as caught:
        scene.run()
    assert caught.value.line is not None
    assert caught.value.remedy


def test_plans_tell_the_price_of_a_batch(scene: BatchScene) -> None:
    live: Any = project.plan(scene.file, mode="live")
    batch: Any = project.plan(scene.file)
    assert live.cost_usd / 2 == pytest.approx(batch.cost_usd, rel=0.01)
