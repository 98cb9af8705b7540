"""Messages requests and answers held against the types of Anthropic's own client."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.types import Message, TextBlock, ThinkingBlock
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from anthropic.types.refusal_stop_details import RefusalStopDetails
from anthropic.types.usage import Usage as TheirUsage
from dialect_scene import WIRES, body_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from test_openai_types import declared

from inlay.engine.ask import answer_schema, default_max_output_tokens, system_prompt
from inlay.errors import Refused
from inlay.providers.abilities import abilities
from inlay.providers.anthropic import AnthropicMessages
from inlay.providers.bedrock_invoke import BedrockInvoke
from inlay.spec.fields import FieldSpec
from inlay.testing.anthropic_subset import subset_problem
from inlay.types import CallShape, Usage

STRICT = ConfigDict(extra="forbid")
MESSAGES = TypeAdapter(list[MessageCreateParamsNonStreaming], config=STRICT)
options = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "high"]),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "disabled"}]),
        "service_tier": st.just("standard_only"),
        "metadata": st.just({"user_id": "日本"}),
        "stop_sequences": st.just(["END"]),
    },
)
models = st.sampled_from(["claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-5-5", "claude-opus-4-20250514", "m"])


def held(body: Any) -> Any:
    """The body as the client's types read it, with all that is checked only when it is iterated."""
    return orjson.loads(MESSAGES.dump_json(MESSAGES.validate_python([body])))[0]


@given(
    declared=declared,
    options=options,
    model=models,
    user=st.text(max_size=30),
    prefix=st.sampled_from(["", "Read this review, then fill in the fields. " * 200]),
)
def test_any_declaration_makes_a_body_that_the_client_could_have_sent(
    declared: dict[str, FieldSpec], options: dict[str, Any], model: str, user: str, prefix: str
) -> None:
    shape = CallShape(
        model=model,
        system=system_prompt(declared),
        schema=answer_schema(declared),
        schema_name="read",
        max_output_tokens=default_max_output_tokens(declared),
        options=options,
        user_prefix=prefix,
        abilities=abilities("anthropic", model),
    )
    for request in (
        AnthropicMessages().encoder(shape)(prefix + user),
        BedrockInvoke("https://x").encoder(_on_bedrock(shape))(prefix + user),
    ):
        body = orjson.loads(request.body)
        if body.pop("anthropic_version", None):
            body["model"] = model
        assert held(body) == body
        content = body["messages"][0]["content"]
        said = content if isinstance(content, str) else "".join(block["text"] for block in content)
        assert said == prefix + user
        assert body.get("output_config", {}).get("effort", options.get("effort")) == options.get("effort") or (
            not {"effort", "thinking"} & set(options)
        )
        wanted = body.get("output_config", {}).get("format")
        if wanted is not None:
            assert subset_problem(wanted["schema"]) is None
        else:
            assert model.startswith("claude-opus-4-2") or "JSON Schema" in body["system"][0]["text"]


def _on_bedrock(shape: CallShape) -> CallShape:
    from dataclasses import replace

    return replace(shape, model=f"eu.anthropic.{shape.model}-v1:0")


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": [{"role": "user", "content": "x"}]},
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x", "more": 1}]},
        {"model": "m", "max_tokens": 5, "messages": [], "output_config": {"format": {"type": "json_schema"}}},
        {"model": "m", "max_tokens": 5, "messages": [], "temperature": 0.5},
        {"model": "m", "max_tokens": 5, "messages": [], "thinking": {"type": "off"}},
    ],
)
def test_the_clients_types_do_refuse_what_is_wrong(body: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, PydanticSerializationError)):
        held(body)


tokens = st.integers(0, 10**7)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), min_size=1, max_size=3),
    thinks=st.booleans(),
    reason=st.sampled_from(["end_turn", "max_tokens", "stop_sequence"]),
    counts=st.tuples(tokens, tokens, tokens, tokens),
)
def test_any_message_of_the_client_is_read(texts: list[str], thinks: bool, reason: Any, counts: Any) -> None:
    fresh, written, read, kept = counts
    content: list[Any] = [ThinkingBlock(type="thinking", thinking="{}", signature="s")] if thinks else []
    content += [TextBlock(type="text", text=text) for text in texts]
    whole = message(content, reason, TheirUsage(
        input_tokens=fresh,
        output_tokens=written,
        cache_read_input_tokens=read,
        cache_creation_input_tokens=kept,
    ))  # fmt: skip
    for dialect in (AnthropicMessages(), BedrockInvoke("https://x")):
        found = dialect.read(200, {}, whole.model_dump_json().encode())
        assert found.text == "".join(texts)
        assert found.truncated is (reason == "max_tokens")
        assert found.usage == Usage(fresh + read + kept, written, read, kept)
        assert (found.served_model, found.request_id) == ("claude-haiku-5-5", "msg_1")


def message(content: list[Any], reason: Any, usage: TheirUsage, **more: Any) -> Message:
    return Message(
        id="msg_1",
        type="message",
        role="assistant",
        model="claude-haiku-5-5",
        content=content,
        stop_reason=reason,
        usage=usage,
        **more,
    )


def test_a_refusal_of_the_client_is_one() -> None:
    details = RefusalStopDetails(type="refusal", category="cyber", explanation="No.")
    whole = message([], "refusal", TheirUsage(input_tokens=1, output_tokens=2), stop_details=details)
    with pytest.raises(Refused, match=r"cyber: No\."):
        AnthropicMessages().read(200, {}, whole.model_dump_json().encode())


CASES = [
    pytest.param(case, id=case["name"])
    for wire in WIRES
    if wire.name == "anthropic_messages"
    for case in wire.cases
    if case["status"] == 200
    and case["body"].get("type") == "message"
    and case.get("usage", ()) is not None
    and case["name"] != "a_new_reason"
]


@pytest.mark.parametrize("case", CASES)
def test_fixtures_have_the_clients_shape(case: dict[str, Any]) -> None:
    assert Message.model_validate_json(body_of(case)).id == "msg_01A"
