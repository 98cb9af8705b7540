"""AWS Bedrock's InvokeModel wire: each model in its maker's own body. No I/O.

Claude is asked in Anthropic's Messages body, every other model (gpt-oss and the open-weight ones) in OpenAI's chat
body; both without the model's name, which stands in the path. What stays true: an answer is read by its own shape, so
that what comes back decides, not what was thought of the model's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

from inlay.providers import wire
from inlay.providers.abilities import check_effort, check_temperature
from inlay.providers.anthropic import least_thinking, messages_encoder, read_message
from inlay.providers.bedrock import BedrockConverse, of_claude
from inlay.providers.bedrock_errors import bedrock_error, request_id_of
from inlay.providers.compatible import CompatibleChat
from inlay.providers.openai_chat import OpenAIChat
from inlay.types import CallShape, Completion, HttpRequest

ANTHROPIC_VERSION = "bedrock-2023-05-31"
_JSON = (("content-type", "application/json"), ("accept", "application/json"))
# gpt-oss may put what it thought before its answer.
_REASONING = re.compile(r"\s*<reasoning>.*?</reasoning>\s*", re.DOTALL)


class _Chat(OpenAIChat):
    name = "bedrock"


class _ChatInWords(CompatibleChat):
    """The schema in the system message, for a model that takes no `response_format`."""

    name = "bedrock"
    output_cap_key: ClassVar[str] = "max_completion_tokens"


class BedrockInvoke(BedrockConverse):
    """contracts.Dialect for `POST {endpoint}/model/{id}/invoke`."""

    operation: ClassVar[str] = "invoke"

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request. Raises SpecError as the maker's own
        wire does."""
        url = self.url(shape.model)
        if of_claude(shape.model):
            return messages_encoder(shape, url, {"anthropic_version": ANTHROPIC_VERSION}, _JSON)
        able = shape.abilities
        check_temperature(shape.model, shape.temperature, able)
        options = dict(shape.options)
        if "reasoning_effort" in options:
            check_effort(shape.model, options["reasoning_effort"], able, key="options.reasoning_effort")
        elif little := least_thinking(able).get("output_config"):
            options["reasoning_effort"] = little["effort"]
        if able.max_output_tokens is not None:
            shape = replace(shape, max_output_tokens=min(shape.max_output_tokens, able.max_output_tokens))
        structured = able.structured[0] == "json_schema"
        chat = _Chat("https://bedrock") if structured else _ChatInWords("https://bedrock", structured="prompt")
        encode = chat.encoder(replace(shape, options=options))
        named = len(b'{"model":%b,' % wire.json_text(shape.model))

        def without_model(user: str) -> HttpRequest:
            return HttpRequest(url, b"{" + encode(user).body[named:], _JSON)

        return without_model

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response, of whichever maker; see their wires."""
        provider, request_id = self.provider, request_id_of(headers)
        if not 200 <= status < 300:
            raise bedrock_error(status, headers, body, provider=provider)
        data = wire.parse_object(status, body, provider=provider, request_id=request_id)
        if "choices" in data:
            known = {"x-request-id": request_id} if request_id else {}
            found = _Chat("https://bedrock", provider=provider).read(status, known, body)
            text = (
                _REASONING.sub("", found.text, count=1) if found.text.lstrip().startswith("<reasoning>") else found.text
            )
            return replace(found, text=text)
        if isinstance(data.get("message"), str) and "content" not in data:
            raise bedrock_error(status, headers, body, provider=provider)
        return read_message(status, headers, body, provider=provider, request_id=request_id)
