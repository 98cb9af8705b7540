"""What a provider can do wrong: no row is lost, each failure has its name, nothing hangs, a healthy day mends it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from durable_scene import SOAK, Scene, count, seeded, texts, undisturbed

import inlay.engine.runner
from inlay import project
from inlay.engine.host import Waiting
from inlay.testing import FAULTS, Simulator

# What becomes of a record whose every answer is spoilt in one way: done, or the state and the kind of its failure.
EXPECTED = {
    # nothing was lost: read all the same
    "extra_key": "done",
    "enum_case": "done",
    "fenced": "done",
    "reasoning_prefix": "done",
    "two_objects": "done",
    "flattened": "done",
    "wrapped": "done",
    "dribble": "done",
    # some fields can be believed, others not
    "missing_key": "partial invalid_output",
    "lone_surrogate_outer": "partial invalid_output",
    "wrong_schema": "partial invalid_output",
    # the answer says nothing that can be believed
    "empty_content": "failed invalid_output",
    "empty_200": "failed unreadable",
    "html_200": "failed unreadable",
    "null_body": "failed unreadable",
    "huge_body": "failed unreadable",
    "garbage_chunk": "failed unreadable",
    # the model or its keeper will not
    "refusal": "failed refused",
    "filtered": "failed content_filtered",
    "http_400_filter": "failed content_filtered",
    "http_400_context": "failed too_long",
    "http_413": "failed too_long",
    # the wire
    "timeout": "failed timeout",
    "stall_mid_body": "failed timeout",
    "reset": "failed connection",
    "reset_mid_body": "failed connection",
    "hang_up": "failed connection",
    "http_500": "failed overloaded",
    "http_503": "failed overloaded",
    "http_529": "failed overloaded",
    "error_in_200": "failed overloaded",
}
STOPPING = {
    "http_401": "api key",
    "http_403": "not supported",
    "http_404": "does not exist",
    "http_400_schema": "schema",
    "http_429_quota": "quota",
    "redirect": "",
}
SLOW = {"http_500", "http_503", "http_529"}  # six tries with growing waits: the long proof
SAID = sorted(set(FAULTS) - set(STOPPING) - {"http_429"} - SLOW)


def outcome(row: dict[str, Any]) -> str:
    """How a published row ended."""
    if row["read_success"]:
        assert row["enrichment_errors"] is None
        return "done"
    [error] = json.loads(row["enrichment_errors"])
    assert error["message"]
    return f"{error['state']} {error['kind']}"


def null_has_reason(row: dict[str, Any]) -> None:
    """Value, or null with a reason."""
    for name in ("sentiment", "stars", "topics"):
        assert (row[name] is None) == (row[f"{name}_null_reason"] is not None), row


def test_every_fault_of_a_record_ends_under_its_name_and_costs_no_other(scene: Scene, sim: Simulator) -> None:
    faults = SAID + sorted(SLOW) if SOAK else SAID
    rows = texts(2 * len(faults))
    scene.rows(rows)
    rules = [{"fault": name, "record": f"#{index}$"} for index, name in enumerate(faults)]
    sim.control(faults=rules, dribble_interval_s=0.0005, null_share=0)
    scene.declare(limits={"concurrency": 64, "timeout_s": 2}, failures={"max_percent": 100})
    ended = scene.command_run()
    assert ended.code == 1
    out = scene.rows_out()
    assert [row["id"] for row in out] == [row["id"] for row in rows]
    found = {name: outcome(row) for name, row in zip(faults, out, strict=False)}
    unnamed = {name: end for name, end in found.items() if name not in EXPECTED}
    assert {name: found[name] for name in found if name in EXPECTED} == {
        name: end for name, end in EXPECTED.items() if name in found
    }
    # The rest may keep what can be believed of them; what is missing has its name all the same.
    kinds = ("invalid_output", "truncated", "unreadable", "refused")
    assert {end.split()[-1] for end in unnamed.values()} <= {"done", *kinds}
    assert {outcome(row) for row in out[len(faults) :]} == {"done"}
    for row in out:
        null_has_reason(row)
    partial = out[faults.index("missing_key")]
    assert partial["sentiment"] is None
    assert partial["stars"] is not None
    tries = Counter(call.user_sha256 for call in sim.ledger.calls)
    assert max(tries.values()) <= 6
    scene.is_sound()
    scene.nothing_open()
    sim.control(faults=[])
    project.retry(scene.file)
    assert scene.run().exit_code == 0
    assert {outcome(row) for row in scene.rows_out()} == {"done"}


def test_a_slow_loris_is_cut_off_at_the_deadline(scene: Scene, sim: Simulator) -> None:
    slow = ("dribble", "slow_headers", "stall_mid_body", "timeout")
    scene.rows(texts(12))
    sim.control(
        faults=[{"fault": name, "record": f"#{index}$"} for index, name in enumerate(slow)], dribble_interval_s=0.3
    )
    scene.declare(limits={"timeout_s": 1}, failures={"max_percent": 100})
    ended = scene.command_run()
    assert ended.code == 1
    assert [outcome(row) for row in scene.rows_out()] == ["failed timeout"] * 4 + ["done"] * 8
    cut = [call for call in sim.ledger.calls if call.fault]
    assert len(cut) == 4 * 3  # each may have been paid: three tries, and no more
    assert all(0.9 <= call.ended_s - call.arrived_s <= 3 for call in cut if call.outcome == "abandoned")
    with scene.open_store() as store:
        lines = [line for line in store.ledger("reviews") if line["outcome"] == "timeout"]
    assert sum(line["attempts"] for line in lines) == 12
    assert min(line["cost_nusd"] for line in lines) > 0  # booked at its worst case
    scene.nothing_open()


def test_a_fifth_of_bad_answers_of_every_kind(scene: Scene, sim: Simulator, tmp_path: Path) -> None:
    rng = seeded("bad answers")
    rows = count(300, 20_000)
    rules = [{"fault": name, "share": 0.2 / len(SAID)} for name in SAID]
    rng.shuffle(rules)
    seed = rng.randrange(1000)
    sim.control(faults=rules, seed=seed, dribble_interval_s=0.0005)
    scene.rows(texts(rows))
    scene.declare(limits={"concurrency": 64, "timeout_s": 3}, failures={"max_percent": 100})
    ended = scene.finish(scene.start(), timeout=1800 if SOAK else 120)
    out = scene.rows_out()
    assert [row["id"] for row in out] == [row["id"] for row in texts(rows)]
    ends = Counter(outcome(row) for row in out)
    print(dict(ends))
    assert ended.code == (0 if set(ends) == {"done"} else 1)
    assert ends["done"] >= rows * 0.85
    assert ended.report is not None
    part = ended.report["passes"][0]
    assert part["done"] == ends["done"]
    assert part["partial"] + sum(part["failed"].values()) == rows - ends["done"]
    for row in out:
        null_has_reason(row)
    assert len(sim.ledger) <= 2 * rows
    scene.is_sound()
    sim.control(faults=[])
    project.retry(scene.file)
    assert scene.run().exit_code == 0
    with Simulator(null_share=0.1, seed=seed) as calm:
        peace = undisturbed(tmp_path / "peace", calm, scene)
        peace.file.write_text(scene.file.read_text().replace(sim.endpoint, calm.endpoint))
        peace.run()
        done = {row["id"]: row for row in peace.rows_out()}
    same = sum(all(row[name] == done[row["id"]][name] for name in ("sentiment", "stars")) for row in scene.rows_out())
    assert same >= rows * 0.85  # a value that came in another case or wrapping is the value itself


@pytest.mark.parametrize("fault", sorted(STOPPING))
def test_what_nobody_can_succeed_with_is_one_call_and_one_sentence(scene: Scene, sim: Simulator, fault: str) -> None:
    scene.rows(texts(60))
    scene.declare()
    sim.control(faults=[{"fault": fault}])
    ended = scene.command_run()
    # A server of one's own that refuses a schema is asked which other form it takes, once: the first call, at most
    # three short questions, and the call again.
    calls = 5 if fault == "http_400_schema" else 1
    assert (ended.code, len(sim.ledger)) == (3, calls)
    said = ended.err.strip()
    assert STOPPING[fault] in said.lower()
    assert len(said.splitlines()) <= 4
    assert ended.report is not None
    assert ended.report["passes"][0]["pending"] == 60
    scene.nothing_open()
    sim.control(faults=[])
    assert scene.calls_of() == 60
    scene.is_sound()


def test_a_quota_that_ends_in_the_middle_stops_the_run_and_loses_nothing(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(200))
    scene.declare(limits={"concurrency": 16})
    sim.control(faults=[{"fault": "http_429_quota", "calls": list(range(80, 400))}], latency=0.01)
    ended = scene.command_run()
    assert ended.code == 3
    assert len(sim.ledger) <= 79 + 16
    answered = sim.ledger.by_status[200]
    sim.control(faults=[])
    assert scene.calls_of() == 200 - answered
    scene.is_sound()
    scene.nothing_open()


@pytest.mark.parametrize("fault", ["http_500", "http_503", "http_529", "hang_up"])
def test_a_provider_that_is_down_stops_the_run_and_the_next_one_goes_on(
    scene: Scene, sim: Simulator, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(inlay.engine.runner, "Waiting", lambda: Waiting(overload_s=1.5, rate_limit_s=1.5))
    scene.rows(texts(300))
    scene.declare(limits={"concurrency": 16})
    sim.control(faults=[{"fault": fault, "calls": list(range(100, 5_000)), "retry_after_s": 0.5}], latency=0.01)
    report = scene.run()
    assert report.exit_code == 3
    assert report.stopped.kind in ("provider", "provider_unusable", "too_many_failures")
    part = report.summary["passes"][0]
    assert part["done"] >= 70
    assert part["pending"] >= 100  # it stopped, rather than fail row after row
    assert max(Counter(call.user_sha256 for call in sim.ledger.calls).values()) <= 6
    scene.nothing_open()
    sim.control(faults=[])
    assert scene.run().exit_code == 0
    assert all(row["read_success"] for row in scene.rows_out())
    assert scene.calls_of() == 0
    scene.is_sound()


def test_a_storm_of_429s_fails_no_record(scene: Scene, sim: Simulator) -> None:
    half, whole = (300.0, 120.0) if SOAK else (1.5, 0.7)
    scene.rows(texts(count(100, 20_000)))
    scene.declare(limits={"concurrency": 16})
    wait = 1 if SOAK else 0.5
    sim.control(
        latency=0.02,
        faults=[
            {"fault": "http_429", "share": 0.5, "window": [0, half], "retry_after_s": wait},
            {"fault": "http_429", "window": [half, half + whole], "retry_after_s": wait},
        ],
    )
    ended = scene.finish(scene.start(), timeout=1800 if SOAK else 120)
    assert ended.code == 0, ended.err
    assert sim.ledger.by_fault["http_429"] > 5
    assert all(row["read_success"] for row in scene.rows_out())
    assert scene.calls_of() == 0


@pytest.mark.parametrize("lie", ["zero", "negative", "text", "past_date", "missing", "remaining_negative"])
def test_headers_that_lie_do_not_make_a_busy_loop(scene: Scene, sim: Simulator, lie: str) -> None:
    scene.rows(texts(40))
    scene.declare(limits={"concurrency": 4})
    sim.control(lying_headers=lie, faults=[{"fault": "http_429", "first_tries": 1, "record": r"#[0-4]$"}])
    report = scene.run()
    assert report.exit_code == 0
    calls: dict[str, list[Any]] = {}
    for call in sim.ledger.calls:
        calls.setdefault(call.user_sha256, []).append(call)
    again = [tries for tries in calls.values() if len(tries) > 1]
    assert len(again) == 5
    for tries in again:
        waits = [later.arrived_s - earlier.ended_s for earlier, later in pairwise(tries)]
        assert min(waits) >= 0.4
    assert scene.calls_of() == 0
