"""Evaluations: rows whose answer is known are asked once, judged rightly, and stay out of everything else."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from durable_scene import Scene

from inlay import project
from inlay.errors import PlanError, SourceError, SpecError
from inlay.project.corrected import Fix
from inlay.project.evaluation import EvalReport
from inlay.testing import Simulator
from inlay.testing.wire import SimRequest

COUNTRIES = {"田中": "日本", "李": "中国", "أحمد": "エジプト", "Müller": "ドイツ"}
LABELS = [*COUNTRIES.values(), "その他"]
FIELD = {"nationality": {"type": "enum", "values": LABELS, "confidence": True}}


def guess(request: SimRequest) -> dict[str, Any]:
    """Right, but for every Müller, who is taken for an Egyptian with little confidence; says nothing of Anns."""
    name = request.user.rpartition(": ")[2].split()[0]
    if name == "Ann":
        return {
            "nationality": {"value": None, "confidence": 0.1},
            "nulls": [{"field": "nationality", "reason": "ambiguous"}],
        }
    if name == "Müller":
        return {"nationality": {"value": "エジプト", "confidence": 0.35}, "nulls": []}
    return {
        "nationality": {"value": COUNTRIES[name], "confidence": 0.95 if request.model == "sim" else 0.85},
        "nulls": [],
    }


def people() -> list[dict[str, str]]:
    """100 people: 20 of each family, 10 of those Anns known to be something else; some have no known value."""
    rows = []
    for place in range(100):
        name = [*COUNTRIES, "Ann"][place % 5]
        known = COUNTRIES.get(name, "その他")
        if place >= 90:
            known = ["", "レソト", " "][place % 3]
        rows.append({"id": f"p{place:03}", "full_name": f"{name} {place}", "nationality": known})
    return rows


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(answer=guess) as running:
        yield running


@pytest.fixture
def tenants(tmp_path: Path, sim: Simulator) -> Scene:
    scene = Scene(tmp_path, sim)
    scene.rows(people())
    declare(scene)
    return scene


def declare(scene: Scene, **more: Any) -> None:
    one = scene.one_pass("guess", "Whose name: {{ full_name }}", fields=FIELD, prefix="llm_", **more)
    scene.declare(
        name="tenants",
        source={"files": "rows.csv", "key": "id"},
        select={"missing": "nationality", "placeholders": ["レソト"]},
        passes=[one],
    )


def evaluate(scene: Scene, **named: Any) -> EvalReport:
    """One evaluation, and how many calls it made by the simulator's ledger."""
    before = len(scene.ledger)
    report = project.evaluate(scene.file, **named)
    assert len(scene.ledger) - before == report.run.summary["calls"]
    return report


def test_accuracy_of_known_rows_is_what_it_is(tenants: Scene) -> None:
    report = evaluate(tenants, shadow=1_000)
    (found,) = report.fields
    assert (report.sample.known, report.sample.taken, found.judged) == (90, 90, 90)
    assert (found.target.column, found.model) == ("nationality", "compatible:sim")
    assert found.accuracy is not None
    assert found.accuracy_given is not None
    assert found.coverage is not None
    assert (found.accuracy.right, found.accuracy.value) == (54, 0.6)
    assert (found.accuracy_given.n, found.accuracy_given.value, found.coverage.value) == (72, 0.75, 0.8)
    assert found.nulls == {"ambiguous": 18}
    assert found.baseline == ("その他", 0.2)
    assert found.balanced == pytest.approx(3 / 5)
    by_label = {one.label: one for one in found.classes}
    egypt, german = by_label["エジプト"], by_label["ドイツ"]
    assert (egypt.support, egypt.predicted, egypt.precision, egypt.recall) == (18, 36, 0.5, 1.0)
    assert (german.precision, german.recall, german.f1) == (None, 0.0, 0.0)
    assert [(one.original, one.predicted, one.count) for one in found.confusion] == [("ドイツ", "エジプト", 18)]
    assert found.confusion[0].confidence == pytest.approx(0.35)
    assert found.calibration is not None
    assert found.calibration.brier == pytest.approx((54 * 0.05**2 + 18 * 0.35**2) / 72)
    assert found.calibration.ece == pytest.approx((54 * 0.05 + 18 * 0.35) / 72)
    bounds = {one.accept_above: one for one in found.thresholds}
    assert bounds[0.5].coverage == pytest.approx(0.6)
    assert bounds[0.5].accuracy is not None
    assert (bounds[0.5].accuracy.value, bounds[0.5].accuracy.n) == (1.0, 54)
    assert found.wrong[0].predicted == "エジプト"
    assert found.wrong[0].inputs["full_name"].startswith("Müller")
    assert found.cost_usd > 0
    assert found.cost_usd == pytest.approx(report.run.summary["cost_usd"])
    assert found.cost_per_right_usd == pytest.approx(found.cost_usd / 54)


