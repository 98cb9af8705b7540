"""Whatever a model answers: reading never raises, and what it calls done satisfies every declared limit."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.engine.answer import LONGEST_MESSAGE, AnswerReader, Reading
from inlay.engine.ask import answer_schema
from inlay.payload import decode_fields, encode_fields
from inlay.spec.fields import FieldSpec
from inlay.types import CellState, NullReason

TEXTS = {"text": "東京 hello 12 👍 مرحبا 2024-03-12 positive"}

FIELDS = {
    "label": FieldSpec(type="enum", values=("positive", "Negative", "日本"), evidence=True, confidence=True),
    "stars": FieldSpec(type="integer", min=1, max=5, nullable=False),
    "price": FieldSpec(type="number", min=0),
    "ok": FieldSpec(type="boolean", confidence=True),
    "day": FieldSpec(type="date", min=dt.date(2000, 1, 1)),
    "at": FieldSpec(type="datetime", evidence=True),
    "name": FieldSpec(max_length=12, pattern="[^0-9]*"),
    "tags": FieldSpec(type="list", items=FieldSpec(max_length=5), max_items=3),
    "kinds": FieldSpec(type="list", items=FieldSpec(type="enum", values=("a", "b")), nullable=False),
    "place": FieldSpec(
        type="object", fields={"city": FieldSpec(nullable=False), "n": FieldSpec(type="integer", max=9)}
    ),
}
READER = AnswerReader(FIELDS)


def satisfies(value: Any, spec: FieldSpec) -> bool:
    """An independent reading of FieldSpec: whether a value keeps every limit."""
    match spec.type:
        case "string" | "text":
            lines = value.splitlines() if isinstance(value, str) else []
            return (
                isinstance(value, str)
                and value == value.strip() != ""
                and (spec.type == "text" or len(lines) == 1)
                and len(value) <= (spec.max_length or 1_000_000)
                and (spec.pattern is None or re.fullmatch(spec.pattern, value) is not None)
                and value.encode() is not None
            )
        case "enum":
            return value in spec.values
        case "boolean":
            return value is True or value is False
        case "integer" | "number":
            kind = int if spec.type == "integer" else float
            return (
                type(value) is kind
                and math.isfinite(value)
                and abs(value) < 2**63
                and (spec.min is None or value >= spec.min)
                and (spec.max is None or value <= spec.max)
            ) or (kind is float and abs(value) >= 2**63)
        case "date":
            return re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None and dt.date.fromisoformat(value) >= (
                spec.min or dt.date.min
            )
        case "datetime":
            moment = dt.datetime.fromisoformat(value)
            return value.endswith("Z") is (moment.tzinfo is not None)
        case "list":
            keys = [json.dumps(item) for item in value]
            return (
                isinstance(value, list)
                and len(value) <= (spec.max_items or len(value))
                and len(set(keys)) == len(keys)
                and all(satisfies(item, spec.item) for item in value)
            )
        case "object":
            return list(value) == list(spec.fields) and all(
                part.nullable if value[name] is None else satisfies(value[name], part)
                for name, part in spec.fields.items()
            )
    return False


def check(reading: Reading, fields: dict[str, FieldSpec]) -> None:
    """What is true of every reading."""
    assert list(reading.fields) == list(fields)
    invalid = tuple(n for n, answer in reading.fields.items() if answer.null_reason is NullReason.INVALID)
    assert reading.missing == invalid
    expected = CellState.DONE if not invalid else CellState.FAILED if len(invalid) == len(fields) else CellState.PARTIAL
    assert reading.state is expected
    assert (reading.error_kind is None) is (reading.error_message is None) is (not invalid)
    if reading.error_message is not None:
        assert reading.error_kind in ("invalid_output", "truncated")
        assert len(reading.error_message) <= LONGEST_MESSAGE
        assert reading.error_message.isprintable()
    for name, answer in reading.fields.items():
        spec = fields[name]
        if answer.value is None:
            assert answer.null_reason is not None
            assert bool(answer.problem) is (answer.null_reason is NullReason.INVALID)
            assert spec.nullable or answer.null_reason is NullReason.INVALID
        else:
            assert answer.null_reason is None
            assert satisfies(answer.value, spec), (name, answer.value)
        assert answer.confidence is None or (spec.confidence and 0 <= answer.confidence <= 1)
        assert answer.evidence is None or spec.evidence
    assert decode_fields(encode_fields(reading.fields)) == reading.fields


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [
            "positive",
            "NEGATIVE",
            "日本",
            "3",
            "４",
            "1,234",
            "yes",
            "2024-03-12",
            "12 March 2024",
            "n/a",
            "a, b",
            "ambiguous",
            "2024-03-12T10:00:00+09:00",
            "0001-01-01T00:00Z",
            "9999-12-31T23:59:59-09:00",
            "hello",
            "\ud800",
            "9" * 400,
            "1e400",
        ]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.one_of(
                st.text(max_size=6), st.sampled_from([*FIELDS, "value", "evidence", "confidence", "city", "n", "nulls"])
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
WRAPPED = st.one_of(JSON, st.fixed_dictionaries({"value": JSON}, optional={"evidence": JSON, "confidence": JSON}))
NULLS = st.lists(st.fixed_dictionaries({"field": st.sampled_from([*FIELDS, "x"]), "reason": SCALARS}), max_size=4)
DOCUMENTS = st.fixed_dictionaries({}, optional={**dict.fromkeys(FIELDS, WRAPPED), "nulls": NULLS | JSON})


@settings(deadline=None, max_examples=400)
@given(DOCUMENTS | JSON, st.booleans(), st.booleans())
def test_any_json_reads(document: Any, truncated: bool, ascii_only: bool):
    text = json.dumps(document, ensure_ascii=ascii_only)
    check(READER.read(text, TEXTS, truncated=truncated), FIELDS)


@settings(deadline=None, max_examples=300)
@given(DOCUMENTS, st.data())
def test_any_damaged_json_reads(document: Any, data: st.DataObject):
    text = json.dumps(document, ensure_ascii=False)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 4))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", '"', "}", "{", ",", "'", "\\", "\n", "```", "<think>"]))
            + text[at + gone :]
        )
    check(READER.read(text, TEXTS, truncated=data.draw(st.booleans())), FIELDS)


@settings(deadline=None, max_examples=200)
@given(st.text(), st.booleans())
def test_any_text_reads(text: str, truncated: bool):
    check(READER.read(text, TEXTS, truncated=truncated), FIELDS)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="{}[]\":,'\\ \n\tNaN0123eE+-.truefalsn<think>/`", max_size=80), st.booleans())
def test_any_json_like_text_reads(text: str, truncated: bool):
    check(READER.read('{"stars": ' + text, TEXTS, truncated=truncated), FIELDS)


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a JSON Schema of ours allows."""
    if "anyOf" in schema:
        return st.one_of(*(instances(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_instances_of(kind, schema) for kind in kinds))


def _instances_of(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
        case "number":
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "array":
            return st.lists(instances(schema["items"]), max_size=schema.get("maxItems", 5))
        case "object":
            return st.fixed_dictionaries({name: instances(part) for name, part in schema["properties"].items()})
    if schema.get("format") == "date":
        return st.dates(dt.date(2000, 1, 1)).map(dt.date.isoformat)
    if schema.get("format") == "date-time":
        return st.datetimes(dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)).map(dt.datetime.isoformat)
    return st.text(alphabet="abc 東京ع👍", max_size=5).filter(str.strip)


@settings(deadline=None, max_examples=200)
@given(instances(answer_schema(FIELDS)), st.integers(0, 2))
def test_every_answer_that_the_schema_allows_is_done(document: dict[str, Any], form: int):
    text = json.dumps(document, ensure_ascii=form == 0, indent=2 if form == 2 else None)
    reading = READER.read(text, TEXTS)
    check(reading, FIELDS)
    assert reading.state is CellState.DONE, reading.error_message
    assert reading.fields["stars"].value == document["stars"]
    assert reading.fields["label"].value == document["label"]["value"]
    assert (reading.fields["day"].value is None) is (document["day"] is None)


@settings(deadline=None, max_examples=200)
@given(instances(answer_schema(FIELDS)), st.data())
def test_a_prefix_of_an_answer_never_gives_another_value(document: dict[str, Any], data: st.DataObject):
    text = json.dumps(document, ensure_ascii=False)
    whole = READER.read(text, TEXTS)
    cut = READER.read(text[: data.draw(st.integers(0, len(text) - 1))], TEXTS, truncated=True)
    check(cut, FIELDS)
    for name, answer in cut.fields.items():
        if answer.null_reason is not NullReason.INVALID:
            assert answer.value == whole.fields[name].value
