"""What a person says stands: in the table, for later passes, after reloads and edited prompts; and it costs nothing."""

from __future__ import annotations

import pytest
from durable_scene import GRADE, Scene

from inlay import project
from inlay.project.session import Session
from inlay.testing import Simulator
from inlay.types import Correction, NullReason, Reason

ROWS = [{"id": f"k{n}", "text": f"読む {n}", "other": "o"} for n in range(6)]


def answer(request):
    if request.user.startswith("Read"):
        return {"mood": "calm", "stars": 3}
    return {"grade": "b" if "wild" in request.user else "a"}


@pytest.fixture
def chained(scene: Scene):
    with Simulator(answer=answer) as sim:
        scene.sim = sim
        scene.rows(ROWS)
        scene.declare(passes=passes(scene))
        scene.run()
        yield scene


def passes(scene: Scene, wording: str = "Read {{ text }}") -> list[dict]:
    moods = {"mood": {"type": "enum", "values": ["calm", "wild"]}, "stars": {"type": "integer"}}
    return [
        scene.one_pass(prompt=wording, fields=moods),
        scene.one_pass("judge", "Judge {{ passes.read.mood }}", fields={"grade": GRADE}),
    ]


def correct(scene: Scene, *corrections: Correction) -> None:
    with Session(scene.file) as session:
        session.store(write=True).correct("reviews", corrections)


def by_id(scene: Scene) -> dict[str, dict]:
    return {row["id"]: row for row in scene.rows_out()}


def test_a_correction_is_published_in_place_of_the_answer(chained: Scene) -> None:
    correct(chained, Correction("judge", "k1", "grade", "c", note="見た"))
    project.export(chained.file, chained.folder / "out.jsonl")
    rows = by_id(chained)
    assert (rows["k1"]["grade"], rows["k1"]["grade_source"]) == ("c", "human")
    assert (rows["k2"]["grade"], rows["k2"]["grade_source"]) == ("a", "model:compatible:sim")
    assert chained.calls_of() == 0


def test_it_outlives_an_edited_prompt_and_a_reload(chained: Scene) -> None:
    correct(chained, Correction("read", "k1", "stars", 5))
    chained.declare(passes=passes(chained, "Read anew {{ text }}"))
    chained.rows([{**row, "text": row["text"] + "!"} for row in reversed(ROWS)])
    chained.run(refresh=["stale"])
    assert by_id(chained)["k1"]["stars"] == 5
    assert (by_id(chained)["k0"]["stars"], by_id(chained)["k0"]["stars_source"]) == (3, "model:compatible:sim")


def test_later_passes_follow_a_corrected_value_and_no_other_row(chained: Scene) -> None:
    correct(chained, Correction("read", "k1", "mood", "wild"))
    plan = project.plan(chained.file)
    assert plan.passes[0].asked == 0
    assert plan.passes[1].reasons[Reason.UPSTREAM] == 1
    assert chained.calls_of() == 1
    rows = by_id(chained)
    assert (rows["k1"]["mood"], rows["k1"]["grade"], rows["k0"]["grade"]) == ("wild", "b", "a")
    assert chained.calls_of() == 0
    correct(chained, Correction("read", "k1", "mood", None, withdrawn=True))
    assert chained.calls_of() == 0  # the answer to the earlier value is still there
    assert by_id(chained)["k1"]["grade"] == "a"
    assert chained.calls_of() == 0


def test_a_cell_that_people_filled_whole_is_not_asked(chained: Scene) -> None:
    new = {"id": "k9", "text": "新しい", "other": "o"}
    chained.rows([*ROWS, new])
    correct(
        chained, Correction("read", "k9", "mood", "wild"), Correction("read", "k9", "stars", None, NullReason.AMBIGUOUS)
    )
    assert chained.calls_of() == 1  # only the pass that reads it
    row = by_id(chained)["k9"]
    assert (row["mood"], row["stars"], row["stars_null_reason"], row["stars_source"]) == (
        "wild", None, "ambiguous", "human",
    )  # fmt: skip
    assert (row["read_success"], row["grade"]) == (True, "b")
    assert chained.calls_of() == 0


def test_a_failed_cell_that_people_filled_lets_later_passes_go_on(scene: Scene) -> None:
    def refuse(request):
        return "I cannot" if request.user.startswith("Read 読む 1") else answer(request)

    with Simulator(answer=refuse) as sim:
        scene.sim = sim
        scene.rows(ROWS)
        scene.declare(passes=passes(scene))
        scene.run()
        assert by_id(scene)["k1"]["grade_null_reason"] == "skipped"
        correct(scene, Correction("read", "k1", "mood", "wild"), Correction("read", "k1", "stars", 1))
        report = scene.run()
        assert report.exit_code == 0
        assert by_id(scene)["k1"]["grade"] == "b"
        assert scene.calls_of() == 0


def test_a_correction_of_a_field_that_is_gone_changes_nothing(chained: Scene) -> None:
    correct(chained, Correction("read", "k1", "gone", "x"), Correction("nowhere", "k1", "mood", "wild"))
    before = chained.table()
    assert chained.calls_of() == 0
    assert chained.table() == before


def test_a_person_beats_the_original_and_the_default(chained: Scene) -> None:
    document = passes(chained)
    document[1]["fields"] = {"grade": {**GRADE, "original": "other", "default": "c"}}
    chained.declare(passes=document)
    assert chained.calls_of() == 0
    assert by_id(chained)["k1"]["grade_source"] == "original"
    correct(chained, Correction("judge", "k1", "grade", None, NullReason.NOT_APPLICABLE))
    chained.run()
    row = by_id(chained)["k1"]
    assert (row["grade"], row["grade_null_reason"], row["grade_source"]) == (None, "not_applicable", "human")
