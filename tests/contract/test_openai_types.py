"""Requests and answers held against the types of OpenAI's own client: any declaration makes a body that it could have
sent, and what it could have received is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from dialect_scene import WIRES, body_of
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from openai.types.responses import (
    Response,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails, ResponseUsage
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from inlay.engine.ask import answer_schema, default_max_output_tokens, system_prompt
from inlay.errors import Refused, SpecError
from inlay.providers.azure import AzureChat, AzureResponses
from inlay.providers.openai_chat import OpenAIChat
from inlay.providers.openai_responses import OpenAIResponses
from inlay.spec.fields import FieldSpec
from inlay.testing.strict import strict_problem
from inlay.types import CallShape, Usage

STRICT = ConfigDict(extra="forbid")
# As an item of a list: only then does the config reach the TypedDicts within.
CHAT = TypeAdapter(list[CompletionCreateParamsNonStreaming], config=STRICT)
RESPONSES = TypeAdapter(list[ResponseCreateParamsNonStreaming], config=STRICT)

AZURE = "https://res.openai.azure.com"
SENDERS: list[tuple[str, Callable[[], OpenAIChat], TypeAdapter[Any]]] = [
    ("chat", OpenAIChat, CHAT),
    ("responses", OpenAIResponses, RESPONSES),
    ("azure chat", lambda: AzureChat(AZURE), CHAT),
    ("azure dated chat", lambda: AzureChat(AZURE, api_version="2025-04-01-preview"), CHAT),
    ("azure responses", lambda: AzureResponses(AZURE), RESPONSES),
]

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and bool(text)
)
base: dict[str, st.SearchStrategy[Any]] = {"description": st.text(max_size=20), "nullable": st.booleans()}
plain = st.one_of(
    st.builds(FieldSpec, type=st.sampled_from(["string", "text"]), max_length=st.none() | st.integers(1, 900), **base),
    st.builds(FieldSpec, type=st.just("string"), pattern=st.sampled_from([None, "[a-z]+", "(?i)x", "a|b"]), **base),
    st.builds(
        FieldSpec, type=st.just("integer"), min=st.none() | st.integers(-9, 0), max=st.none() | st.integers(1, 9)
    ),
    st.builds(FieldSpec, type=st.sampled_from(["number", "boolean", "date", "datetime"]), **base),
    st.builds(
        FieldSpec,
        type=st.just("enum"),
        values=st.lists(words, min_size=2, max_size=6, unique_by=str.casefold).map(tuple),
        **base,
    ),
)
nested = plain | st.builds(
    FieldSpec, type=st.just("object"), fields=st.dictionaries(names, plain, min_size=1, max_size=3), **base
)
fields = nested | st.builds(
    FieldSpec, type=st.just("list"), items=nested, max_items=st.none() | st.integers(1, 9), **base
)
asked = st.builds(
    lambda field, confidence, evidence: field.model_copy(update={"confidence": confidence, "evidence": evidence}),
    fields,
    st.booleans(),
    st.booleans(),
)
declared = st.dictionaries(names, asked, min_size=1, max_size=5)
options = st.fixed_dictionaries(
    {},
    optional={
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "verbosity": st.just("low"),
        "service_tier": st.just("flex"),
        "top_p": st.floats(0, 1),
        "metadata": st.just({"team": "日本"}),
        "safety_identifier": st.just("x"),
    },
)


def held(adapter: TypeAdapter[Any], body: Any) -> Any:
    """The body as the client's types read it, with all that is checked only when it is iterated."""
    return orjson.loads(adapter.dump_json(adapter.validate_python([body])))[0]


@pytest.mark.parametrize(("make", "adapter"), [pair[1:] for pair in SENDERS], ids=[pair[0] for pair in SENDERS])
@given(
    declared=declared,
    options=options,
    user=st.text(max_size=30),
    name=st.text(max_size=70),
    temperature=st.none() | st.floats(0, 2),
)
def test_any_declaration_makes_a_body_that_the_client_could_have_sent(
    make: Callable[[], OpenAIChat],
    adapter: TypeAdapter[Any],
    declared: dict[str, FieldSpec],
    options: dict[str, Any],
    user: str,
    name: str,
    temperature: float | None,
) -> None:
    shape = CallShape(
        model="gpt-6-luna",
        system=system_prompt(declared),
        schema=answer_schema(declared),
        schema_name=name,
        max_output_tokens=default_max_output_tokens(declared),
        temperature=temperature,
        options=options,
    )
    try:
        encode = make().encoder(shape)
    except SpecError as error:
        assert "Azure" in error.message  # noqa: PT017 (only its limits are low enough to be met here)
        return
    body = orjson.loads(encode(user).body)
    assert held(adapter, body) == body
    if adapter is CHAT:
        schema = body["response_format"]["json_schema"]["schema"]
        assert body["messages"][-1] == {"role": "user", "content": user}
    else:
        schema = body["text"]["format"]["schema"]
        assert (body["input"], body["store"]) == (user, False)
        assert body.get("reasoning", {}).get("effort") == options.get("reasoning_effort")
    assert strict_problem(schema) is None


