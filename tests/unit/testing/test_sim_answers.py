"""Answers by schema: always valid, always the same, and true to the conventions of evidence and nulls."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.testing.answers import answer_by_schema, quote
from inlay.testing.patterns import text_matching
from inlay.testing.strict import resolve, strict_problem


def problem(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> str | None:
    """What is wrong with a value by a schema: an independent checker of the keywords that are used here."""
    if "$ref" in schema:
        target = resolve(root, schema["$ref"])
        assert target is not None
        return problem(value, target, root)
    if "anyOf" in schema:
        found = [problem(value, branch, root) for branch in schema["anyOf"]]
        return None if None in found else f"{value!r} fits no branch: {found}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} not in {schema['enum']}"
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(is_kind(value, kind) for kind in kinds):
        return f"{value!r} is no {kinds}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            return f"{value} out of range"
        if value <= schema.get("exclusiveMinimum", value - 1) or value >= schema.get("exclusiveMaximum", value + 1):
            return f"{value} not strictly inside"
        if "multipleOf" in schema and value % schema["multipleOf"]:
            return f"{value} is no multiple"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{value!r} does not match"
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f"{value!r} has a wrong length"
        if schema.get("format") == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return f"{value!r} is no date"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{len(value)} items"
        return next((p for item in value if (p := problem(item, schema["items"], root))), None)
    if isinstance(value, dict):
        if set(value) != set(schema["properties"]):
            return f"keys {sorted(value)}"
        parts = schema["properties"].items()
        return next((p for name, part in parts if (p := problem(value[name], part, root))), None)
    return None


def is_kind(value: Any, kind: str) -> bool:
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    classes = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    return value is None if kind == "null" else isinstance(value, classes[kind])


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def obj(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


bounds = st.tuples(st.integers(-1000, 1000), st.integers(1, 500))
names = st.sampled_from(["stars", "名前", "اسم", "evidence", "confidence", "value", "nulls", "a b", "🍣"])
leaves = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.just({"type": "integer"}),
    st.just({"type": "string", "format": "date"}),
    st.just({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}),
    st.just({"type": ["integer", "null"], "exclusiveMinimum": 3, "exclusiveMaximum": 5}),
    st.just({"type": "integer", "minimum": 7, "multipleOf": 5, "maximum": 40}),
    st.just({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}),
    bounds.map(lambda b: {"type": "integer", "minimum": b[0], "maximum": b[0] + b[1]}),
    bounds.map(lambda b: {"type": "number", "minimum": b[0] / 7, "maximum": (b[0] + b[1]) / 7}),
    st.lists(st.sampled_from(["東京", "a", "B", "ب", None]), min_size=1, unique=True).map(lambda v: {"enum": v}),
    st.tuples(st.integers(0, 5), st.integers(0, 50)).map(
        lambda t: {"type": "string", "minLength": t[0], "maxLength": t[0] + t[1]}
    ),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(nullable),
        st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
            lambda t: {"type": "array", "items": t[0], "minItems": t[1], "maxItems": t[1] + t[2]}
        ),
        st.dictionaries(names, inner, max_size=4).map(obj),
    ),
    max_leaves=8,
)
messages = st.text(max_size=300) | st.sampled_from(["", " \n ", "レビュー: 静か 🍣", "a" * 5000])


def enum_arrays_fit(schema: Any) -> bool:
    """Whether no list of distinct enum values asks for more of them than there are."""
    if isinstance(schema, list):
        return all(map(enum_arrays_fit, schema))
    if not isinstance(schema, dict):
        return True
    items = schema.get("items")
    if isinstance(items, dict) and "enum" in items and schema.get("minItems", 0) > len(items["enum"]):
        return False
    return all(map(enum_arrays_fit, schema.values()))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(names, schemas, max_size=5).map(obj).filter(enum_arrays_fit), messages, st.integers(0, 2**64 - 1)
)
def test_every_answer_is_valid_and_repeatable(schema, message, bits):
    answer = answer_by_schema(schema, null_share=0.3)
    text = answer(bits, message)
    assert problem(json.loads(text), schema, schema) is None
    assert answer_by_schema(schema, null_share=0.3)(bits, message) == text


def test_the_generated_schemas_would_be_refused_by_the_checker_when_wrong():
    schema = obj({"stars": {"type": "integer", "minimum": 1, "maximum": 5}, "名前": {"enum": ["東京"]}})
    assert problem({"stars": 3, "名前": "東京"}, schema, schema) is None
    for wrong in (
        {"stars": 6, "名前": "東京"},
        {"stars": 3},
        {"stars": True, "名前": "東京"},
        {"stars": 3, "名前": "x"},
    ):
        assert problem(wrong, schema, schema)


def test_definitions_and_recursion_end():
    tree = obj({"label": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}})
    schema = {**obj({"root": {"$ref": "#/$defs/tree"}, "next": nullable({"$ref": "#"})}), "$defs": {"tree": tree}}
    assert strict_problem(schema) is None
    for bits in range(50):
        value = json.loads(answer_by_schema(schema)(bits * 7919, "text"))
        assert problem(value, schema, schema) is None


def test_a_field_keeps_its_value_when_others_come_or_go():
    stars = {"type": "integer", "minimum": 1, "maximum": 1000}
    alone, beside = obj({"stars": stars}), obj({"city": {"type": "string"}, "stars": stars, "ok": {"type": "boolean"}})
    for bits in range(0, 2**60, 2**55):
        first = json.loads(answer_by_schema(alone)(bits, "x"))["stars"]
        assert json.loads(answer_by_schema(beside)(bits, "x"))["stars"] == first


def test_answers_differ_between_messages():
    schema = obj({"stars": {"type": "integer", "minimum": 1, "maximum": 5}, "kind": {"enum": ["a", "b", "c"]}})
    answer = answer_by_schema(schema)
    seen = [json.loads(answer(bits * 0x9E3779B97F4A7C15 % 2**64, "x")) for bits in range(1000)]
    assert {value["stars"] for value in seen} == {1, 2, 3, 4, 5}
    assert {value["kind"] for value in seen} == {"a", "b", "c"}


def test_nulls_name_exactly_the_fields_that_are_null(client):
    answer = answer_by_schema(client.schema, null_share=0.4)
    empty = 0
    for bits in range(300):
        value = json.loads(answer(bits * 0x9E3779B97F4A7C15 % 2**64, client.text))
        assert problem(value, client.schema, client.schema) is None
        null = {name for name in ("sentiment", "stars") if value[name] is None}
        null |= {"sentiment"} if value["sentiment"]["value"] is None else set()
        assert {entry["field"] for entry in value["nulls"]} == null
        assert len(value["nulls"]) == len(null)
        assert (value["sentiment"]["evidence"] is None) == ("sentiment" in null)
        empty += not null
    assert 60 < empty < 160  # 0.6 x 0.6


def test_null_share_of_none_gives_no_nulls(client):
    answer = answer_by_schema(client.schema, null_share=0.0)
    assert all(json.loads(answer(bits << 30, "text"))["nulls"] == [] for bits in range(100))


def test_evidence_is_a_quote(client):
    answer = answer_by_schema(client.schema, null_share=0.0)
    for bits in range(0, 2**62, 2**55):
        evidence = json.loads(answer(bits, client.text))["sentiment"]["evidence"]
        assert evidence
        assert evidence in client.text


def test_a_length_in_the_description_is_obeyed():
    answer = answer_by_schema(obj({"city": {"type": "string", "description": "A town. At most 9 characters."}}))
    lengths = {
        len(json.loads(answer(bits, "the breakfast was lovely " * 9))["city"]) for bits in range(0, 2**62, 2**56)
    }
    assert 0 < max(lengths) <= 9


@given(st.integers(0, 2**64 - 1), messages)
def test_a_quote_is_always_in_the_text(seed, text):
    found = quote(seed, text)
    assert found in text
    assert bool(found) == bool(text.strip())


@pytest.mark.parametrize(
    "pattern",
    [r"[A-Z]{2}\d{4}", r"^(foo|bar)-\w+$", r"[^a-z]{3}", r"(\d\d)-\1", r"[ぁ-ん]{2,4}", r"(?:a|b)?c*", r"\S\s\D\W?"],
)
def test_texts_that_match_a_pattern(pattern):
    for start in range(50):
        assert re.fullmatch(pattern, text_matching(pattern, lambda turn, start=start: hash((start, turn)) % 2**62))
