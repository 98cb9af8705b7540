"""A field in one line means what its full form means, and a mistake in it is said in the words of the line."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import BaseModel

from inlay.errors import SpecError
from inlay.spec.field_lines import EVIDENT, read_fields, read_lines
from inlay.spec.fields import FIELD_TYPES, FieldSpec

LINES = {
    "a: text": FieldSpec(type="text"),
    "a: string - one line — of text": FieldSpec(description="one line — of text"),
    "a: positive|neutral|negative": FieldSpec(type="enum", values=("positive", "neutral", "negative"), evidence=True),
    "a: 良い|悪い, no evidence": FieldSpec(type="enum", values=("良い", "悪い")),
    "a: integer, 1..5 - how satisfied": FieldSpec(
        type="integer", min=1, max=5, evidence=True, description="how satisfied"
    ),
    "a: number, 0.5.., required": FieldSpec(type="number", min=0.5, evidence=True, nullable=False),
    "a: number, ..-1": FieldSpec(type="number", max=-1, evidence=True),
    "a: date, 2020-01-01..": FieldSpec(type="date", min=dt.date(2020, 1, 1), evidence=True),
    "a: list[string], at most 5": FieldSpec(type="list", items=FieldSpec(), max_items=5),
    "a: text, at most 80, confidence": FieldSpec(type="text", max_length=80, confidence=True),
    "a: text, evidence - why: because": FieldSpec(type="text", evidence=True, description="why: because"),
    "a: Yes, fully|No": FieldSpec(type="enum", values=("Yes, fully", "No"), evidence=True),
    "a: enum(x, y), no evidence": FieldSpec(type="enum", values=("x", "y")),
    "a: list[enum(spa, gym)]": FieldSpec(type="list", items=FieldSpec(type="enum", values=("spa", "gym"))),
    "a: {type: integer, min: 1, evidence: true}": FieldSpec(type="integer", min=1, evidence=True),
    "a: {type: integer, max: 5}": FieldSpec(type="integer", max=5),
    "a: {values: [no, 'yes'], description: 'a: b'}": FieldSpec(type="enum", values=("no", "yes"), description="a: b"),
    "a: {fields: {b: integer, c: x|y}}": FieldSpec(
        type="object", fields={"b": FieldSpec(type="integer"), "c": FieldSpec(type="enum", values=("x", "y"))}
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_means_its_full_form(line: str) -> None:
    (spec,) = read_lines([line]).values()
    assert spec == LINES[line]
    assert spec.definition() == LINES[line].definition()


def test_lines_keep_their_order() -> None:
    assert list(read_lines(["b: text", "a: text", "c_1: text"])) == ["b", "a", "c_1"]


@pytest.mark.parametrize("kind", [kind for kind in FIELD_TYPES if kind not in ("enum", "object")])
def test_short_values_bring_their_evidence_and_long_ones_do_not(kind: str) -> None:
    assert read_lines([f"a: {kind}"])["a"].evidence is (kind in EVIDENT)
    assert not read_lines([f"a: {{type: {kind}}}"])["a"].evidence  # braces say it all themselves


MISTAKES = {
    "sentiment: integr": ("--field sentiment.type: unknown type 'integr'", "did you mean `integer`?"),
    "sentiment": ("--field: 'sentiment' is not a field", "write NAME: TYPE"),
    "a:": ("--field: 'a:' is not a field", "write NAME: TYPE"),
    "1a: text": ("--field 1a: '1a' is not a field's name", "beginning with a letter"),
    "a b: text": ("--field a b: 'a b' is not a field's name", "a name is"),
    "a: integer, x..5": ("--field a.min: expected a whole number, got 'x'", ""),
    "a: integer, 5..1": ("--field a: `min` 5 is above `max` 1", ""),
    "a: string, 1..5": ("--field a: `min` belongs to type", ""),
    "a: integer, at most 5": ("--field a: `max_length` belongs to type string or text", ""),
    "a: {type: integer, mini: 3}": ("--field a.mini: unknown key `mini`", "did you mean `min`?"),
    "a: {type: integer": ("--field a: not valid YAML", ""),
    "a: x||y": ("--field a.type: a label is empty", "positive|neutral|negative"),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_said_in_one_sentence(line: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_lines([line])
    message, remedy = MISTAKES[line]
    assert str(caught.value).startswith(message)
    assert remedy in caught.value.remedy


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        read_lines(["a: integr", "b", "c: text", "c: text"])
    assert len(caught.value.problems) == 3
    assert "`c` is given twice" in str(caught.value)


class Inner(BaseModel):
    n: int


def test_python_gives_lines_labels_keys_specs_and_classes() -> None:
    given = {
        "line": "x|y",
        "labels": ["x", "y"],
        "keys": {"type": "number", "min": 0.5, "max": 2},
        "nested": {"items": FieldSpec(type="integer", min=3)},
        "dated": {"type": "date", "min": dt.date(2020, 1, 1)},
        "spec": FieldSpec(type="text"),
        "inner": Inner,
    }
    assert read_fields(given) == {
        "line": FieldSpec(type="enum", values=("x", "y"), evidence=True),
        "labels": FieldSpec(type="enum", values=("x", "y")),
        "keys": FieldSpec(type="number", min=0.5, max=2),
        "nested": FieldSpec(type="list", items=FieldSpec(type="integer", min=3)),
        "dated": FieldSpec(type="date", min=dt.date(2020, 1, 1)),
        "spec": FieldSpec(type="text"),
        "inner": FieldSpec(type="object", fields={"n": FieldSpec(type="integer", nullable=False)}),
    }


@pytest.mark.parametrize("wrong", [None, {}, [], "a: text", 5])
def test_what_is_no_fields_is_refused(wrong: object) -> None:
    with pytest.raises(SpecError, match="expected fields by name"):
        read_fields(wrong)