def test_it_is_paid_once_and_growing_it_pays_for_what_is_new(tenants: Scene) -> None:
    assert evaluate(tenants, shadow=30).run.summary["calls"] == 30
    assert evaluate(tenants, shadow=30).run.summary["calls"] == 0
    assert evaluate(tenants, shadow=50).run.summary["calls"] == 20
    assert len(project.evaluations(tenants.file)) == 2, "what was found again is not written down again"


def test_a_plan_of_it_sends_and_writes_nothing(tenants: Scene) -> None:
    found = project.plan_evaluation(tenants.file, shadow=40)
    assert (found.plan.calls, found.sample.taken, found.targets[0].field) == (40, 40, "nationality")
    assert found.plan.cost_usd is not None
    assert not tenants.ledger
    assert not (tenants.folder / ".inlay").exists()


def test_answers_stay_out_of_status_and_table_and_are_found_by_the_real_run(tenants: Scene) -> None:
    evaluate(tenants, shadow=1_000)
    assert project.status(tenants.file).passes[0].states == {}
    assert not (tenants.folder / tenants.output).exists()
    assert tenants.calls_of() == 10, "the rows without a known value"
    assert sum(row["llm_nationality"] is not None for row in tenants.rows_out()) == 8
    assert {row["llm_nationality_null_reason"] for row in tenants.rows_out()[:90]} == {"not_selected"}
    tenants.rows([{**row, "nationality": ""} for row in people()])
    assert tenants.calls_of() == 0, "they are the same questions"
    tenants.is_sound()


def test_originals_thresholds_and_corrections_do_not_help_the_model(tenants: Scene) -> None:
    declare(tenants, accept_above=0.9)
    field = {**FIELD["nationality"], "original": "nationality", "default": "その他"}
    tenants.document["passes"][0]["fields"] = {"nationality": field}
    tenants.declare()
    project.correct(tenants.file, [Fix(key="p003", field="nationality", value="ドイツ")])
    (found,) = evaluate(tenants, shadow=1_000).fields
    assert found.accuracy is not None
    assert (found.accuracy.right, found.judged) == (54, 90)


def test_a_stopped_evaluation_goes_on_where_it_stopped(tenants: Scene) -> None:
    first = evaluate(tenants, shadow=1_000, budget_usd=0.0008)
    assert first.exit_code == 3
    (found,) = first.fields
    assert 0 < found.judged < 90
    assert found.unanswered == {"pending": 90 - found.judged}
    assert project.evaluations(tenants.file) == []
    rest = evaluate(tenants, shadow=1_000, budget_usd=1)
    assert rest.exit_code == 0
    assert rest.fields[0].judged == 90
    assert len(tenants.ledger) == 90


def test_models_are_compared_on_the_rows_that_both_have_answered(tenants: Scene) -> None:
    evaluate(tenants, shadow=40)
    declare(tenants, model="compatible:other")
    (found,) = evaluate(tenants, shadow=60).fields
    other, sim = found.models
    assert (other.model, other.present, other.answered) == ("compatible:other", True, 60)
    assert (sim.model, sim.present, sim.answered, sim.better, sim.worse) == ("compatible:sim", False, 40, 0, 0)
    assert sim.p_value == 1.0
    past = project.evaluations(tenants.file)
    assert [(one.model, one.judged) for one in past] == [("compatible:other", 60), ("compatible:sim", 40)]
    assert all(one.low is not None and one.accuracy is not None and one.low < one.accuracy for one in past)


def test_a_changed_prompt_is_asked_although_the_real_run_would_call_it_stale(tenants: Scene) -> None:
    evaluate(tenants, shadow=20)
    tenants.document["passes"][0]["prompt"] = "Say whose name: {{ full_name }}"
    tenants.declare()
    report = evaluate(tenants, shadow=20)
    assert report.run.summary["calls"] == 20
    assert len(report.fields[0].models) == 2


