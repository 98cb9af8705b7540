"""One form for a schema, whichever provider's subset it was written in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inlay.engine.ask import answer_schema
from inlay.providers.lower import lower_strict
from inlay.spec.fields import FieldSpec
from inlay.testing import Simulator
from inlay.testing.meaning import may_be_absent, meant, without_absent

FIELDS = {
    "étoiles": FieldSpec(type="integer", min=1, max=5, evidence=True),
    "prix": FieldSpec(type="number", min=0.5),
    "tags": FieldSpec(type="list", items=FieldSpec(type="enum", values=["a", "b"]), max_items=4),
    "salle": FieldSpec(type="object", fields={"floor": FieldSpec(type="integer", max=9)}),
}


def an_object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def test_the_strict_form_comes_out_as_it_went_in():
    schema = lower_strict(answer_schema(FIELDS))
    assert meant(schema) == schema
    assert meant(meant(schema)) == schema


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (
            {"type": "integer", "description": "Stars.\n\n{minimum: 1, maximum: 5}"},
            {"type": "integer", "description": "Stars.", "minimum": 1, "maximum": 5},
        ),
        (
            {"type": "integer", "description": "How many. From 1 to 5."},
            {"type": "integer", "description": "How many. From 1 to 5.", "minimum": 1, "maximum": 5},
        ),
        (
            {"type": "number", "description": "At least -0.5."},
            {"type": "number", "description": "At least -0.5.", "minimum": -0.5},
        ),
        (
            {"type": "string", "description": "{pattern: ^a{2}, b: c$}"},
            {"type": "string", "pattern": "^a{2}, b: c$"},
        ),
        (
            {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]},
            {"type": ["string", "null"], "enum": ["a", "b", None]},
        ),
        ({"enum": ["x", None]}, {"type": ["string", "null"], "enum": ["x", None]}),
        (
            {"type": ["array", "null"], "items": {"type": "string"}},
            {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        ),
        ({"type": "string", "description": "Say {this: or that} first."},) * 2,
    ],
)
def test_limits_and_unions_have_one_form(written, form):
    assert meant(an_object({"a": written}, ["a"]))["properties"]["a"] == form


def test_what_is_no_schema_stays_as_it_is():
    broken: list[dict[str, Any]] = [{"properties": 5}, {"enum": 7}, {"anyOf": 3}, {"type": {}}]
    assert [meant(schema) for schema in broken] == broken


def test_a_property_that_may_be_left_out_is_left_out_and_never_null(client):
    schema = an_object({"mood": {"type": "string"}, "room": an_object({"n": {"type": "integer"}}, [])}, ["room"])
    assert may_be_absent(schema)
    assert without_absent({"mood": None, "room": {"n": None}}, schema) == {"room": {}}
    form = {"format": {"type": "json_schema", "schema": schema}}
    seen = []
    with Simulator(null_share=0.5) as sim:
        for index in range(40):
            said = [{"role": "user", "content": f"نص {index} text"}]
            body = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": said, "output_config": form}
            answer = client.ask(sim.endpoint, body, path="/v1/messages").json
            seen.append(json.loads(answer["content"][0]["text"]))
    assert {frozenset(answer) for answer in seen} == {frozenset({"mood", "room"}), frozenset({"room"})}
    assert {frozenset(answer["room"]) for answer in seen} == {frozenset({"n"}), frozenset()}
    assert None not in [answer.get("mood", "") for answer in seen]


def test_secret_keys_are_shown_nowhere(client):
    with Simulator(aws_keys={"AKIASIM": "canary-secret"}) as sim:
        shown = client.ask(sim.endpoint, path="/control", method="GET").data
        assert b"latency" in shown
        assert b"canary" not in shown + repr(sim.ledger).encode()
