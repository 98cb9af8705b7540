"""Rules answer for free, what they leave open is asked, and every published value says who gave it."""

from __future__ import annotations

import pytest
from durable_scene import Scene

from inlay import project
from inlay.errors import InlayError, PlanError, SourceError, SpecError
from inlay.testing import Simulator
from inlay.testing.wire import SimRequest

ROWS = [
    {"id": "1", "text": "costs 1,200 EUR", "name": "Müller GmbH", "land": "DE", "own": ""},
    {"id": "2", "text": "cheap", "name": "田中 太郎", "land": " jp ", "own": "日本"},
    {"id": "3", "text": "costs 90 EUR", "name": "أحمد", "land": "", "own": "レソト"},
    {"id": "4", "text": "costs 9 lei", "name": "Ann", "land": "XX", "own": "None of these"},
]
FIELDS = {
    "kind": {"type": "enum", "values": ["person", "company"], "nullable": True},
    "price": {"type": "number", "evidence": True},
}
COMPANY = {"when": "name LIKE '%GmbH'", "set": {"kind": "company"}}
PRICE = {"column": "text", "pattern": r"(?P<price>[0-9,]+) EUR"}


def declare(scene: Scene, rules: list[dict], fields: dict | None = None, **more: object) -> None:
    scene.declare(passes=[scene.one_pass(fields=fields or FIELDS, rules=rules, **more)])


@pytest.fixture
def ruled(scene: Scene) -> Scene:
    scene.rows(ROWS)
    declare(scene, [COMPANY, PRICE])
    return scene


def by_id(scene: Scene) -> dict[str, dict]:
    return {row["id"]: row for row in scene.rows_out()}


def test_a_row_whose_fields_are_all_given_is_not_asked(ruled: Scene) -> None:
    plan = project.plan(ruled.file)
    assert (plan.passes[0].asked, plan.passes[0].ruled, plan.calls) == (4, 1, 3)
    report = ruled.run()
    assert report.summary["calls"] == 3
    assert (report.summary["passes"][0]["ruled"], report.summary["passes"][0]["done"]) == (1, 3)
    row = by_id(ruled)["1"]
    assert (row["kind"], row["kind_source"], row["price"], row["price_source"]) == ("company", "rule", 1200.0, "rule")
    assert (row["price_evidence"], row["price_evidence_verified"]) == ("1,200 EUR", True)
    assert row["enrichment_cost_usd"] == 0
    assert ruled.calls_of() == 0


def test_only_what_rules_leave_open_is_asked(ruled: Scene) -> None:
    asked: dict[str, set[str]] = {}

    def answer(request: SimRequest) -> dict:
        asked[request.user] = set(request.schema["properties"])
        return {"kind": "person", "price": None}

    with Simulator(answer=answer) as sim:
        ruled.sim = sim
        declare(ruled, [COMPANY, PRICE])
        ruled.run()
    open_ = {user.rpartition(": ")[2]: fields & {"kind", "price"} for user, fields in asked.items()}
    assert open_ == {"cheap": {"kind", "price"}, "costs 90 EUR": {"kind"}, "costs 9 lei": {"kind", "price"}}
    row = by_id(ruled)["3"]
    assert (row["price"], row["price_source"], row["kind_source"]) == (90.0, "rule", "model:compatible:sim")


def test_editing_a_rule_touches_only_the_rows_where_it_gives_something_else(ruled: Scene) -> None:
    ruled.run()
    declare(ruled, [COMPANY, PRICE, {"when": "false", "set": {"kind": "person"}}])
    assert ruled.calls_of() == 0
    declare(ruled, [COMPANY, {"column": "text", "pattern": r"(?P<price>[0-9,]+) (?:EUR|lei)"}])
    plan = project.plan(ruled.file)
    assert {reason.value: n for reason, n in plan.passes[0].reasons.items() if n} == {"input_changed": 1, "cached": 3}
    assert ruled.calls_of() == 1
    declare(ruled, [COMPANY, PRICE])
    plan = project.plan(ruled.file)
    assert (plan.passes[0].asked, plan.passes[0].reused, plan.calls) == (1, 1, 0)
    assert ruled.calls_of() == 0  # the earlier answer to the earlier question is still there
    declare(ruled, [])
    assert ruled.calls_of() == 2  # rows 1 and 3 were never asked whole
    assert project.verify(ruled.file) == []


def test_the_first_rule_that_has_a_value_decides(ruled: Scene) -> None:
    declare(ruled, [{"when": "id = '1'", "set": {"kind": "person"}}, COMPANY, PRICE])
    ruled.run()
    assert by_id(ruled)["1"]["kind"] == "person"


def test_a_null_of_a_rule_has_its_reason(ruled: Scene) -> None:
    declare(
        ruled, [{"when": "true", "set": {"kind": None, "reason": "ambiguous"}}, {"when": "true", "set": {"price": 1}}]
    )
    assert ruled.calls_of() == 0
    row = by_id(ruled)["2"]
    assert (row["kind"], row["kind_null_reason"], row["kind_source"]) == (None, "ambiguous", "rule")


def test_words_that_stand_for_nothing_elsewhere_are_words_where_people_wrote_them(ruled: Scene) -> None:
    fields = {"kind": {"type": "string"}, "note": {"type": "string", "default": "n/a"}}
    declare(
        ruled, [{"when": "true", "set": {"kind": "none"}}, {"when": "id < '3'", "set": {"note": None}}], fields=fields
    )
    assert ruled.calls_of() == 2
    row = by_id(ruled)["1"]
    assert (row["kind"], row["note"], row["note_null_reason"], row["note_source"]) == (
        "none", None, "not_applicable", "rule",
    )  # fmt: skip


