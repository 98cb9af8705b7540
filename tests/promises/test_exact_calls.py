"""Exactly the calls that were promised: what is new is paid, and nothing else, by the provider's own books."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest
from durable_scene import GRADE, PRICES, Scene, texts

from inlay import project
from inlay.testing import SimRequest, Simulator
from inlay.types import Reason

ROWS = 40


@pytest.fixture
def filled(scene: Scene) -> Scene:
    """Forty rows, one pass, run once."""
    scene.rows(texts(ROWS))
    scene.declare()
    assert scene.calls_of() == ROWS
    return scene


@pytest.fixture
def chained(scene: Scene) -> Scene:
    """Forty rows, three passes that read one another, run once."""
    scene.rows(texts(ROWS))
    scene.sim.control(null_share=0)
    scene.declare(passes=scene.three_passes())
    assert scene.calls_of() == 3 * ROWS
    return scene


def test_a_second_run_asks_nothing(filled: Scene) -> None:
    before = filled.table()
    assert filled.calls_of() == 0
    assert filled.calls_of() == 0
    assert filled.table() == before
    filled.is_sound()
    filled.nothing_open()


def test_a_second_run_of_three_passes_asks_nothing(chained: Scene) -> None:
    before = chained.table()
    assert chained.calls_of() == 0
    assert chained.table() == before
    chained.is_sound()


def test_one_changed_input_is_one_call(filled: Scene) -> None:
    rows = texts(ROWS)
    rows[7]["text"] = "完全に書き直しました 🌸"
    filled.rows(rows)
    plan = project.plan(filled.file)
    assert plan.passes[0].reasons[Reason.INPUT_CHANGED] == plan.calls == 1
    assert filled.calls_of() == 1
    assert filled.calls_of() == 0


def test_an_input_changed_back_is_paid_already(filled: Scene) -> None:
    before = filled.table()
    rows = texts(ROWS)
    rows[7]["text"] = "مختلف"
    filled.rows(rows)
    assert filled.calls_of() == 1
    filled.rows(texts(ROWS))
    assert filled.calls_of() == 0
    assert filled.table() == before


def test_a_column_that_no_pass_reads_may_change(filled: Scene) -> None:
    rows = texts(ROWS)
    rows[3]["other"] = "changed"
    filled.rows(rows)
    assert filled.calls_of() == 0
    assert [row["other"] for row in filled.rows_out()][3] == "changed"


def test_a_renamed_column_that_no_pass_reads_costs_nothing(filled: Scene) -> None:
    filled.rows([{"id": row["id"], "text": row["text"], "外": row["other"]} for row in texts(ROWS)])
    assert filled.calls_of() == 0
    assert filled.rows_out()[0]["外"] == "o0"


def test_one_added_row_is_one_call_wherever_it_stands(filled: Scene) -> None:
    filled.rows([{"id": "new", "text": "Новый отзыв", "other": ""}, *texts(ROWS)])
    assert filled.calls_of() == 1
    out = filled.rows_out()
    assert len(out) == ROWS + 1
    assert out[0]["read_success"] is True


def test_a_reordered_file_costs_nothing(filled: Scene) -> None:
    before = filled.table()
    filled.rows(texts(ROWS)[::-1])
    assert filled.calls_of() == 0
    assert filled.table() == before
    assert filled.rows_out()[0]["id"] == f"k{ROWS - 1:05d}"


def test_a_deleted_row_costs_nothing_and_comes_back_for_nothing(filled: Scene) -> None:
    before = filled.table()
    filled.rows(texts(ROWS)[:-5])
    assert filled.calls_of() == 0
    assert len(filled.rows_out()) == ROWS - 5
    filled.rows(texts(ROWS))
    assert filled.calls_of() == 0
    assert filled.table() == before


def test_a_thousand_rows_with_a_hundred_texts_are_a_hundred_calls(scene: Scene) -> None:
    scene.rows(texts(1_000, distinct=100))
    scene.declare()
    assert project.plan(scene.file).calls == 100
    assert scene.calls_of() == 100
    out = scene.rows_out()
    assert len(out) == 1_000
    answers = {(row["text"], row["sentiment"], row["stars"]) for row in out}
    assert len(answers) == 100
    assert scene.calls_of() == 0


def test_two_people_with_one_name_cost_one_call_and_each_get_their_row(scene: Scene) -> None:
    scene.rows([{"id": "a", "text": "田中 花子"}, {"id": "b", "text": "田中 花子"}, {"id": "c", "text": "Müller"}])
    scene.declare()
    assert scene.calls_of() == 2
    first, second, third = scene.rows_out()
    assert (first["id"], second["id"], third["id"]) == ("a", "b", "c")
    for name in ("sentiment", "stars", "topics", "read_success"):
        assert first[name] == second[name]


def test_csv_to_parquet_costs_nothing(filled: Scene) -> None:
    before = filled.table()
    source, parquet = filled.folder / "rows.csv", filled.folder / "rows.parquet"
    duckdb.sql(f"COPY (FROM read_csv('{source}', all_varchar = true)) TO '{parquet}' (FORMAT parquet)")
    filled.declare(source={"files": "rows.parquet", "key": "id"})
    assert filled.calls_of() == 0
    assert filled.table() == before


# --- recipes -----------------------------------------------------------------------------------------------------


def test_a_changed_prompt_is_shown_and_not_bought(chained: Scene) -> None:
    passes = chained.three_passes()
    passes[1]["prompt"] = "Judge anew {{ text }} given {{ passes.read.sentiment }}"
    before = chained.table()
    chained.declare(passes=passes)
    plan = project.plan(chained.file)
    assert [part.reasons.get(Reason.STALE, 0) for part in plan.passes] == [0, ROWS, 0]
    assert plan.calls == 0
    assert chained.calls_of() == 0
    assert chained.table() == before
    assert project.status(chained.file).passes[1].stale == ROWS


def grade_of(request: SimRequest) -> Any:
    """The model of the chain below: the new wording of pass 2 changes every fourth grade and no other."""
    number = int(request.user.rpartition("#")[2].split()[0]) if "#" in request.user else 0
    if request.user.startswith("Read"):
        return {"mood": "calm"}
    if request.user.startswith("Judge"):
        changed = "anew" in request.user and number % 4 == 0
        return {"grade": "b" if changed else "a"}
    return {"note": request.user[-6:]}


def test_refreshing_pass_two_follows_into_pass_three_only_where_values_changed(scene: Scene) -> None:
    mood = {"mood": {"type": "string", "nullable": False}}
    grade = {"grade": {**GRADE, "nullable": False}}
    with Simulator(answer=grade_of) as sim:
        scene.sim = sim
        scene.rows(texts(ROWS))

        def passes(wording: str) -> list[dict[str, Any]]:
            return [
                scene.one_pass(fields=mood),
                scene.one_pass("judge", wording, fields=grade),
                scene.one_pass(
                    "note",
                    "Note {{ id }} is {{ passes.judge.grade }}",
                    fields={"note": {"type": "string", "nullable": False}},
                ),
            ]

        scene.declare(passes=passes("Judge by {{ passes.read.mood }}: {{ text }}"))
        assert scene.calls_of() == 3 * ROWS
        scene.declare(passes=passes("Judge anew by {{ passes.read.mood }}: {{ text }}"))
        assert scene.calls_of() == 0
        known = len(sim.ledger)
        report = scene.run(refresh=["stale"])
        assert len(sim.ledger) - known == ROWS + ROWS // 4
        read, judge, note = report.summary["passes"]
        assert (read["cells"], judge["done"], note["done"]) == (0, ROWS, ROWS // 4)
        assert note["unchanged"] == ROWS - ROWS // 4
        assert [row["note"].endswith("b") for row in scene.rows_out()] == [n % 4 == 0 for n in range(ROWS)]
        assert scene.calls_of(refresh=["stale"]) == 0
        assert scene.calls_of() == 0


def test_what_did_not_change_in_the_middle_is_still_read_at_the_end(chained: Scene) -> None:
    """Pass 1 is refreshed; where its values stayed the same, pass 2 is left alone and pass 3 goes on reading it."""
    passes = chained.three_passes()
    passes[0]["prompt"] = "今 " + passes[0]["prompt"]
    chained.declare(passes=passes)
    report = chained.run(refresh=["stale"])
    assert report.exit_code == 0
    first, second, third = report.summary["passes"]
    assert first["done"] == ROWS
    assert second["unchanged"] > 0
    assert second["done"] > 0
    assert not third["skipped"]
    assert third["unchanged"] + third["done"] == ROWS
    assert chained.calls_of(refresh=["stale"]) == 0


def test_a_changed_model_makes_answers_stale_not_new(filled: Scene) -> None:
    filled.declare(passes=[filled.one_pass(model="compatible:other")])
    assert project.plan(filled.file).passes[0].reasons[Reason.STALE] == ROWS
    assert filled.calls_of() == 0
    assert filled.calls_of(refresh=["stale"]) == ROWS
    filled.declare(passes=[filled.one_pass()])
    assert filled.calls_of() == 0


def test_what_is_not_part_of_the_recipe_costs_nothing(filled: Scene) -> None:
    cheaper = {"input_per_million": 0.05, "output_per_million": 0.1}
    assert cheaper != PRICES
    filled.declare(
        passes=[filled.one_pass(prices=cheaper, max_output_tokens=900, prefix="p_")],
        limits={"concurrency": 3},
        budget={"usd": 1},
    )
    assert project.plan(filled.file).passes[0].reasons[Reason.CACHED] == ROWS
    assert filled.calls_of() == 0
    assert "p_sentiment" in filled.rows_out()[0]


def test_an_expired_answer_is_asked_again(filled: Scene) -> None:
    filled.declare(passes=[filled.one_pass(ttl="30d")])
    assert filled.calls_of() == 0
    filled.declare(passes=[filled.one_pass(ttl="0.001s")])
    assert project.plan(filled.file).passes[0].reasons[Reason.EXPIRED] == ROWS
    assert filled.calls_of() == ROWS
    filled.declare(passes=[filled.one_pass(ttl="30d")])
    assert filled.calls_of() == 0


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_failed_cell_is_tried_a_bounded_number_of_times_then_given_up(scene: Scene) -> None:
    scene.rows(texts(ROWS))
    scene.sim.control(faults=[{"fault": "empty_content", "record": "#7$"}])
    scene.declare(failures={"max_tries": 3})
    # One repair within a run; three runs.
    assert [scene.calls_of() for _ in range(5)] == [ROWS + 1, 2, 2, 0, 0]
    assert project.plan(scene.file).passes[0].reasons[Reason.GIVEN_UP] == 1
    bad = next(row for row in scene.rows_out() if row["id"] == "k00007")
    [error] = json.loads(bad["enrichment_errors"])
    assert (error["state"], error["kind"]) == ("failed", "invalid_output")
    assert bad["read_success"] is False
    scene.sim.control(faults=[])
    assert scene.calls_of() == 0
    assert project.retry(scene.file) == {"read": 1}
    assert scene.calls_of() == 1
    assert all(row["read_success"] for row in scene.rows_out())
    scene.is_sound()


def test_a_refused_record_is_not_asked_again_unchanged(scene: Scene) -> None:
    scene.rows(texts(ROWS))
    scene.sim.control(faults=[{"fault": "refusal", "record": "#7$"}])
    scene.declare()
    assert [scene.calls_of() for _ in range(3)] == [ROWS, 0, 0]
    assert project.retry(scene.file, kinds=["refused"]) == {"read": 1}
    scene.sim.control(faults=[])
    assert scene.calls_of() == 1


def half_valid(request: SimRequest) -> Any:
    """Says the stars wrong as long as all fields are asked together with a mended one."""
    wanted = set((request.schema or {}).get("properties", {}))
    answer = {"sentiment": {"evidence": None, "value": "positive"}, "stars": 99, "topics": ["温泉"], "nulls": []}
    return {name: value for name, value in answer.items() if name in wanted}


def test_of_a_partial_answer_only_the_missing_fields_are_asked_again(scene: Scene) -> None:
    asked: list[set[str]] = []
    mended = False

    def answer(request: SimRequest) -> Any:
        found = half_valid(request)
        asked.append(set((request.schema or {})["properties"]) - {"nulls"})
        return {**found, "stars": 4} if mended else found

    with Simulator(answer=answer) as sim:
        scene.sim = sim
        scene.rows(texts(5))
        scene.declare(passes=[scene.one_pass()])
        report = scene.run()
        assert report.exit_code == 1
        assert report.summary["passes"][0]["partial"] == 5
        assert sum(names == {"sentiment", "stars", "topics"} for names in asked) == 5
        assert sum(names == {"stars"} for names in asked) == 5
        assert all(row["sentiment"] == "positive" and row["stars"] is None for row in scene.rows_out())
        assert all(row["stars_null_reason"] == "invalid" for row in scene.rows_out())
        asked.clear()
        mended = True
        assert scene.run().exit_code == 0
        assert asked == [{"stars"}] * 5
        assert all(row["sentiment"] == "positive" and row["stars"] == 4 for row in scene.rows_out())
        assert scene.calls_of() == 0


# --- what is selected ---------------------------------------------------------------------------------------------


def test_so_many_rows_a_day_until_all_are_done(scene: Scene) -> None:
    scene.rows(texts(ROWS))
    scene.declare(select={"limit": 15})
    assert [scene.calls_of() for _ in range(4)] == [15, 15, 10, 0]
    assert all(row["read_success"] for row in scene.rows_out())


def test_a_limit_of_none_asks_none(scene: Scene) -> None:
    scene.rows(texts(ROWS))
    scene.declare(select={"limit": 0})
    assert scene.calls_of() == 0
    assert len(scene.rows_out()) == ROWS
    assert scene.calls_of(limit=3) == 3
    assert scene.calls_of(limit=0) == 0


def test_a_limit_is_not_starved_by_records_that_never_succeed(scene: Scene) -> None:
    scene.rows(texts(12))
    scene.sim.control(faults=[{"fault": "empty_content", "record": r"#[0-3]$"}])
    scene.declare(select={"limit": 4, "order_by": "id"}, failures={"max_tries": 2, "max_percent": 100})
    for _ in range(4):
        scene.run()
    done = [row["read_success"] for row in scene.rows_out()]
    assert done == [False] * 4 + [True] * 8


def test_the_most_urgent_come_first(scene: Scene) -> None:
    scene.rows(texts(ROWS))
    scene.declare(select={"limit": 5, "order_by": "id DESC"}, limits={"concurrency": 1})
    scene.sim.control(key_pattern="#([0-9]+)")
    assert scene.calls_of() == 5
    assert [call.key for call in scene.ledger.calls] == [str(n) for n in range(ROWS - 1, ROWS - 6, -1)]


def test_only_rows_whose_value_is_missing_are_selected(scene: Scene) -> None:
    values = ["", "レソト", "日本", " ", "大韓民国", "レソト", "レソト王国"]
    rows = [{"id": str(n), "text": f"名前{n}", "nationality": value} for n, value in enumerate(values)]
    scene.rows(rows)
    scene.declare(select={"missing": "nationality", "placeholders": ["レソト"]})
    plan = project.plan(scene.file)
    assert (plan.rows_selected, sum(plan.missing.values())) == (4, 4)
    assert scene.calls_of() == 4
    out = scene.rows_out()
    assert len(out) == 7
    assert [row["id"] for row in out if row["read_success"]] == ["0", "1", "3", "5"]
    # The reload of the table with what is known now selects fewer, and pays for none.
    rows[1]["nationality"] = "フランス"
    scene.rows(rows)
    assert project.plan(scene.file).rows_selected == 3
    assert scene.calls_of() == 0


# --- one text, many rows, asked again ------------------------------------------------------------------------------


@pytest.fixture
def repeated(scene: Scene) -> Scene:
    """A thousand rows with ten texts, far apart from each other, worked on a few at a time."""
    scene.rows(texts(1_000, distinct=10))
    scene.declare(limits={"concurrency": 2})
    assert scene.calls_of() == 10
    return scene


def test_expired_rows_with_one_text_share_one_new_answer(repeated: Scene) -> None:
    repeated.declare(passes=[repeated.one_pass(ttl="0.001s")])
    assert repeated.calls_of() == 10


def test_stale_rows_with_one_text_share_one_new_answer(repeated: Scene) -> None:
    repeated.declare(passes=[repeated.one_pass(prompt="Read anew: {{ text }}")])
    assert repeated.calls_of(refresh=["stale"]) == 10
    # Both wordings are answered now: going back and forth is free.
    repeated.declare(passes=[repeated.one_pass()])
    assert repeated.calls_of(refresh=["stale"]) == 0
    repeated.declare(passes=[repeated.one_pass(prompt="Read anew: {{ text }}")])
    assert repeated.calls_of(refresh=["stale"]) == 0
    assert project.plan(repeated.file).passes[0].reasons[Reason.CACHED] == 1_000


def test_failed_rows_with_one_text_share_one_failure(scene: Scene) -> None:
    scene.rows(texts(1_000, distinct=10))
    scene.sim.control(faults=[{"fault": "empty_content", "record": "#7$"}])
    scene.declare(limits={"concurrency": 2}, failures={"max_percent": 100, "max_tries": 2})
    assert [scene.calls_of() for _ in range(3)] == [9 + 2, 2, 0]
    assert project.plan(scene.file).passes[0].reasons[Reason.GIVEN_UP] == 100


def test_partial_rows_with_one_text_share_one_new_try(scene: Scene) -> None:
    scene.rows(texts(1_000, distinct=10))
    scene.sim.control(faults=[{"fault": "missing_key", "record": "#7$"}])
    scene.declare(limits={"concurrency": 2}, failures={"max_percent": 100, "max_tries": 2})
    first = scene.calls_of()
    assert first == 9 + 2
    scene.sim.control(faults=[])
    assert scene.calls_of() == 1
    assert all(row["read_success"] for row in scene.rows_out())


def test_a_plan_says_how_many_calls_a_run_makes(scene: Scene) -> None:
    scene.rows(texts(200, distinct=50))
    scene.declare()
    for change in ({}, {"passes": [scene.one_pass(prompt="Anew {{ text }}")]}, {"passes": [scene.one_pass()]}):
        scene.declare(**change)
        planned = project.plan(scene.file, refresh=["stale"]).calls
        assert scene.calls_of(refresh=["stale"]) == planned