@pytest.mark.parametrize(
    ("adapter", "body"),
    [
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_output_tokens": 5}),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": "x", "more": 1}]}),
        (CHAT, {"model": "m", "messages": [], "response_format": {"type": "json_schema", "json_schema": {"x": 1}}}),
        (RESPONSES, {"model": "m", "input": "x", "messages": []}),
        (RESPONSES, {"model": "m", "input": "x", "text": {"format": {"type": "json_schema", "json_schema": {}}}}),
        (RESPONSES, {"model": "m", "input": "x", "reasoning_effort": "low"}),
    ],
)
def test_the_clients_types_do_refuse_what_is_wrong(adapter: TypeAdapter[Any], body: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, PydanticSerializationError)):
        held(adapter, body)


# --- answers

tokens = st.integers(0, 10**7)


@given(
    content=st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    finish=st.sampled_from(["stop", "length", "tool_calls"]),
    counts=st.tuples(tokens, tokens, tokens, tokens, tokens),
    details=st.booleans(),
)
def test_any_chat_completion_of_the_client_is_read(content: Any, finish: Any, counts: Any, details: bool) -> None:
    given_, written, cached, wrote, reasoning = counts
    said = ChatCompletionMessage(role="assistant", content=content)
    whole = ChatCompletion(
        id="chatcmpl-1",
        created=1,
        model="gpt-6-luna-1",
        object="chat.completion",
        choices=[Choice(index=0, finish_reason=finish, message=said)],
        usage=CompletionUsage(
            prompt_tokens=given_,
            completion_tokens=written,
            total_tokens=given_ + written,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=cached, cache_write_tokens=wrote)
            if details
            else None,
            completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning) if details else None,
        ),
    )
    for make in (OpenAIChat, lambda: AzureChat(AZURE)):
        found = make().read(200, {"x-request-id": "r"}, whole.model_dump_json().encode())
        assert found.text == (content or "")
        assert found.truncated is (finish == "length")
        assert found.usage == (Usage(*counts) if details else Usage(given_, written))
        assert (found.served_model, found.request_id) == ("gpt-6-luna-1", "r")


def response(output: list[Any], usage: ResponseUsage | None, *, cut: bool) -> Response:
    return Response(
        id="resp_1",
        created_at=1.0,
        model="gpt-6-luna-1",
        object="response",
        output=output,
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
        status="incomplete" if cut else "completed",
        incomplete_details=IncompleteDetails(reason="max_output_tokens") if cut else None,
        usage=usage,
    )


def message(*content: Any) -> ResponseOutputMessage:
    return ResponseOutputMessage(id="m", content=list(content), role="assistant", status="completed", type="message")


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), max_size=3),
    thinks=st.booleans(),
    cut=st.booleans(),
    counts=st.none() | st.tuples(tokens, tokens, tokens, tokens, tokens),
)
def test_any_response_of_the_client_is_read(texts: list[str], thinks: bool, cut: bool, counts: Any) -> None:
    output: list[Any] = [ResponseReasoningItem(id="r", summary=[], type="reasoning")] if thinks else []
    output.append(message(*(ResponseOutputText(annotations=[], text=text, type="output_text") for text in texts)))
    usage = None
    if counts is not None:
        given_, written, cached, wrote, reasoning = counts
        usage = ResponseUsage(
            input_tokens=given_,
            input_tokens_details=InputTokensDetails(cached_tokens=cached, cache_write_tokens=wrote),
            output_tokens=written,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
            total_tokens=given_ + written,
        )
    whole = response(output, usage, cut=cut)
    for make in (OpenAIResponses, lambda: AzureResponses(AZURE)):
        found = make().read(200, {}, whole.model_dump_json().encode())
        assert found.text == whole.output_text == "".join(texts)
        assert found.truncated is cut
        assert found.usage == (None if counts is None else Usage(*counts))
        assert (found.served_model, found.request_id) == ("gpt-6-luna-1", "resp_1")


def test_a_refusal_of_the_client_is_one() -> None:
    whole = response([message(ResponseOutputRefusal(refusal="I cannot.", type="refusal"))], None, cut=False)
    with pytest.raises(Refused, match=r"I cannot\."):
        OpenAIResponses().read(200, {}, whole.model_dump_json().encode())


def _real(name: str, shows: tuple[str, ...]) -> list[Any]:
    """Fixtures that claim to be OpenAI's own answers; those of gateways and older servers claim no such thing."""
    (wire,) = [wire for wire in WIRES if wire.name == name]
    cases = [case for case in wire.cases if case["status"] == 200 and case["shows"] in shows]
    return [pytest.param(case, id=case["name"]) for case in cases if isinstance(case["body"], dict)]


@pytest.mark.parametrize("case", _real("openai_chat", ("usage_details", "usage_bare", "filtered_out", "truncated")))
def test_fixtures_of_the_chat_wire_have_the_clients_shape(case: dict[str, Any]) -> None:
    assert ChatCompletion.model_validate_json(body_of(case)).choices


@pytest.mark.parametrize("case", _real("openai_responses", ("usage_details", "filtered_out", "usage_absent")))
def test_fixtures_of_the_responses_wire_have_the_clients_shape(case: dict[str, Any]) -> None:
    assert Response.model_validate_json(body_of(case)).output