def test_a_default_need_not_be_one_of_the_values(scene: Scene) -> None:
    with Simulator(answer=lambda request: {"kind": None}) as sim:
        scene.sim = sim
        scene.rows(ROWS)
        declare(scene, [], fields={"kind": {**FIELDS["kind"], "default": "その他"}})
        scene.run()
    assert {(row["kind"], row["kind_source"]) for row in scene.rows_out()} == {("その他", "default")}


def test_a_lookup_table_gives_values(ruled: Scene) -> None:
    (ruled.folder / "lands.csv").write_text('code,"the ""kind"""\nDE,company\njp,person\nFR,\n', encoding="utf-8")
    rule = {"lookup": "lands.csv", "by": {"land": "code"}, "set": {"kind": 'the "kind"'}}
    declare(ruled, [rule], fields={"kind": FIELDS["kind"]})
    report = ruled.run()
    assert report.summary["calls"] == 2
    assert [row["kind_source"] for row in ruled.rows_out()] == ["rule", "rule"] + ["model:compatible:sim"] * 2
    (ruled.folder / "lands.csv").write_text("code,kind\nDE,person\njp,person\n", encoding="utf-8")
    declare(ruled, [{"lookup": "lands.csv", "by": {"land": "code"}}], fields={"kind": FIELDS["kind"]})
    assert ruled.calls_of() == 0
    assert by_id(ruled)["1"]["kind"] == "person"


def test_a_captured_value_that_does_not_fit_is_asked(ruled: Scene) -> None:
    declare(ruled, [{"column": "name", "pattern": "(?P<kind>.*)"}, {"when": "true", "set": {"price": 1}}])
    assert ruled.calls_of() == 4
    assert {row["kind_source"] for row in ruled.rows_out()} == {"model:compatible:sim"}


def test_the_original_then_the_answer_then_the_default(scene: Scene) -> None:
    with Simulator(answer=lambda request: {"nation": None if "Ann" in request.user else "ガーナ"}) as sim:
        scene.sim = sim
        scene.rows(ROWS)
        field = {"type": "string", "original": "own", "default": "その他"}
        scene.declare(
            select={"where": "id <> '3'", "placeholders": ["レソト"]},
            passes=[scene.one_pass(prompt="From where is {{ name }}?", fields={"nation": field}, prefix="llm_")],
        )
        scene.run()
    found = {row["id"]: (row["llm_nation"], row["llm_nation_source"]) for row in scene.rows_out()}
    assert found == {
        "1": ("ガーナ", "model:compatible:sim"),
        "2": ("日本", "original"),
        "3": ("その他", "default"),
        "4": ("None of these", "original"),
    }


def test_original_and_default_are_not_part_of_the_recipe(ruled: Scene) -> None:
    ruled.run()
    fields = {**FIELDS, "price": {**FIELDS["price"], "original": "own", "default": "7.5"}}
    declare(ruled, [COMPANY, PRICE], fields=fields)
    assert ruled.calls_of() == 0
    assert by_id(ruled)["1"]["price"] == 1200.0  # a source text that is no number is no original


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ({"when": "nam = 'x'", "set": {"kind": "person"}}, PlanError, ["passes[0].rules[0]", "name"]),
        ({"when": "name = (", "set": {"kind": "person"}}, PlanError, ["passes[0].rules[0].when", "brackets"]),
        ({"when": "CAST(name AS INT) = 1", "set": {"kind": "person"}}, PlanError, ["passes[0].rules[0]", "convert"]),
        ({"when": "true", "set": {"kynd": "person"}}, SpecError, ["inlay.yaml", "kynd", "kind, price"]),
        ({"when": "true", "set": {"kind": "dog"}}, SpecError, ["rules[0].set.kind", "dog", "person, company"]),
        ({"set": {"kind": "person"}}, SpecError, ["`when`, `pattern` or `lookup`"]),
        ({"column": "txt", "pattern": "(?P<kind>x)"}, SpecError, ["txt", "text"]),
        ({"column": "text", "pattern": "(?P<kind>x"}, SpecError, ["not a regular expression"]),
        ({"column": "text", "pattern": "(?P<kind>(?=x)x)"}, PlanError, ["rules[0]"]),
        ({"lookup": "no.csv", "by": "land"}, SourceError, ["no.csv"]),
        ({"lookup": "twice.csv", "by": {"land": "code"}}, PlanError, ["'DE'", "more than once"]),
        ({"lookup": "twice.csv", "by": {"land": "cod"}}, PlanError, ["'cod'", "code"]),
        ({"lookup": "twice.csv"}, SpecError, ["`by`"]),
    ],
)
def test_a_rule_that_is_wrong_is_named(ruled: Scene, rule: dict, kind: type[InlayError], words: list[str]) -> None:
    (ruled.folder / "twice.csv").write_text("code,kind\nDE,person\nDE,company\n", encoding="utf-8")
    declare(ruled, [rule])
    with pytest.raises(kind) as caught:
        project.plan(ruled.file)
    for word in words:
        assert word in str(caught.value)
    assert len(ruled.sim.ledger) == 0


def test_later_passes_read_what_rules_give(scene: Scene) -> None:
    asked: list[str] = []

    def answer(request: SimRequest) -> dict:
        asked.append(request.user)
        return {"so": "yes"}

    with Simulator(answer=answer) as sim:
        scene.sim = sim
        scene.rows(ROWS)
        first = scene.one_pass(fields={"kind": FIELDS["kind"]}, rules=[{"when": "true", "set": {"kind": "person"}}])
        scene.declare(passes=[first, scene.one_pass("next", "A {{ passes.read.kind }}?", fields={"so": "string"})])
        scene.run()
        assert asked == ["A person?"]  # four rows, one question
        assert scene.calls_of() == 0
