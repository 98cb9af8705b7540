"""Schemas brought within Anthropic's subset: any declaration, and passes of many nullable fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inlay.engine.answer import AnswerReader
from inlay.engine.ask import answer_schema
from inlay.errors import SpecError
from inlay.providers.abilities import abilities
from inlay.providers.anthropic import AnthropicMessages
from inlay.providers.lower_anthropic import MAX_OPTIONAL, MAX_UNIONS, TooComplex, lower_anthropic
from inlay.spec.fields import FieldSpec
from inlay.testing.anthropic_subset import subset_problem
from inlay.types import CallShape, NullReason


def fields(count: int, **of_each: Any) -> dict[str, FieldSpec]:
    kinds: list[dict[str, Any]] = [
        {"type": "string", "pattern": "[a-z]+"},
        {"type": "integer", "min": 1, "max": 5},
        {"type": "enum", "values": ("a", "日本")},
        {"type": "list", "items": FieldSpec(type="string"), "max_items": 3},
        {"type": "date"},
        {"type": "boolean"},
    ]
    return {f"field_{n}": FieldSpec(**kinds[n % len(kinds)], **of_each) for n in range(count)}


@pytest.mark.parametrize("count", [1, 16, 17, 24, 40])
@pytest.mark.parametrize("of_each", [{}, {"evidence": True}, {"evidence": True, "confidence": True}], ids=str)
def test_many_nullable_fields_stay_within_the_limits(count: int, of_each: dict[str, Any]) -> None:
    lowered = lower_anthropic(answer_schema(fields(count, **of_each)))
    assert subset_problem(lowered) is None
    assert list(lowered["properties"])[:count] == [f"field_{n}" for n in range(count)]


def test_up_to_the_limit_every_null_stays_a_null() -> None:
    lowered = lower_anthropic(answer_schema(fields(MAX_UNIONS)))
    assert lowered["required"] == list(lowered["properties"])


def test_quotes_give_way_first_then_the_last_fields_may_be_left_out() -> None:
    lowered = lower_anthropic(answer_schema(fields(16, evidence=True)))
    quotes = [part["properties"]["evidence"] for name, part in lowered["properties"].items() if name != "nulls"]
    assert {quote["type"] for quote in quotes} == {"string"}
    assert all("empty if there is none" in quote["description"] for quote in quotes)
    assert lowered["required"] == list(lowered["properties"])
    lowered = lower_anthropic(answer_schema(fields(20)))
    assert [name for name in lowered["properties"] if name not in lowered["required"]] == [
        f"field_{n}" for n in range(16, 20)
    ]


def test_an_answer_without_the_fields_that_may_be_left_out_is_whole() -> None:
    declared = {f"f{n}": FieldSpec(type="string", evidence=True) for n in range(24)}
    lowered = lower_anthropic(answer_schema(declared))
    assert subset_problem(lowered) is None
    left_out = [name for name in lowered["properties"] if name not in lowered["required"]]
    assert left_out == [f"f{n}" for n in range(16, 24)]
    answer: dict[str, Any] = {name: {"evidence": "", "value": None} for name in declared if name not in left_out}
    answer["nulls"] = [{"field": name, "reason": "not_stated"} for name in declared]
    reading = AnswerReader(declared).read(json.dumps(answer), {"text": "x"})
    assert reading.missing == ()
    assert {found.null_reason for found in reading.fields.values()} == {NullReason.NOT_STATED}
    assert {found.evidence for found in reading.fields.values()} == {None}


def test_parts_of_objects_may_be_left_out_too() -> None:
    parts = {f"p{n}": FieldSpec(type="string") for n in range(20)}
    declared = {"whole": FieldSpec(type="object", fields=parts, nullable=False)}
    lowered = lower_anthropic(answer_schema(declared))
    assert subset_problem(lowered) is None
    required = lowered["properties"]["whole"]["required"]
    assert len(required) == 16
    reading = AnswerReader(declared).read(json.dumps({"whole": dict.fromkeys(required, "x")}), {})
    assert reading.missing == ()
    assert reading.fields["whole"].value["p19"] is None


def test_beyond_all_limits_the_next_best_way_is_taken() -> None:
    schema = answer_schema(fields(MAX_UNIONS + MAX_OPTIONAL + 1))
    with pytest.raises(TooComplex, match="40 nullable"):
        lower_anthropic(schema)

    def body(model: str) -> Any:
        shape = CallShape(model, "Be exact.", schema, "read", 3000, abilities=abilities("anthropic", model))
        return json.loads(AnthropicMessages().encoder(shape)("x").body)

    assert body("claude-haiku-5-5")["tool_choice"]["name"] == "read"
    words = body("claude-opus-5-5")["system"][0]["text"]
    assert "tools" not in body("claude-opus-5-5")
    assert "field_40" in words


def test_what_bounds_said_is_in_words() -> None:
    lowered = lower_anthropic(answer_schema(fields(6)))
    said = {name: part.get("description", "") for name, part in lowered["properties"].items()}
    assert "Matches the regular expression ^(?:[a-z]+)$" in said["field_0"]
    assert "From 1 to 5" in said["field_1"]
    assert "At most 3 items" in said["field_3"]
    text = json.dumps(lowered)
    assert not any(f'"{word}"' in text for word in ("minimum", "maximum", "pattern", "maxItems"))


def test_a_schema_that_refers_to_itself_is_refused() -> None:
    schema = {
        "type": "object",
        "properties": {"child": {"$ref": "#/$defs/node"}},
        "required": ["child"],
        "additionalProperties": False,
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}},
                "required": ["next"],
                "additionalProperties": False,
            }
        },
    }
    with pytest.raises(SpecError, match="refers to itself"):
        lower_anthropic(schema)
