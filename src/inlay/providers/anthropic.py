"""Anthropic's Messages wire: Claude at Anthropic, and on every gateway that speaks it. No I/O.

What stays true: the answer is the text (or the tool's input), never a thinking block, wherever that stands; a model
that thinks unasked is told not to, or to think little, unless `options` say how much; what a mark for the prompt cache
stands on is the same bytes for every call of a pass; usage counts cached tokens as input, which Anthropic does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from inlay.errors import ModelNotFound, ProviderError, Refused, SpecError, TooLong, Unreadable
from inlay.providers import wire
from inlay.providers.abilities import check_effort, check_temperature
from inlay.providers.errors_map import error_for, sentence, told
from inlay.providers.lower import lower_strict
from inlay.providers.lower_anthropic import TooComplex, lower_anthropic
from inlay.providers.prices import estimate_tokens
from inlay.types import Abilities, CallShape, Completion, HttpRequest, Usage

# The version of the raw HTTP documentation. The SDK from 2.0 on sends 2026-10-21 and a bearer token instead of
# `x-api-key`; both pairs are taken, and gateways and older proxies know this one for certain.
VERSION = "2023-06-01"
INTRODUCED = "Answer with one JSON object that fits this JSON Schema, and nothing else:\n"
_OWN_KEYS = {
    "model": "declare `model` of the pass",
    "messages": "declare `prompt` of the pass",
    "system": "declare `prompt` of the pass",
    "max_tokens": "declare `max_output_tokens` of the pass",
    "tools": "an answer is made from the record alone, and a tool's price cannot be bounded",
    "tool_choice": "how the answer's shape is asked for is `abilities: {structured: …}`",
    "output_format": "declare `fields` of the pass",
    "cache_control": "marks for the prompt cache are set where they pay",
    "stream": "answers are always read whole",
    "speed": "answers are asked for at the standard speed, whose price is known",
    "anthropic_version": "Inlay speaks one version",
}
_HARMLESS = {"stream": False, "speed": "standard"}
_CUT = frozenset(("max_tokens", "model_context_window_exceeded"))
_SAMPLING = ("top_p", "top_k")


class AnthropicMessages:
    """contracts.Dialect for `POST {endpoint}/v1/messages`.

    `provider` is the name that messages and the full model name carry.
    """

    name = "anthropic"
    default_endpoint: ClassVar[str | None] = "https://api.anthropic.com"
    endpoint_env: ClassVar[str | None] = "ANTHROPIC_BASE_URL"
    endpoint_example: ClassVar[str] = "https://api.anthropic.com"
    key_env: ClassVar[str | None] = "ANTHROPIC_API_KEY"
    key_hosts: ClassVar[tuple[str, ...]] = ("anthropic.com",)
    wires: ClassVar[Mapping[str, str]] = {"messages": "inlay.providers.anthropic:AnthropicMessages"}

    def __init__(self, endpoint: str | None = None, *, provider: str | None = None) -> None:
        base = endpoint or self.default_endpoint
        if not base:
            raise SpecError(f"`{self.name}` needs an `endpoint`", key="endpoint")
        self.base = base.rstrip("/").removesuffix("/v1/messages").removesuffix("/v1")
        self.provider = provider or self.name

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """Anthropic's own header for keys."""
        return (("x-api-key", secret),)

    def url(self, model: str) -> str:
        """Where the requests for a model go."""
        return self.base + "/v1/messages"

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request.

        `effort` (or `reasoning_effort`, as other wires call it) is put where this wire wants it. Raises SpecError for
        an option that Inlay writes itself, and for what the model is known to refuse.
        """
        headers = (("content-type", "application/json"), ("anthropic-version", VERSION))
        return messages_encoder(shape, self.url(shape.model), {"model": shape.model}, headers)

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response.

        Raises Refused with the `usage` that was charged, Unreadable for a 2xx that holds no answer, and what
        `errors_map` says for every other status.
        """
        if 200 <= status < 300:
            return read_message(status, headers, body, provider=self.provider, request_id=_request_id(headers))
        raise self._named(error_for(status, headers, told(status, body), provider=self.provider), headers)

    def _named(self, error: ProviderError, headers: Mapping[str, str]) -> ProviderError:
        error.request_id = error.request_id or _request_id(headers)
        if isinstance(error, ModelNotFound):
            error.remedy = "check `model`, and `endpoint`, which for Anthropic's wire ends before /v1"
        return error


# --- requests


