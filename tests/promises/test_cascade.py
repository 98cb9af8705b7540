"""Cascades: the cheapest model first, the next one only where its answer does not suffice; every answer is kept."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from durable_scene import Scene, texts

from inlay import project
from inlay.errors import SpecError
from inlay.testing import SimRequest, Simulator

ROWS = 40
FIELDS = {"mood": {"type": "enum", "values": ["good", "bad"], "confidence": True}}
UNSURE, AMBIGUOUS, INVALID, SURE = range(4)


def case(request: SimRequest) -> int:
    """How the small model fares with a record: by its number, a quarter each."""
    return int(request.user.rsplit("#", 1)[1]) % 4


def answer(request: SimRequest) -> str:
    if request.model == "large":
        said: dict[str, Any] = {"mood": {"value": "good", "confidence": 0.95}, "nulls": []}
    elif case(request) == UNSURE:
        said = {"mood": {"value": "bad", "confidence": 0.69}, "nulls": []}
    elif case(request) == AMBIGUOUS:
        said = {"mood": {"value": None, "confidence": 0.9}, "nulls": [{"field": "mood", "reason": "ambiguous"}]}
    elif case(request) == INVALID:
        said = {"mood": {"value": "lukewarm", "confidence": 0.9}, "nulls": []}
    else:
        said = {"mood": {"value": "bad", "confidence": 0.7}, "nulls": []}
    return json.dumps(said)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Simulator(answer, keep_messages=True) as sim:
        made = Scene(tmp_path, sim)
        made.rows(texts(ROWS))
        yield made


def cascade(scene: Scene, *models: str, **more: Any) -> dict[str, Any]:
    made = scene.one_pass(models=list(models), fields=FIELDS, prompt="{{ text }}", **more)
    del made["model"]
    return made


def by_model(scene: Scene) -> dict[str, int]:
    return {name: sum(call.model == name for call in scene.ledger.calls) for name in ("small", "large")}


def test_only_what_does_not_suffice_goes_on(scene: Scene) -> None:
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large")])
    report = scene.run()
    assert by_model(scene) == {"small": ROWS, "large": ROWS * 3 / 4}, "0.7 exactly suffices"
    (part,) = report.summary["passes"]
    assert (part["done"], part["escalated"]) == (ROWS, ROWS * 3 / 4)
    rows = scene.rows_out()
    assert [row["mood"] for row in rows] == ["bad" if number % 4 == SURE else "good" for number in range(ROWS)]
    assert {row["mood_source"] for row in rows} == {"model:compatible:small", "model:compatible:large"}
    scene.is_sound()
    scene.nothing_open()


def test_nothing_is_bought_again(scene: Scene) -> None:
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large")])
    scene.run()
    before = scene.table()
    assert scene.calls_of() == scene.calls_of() == 0
    assert scene.table() == before


def test_answers_of_a_model_alone_are_those_of_its_step(scene: Scene) -> None:
    scene.declare(passes=[scene.one_pass(model="compatible:small", fields=FIELDS, prompt="{{ text }}")])
    scene.run(fresh_budget=True)
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large")])
    scene.sim.clear()
    # What was answered is stale under another recipe, and not bought again unasked. The small model's invalid answers
    # were never whole: they are asked once more, and then of the large one.
    assert scene.calls_of() == ROWS / 2
    scene.run(refresh=["stale"])
    assert by_model(scene) == {"small": ROWS / 4, "large": ROWS * 3 / 4}


def test_another_threshold_buys_only_what_is_new(scene: Scene) -> None:
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large")])
    scene.run()
    scene.sim.clear()
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large", escalate_below=0.8)])
    scene.run(refresh=["stale"])
    assert by_model(scene)["large"] == ROWS / 4, "only what was sure before and is not now"


def test_where_no_model_suffices_the_last_one_that_answered_is_published(scene: Scene) -> None:
    scene.declare(
        passes=[cascade(scene, "compatible:large", "compatible:small", escalate_below=0.99)],
        failures={"max_percent": 100},
    )
    scene.run()
    rows = scene.rows_out()
    moods = {number: row["mood"] for number, row in enumerate(rows)}
    assert {moods[number] for number in range(ROWS) if number % 4 in (UNSURE, SURE)} == {"bad"}
    assert {moods[number] for number in range(ROWS) if number % 4 == INVALID} == {"good"}, "the only valid one"
    assert {rows[number]["mood_null_reason"] for number in range(AMBIGUOUS, ROWS, 4)} == {"ambiguous"}


def test_lexical_is_a_free_first_step(scene: Scene) -> None:
    scene.rows([*texts(ROWS), {"id": "z", "text": "bad bad bad #3", "other": ""}])
    scene.declare(passes=[cascade(scene, "lexical", "compatible:large", escalate_below=0.3)])
    report = scene.run()
    assert by_model(scene)["large"] == report.summary["calls"] < ROWS + 1
    assert scene.rows_out()[-1]["mood_source"] == "model:lexical:1"
    plan = project.plan(scene.file)
    assert plan.passes[0].model == "lexical:1 > compatible:large below 0.3"


def test_a_later_pass_reads_what_was_published(scene: Scene) -> None:
    note = scene.one_pass("note", "{{ passes.read.mood }} of {{ text }}", model="compatible:large", fields=FIELDS)
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large"), {**note, "prefix": "n_"}])
    scene.run()
    asked = [call.user for call in scene.ledger.calls]
    assert len(asked) == ROWS + ROWS * 3 // 4 + ROWS


def test_a_crash_between_two_steps_pays_no_step_twice(scene: Scene) -> None:
    rng = random.Random(7)
    scene.declare(passes=[cascade(scene, "compatible:small", "compatible:large")], limits={"concurrency": 4})
    scene.sim.control(latency=0.02)
    process = scene.start()
    scene.asked(ROWS // 2 + rng.randrange(ROWS // 2), process)
    process.kill()
    process.communicate()
    scene.run()
    twice = {call.user_sha256: 0 for call in scene.ledger.calls}
    for call in scene.ledger.calls:
        twice[call.user_sha256] += call.model == "small"
    # In flight at the kill, or invalid (never whole, so asked again): nothing else is asked twice of the small model.
    again = [sha for sha, count in twice.items() if count > 1]
    invalid = {call.user_sha256 for call in scene.ledger.calls if call.user and case_of(call.user) == INVALID}
    assert len([sha for sha in again if sha not in invalid]) <= 4
    assert [row["mood"] for row in scene.rows_out()] == [
        "bad" if number % 4 == SURE else "good" for number in range(ROWS)
    ]
    scene.is_sound()


def case_of(user: str) -> int:
    return int(user.rsplit("#", 1)[1]) % 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "compatible:x"}, "`model` and `models` cannot both be given"),
        ({"models": ["compatible:small"]}, "two or more"),
        ({"models": ["compatible:small", "compatible:small"]}, "names one twice"),
        ({"fields": {"mood": "good|bad"}, "escalate_below": 0.5}, "confidence: true"),
        ({"models": ["compatible:small", "nobody:x"]}, "models\\[1\\]"),
    ],
)
def test_mistakes_are_told(scene: Scene, change: dict[str, Any], message: str) -> None:
    scene.declare(passes=[{**cascade(scene, "compatible:small", "compatible:large"), **change}])
    with pytest.raises(SpecError, match=message):
        project.plan(scene.file)
    assert len(scene.ledger) == 0
