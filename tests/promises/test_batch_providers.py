"""The same declaration over every provider's batch API: one table, one price, and every line paid once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_scene import BatchScene
from durable_scene import texts

from inlay.testing import Simulator

AWS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE000000000", "AWS_SECRET_ACCESS_KEY": "secret/0123456789abcdef"}
PRICES = {"input_per_million": 0.1, "output_per_million": 0.5}
PLACE = {"bucket": "my-bucket", "role_arn": "arn:aws:iam::123456789012:role/inlay", "fewest": 1}
# provider → model, wire, environment, `batch`
WAYS: dict[str, tuple[str, str | None, Mapping[str, str], Mapping[str, Any]]] = {
    "openai": ("openai:gpt-6-luna", None, {"OPENAI_API_KEY": "sk-batch-0123456789"}, {}),
    "openai, responses": ("openai:gpt-6-luna", "responses", {"OPENAI_API_KEY": "sk-batch-0123456789"}, {}),
    "azure": ("azure:luna-batch", None, {"AZURE_OPENAI_API_KEY": "azure-0123456789"}, {}),
    "azure, responses": ("azure:luna-batch", "responses", {"AZURE_OPENAI_API_KEY": "azure-0123456789"}, {}),
    "anthropic": ("anthropic:claude-haiku-5-5", None, {"ANTHROPIC_API_KEY": "sk-ant-0123456789"}, {}),
    "bedrock": ("bedrock:openai.gpt-oss-120b-1:0", None, AWS, PLACE),
    "bedrock, invoke": ("bedrock:openai.gpt-oss-120b-1:0", "invoke", AWS, PLACE),
}


def scene_of(folder: Path, sim: Simulator, way: str, monkeypatch: pytest.MonkeyPatch) -> BatchScene:
    model, wire, env, batch = WAYS[way]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    scene = BatchScene(folder, sim)
    scene.provider, scene.model = way.partition(",")[0], model
    scene.key = dict(env)
    scene.rows(texts(30))
    more: dict[str, Any] = {"prices": PRICES}
    if wire is not None:
        more["wire"] = wire
    if scene.provider == "bedrock":
        more["region"] = "us-east-1"
    scene.declare(
        passes=[
            scene.one_pass(**more),
            scene.one_pass("note", "Note {{ id }}: {{ passes.read.sentiment }}", prefix="n_", **more),
        ],
        batch={"poll_s": 0.05, "lost_after_s": 30, **batch},
    )
    return scene


@pytest.mark.parametrize("way", WAYS)
def test_one_table_over_every_batch_api(
    tmp_path: Path, sim: Simulator, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(tmp_path, sim, way, monkeypatch)
    sim.control(batch_polls=1)
    report = scene.run()
    assert report.exit_code == 0, report.stopped
    assert [len(batch.custom_ids) for batch in sim.ledger.batches] == [30, len(scene_tasks(sim)) - 30]
    scene.paid_once()
    scene.nothing_open()
    scene.is_sound()
    assert all(row["read_success"] and row["note_success"] for row in scene.rows_out())
    assert scene.booked()[1] == 0
    # What was put into the provider's storage is taken away again.
    deleted = [request.path for request in sim.ledger.batch_requests if request.method == "DELETE"]
    assert len(deleted) >= 2
    assert not list((scene.folder / ".inlay" / "batches").glob("*"))


def scene_tasks(sim: Simulator) -> set[str]:
    return {f"{call.system_sha256}/{call.user_sha256}" for call in sim.ledger.calls}


@pytest.mark.parametrize("fault", ["create_500_after", "create_reset_after", "create_timeout_after"])
@pytest.mark.parametrize("way", ["azure", "anthropic", "bedrock"])
def test_a_lost_order_is_found_at_every_provider(
    tmp_path: Path, sim: Simulator, way: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(tmp_path, sim, way, monkeypatch)
    scene.declare(passes=scene.document["passes"][:1], limits={"timeout_s": 1.0})
    sim.control(batch_faults=[{"fault": fault, "times": 1}])
    report = scene.run()
    assert report.exit_code == 0, report.stopped
    assert len(sim.ledger.batches) == 1
    scene.paid_once()
    scene.nothing_open()


@pytest.mark.parametrize("fault", ["batch_expire", "batch_cancel", "download_cut", "batch_shuffled", "poll_500"])
@pytest.mark.parametrize("way", ["azure", "anthropic", "bedrock"])
def test_what_goes_wrong_costs_no_line_twice_at_any_provider(
    tmp_path: Path, sim: Simulator, way: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(tmp_path, sim, way, monkeypatch)
    scene.declare(passes=scene.document["passes"][:1])
    sim.control(batch_faults=[{"fault": fault, "times": 1}], batch_polls=1)
    report = scene.run()
    assert report.exit_code == 0, report.stopped
    assert all(row["read_success"] for row in scene.rows_out())
    scene.paid_once()
    scene.nothing_open()


def test_orders_of_one_account_of_anthropic_go_one_at_a_time(
    tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(tmp_path, sim, "anthropic", monkeypatch)
    scene.declare(passes=scene.document["passes"][:1], batch={"poll_s": 0.05, "requests": 10})
    sim.control(batch_faults=[{"fault": "create_500_after", "times": 2}])
    report = scene.run()
    assert report.exit_code == 0, report.stopped
    assert len(sim.ledger.batches) == 3
    scene.paid_once()
    scene.nothing_open()


def test_bedrock_says_what_it_needs(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(tmp_path, sim, "bedrock", monkeypatch)
    scene.declare(batch={"poll_s": 0.05, "fewest": 1})
    ended = scene.command_run()
    assert ended.code == 2
    assert "batch.bucket" in ended.err
    assert not sim.ledger.calls
