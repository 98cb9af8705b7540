"""Lowering to the strict subset, held to the simulator's own check of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.providers.lower import lower_strict
from inlay.testing.strict import strict_problem


def root(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def lowered(part: dict[str, Any]) -> dict[str, Any]:
    return lower_strict(root(x=part))["properties"]["x"]


def test_what_the_subset_knows_is_kept() -> None:
    part = {"type": ["string", "null"], "enum": ["a", "日本", None], "description": "d"}
    assert lowered(part) == part
    part = {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.1}
    assert lowered(part) == part
    part = {"type": "array", "items": {"type": "string", "pattern": "^a(?:b|c)$"}, "maxItems": 3, "minItems": 1}
    assert lowered(part) == part
    assert lowered({"type": "string", "format": "date"}) == {"type": "string", "format": "date"}


def test_what_it_rejects_is_dropped() -> None:
    assert lowered({"type": "string", "minLength": 1, "maxLength": 9, "default": "a", "title": "T"}) == {
        "type": "string"
    }
    assert lowered({"type": "string", "format": "uri"}) == {"type": "string"}
    assert lowered({"type": "array", "uniqueItems": True, "contains": {}}) == {
        "type": "array",
        "items": {"type": "string"},
    }
    for pattern in ("^(?!x)a$", "(?<=a)b", "(?P<n>a)", "(?i)a"):
        assert lowered({"type": "string", "pattern": pattern}) == {"type": "string"}


def test_properties_named_like_keywords_survive() -> None:
    names = ["title", "default", "minLength", "format", "$ref_", "oneOf"]
    schema = root(**{name: {"type": "string"} for name in names})
    assert lower_strict(schema) == schema


def test_one_of_becomes_any_of_and_a_reference_stands_alone() -> None:
    assert lowered({"oneOf": [{"type": "string"}, {"type": "null"}]}) == {
        "anyOf": [{"type": "string"}, {"type": "null"}]
    }
    assert lowered({"$ref": "#", "description": "again"}) == {"$ref": "#"}
    assert lowered({"allOf": [{"type": "string"}], "description": "d"}) == {"type": "string", "description": "d"}


def test_every_property_is_required_and_an_optional_one_may_be_null() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string", "enum": ["x"]},
            "c": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "d": {"$ref": "#"},
            "e": {"type": "object", "properties": {"f": {"type": "string"}}},
        },
        "required": ["a"],
    }
    got = lower_strict(schema)
    assert got["required"] == ["a", "b", "c", "d", "e"]
    assert got["additionalProperties"] is False
    assert got["properties"]["a"] == {"type": "integer"}
    assert got["properties"]["b"] == {"type": ["string", "null"], "enum": ["x", None]}
    assert got["properties"]["c"]["anyOf"][-1] == {"type": "null"}
    assert got["properties"]["d"] == {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    assert got["properties"]["e"]["properties"]["f"] == {"type": ["string", "null"]}
    assert strict_problem(got) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object"}]},
        root(x={"type": "object", "additionalProperties": {"type": "string"}}),
        root(x={"type": "object"}),
        root(x={"type": "array", "prefixItems": [{"type": "string"}]}),
        root(x={"allOf": [{"type": "string"}, {"type": "string"}]}),
        root(x=True),
        root(**{f"p{number}": {"type": "string"} for number in range(5001)}),
    ],
)
def test_what_cannot_be_expressed_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        lower_strict(schema)
    assert caught.value.key == "fields"


def test_nesting_is_bounded() -> None:
    def nested(levels: int) -> dict[str, Any]:
        return {"type": "string"} if levels == 0 else root(x=nested(levels - 1))

    assert strict_problem(lower_strict(nested(9))) is None
    with pytest.raises(SpecError, match="nested"):
        lower_strict(nested(10))


leaves = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean"])},
    optional={
        "minLength": st.just(1),
        "maxLength": st.just(5),
        "default": st.just("x"),
        "title": st.just("t"),
        "format": st.sampled_from(["date", "uri", "date-time"]),
        "description": st.text(max_size=5),
        "pattern": st.sampled_from(["a+", "(?=a)", "日+"]),
        "examples": st.just([1]),
    },
)
parts = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item, "uniqueItems": True}, inner),
        st.builds(lambda one, two: {"oneOf": [one, two, {"type": "null"}]}, inner, inner),
        st.builds(
            lambda fields: {"type": "object", "properties": fields},
            st.dictionaries(st.text(min_size=1, max_size=4), inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), parts, min_size=1, max_size=4))
def test_every_lowered_schema_passes_the_strict_check(properties: dict[str, Any]) -> None:
    got = lower_strict({"type": "object", "properties": properties})
    assert strict_problem(got) is None
    assert list(got["properties"]) == list(properties)
    assert lower_strict(got) == got
