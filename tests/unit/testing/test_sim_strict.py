"""The strict subset: what the real service refuses is refused here, with the place in the schema."""

from __future__ import annotations

import pytest

from inlay.testing import Simulator
from inlay.testing.strict import strict_problem


def obj(**properties):
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def nested(levels: int):
    return obj(a=nested(levels - 1)) if levels else {"type": "string"}


GOOD = [
    obj(),
    obj(名前={"type": ["string", "null"], "pattern": "^あ+$"}, n={"type": "integer", "minimum": 1, "maximum": 5}),
    obj(a={"anyOf": [obj(b={"type": "boolean"}), {"type": "null"}]}, c={"type": "array", "items": {"enum": ["x"]}}),
    {**obj(a={"$ref": "#/$defs/d"}), "$defs": {"d": obj(again={"anyOf": [{"$ref": "#"}, {"type": "null"}]})}},
    obj(day={"type": "string", "format": "date", "description": "a day"}),
    nested(9),
]
BAD = [
    ({"type": "array", "items": {"type": "string"}}, (), "type"),
    ({"anyOf": [obj(), obj()]}, (), "anyOf"),
    ({**obj(a={"type": "string"}), "additionalProperties": True}, (), "additionalProperties"),
    ({"type": "object", "properties": {}, "required": []}, (), "additionalProperties"),
    ({**obj(a={"type": "string"}), "required": []}, (), "Missing 'a'"),
    ({**obj(a={"type": "string"}), "required": ["a", "b"]}, (), "Extra required"),
    (obj(a={"oneOf": [{"type": "string"}]}), ("properties", "a"), "oneOf"),
    (obj(a={"type": "string", "default": "x"}), ("properties", "a"), "default"),
    (obj(a={"type": "string", "maxLength": 5}), ("properties", "a"), "maxLength"),
    (obj(a={"type": "array", "items": {"type": "string"}, "uniqueItems": True}), ("properties", "a"), "uniqueItems"),
    (obj(a={"type": "array"}), ("properties", "a"), "items"),
    (obj(a={}), ("properties", "a"), "'type' key"),
    (obj(a={"type": "text"}), ("properties", "a"), "not a valid type"),
    (obj(a={"type": "string", "format": "uri"}), ("properties", "a"), "format"),
    (obj(a={"type": "string", "pattern": "(?=x)y"}), ("properties", "a"), "lookaround"),
    (obj(a={"$ref": "#/$defs/none"}), ("properties", "a"), "not found"),
    ({**obj(a={"$ref": "#/$defs/d", "description": "x"}), "$defs": {"d": obj()}}, ("properties", "a"), "$ref"),
    (obj(a=obj(b={"type": "object"})), ("properties", "a", "properties", "b"), "additionalProperties"),
    (obj(a={"enum": []}), ("properties", "a"), "enum"),
    (obj(a={"type": "string", "enum": [f"{n:061d}" for n in range(251)]}), ("properties", "a"), "15000"),
    (obj(a={"type": "integer", "enum": list(range(1001))}), (), "1001 enum values"),
    (nested(10), ("properties", "a") * 10, "nesting"),
]


@pytest.mark.parametrize("schema", GOOD)
def test_schemas_in_the_subset(schema):
    assert strict_problem(schema) is None


@pytest.mark.parametrize(("schema", "context", "words"), BAD)
def test_schemas_outside_it(schema, context, words):
    found = strict_problem(schema)
    assert found is not None
    assert found[0] == context
    assert words in found[1]


def test_on_the_wire_as_openai_says_it(client, sim):
    wrong = obj(a={"type": "string", "default": "x"})
    answer = client.ask(sim.endpoint, client.body(schema=wrong))
    assert answer.status == 400
    error = answer.json["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "response_format", None)
    assert error["message"] == (
        "Invalid schema for response_format 'answer': In context=('properties', 'a'), 'default' is not permitted."
    )
    assert client.ask(sim.endpoint, client.body(schema=wrong, strict=False)).status == 200


def test_the_check_can_be_switched_off(client):
    with Simulator(check_schema=False) as sim:
        assert client.ask(sim.endpoint, client.body(schema={"type": "object", "properties": {}})).status == 200