def test_golden_rows_by_key(tenants: Scene) -> None:
    lines = [("p000", "日本"), ("p003", "ドイツ"), ("p004", ""), ("p005", "ﾆｯﾎﾟﾝ"), ("gone", "日本"), ("p006", "レソト")]
    golden = tenants.folder / "labels.csv"
    with golden.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "nationality"), *lines])
    (tenants.folder / "same.csv").write_text("日本,ニッポン,Japan\n", encoding="utf-8")
    report = evaluate(tenants, golden=golden, synonyms=tenants.folder / "same.csv")
    (found,) = report.fields
    assert (report.sample.taken, report.sample.skipped, report.run.summary["calls"]) == (3, 3, 3)
    assert found.accuracy is not None
    assert (found.accuracy.right, found.judged) == (2, 3)
    assert found.unreachable == {}


def test_golden_rows_that_are_in_no_source(tenants: Scene) -> None:
    golden = tenants.folder / "labels.jsonl"
    golden.write_text(
        '{"full_name": "田中 花子", "nationality": "日本"}\n'
        '{"full_name": "Ann 7", "nationality": null, "nationality_null_reason": "ambiguous"}\n'
        '{"full_name": "李 明", "nationality": "Nowhere"}\n'
        '{"full_name": "李 明", "nationality": "中国"}\n',
        encoding="utf-8",
    )
    (tenants.folder / "rows.csv").unlink()
    report = evaluate(tenants, golden=golden)
    (found,) = report.fields
    assert report.run.summary["calls"] == 3, "two rows are one question"
    assert found.accuracy is not None
    assert (found.accuracy.right, found.judged, found.unreachable) == (3, 4, {"Nowhere": 1})
    assert {row["key"]: row["right"] for row in report.rows} == {"1": True, "2": True, "3": False, "4": True}


def test_a_prompt_that_reads_what_is_right_is_refused(tenants: Scene) -> None:
    tenants.document["passes"][0]["prompt"] = "Whose name: {{ full_name }}, of {{ nationality }}?"
    tenants.declare()
    with pytest.raises(SpecError, match="reads `nationality`, which holds what is right"):
        project.evaluate(tenants.file, shadow=10)


