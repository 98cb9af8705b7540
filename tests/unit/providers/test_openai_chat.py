"""The OpenAI chat wire: request bytes, and every outcome that a 200 may carry."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.contracts import Dialect
from inlay.errors import (
    ContentFiltered,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    SpecError,
    SpendLimitReached,
    Unreadable,
)
from inlay.providers.compatible import CompatibleChat
from inlay.providers.openai_chat import OpenAIChat
from inlay.providers.transport import Transport
from inlay.testing import FAULTS, Simulator
from inlay.types import CallShape, Usage

SCHEMA = {
    "type": "object",
    "properties": {
        "sentiment": {"type": ["string", "null"], "enum": ["positive", "否定的", None]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["sentiment", "stars"],
    "additionalProperties": False,
}


def shape(**changes: Any) -> CallShape:
    given: dict[str, Any] = {
        "model": "gpt-6-luna",
        "system": "Answer from the record alone. レコードだけ",
        "schema": SCHEMA,
        "schema_name": "read",
        "max_output_tokens": 300,
        **changes,
    }
    return CallShape(**given)


def body_of(chat: OpenAIChat, user: str = "hello", **changes: Any) -> dict[str, Any]:
    return orjson.loads(chat.encoder(shape(**changes))(user).body)


def answer(message: Any = None, *, finish: Any = "stop", **extra: Any) -> bytes:
    message = {"role": "assistant", "content": '{"stars":5}', "refusal": None} if message is None else message
    body = {
        "id": "chatcmpl-1",
        "model": "gpt-6-luna-2026-09-22",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        **extra,
    }
    return json.dumps(body).encode()


def read(body: bytes, status: int = 200, **headers: str) -> Any:
    return OpenAIChat().read(status, headers, body)


# --- requests


def test_a_request_holds_what_openai_asks_for() -> None:
    chat: Dialect = OpenAIChat()
    request = chat.encoder(shape())('She said "いいね" 😀\n\x07')
    assert request.url == "https://api.openai.com/v1/chat/completions"
    assert dict(request.headers) == {"content-type": "application/json"}
    body = orjson.loads(request.body)
    assert body == {
        "model": "gpt-6-luna",
        "messages": [
            {"role": "system", "content": "Answer from the record alone. レコードだけ"},
            {"role": "user", "content": 'She said "いいね" 😀\n\x07'},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "read", "strict": True, "schema": SCHEMA}},
        "max_completion_tokens": 300,
    }


def test_a_compatible_server_gets_the_older_name_of_the_cap() -> None:
    body = body_of(CompatibleChat("http://127.0.0.1:8000/v1/"))
    assert body["max_tokens"] == 300
    assert "max_completion_tokens" not in body
    assert CompatibleChat("http://127.0.0.1:8000/v1/").url("x") == "http://127.0.0.1:8000/v1/chat/completions"
    with pytest.raises(SpecError, match="endpoint"):
        CompatibleChat()


def test_temperature_is_sent_only_where_it_is_given() -> None:
    assert "temperature" not in body_of(OpenAIChat())
    assert body_of(OpenAIChat(), temperature=0.0)["temperature"] == 0.0


def test_options_come_last_and_stay_out_of_what_inlay_writes() -> None:
    body = body_of(OpenAIChat(), options={"reasoning_effort": "low", "seed": 7}, temperature=0.2)
    assert (body["reasoning_effort"], body["seed"], body["temperature"]) == ("low", 7, 0.2)
    assert body_of(OpenAIChat(), options={"stream": False, "n": 1})["n"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"model": "x"},
        {"messages": []},
        {"response_format": {}},
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"stream": True},
        {"n": 2},
        {"best_of": 3},
    ],
)
def test_an_option_that_would_change_the_call_is_refused(options: dict[str, Any]) -> None:
    (key,) = options
    with pytest.raises(SpecError) as caught:
        OpenAIChat().encoder(shape(options=options))
    assert caught.value.key == f"options.{key}"
    assert caught.value.remedy


def test_an_option_that_is_no_json_is_refused() -> None:
    with pytest.raises(SpecError, match="JSON"):
        OpenAIChat().encoder(shape(options={"logit_bias": {1: object()}}))


@pytest.mark.parametrize(
    ("given_name", "sent"), [("My reads / 日本", "My_reads_____"), ("a" * 90, "a" * 64), ("", "answer")]
)
def test_the_schema_name_fits_openais_alphabet(given_name: str, sent: str) -> None:
    assert body_of(OpenAIChat(), schema_name=given_name)["response_format"]["json_schema"]["name"] == sent


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=60))
def test_any_text_makes_a_sound_request_and_arrives_unchanged(text: str) -> None:
    sent = body_of(OpenAIChat(), text)["messages"][1]["content"]
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert sent == text
    else:
        assert sent == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- answers


def test_a_whole_answer() -> None:
    usage = {
        "prompt_tokens": 2000,
        "completion_tokens": 50,
        "total_tokens": 2050,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    got = read(answer(usage=usage), **{"x-request-id": "req_7"})
    assert got.text == '{"stars":5}'
    assert got.usage == Usage(2000, 50, 1024, 128, 30)
    assert (got.served_model, got.request_id, got.truncated) == ("gpt-6-luna-2026-09-22", "req_7", False)


def test_a_cut_answer_is_a_completion_that_says_so() -> None:
    got = read(answer({"content": '{"stars"'}, finish="length"))
    assert (got.text, got.truncated, got.usage) == ('{"stars"', True, Usage(100, 20))
    nothing = read(answer({"content": None}, finish="length"))
    assert (nothing.text, nothing.truncated) == ("", True)


def test_a_refusal_is_paid_and_says_why() -> None:
    with pytest.raises(Refused, match="I cannot help") as caught:
        read(answer({"content": None, "refusal": "I cannot help with that."}))
    assert caught.value.usage == Usage(100, 20)
    assert caught.value.possibly_paid is False
    with pytest.raises(Refused) as parts:
        read(answer({"content": [{"type": "refusal", "refusal": "no"}]}, usage=None))
    assert parts.value.possibly_paid is True


def test_a_filtered_answer_is_paid() -> None:
    with pytest.raises(ContentFiltered) as caught:
        read(answer({"content": '{"st'}, finish="content_filter"))
    assert caught.value.usage == Usage(100, 20)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({}, ""),
        ({"content": [{"type": "text", "text": '{"a":'}, {"type": "x"}, {"type": "text", "text": "1}"}]}, '{"a":1}'),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a":2}'}}]}, '{"a":2}'),
        ({"content": None, "tool_calls": [{}, {}]}, ""),
        ({"content": None, "function_call": {"arguments": '{"a":3}'}}, '{"a":3}'),
        ({"content": "seen", "refusal": "though", "reasoning_content": "hm"}, "seen"),
    ],
)
def test_content_in_other_shapes(message: dict[str, Any], text: str) -> None:
    assert read(answer(message, finish="tool_calls" if "tool_calls" in message else "stop")).text == text


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": None, "completion_tokens": 1}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, None),
        ({"prompt_tokens": "5", "completion_tokens": 1}, None),
        ([], None),
        ({"prompt_tokens": 5.0, "completion_tokens": 1}, Usage(5, 1)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
            Usage(5, 1),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": None}},
            Usage(5, 1),
        ),
    ],
)
def test_usage_is_told_or_unknown(usage: Any, expected: Usage | None) -> None:
    assert read(answer(usage=usage)).usage == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{}",
        b"<!doctype html><html><body>Sign in</body></html>",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_200_without_a_completion_is_unreadable_and_may_be_paid(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        read(body)
    assert caught.value.possibly_paid is True
    assert caught.value.kind == "unreadable"
    assert len(str(caught.value)) < 500


def test_an_error_inside_a_200_is_read_as_what_it_is() -> None:
    with pytest.raises(RateLimited, match="slow down"):
        read(b'{"error": {"code": 429, "message": "slow down"}}')
    with pytest.raises(SpendLimitReached):
        read(b'{"error": {"code": 402, "message": "Insufficient credits"}}')
    with pytest.raises(Overloaded, match="upstream died") as caught:
        read(b'{"error": {"code": "server_error", "message": "upstream died"}}')
    assert caught.value.possibly_paid is True
    inside = {"finish_reason": "error", "error": {"code": 502, "message": "cut"}, "message": {"content": ""}}
    with pytest.raises(Overloaded, match="cut"):
        read(json.dumps({"choices": [inside]}).encode())


def test_a_lone_surrogate_in_the_envelope_does_not_lose_the_answer() -> None:
    body = b'{"choices":[{"finish_reason":"stop","message":{"content":"{\\"a\\":\\"\\ud83d\\"}"}}]}'
    assert read(body).text == '{"a":"\ud83d"}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "message",
                        "content",
                        "finish_reason",
                        "usage",
                        "error",
                        "code",
                        "refusal",
                        "tool_calls",
                        "model",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from([200, 201, 204, 302, 400, 403, 404, 429, 500, 999]),
)
def test_no_json_raises_anything_but_a_provider_error(data: Any, status: int) -> None:
    try:
        said = OpenAIChat().read(status, {}, json.dumps(data).encode()).text
    except ProviderError as error:
        said = error.message
    assert isinstance(said, str)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_provider_error(body: bytes) -> None:
    for status in (200, 400, 500):
        with pytest.raises(ProviderError):
            OpenAIChat().read(status, {"retry-after": "soon"}, body)


# --- against the simulator

EXPECTED = {
    "http_500": "overloaded",
    "http_503": "overloaded",
    "http_529": "overloaded",
    "http_429": "rate_limited",
    "http_429_quota": "spend_limit",
    "http_401": "authentication",
    "http_403": "authentication",
    "http_404": "model_not_found",
    "http_400_schema": "schema_rejected",
    "http_400_context": "too_long",
    "http_400_filter": "content_filtered",
    "http_413": "too_long",
    "redirect": "run",
    "timeout": "timeout",
    "slow_headers": "timeout",
    "dribble": "timeout",
    "stall_mid_body": "timeout",
    "reset": "connection",
    "reset_mid_body": "connection",
    "hang_up": "connection",
    "garbage_chunk": "unreadable",
    "empty_200": "unreadable",
    "html_200": "unreadable",
    "null_body": "unreadable",
    "no_choices": "unreadable",
    "error_in_200": "overloaded",
    "bad_utf8": "unreadable",
    "huge_body": "unreadable",
    "refusal": "refused",
    "filtered": "content_filtered",
}


async def _once(endpoint: str, timeout_s: float = 1.0) -> tuple[str, str]:
    """The outcome of one call ("answered", "truncated" or the error's kind) and the error's text."""
    chat = OpenAIChat(endpoint)
    secret = chat.auth("sk-canary-0123456789")
    async with Transport(endpoint, secret, concurrency=2, timeout_s=timeout_s, env={}) as sender:
        try:
            got = chat.read(*await sender.send(chat.encoder(shape())("これは good です")))
        except ProviderError as error:
            return error.kind, str(error)
    return "truncated" if got.truncated else "answered", ""


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_fault_of_the_simulator_has_its_class(fault: str) -> None:
    with Simulator(faults=[{"fault": fault}]) as sim:
        outcome, message = asyncio.run(_once(sim.endpoint))
        assert [call.fault for call in sim.ledger.calls] == [fault]
    assert "canary" not in message
    # Whatever is not named here is wrong in the content alone, which is read elsewhere.
    assert outcome == EXPECTED.get(fault, "truncated" if fault == "truncated" else "answered")


def test_the_simulator_takes_the_request_and_bills_what_was_read() -> None:
    with Simulator(api_keys={"sk-canary-0123456789"}, models=("gpt-6-luna",)) as sim:
        assert asyncio.run(_once(sim.endpoint, 10.0)) == ("answered", "")
        (call,) = sim.ledger.calls
    assert (call.status, call.model) == (200, "gpt-6-luna")
    assert call.prompt_tokens > 0