def messages_encoder(
    shape: CallShape, url: str, first: Mapping[str, Any], headers: tuple[tuple[str, str], ...]
) -> Callable[[str], HttpRequest]:
    """A function that makes a Messages request of a user message; `first` are the keys that a carrier adds."""
    able = shape.abilities
    check_temperature(shape.model, shape.temperature, able)
    options = wire.checked_options(shape.options, _OWN_KEYS, _HARMLESS)
    rest = _sampling(shape, options) | _effort_and_thinking(shape, options)
    system, structured = _structure(shape, rest, options)
    config = {**rest.pop("output_config", {}), **structured.pop("output_config", {})}
    rest |= structured
    if config:
        rest["output_config"] = config
    rest.update(options)
    cap = shape.max_output_tokens
    body = {**first, "max_tokens": cap if able.max_output_tokens is None else min(cap, able.max_output_tokens), **rest}
    constant = system + json.dumps(structured or config)
    marked, split = cache_marks(shape, constant)
    before = wire.json_object(body)[:-1]
    if system:
        mark = b',"cache_control":{"type":"ephemeral"}' if marked else b""
        before += b',"system":[{"type":"text","text":%b%b}]' % (wire.json_text(system), mark)
    plain = _headed(wire.around(url, before + b',"messages":[{"role":"user","content":', b"}]}"), headers)
    if not split:
        return plain
    prefix = shape.user_prefix
    block_bytes = b'{"type":"text","text":%b,"cache_control":{"type":"ephemeral"}}' % wire.json_text(prefix)
    opening = before + b',"messages":[{"role":"user","content":[' + block_bytes + b',{"type":"text","text":'
    parted = _headed(wire.around(url, opening, b"}]}]}"), headers)
    return split_encoder(prefix, plain, parted)


def split_encoder(
    prefix: str, plain: Callable[[str], HttpRequest], parted: Callable[[str], HttpRequest]
) -> Callable[[str], HttpRequest]:
    """`parted` for what follows the prefix; `plain` for a message that does not begin with it or holds nothing more,
    since a block of text must not be blank."""

    def encode(user: str) -> HttpRequest:
        if user.startswith(prefix) and (rest := user[len(prefix) :]).strip():
            return parted(rest)
        return plain(user)

    return encode


def cache_marks(shape: CallShape, constant: str) -> tuple[bool, bool]:
    """Whether to mark the end of the system message, and the end of `user_prefix`, for the prompt cache.

    `constant` is the system message with the schema. Below the model's minimum a mark does nothing.
    """
    able = shape.abilities
    if not (shape.cache and able.cache_marks):
        return False, False
    marked = estimate_tokens(constant)[0] >= able.cache_min_tokens
    if not shape.user_prefix.strip():
        return marked, False
    return marked, estimate_tokens(constant + shape.user_prefix)[0] >= able.cache_min_tokens


def _headed(encode: Callable[[str], HttpRequest], headers: tuple[tuple[str, str], ...]) -> Callable[[str], HttpRequest]:
    def headed(user: str) -> HttpRequest:
        request = encode(user)
        return HttpRequest(request.url, request.body, headers)

    return headed


def _sampling(shape: CallShape, options: Mapping[str, Any]) -> dict[str, Any]:
    if not shape.abilities.temperature:
        for key in _SAMPLING:
            if key in options:
                raise SpecError(
                    f"{shape.model} takes no `{key}`", key=f"options.{key}", remedy=f"remove `{key}` from `options`"
                )
    if shape.temperature is None:
        return {}
    if shape.temperature > 1:
        raise SpecError("Claude's `temperature` goes from 0 to 1", key="temperature", remedy="write 1 or less")
    return {"temperature": shape.temperature}


def _effort_and_thinking(shape: CallShape, options: dict[str, Any]) -> dict[str, Any]:
    """The keys that say how much the model thinks, taken out of `options`; without a word there, as little as it can:
    an answer's cap holds for its thinking too."""
    able = shape.abilities
    config = options.pop("output_config", {})
    if not isinstance(config, Mapping) or "format" in config:
        raise SpecError(
            "`output_config` may hold `effort` alone",
            key="options.output_config",
            remedy="declare `fields` of the pass",
        )
    config = dict(config)
    for key in ("effort", "reasoning_effort"):
        if key in options:
            config["effort"] = options.pop(key)
            check_effort(shape.model, config["effort"], able, key=f"options.{key}")
    out: dict[str, Any] = {"output_config": config} if config else {}
    if "thinking" in options:
        thinking = out["thinking"] = options.pop("thinking")
        if not isinstance(thinking, Mapping):
            raise SpecError("`thinking` is an object", key="options.thinking", remedy="write {type: adaptive}")
    elif not config and (little := least_thinking(able)):
        out |= little
    return out


def least_thinking(able: Abilities) -> dict[str, Any]:
    """The keys that make a Claude think as little as it can."""
    if able.thinking == "default":
        return {"thinking": {"type": "disabled"}}
    if able.thinking == "between_tools":
        return {"thinking": {"type": "between_tools"}}
    if able.thinking == "always" and "low" in able.efforts:
        return {"output_config": {"effort": "low"}}
    return {}