@pytest.mark.parametrize(
    ("named", "error", "says"),
    [
        ({}, SpecError, "one of the two"),
        ({"shadow": 5, "golden": "x.csv"}, SpecError, "one of the two"),
        ({"shadow": 0}, SpecError, "needs rows"),
        ({"shadow": 5, "fields": {"nationalty": "nationality"}}, SpecError, "no field `nationalty`"),
        ({"shadow": 5, "fields": {"nationality": "nation"}}, SpecError, "`nation` is not a column"),
        ({"shadow": 5, "where": "nationality = ''"}, PlanError, "no selected row has a known value"),
        ({"shadow": 5, "where": "nope > 1"}, PlanError, "nope"),
        ({"golden": "none.csv"}, SourceError, "none.csv"),
        ({"shadow": 5, "sample": "quota"}, SpecError, "no sample 'quota'"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    tenants: Scene, named: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        project.evaluate(tenants.file, **named)
    assert not tenants.ledger


def test_disagreements_and_values_without_asking(tenants: Scene) -> None:
    evaluate(tenants, shadow=1_000)
    tenants.run()
    calls = len(tenants.ledger)
    table, shadow = project.disagreements(tenants.file)
    assert len(tenants.ledger) == calls
    assert (table.shadow, table.rows, table.compared) == (False, 8, 0)
    assert sum(one.count for one in table.predictions) == 8
    assert (shadow.shadow, shadow.rows, shadow.compared, shadow.agreed) == (True, 72, 72, 54)
    assert [(one.original, one.predicted, one.count) for one in shadow.pairs] == [("ドイツ", "エジプト", 18)]
    assert (shadow.predictions[0].value, shadow.predictions[0].count) == ("エジプト", 36)


def test_only_the_passes_that_are_judged_are_asked(tenants: Scene, tmp_path: Path) -> None:
    first = tenants.document["passes"][0]
    free = tenants.one_pass("other", "Another thing of {{ full_name }}", fields={"thing": "string"})
    tenants.declare(passes=[free, first])
    report = evaluate(tenants, shadow=10)
    assert report.run.summary["calls"] == 10


def test_whoever_is_forgotten_is_forgotten_here_too(tenants: Scene) -> None:
    (tenants.folder / "own.csv").write_text("id,full_name,nationality\np000,田中 0,日本\n", encoding="utf-8")
    evaluate(tenants, shadow=1_000)
    assert evaluate(tenants, golden=tenants.folder / "own.csv").run.summary["calls"] == 0
    gone = project.forget(tenants.file, ["p000"])
    assert (gone.deleted["cells"], gone.deleted["answers"]) == (2, 1)
    assert "田中 0".encode() not in b"".join(
        path.read_bytes() for path in (tenants.folder / ".inlay").glob("store.db*")
    )
    tenants.is_sound()
    assert evaluate(tenants, shadow=1_000).run.summary["calls"] == 1, "it is still in the source"


def test_nothing_is_done_after_an_evaluation(tenants: Scene) -> None:
    touch = {"command": ["touch", str(tenants.folder / "triggered")]}
    tenants.declare(after=[touch], on_change=[touch])
    evaluate(tenants, shadow=5)
    assert not (tenants.folder / "triggered").exists()


def test_the_report_in_files(tenants: Scene) -> None:
    tenants.rows([{**row, "full_name": f"{row['full_name']} <b>|`x`"} for row in people()])
    report = evaluate(tenants, shadow=30)
    for name in ("r.md", "r.html", "r.csv", "r.json"):
        report.write(tenants.folder / name)
    page = (tenants.folder / "r.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "\\|" in (tenants.folder / "r.md").read_text(encoding="utf-8")
    with (tenants.folder / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(90)
    with pytest.raises(SpecError, match="cannot write"):
        report.write(tenants.folder / "r.txt")


def test_lists_numbers_and_passes_that_read_earlier_ones(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> dict[str, Any]:
        if "wishes" in request.schema["properties"]:
            return {"wishes": ["spa", "pool"], "nights": 3, "nulls": []}
        return {"grade": "good" if "spa" in request.user else "bad", "nulls": []}

    with Simulator(answer=answer) as sim:
        scene = Scene(tmp_path, sim)
        wishes = {"wishes": "list[string]", "nights": {"type": "integer", "min": 1}}
        read = scene.one_pass("read", "Read {{ text }}", fields=wishes)
        judged = scene.one_pass("judge", "Judge {{ passes.read.wishes }}", fields={"grade": "good|bad"}, prefix="j_")
        scene.declare(passes=[read, judged])
        rows = [
            {"id": "1", "text": "a", "other": "", "w": "spa; pool", "n": "3", "grade": "good"},
            {"id": "2", "text": "b", "other": "", "w": '["SPA"]', "n": "5", "grade": "bad"},
            {"id": "3", "text": "c", "other": "", "w": "gym", "n": "many", "grade": ""},
        ]
        scene.rows(rows)
        fields = {"wishes": "w", "nights": "n", "judge.grade": "grade"}
        report = evaluate(scene, shadow=10, fields=fields, tolerance=2)
        wished, nights, grade = report.fields
        assert report.run.summary["calls"] == 4, "three readings and one judgement of what they all say"
        assert wished.accuracy is not None
        assert (wished.accuracy.right, wished.mean_score) == (1, pytest.approx((1 + 2 / 3 + 0) / 3))
        spa = next(one for one in wished.classes if one.label.casefold() == "spa")
        assert (spa.support, spa.predicted, spa.precision, spa.recall) == (2, 3, pytest.approx(2 / 3), 1.0)
        assert nights.accuracy is not None
        assert (nights.accuracy.right, nights.judged, nights.unreadable) == (2, 2, 1)
        assert nights.mean_error == pytest.approx(1.0)
        assert grade.accuracy is not None
        assert (grade.accuracy.right, grade.judged, len(grade.models)) == (1, 2, 1)
        scene.declare(passes=[{**read, "model": "compatible:new"}, {**judged, "model": "compatible:new"}])
        again = evaluate(scene, shadow=10, fields=fields)
        assert [len(one.models) for one in again.fields] == [2, 2, 2]
