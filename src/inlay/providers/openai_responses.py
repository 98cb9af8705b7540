"""OpenAI's Responses wire: the same models, asked in another shape. No I/O.

What stays true: nothing is left with the provider (`store` is false and cannot be changed); every record is asked on
its own, whole; the instructions and the schema come before the record and are the same bytes for every call of a pass,
whose `prompt_cache_key` is made of them; a response that failed inside a 200 is the same error as one with a status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

from inlay.errors import (
    ContentFiltered,
    InvalidRequest,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    SpecError,
    Unreadable,
)
from inlay.providers import wire
from inlay.providers.errors_map import classify, error_for, retry_after_s, sentence, told, told_by
from inlay.providers.lower import lower_strict
from inlay.providers.openai_chat import OpenAIChat
from inlay.types import CallShape, Completion, HttpRequest, Usage

_ALONE = "every record is asked on its own, from the prompt of the pass"
_OWN_KEYS = {
    "model": "declare `model` of the pass",
    "input": "declare `prompt` of the pass",
    "instructions": "declare `prompt` of the pass",
    "messages": "declare `prompt` of the pass",
    "response_format": "declare `fields` of the pass",
    "max_output_tokens": "declare `max_output_tokens` of the pass",
    "max_tokens": "declare `max_output_tokens` of the pass",
    "max_completion_tokens": "declare `max_output_tokens` of the pass",
    "store": "records and answers are never left with the provider",
    "background": "an answer that is fetched later has to be stored by the provider first",
    "stream": "answers are always read whole",
    "n": "one answer a call is read",
    "truncation": "a record that does not fit fails with its reason, instead of being cut in silence",
    "previous_response_id": _ALONE,
    "conversation": _ALONE,
    "context_management": _ALONE,
    "prompt": _ALONE,
    "tools": "an answer is made from the record alone, and a tool's price cannot be bounded",
}
_HARMLESS = {"store": False, "background": False, "stream": False, "n": 1, "truncation": "disabled"}

# What a code of `error` inside a 200 means; the status in whose place it stands decides about all others.
_FAILED: dict[str, tuple[type[ProviderError], bool]] = {  # class, and whether it may have been paid
    "rate_limit_exceeded": (RateLimited, False),
    "server_error": (Overloaded, True),
    "server_overloaded": (Overloaded, True),
    "vector_store_timeout": (ProviderTimeout, True),
    "invalid_prompt": (ContentFiltered, False),
}


class OpenAIResponses(OpenAIChat):
    """contracts.Dialect for `POST {endpoint}/responses` with a strict JSON schema."""

    output_cap_key: ClassVar[str] = "max_output_tokens"

    def url(self, model: str) -> str:
        """Where the requests for a model go."""
        return self.base + "/responses"

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request.

        `reasoning_effort` and `verbosity`, as the chat wire calls them, are put where this one wants them. Raises
        SpecError for an option that Inlay writes itself and for a schema that cannot be lowered.
        """
        options = wire.checked_options(shape.options, _OWN_KEYS, _HARMLESS)
        text = _part(options, "text", "verbosity", "verbosity")
        reasoning = _part(options, "reasoning", "reasoning_effort", "effort")
        if "format" in text:
            raise SpecError(
                "`text.format` cannot be set as an option",
                key="options.text",
                remedy="declare `fields` of the pass",
            )
        rest: dict[str, Any] = {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": wire.schema_name(shape.schema_name),
                    "strict": True,
                    "schema": lower_strict(shape.schema, self.subset),
                },
                **text,
            },
            self.output_cap_key: shape.max_output_tokens,
            "store": False,
        }
        if shape.temperature is not None:
            rest["temperature"] = shape.temperature
        if reasoning:
            rest["reasoning"] = reasoning
        first = b'"instructions":%b,' % wire.json_text(shape.system) if shape.system else b""
        before = b'{"model":%b,%b"input":' % (wire.json_text(shape.model), first)
        if shape.cache:
            rest["prompt_cache_key"] = wire.cache_key(before, wire.json_object(rest["text"]), shape.user_prefix)
        rest.update({key: value for key, value in options.items() if key not in ("text", "reasoning")})
        return wire.around(self.url(shape.model), before, b"," + wire.json_object(rest)[1:])

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response.

        Raises ContentFiltered and Refused with the `usage` that was charged, Unreadable for a 2xx that holds no
        answer, what its code says for a response that failed, and what `errors_map` says for every other status.
        """
        provider = self.provider
        if not 200 <= status < 300:
            raise error_for(status, headers, told(status, body), provider=provider)
        request_id = headers.get("x-request-id")
        data = wire.parse_object(status, body, provider=provider, request_id=request_id)
        request_id = wire.short(request_id or data.get("id")) or None
        usage = responses_usage(data.get("usage"))
        state = data.get("status")
        output = data.get("output")
        if state == "failed" or (data.get("error") and state != "incomplete"):
            self._failed(status, headers, data, usage, request_id)
        if not isinstance(output, list):
            wire.nothing_in_it(
                status, headers, data, provider=provider, request_id=request_id, missing="no output in the response"
            )
        details = wire.paid(status, request_id, usage, provider=provider)
        if state in ("queued", "in_progress", "cancelled"):
            details["possibly_paid"] = True
            raise Unreadable(f"{provider} answered with a response that is {state}", **details)
        cut = state == "incomplete"
        if cut and _reason(data) == "content_filter":
            raise ContentFiltered(f"{provider}'s content filter stopped the answer", **details)
        answer, refusal = _said(output)
        if not answer and refusal:
            raise Refused(f"{provider}'s model declined: {sentence(refusal)}", **details)
        return Completion(answer, usage, wire.short(data.get("model")), request_id, cut)

    def _failed(
        self,
        status: int,
        headers: Mapping[str, str],
        data: wire.Parsed,
        usage: Usage | None,
        request_id: str | None,
    ) -> NoReturn:
        said = told_by(status, data)
        error = data.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        code = code.lower() if isinstance(code, str) else ""
        remedy = ""
        if code in _FAILED:
            kind, costs = _FAILED[code]
        elif "policy" in code:
            kind, costs = ContentFiltered, False
        elif "image" in code:
            kind, costs = InvalidRequest, False
        else:
            (kind, remedy), costs = classify(400, said), False
            if kind is InvalidRequest:  # nothing known: a failure of theirs, worth another try
                kind, costs = Overloaded, True
        details: dict[str, Any] = wire.paid(status, request_id, usage, provider=self.provider)
        details["possibly_paid"] = costs and usage is None
        if kind in (RateLimited, Overloaded, ProviderTimeout):
            details["possibly_paid"] = costs or usage is not None
            details["retry_after_s"] = retry_after_s(headers)
        message = f"{self.provider} answered {status} with a response that failed: {said.sentence}"
        raise kind(message, remedy=remedy, **details)


def _part(options: dict[str, Any], name: str, short: str, key: str) -> dict[str, Any]:
    """An object of the body, with what the chat wire writes as a plain key (`short`) put into it as `key`."""
    found = options.pop(name, None)
    if found is not None and not isinstance(found, Mapping):
        raise SpecError(f"`{name}` is an object in the responses wire", key=f"options.{name}", remedy=f"write {short}")
    part = dict(found or {})
    if short in options:
        if key in part:
            raise SpecError(f"`{short}` says the same as `{name}.{key}`", key=f"options.{short}", remedy="keep one")
        part[key] = options.pop(short)
    return part


def _reason(data: wire.Parsed) -> Any:
    details = data.get("incomplete_details")
    return details.get("reason") if isinstance(details, dict) else None


def _said(output: list[Any]) -> tuple[str, str]:
    """(answer, refusal): the text parts of the messages in order, those of the final answer where one is marked."""
    messages = [item for item in output if isinstance(item, dict) and isinstance(item.get("content"), list)]
    messages = [item for item in messages if item.get("type", "message") == "message"]
    final = [item for item in messages if item.get("phase") == "final_answer"]
    texts: list[str] = []
    refusals: list[str] = []
    for message in final or [item for item in messages if item.get("phase") != "commentary"]:
        for part in message["content"]:
            if not isinstance(part, dict):
                continue
            if isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part.get("refusal"), str):
                refusals.append(part["refusal"])
    return "".join(texts), " ".join(refusals)


def responses_usage(raw: Any) -> Usage | None:
    """Token counts, None unless both input and output are told; the details may be null or absent."""
    if not isinstance(raw, dict):
        return None
    given, written = wire.count(raw.get("input_tokens")), wire.count(raw.get("output_tokens"))
    if given is None or written is None:
        return None
    return Usage(
        given,
        written,
        wire.counted(raw, "input_tokens_details", "cached_tokens"),
        wire.counted(raw, "input_tokens_details", "cache_write_tokens"),
        wire.counted(raw, "output_tokens_details", "reasoning_tokens"),
    )
