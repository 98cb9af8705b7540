"""OpenAI's chat completions wire, as OpenAI and every compatible server speak it. No I/O.

A request is constant bytes around one JSON string, so that building one costs microseconds. What stays true: an
answer that arrived and was paid for is a Completion wherever there is any text to read, and otherwise an error that
carries its usage; nothing that a server sends, of whatever shape, raises anything but a ProviderError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

import orjson

from inlay.errors import ContentFiltered, Overloaded, Refused, SpecError, Unreadable
from inlay.providers.errors_map import error_for, sentence, told, told_by
from inlay.providers.lower import lower_strict
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
_CUT = frozenset(("length", "max_tokens", "model_length"))
_FILTERED = frozenset(("content_filter", "safety"))
_MOST_TOKENS = 1_000_000_000  # a count above this is no count
_Parsed = dict[str, Any]


class OpenAIChat:
    """contracts.Dialect for `POST {endpoint}/chat/completions` with a strict JSON schema.

    `provider` is the name that messages and the full model name carry.
    """

    name = "openai"
    default_endpoint: ClassVar[str | None] = "https://api.openai.com/v1"
    endpoint_env: ClassVar[str | None] = "OPENAI_BASE_URL"
    key_env: ClassVar[str | None] = "OPENAI_API_KEY"
    key_hosts: ClassVar[tuple[str, ...]] = ("openai.com",)  # and their subdomains: where the default key may go
    output_cap_key: ClassVar[str] = "max_completion_tokens"

    def __init__(self, endpoint: str | None = None, *, provider: str | None = None) -> None:
        base = endpoint or self.default_endpoint
        if not base:
            raise SpecError(f"`{self.name}` needs an `endpoint`", key="endpoint")
        self.url = base.rstrip("/") + "/chat/completions"
        self.provider = provider or self.name

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The bearer header."""
        return (("authorization", f"Bearer {secret}"),)

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request.

        Raises SpecError for an option that Inlay writes itself and for a schema that cannot be lowered.
        """
        rest: dict[str, Any] = {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": re.sub(r"[^A-Za-z0-9_-]", "_", shape.schema_name)[:64] or "answer",
                    "strict": True,
                    "schema": lower_strict(shape.schema),
                },
            },
            self.output_cap_key: shape.max_output_tokens,
        }
        if shape.temperature is not None:
            rest["temperature"] = shape.temperature
        rest.update(_checked_options(shape.options))
        system = b'{"role":"system","content":%b},' % _text(shape.system) if shape.system else b""
        before = b'{"model":%b,"messages":[%b{"role":"user","content":' % (_text(shape.model), system)
        try:
            after = b"}]," + orjson.dumps(rest)[1:]
        except TypeError as error:
            raise SpecError(f"`options` cannot be written as JSON: {error}", key="options") from None
        url, dumps, join = self.url, orjson.dumps, b"".join

        def encode(user: str) -> HttpRequest:
            try:
                content = dumps(user)
            except TypeError:
                content = _text(user)
            return HttpRequest(url, join((before, content, after)))

        return encode

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response.

        Raises ContentFiltered and Refused with the `usage` that was charged, Unreadable for a 2xx that holds no
        completion, and what `errors_map` says for every other status.
        """
        if not 200 <= status < 300:
            raise error_for(status, headers, told(status, body), provider=self.provider)
        request_id = headers.get("x-request-id")
        data = self._parse(status, body, request_id)
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            self._without_choice(status, headers, data, request_id)
        usage = _usage(data.get("usage"))
        finish = choice.get("finish_reason")
        message = choice.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        if finish in _FILTERED:
            raise ContentFiltered(
                f"{self.provider}'s content filter stopped the answer",
                **self._details(status, request_id, usage),
            )
        if finish == "error" or (message is None and finish not in _CUT):
            self._without_choice(status, headers, {**data, **choice}, request_id)
        text = content if isinstance(content, str) else _joined(content)
        if not text and isinstance(message, dict):
            if refusal := _refusal(message, content):
                raise Refused(
                    f"{self.provider}'s model declined: {sentence(refusal)}",
                    **self._details(status, request_id, usage),
                )
            text = _tool_arguments(message)
        served = data.get("model")
        return Completion(
            text,
            usage,
            served[:200] if isinstance(served, str) else "",
            (request_id or _short(data.get("id")))[:200] or None,
            finish in _CUT,
        )

    def _parse(self, status: int, body: bytes, request_id: str | None) -> _Parsed:
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            data = _lenient(body)
        if not isinstance(data, dict):
            start = sentence(body[:600].decode("utf-8", "replace"), 120)
            raise Unreadable(
                f"{self.provider} answered {status} without a completion: "
                + (f"it begins {start!r}" if start else "the body is empty"),
                provider=self.provider,
                status=status,
                request_id=request_id,
                page=body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")),
                remedy="check that `endpoint` is the API itself (it usually ends in /v1), not a web page before it",
            )
        return data

    def _without_choice(
        self, status: int, headers: Mapping[str, str], data: _Parsed, request_id: str | None
    ) -> NoReturn:
        """A 2xx without a choice: gateways put the real error inside it."""
        error = data.get("error")
        if not error:
            raise Unreadable(
                f"{self.provider} answered {status} with no choice in the completion",
                provider=self.provider,
                status=status,
                request_id=request_id,
            )
        said = told_by(status, data)
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and 400 <= code < 600:
            raise error_for(code, headers, said, provider=self.provider)
        raise Overloaded(
            f"{self.provider} answered {status} with an error inside: {said.sentence}",
            provider=self.provider,
            status=status,
            request_id=request_id,
            possibly_paid=True,
        )

    def _details(self, status: int, request_id: str | None, usage: Usage | None) -> dict[str, Any]:
        # Without a usage the charge is unknown, and the worst case has to be assumed.
        return {
            "provider": self.provider,
            "status": status,
            "request_id": request_id,
            "usage": usage,
            "possibly_paid": usage is None,
        }


