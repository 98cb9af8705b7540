"""OpenAI's chat completions wire, as OpenAI and every compatible server speak it. No I/O.

A request is constant bytes around one JSON string, so that building one costs microseconds. What stays true: an
answer that arrived and was paid for is a Completion wherever there is any text to read, and otherwise an error that
carries its usage; nothing that a server sends, of whatever shape, raises anything but a ProviderError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from inlay.errors import ContentFiltered, Refused, SpecError
from inlay.providers import wire
from inlay.providers.errors_map import error_for, sentence, told
from inlay.providers.lower import OPENAI, Subset, lower_strict
from inlay.types import CallShape, Completion, HttpRequest, Usage

# Keys that Inlay writes itself, with what to declare instead; several of them decide what a call may cost.
_OWN_KEYS = {
    "model": "declare `model` of the pass",
    "messages": "declare `prompt` of the pass",
    "response_format": "declare `fields` of the pass",
    "max_tokens": "declare `max_output_tokens` of the pass",
    "max_completion_tokens": "declare `max_output_tokens` of the pass",
    "stream": "answers are always read whole",
    "n": "one answer a call is read",
    "best_of": "one answer a call is read",
}
_HARMLESS = {"stream": False, "n": 1, "best_of": 1}
_CUT = frozenset(("length", "max_tokens", "model_length"))
_FILTERED = frozenset(("content_filter", "safety"))


class OpenAIChat:
    """contracts.Dialect for `POST {endpoint}/chat/completions` with a strict JSON schema.

    `provider` is the name that messages and the full model name carry.
    """

    name = "openai"
    default_endpoint: ClassVar[str | None] = "https://api.openai.com/v1"
    endpoint_env: ClassVar[str | None] = "OPENAI_BASE_URL"
    key_env: ClassVar[str | None] = "OPENAI_API_KEY"
    key_hosts: ClassVar[tuple[str, ...]] = ("openai.com",)  # and their subdomains: where the default key may go
    wires: ClassVar[Mapping[str, str]] = {
        "chat": "inlay.providers.openai_chat:OpenAIChat",
        "responses": "inlay.providers.openai_responses:OpenAIResponses",
    }
    output_cap_key: ClassVar[str] = "max_completion_tokens"
    subset: ClassVar[Subset] = OPENAI

    def __init__(self, endpoint: str | None = None, *, provider: str | None = None) -> None:
        base = endpoint or self.default_endpoint
        if not base:
            raise SpecError(f"`{self.name}` needs an `endpoint`", key="endpoint")
        self.base = base.rstrip("/")
        self.provider = provider or self.name

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The bearer header."""
        return (("authorization", f"Bearer {secret}"),)

    def url(self, model: str) -> str:
        """Where the requests for a model go."""
        return self.base + "/chat/completions"

    def structure(self, shape: CallShape) -> tuple[str, dict[str, Any]]:
        """The system message, and the keys of the body that ask for the shape of the answer."""
        inner = {
            "name": wire.schema_name(shape.schema_name),
            "strict": True,
            "schema": lower_strict(shape.schema, self.subset),
        }
        return shape.system, {"response_format": {"type": "json_schema", "json_schema": inner}}

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request.

        Raises SpecError for an option that Inlay writes itself and for a schema that cannot be lowered.
        """
        system, rest = self.structure(shape)
        rest[self.output_cap_key] = shape.max_output_tokens
        if shape.temperature is not None:
            rest["temperature"] = shape.temperature
        rest.update(wire.checked_options(shape.options, _OWN_KEYS, _HARMLESS))
        first = b'{"role":"system","content":%b},' % wire.json_text(system) if system else b""
        before = b'{"model":%b,"messages":[%b{"role":"user","content":' % (wire.json_text(shape.model), first)
        return wire.around(self.url(shape.model), before, b"}]," + wire.json_object(rest)[1:])

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response.

        Raises ContentFiltered and Refused with the `usage` that was charged, Unreadable for a 2xx that holds no
        completion, and what `errors_map` says for every other status.
        """
        provider = self.provider
        if not 200 <= status < 300:
            raise error_for(status, headers, told(status, body), provider=provider)
        request_id = headers.get("x-request-id")
        data = wire.parse_object(status, body, provider=provider, request_id=request_id)
        missing = "no choice in the completion"
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            wire.nothing_in_it(status, headers, data, provider=provider, request_id=request_id, missing=missing)
        usage = chat_usage(data.get("usage"))
        finish = choice.get("finish_reason")
        message = choice.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(finish, str):
            finish = None
        if finish in _FILTERED:
            raise ContentFiltered(
                f"{provider}'s content filter stopped the answer",
                **wire.paid(status, request_id, usage, provider=provider),
            )
        if finish == "error" or (message is None and finish not in _CUT):
            data = {**data, **choice}
            wire.nothing_in_it(status, headers, data, provider=provider, request_id=request_id, missing=missing)
        text = content if isinstance(content, str) else _joined(content)
        if not text and isinstance(message, dict):
            if refusal := _refusal(message, content):
                raise Refused(
                    f"{provider}'s model declined: {sentence(refusal)}",
                    **wire.paid(status, request_id, usage, provider=provider),
                )
            text = _tool_arguments(message)
        request_id = wire.short(request_id or data.get("id")) or None
        return Completion(text, usage, wire.short(data.get("model")), request_id, finish in _CUT)


def _joined(content: Any) -> str:
    """Content as a list of parts: the text ones in order."""
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _refusal(message: wire.Parsed, content: Any) -> str:
    found = message.get("refusal")
    if isinstance(found, str) and found:
        return found
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("refusal"), str):
            return part["refusal"]
    return ""


def _tool_arguments(message: wire.Parsed) -> str:
    """Some servers hand a structured answer over as the arguments of a single tool call."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    function = call.get("function") if isinstance(call, dict) else message.get("function_call")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return arguments if isinstance(arguments, str) else ""


def chat_usage(raw: Any) -> Usage | None:
    """Token counts, None unless both input and output are told; the details may be null or absent."""
    if not isinstance(raw, dict):
        return None
    given, written = wire.count(raw.get("prompt_tokens")), wire.count(raw.get("completion_tokens"))
    if given is None or written is None:
        return None
    return Usage(
        given,
        written,
        wire.counted(raw, "prompt_tokens_details", "cached_tokens"),
        wire.counted(raw, "prompt_tokens_details", "cache_write_tokens"),
        wire.counted(raw, "completion_tokens_details", "reasoning_tokens"),
    )
