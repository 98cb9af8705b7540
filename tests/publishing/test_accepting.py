"""`accept_above`: an answer below it is kept and marked, not published, and not bought again."""

from __future__ import annotations

import csv

import pytest

from inlay import project
from inlay.payload import encode_fields
from inlay.publish.columns import accepted
from inlay.types import FieldAnswer, NullReason


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (FieldAnswer("a", confidence=0.7), True),
        (FieldAnswer("a", confidence=0.69999), False),
        (FieldAnswer("a"), False),
        (FieldAnswer("a", source="rule"), True),
        (FieldAnswer("a", source="human"), True),
        (FieldAnswer(None, NullReason.NOT_STATED, confidence=0.1), True),
    ],
)
def test_exactly_at_the_threshold_is_accepted(answer, taken):
    assert accepted(answer, 0.7) is taken
    assert encode_fields({"x": answer})


def grades(least=None):
    fields = {"grade": {"type": "enum", "values": ["a", "b", "c"], "confidence": True}, "stars": "integer"}
    return {"fields": fields, **({} if least is None else {"accept_above": least})}


def test_a_threshold_is_changed_without_a_call(tables_in):
    tables = tables_in("sqlite")
    tables.begin(40, passes=[tables.one_pass(**grades())])
    tables.run()
    before = tables.rows_of()
    sure = sorted(float(row["llm_grade_confidence"]) for row in before.values() if row["llm_grade"] is not None)
    least = sure[len(sure) // 2]
    low = sum(found < least for found in sure)
    assert low
    tables.declare(passes=[tables.one_pass(**grades(least))])
    report = tables.run()
    assert report.summary["calls"] == 0
    assert report.publication.changed == low
    after = tables.rows_of()
    for key, row in after.items():
        if before[key]["llm_grade"] is not None and float(row["llm_grade_confidence"]) < least:
            assert (row["llm_grade"], row["llm_grade_null_reason"]) == (None, "below_threshold")
            assert row["llm_grade_source"] == "model:compatible:sim"
        else:
            assert row["llm_grade"] == before[key]["llm_grade"]
        assert row["llm_stars"] == before[key]["llm_stars"]  # which asks for no confidence
    status = project.status(tables.file)
    assert status.passes[0].below == low
    told = project.report_facts(tables.file)
    assert str(low) in str(told)
    tables.declare(output="out.csv")
    assert tables.run().summary["calls"] == 0
    with (tables.folder / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["grade_null_reason"] == "below_threshold" for row in rows) == low
    lowest = next(key for key, row in after.items() if row["llm_grade_null_reason"] == "below_threshold")
    assert project.explain(tables.file, lowest).published["grade_null_reason"] == "below_threshold"
    output = {"table": "answers", "connection": tables.url, "prefix": "llm_"}
    tables.declare(passes=[tables.one_pass(**grades())], output=output)
    assert tables.run().summary["calls"] == 0
    assert {key: row["llm_grade"] for key, row in tables.rows_of().items()} == {
        key: row["llm_grade"] for key, row in before.items()
    }