class CompatibleChat(OpenAIChat):
    """The same wire on any other server: no endpoint and no key of its own, and the older name of the output cap.

    vLLM, Ollama, llama.cpp, TGI and the gateways all take `max_tokens`; some know nothing newer.
    """

    name = "compatible"
    default_endpoint = None
    endpoint_env = None
    key_env = None
    key_hosts = ()
    output_cap_key = "max_tokens"


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    for key, instead in _OWN_KEYS.items():
        harmless = {"stream": False, "n": 1, "best_of": 1}.get(key)
        if key in options and (harmless is None or options[key] != harmless):
            raise SpecError(f"`{key}` cannot be set as an option", key=f"options.{key}", remedy=instead)
    return dict(options)


def _text(text: str) -> bytes:
    """A JSON string; lone surrogates, which no UTF-8 can hold, become U+FFFD and pairs become their character."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return orjson.dumps(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _lenient(body: bytes) -> Any:
    """What orjson refuses but the standard library reads: a lone surrogate or NaN in an otherwise sound envelope."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _joined(content: Any) -> str:
    """Content as a list of parts: the text ones in order."""
    if not isinstance(content, list):
        return ""
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _refusal(message: _Parsed, content: Any) -> str:
    found = message.get("refusal")
    if isinstance(found, str) and found:
        return found
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("refusal"), str):
            return part["refusal"]
    return ""


def _tool_arguments(message: _Parsed) -> str:
    """Some servers hand a structured answer over as the arguments of a single tool call."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    function = call.get("function") if isinstance(call, dict) else message.get("function_call")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return arguments if isinstance(arguments, str) else ""


def _short(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    if isinstance(value, float) and value.is_integer() and 0 <= value <= _MOST_TOKENS:
        return int(value)
    return None


def _usage(raw: Any) -> Usage | None:
    """Token counts, None unless both input and output are told; the details may be null or absent."""
    if not isinstance(raw, dict):
        return None
    given, written = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if given is None or written is None:
        return None
    cached = wrote = reasoning = 0
    if isinstance(details := raw.get("prompt_tokens_details"), dict):
        cached = _count(details.get("cached_tokens")) or 0
        wrote = _count(details.get("cache_write_tokens")) or 0
    if isinstance(details := raw.get("completion_tokens_details"), dict):
        reasoning = _count(details.get("reasoning_tokens")) or 0
    return Usage(given, written, cached, wrote, reasoning)
