"""The Responses wire: what only it has. What it shares with the others is in the contract of the dialects."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from inlay.errors import SpecError
from inlay.providers.compatible import CompatibleResponses
from inlay.providers.openai_chat import OpenAIChat
from inlay.providers.openai_responses import OpenAIResponses
from inlay.types import CallShape

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["good", "悪い"], "maxLength": 9}},
    "required": ["mood"],
    "additionalProperties": False,
}


def shape(**changes: Any) -> CallShape:
    given: dict[str, Any] = {
        "model": "gpt-6-luna",
        "system": "Be exact. 日本",
        "schema": SCHEMA,
        "schema_name": "read this",
        "max_output_tokens": 300,
        **changes,
    }
    return CallShape(**given)


def body_of(user: str = "hello", **changes: Any) -> dict[str, Any]:
    return orjson.loads(OpenAIResponses().encoder(shape(**changes))(user).body)


def test_a_request_holds_what_openai_asks_for() -> None:
    body = body_of('She said "いいね" 😀')
    key = body.pop("prompt_cache_key")
    assert body == {
        "model": "gpt-6-luna",
        "instructions": "Be exact. 日本",
        "input": 'She said "いいね" 😀',
        "text": {
            "format": {
                "type": "json_schema",
                "name": "read_this",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"mood": {"type": "string", "enum": ["good", "悪い"]}},
                    "required": ["mood"],
                    "additionalProperties": False,
                },
            }
        },
        "max_output_tokens": 300,
        "store": False,
    }
    assert key.startswith("inlay-")
    assert len(key) <= 64
    assert "instructions" not in body_of(system="")
    assert body_of(temperature=0.0)["temperature"] == 0.0


def test_instructions_and_schema_come_before_nothing_but_the_record() -> None:
    request = OpenAIResponses().encoder(shape())("RECORD").body
    assert request.index(b"Be exact.") < request.index(b"RECORD")


def test_the_cache_key_is_that_of_the_constant_part() -> None:
    key = body_of("one")["prompt_cache_key"]
    assert body_of("two")["prompt_cache_key"] == key
    others = [
        {"system": "Be brief."},
        {"model": "gpt-6-terra"},
        {"user_prefix": "Read: "},
        {"schema_name": "other"},
        {"schema": {**SCHEMA, "properties": {"mood": {"type": "string"}}}},
    ]
    keys = {body_of(**change)["prompt_cache_key"] for change in others}
    assert len(keys) == len(others)
    assert key not in keys
    assert "prompt_cache_key" not in body_of(cache=False)
    assert body_of(options={"prompt_cache_key": "mine"})["prompt_cache_key"] == "mine"


def test_the_store_cannot_be_switched_on() -> None:
    for value in (True, None, "true"):
        with pytest.raises(SpecError, match="`store` cannot be set") as caught:
            body_of(options={"store": value})
        assert "never left with the provider" in caught.value.remedy
    assert body_of(options={"store": False})["store"] is False


def test_the_chat_wires_words_for_reasoning_and_verbosity_serve_here_too() -> None:
    options = {"reasoning_effort": "low", "verbosity": "low", "service_tier": "flex"}
    body = body_of(options=options)
    assert body["reasoning"] == {"effort": "low"}
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"]["name"] == "read_this"
    assert body["service_tier"] == "flex"
    assert "reasoning_effort" not in body
    assert "verbosity" not in body
    chat = orjson.loads(OpenAIChat().encoder(shape(options=options))("x").body)
    assert (chat["reasoning_effort"], chat["verbosity"]) == ("low", "low")
    both = body_of(options={"reasoning": {"summary": "auto"}, "reasoning_effort": "high"})
    assert both["reasoning"] == {"summary": "auto", "effort": "high"}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "options.reasoning_effort"),
        ({"text": {"verbosity": "low"}, "verbosity": "low"}, "options.verbosity"),
        ({"text": "short"}, "options.text"),
        ({"reasoning": "low"}, "options.reasoning"),
        ({"text": {"format": {"type": "text"}}}, "options.text"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError) as caught:
        body_of(options=options)
    assert caught.value.key == key
    assert caught.value.remedy


def test_the_declarations_own_options_stay_as_they_are() -> None:
    options = {"reasoning": {"summary": "auto"}, "text": {"verbosity": "low"}, "reasoning_effort": "high"}
    before = orjson.dumps(options)
    OpenAIResponses().encoder(shape(options=options))
    assert orjson.dumps(options) == before


def test_another_server_is_asked_at_its_own_place() -> None:
    dialect = CompatibleResponses("http://127.0.0.1:8000/v1/")
    request = dialect.encoder(shape(options={"top_k": 5}))("x")
    assert request.url == "http://127.0.0.1:8000/v1/responses"
    assert orjson.loads(request.body)["top_k"] == 5
    with pytest.raises(SpecError, match="needs an `endpoint`"):
        CompatibleResponses()