def _structure(shape: CallShape, rest: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The system message, and the keys that ask for the shape of the answer in the best way that the model has."""
    problem: SpecError | None = None
    thinking = rest.get("thinking") or {}
    for kind in shape.abilities.structured:
        if kind == "json_schema":
            try:
                schema = lower_anthropic(shape.schema)
            except TooComplex as error:
                problem = error
                continue
            return shape.system, {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        if kind == "forced_tool":
            if thinking.get("type") in ("enabled", "adaptive"):
                continue  # a forced tool and thinking exclude each other, and thinking was asked for
            name = wire.schema_name(shape.schema_name)
            tool = {"name": name, "description": "Hands over the answer.", "input_schema": lower_strict(shape.schema)}
            choice = {"type": "tool", "name": name, "disable_parallel_tool_use": True}
            return shape.system, {"tools": [tool], "tool_choice": choice}
        if kind == "prompt":
            return in_words(shape), {}
    raise problem or SpecError(
        f"{shape.model} has no way left to be asked for the shape of an answer",
        key="abilities",
        remedy="add abilities: {structured: prompt}",
    )


def in_words(shape: CallShape) -> str:
    """The system message with the schema as text."""
    words = INTRODUCED + orjson.dumps(lower_strict(shape.schema)).decode()
    return f"{shape.system}\n\n{words}" if shape.system else words


# --- answers


def read_message(
    status: int, headers: Mapping[str, str], body: bytes, *, provider: str, request_id: str | None
) -> Completion:
    """A Message, from Anthropic or from who carries it."""
    data = wire.parse_object(status, body, provider=provider, request_id=request_id)
    content, reason = data.get("content"), data.get("stop_reason")
    if not isinstance(content, list) or (not content and not isinstance(reason, str)):
        wire.nothing_in_it(
            status, headers, data, provider=provider, request_id=request_id, missing="no content in the message"
        )
    request_id = wire.short(request_id or data.get("id")) or None
    usage = messages_usage(data.get("usage"))
    details = wire.paid(status, request_id, usage, provider=provider)
    if reason == "refusal":
        raise Refused(f"{provider}'s model declined{_why(data.get('stop_details'))}", **details)
    text = _said(content)
    if reason == "model_context_window_exceeded" and not text:
        raise TooLong("the record leaves no room for an answer in the model's context", **details)
    if reason == "pause_turn" and not text:
        details["possibly_paid"] = True
        raise Unreadable(f"{provider} answered with a turn that is only paused", **details)
    cut = isinstance(reason, str) and reason in _CUT
    return Completion(text, usage, wire.short(data.get("model")), request_id, cut)


def _said(content: list[Any]) -> str:
    """The text blocks in order; without any, the input of the one tool that was called."""
    blocks = [block for block in content if isinstance(block, dict)]
    said = [block["text"] for block in blocks if block.get("type", "text") == "text" and _is_text(block)]
    inputs = [block.get("input") for block in blocks if block.get("type") == "tool_use"]
    if inputs:
        return tool_text(inputs[0])
    return "".join(said)


def _is_text(block: Mapping[str, Any]) -> bool:
    return isinstance(block.get("text"), str)


def tool_text(given: Any) -> str:
    """A tool's input as the text of an answer; what was no JSON comes inside one key, as it was written."""
    if isinstance(given, dict) and set(given) == {"INVALID_JSON"} and isinstance(given["INVALID_JSON"], str):
        return given["INVALID_JSON"]
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _why(details: Any) -> str:
    if not isinstance(details, dict):
        return ""
    parts = (details.get("category"), details.get("explanation"))
    words = ": ".join(part for part in parts if isinstance(part, str) and part)
    return f": {sentence(words)}" if words else ""


def messages_usage(raw: Any) -> Usage | None:
    """Token counts, None unless both input and output are told. Anthropic's input leaves out what the cache gave and
    took; ours has it."""
    if not isinstance(raw, dict):
        return None
    fresh, written = wire.count(raw.get("input_tokens")), wire.count(raw.get("output_tokens"))
    if fresh is None or written is None:
        return None
    read = wire.counted(raw, "cache_read_input_tokens")
    split = [wire.counted(raw, "cache_creation", f"ephemeral_{ttl}_input_tokens") for ttl in ("5m", "1h")]
    kept = wire.counted(raw, "cache_creation_input_tokens") or sum(split)
    thought = wire.counted(raw, "output_tokens_details", "thinking_tokens")
    return Usage(fresh + read + kept, written, read, kept, thought)


def _request_id(headers: Mapping[str, str]) -> str | None:
    return (headers.get("request-id") or headers.get("x-request-id") or "")[:200] or None
