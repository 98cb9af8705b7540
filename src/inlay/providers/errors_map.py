"""What a provider's error answer means: status, code, type and words to one class of `inlay.errors`.

Codes are believed before words; words are read only where servers tell things no other way (vLLM, llama.cpp, Ollama,
gateways). What stays true: the engine's policy reads the class alone; a message carries the provider's own sentence,
at most 300 characters, with control characters escaped and everything that looks like a key taken out.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from inlay.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RunError,
    SchemaRejected,
    SpendLimitReached,
    TooLong,
)

SENTENCE_CHARS = 300

_KEYS = re.compile(
    r"(?i)\b(?:bearer|basic)\s+[^\s\"',;]+"
    r"|(?<=://)[^/\s@]+@"  # user:password@ in a URL
    r"|\b(?:sk|pk|rk|gsk|hf|ghp|xox[a-z])[-_][\w*.…-]{6,}"
    r"|\b(?:AKIA|ASIA|AIza|eyJ)[\w.-]{10,}"
    r"|(?<=api_key=)[^\s&\"']+|(?<=apikey=)[^\s&\"']+"
    r"|\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}\b"
)
_TAGS = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^<>]{0,500}>", re.DOTALL | re.IGNORECASE)

_MONEY = frozenset(
    [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "billing_not_active",
        "billing_error",
        "quota_exhausted",
        "insufficient_balance",
        "insufficient_credits",
        "payment_required",
    ]
)
_SPEND_LIMITS = ("spend_limit_exceeded", "spend_limit_reached")
_FILTER = frozenset(["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "invalid_prompt"])
_LONG = frozenset(
    ["context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "request_too_large"]
)
_MODEL = frozenset(["model_not_found", "model_not_available", "deploymentnotfound", "deployment_not_found"])
_SHAPE = frozenset(
    [
        "invalid_json_schema",
        "unsupported_parameter",
        "unsupported_value",
        "unknown_parameter",
        "invalid_response_format",
    ]
)

# Each list was collected from servers that give no code: vLLM, llama.cpp, Ollama, LM Studio, TGI and gateways.
_LONG_WORDS = re.compile(
    r"maximum context length|context length exceeded|context[_ ]window|exceeds? (?:the )?(?:available |model'?s? )?"
    r"(?:maximum )?context|longer than the maximum model length|(?:prompt|input) is too long|input length .{0,60}exceed"
    r"|too many (?:input )?tokens|maximum (?:input|prompt) length|must have less than \d+ tokens"
    r"|request too large.{0,200}must be reduced",
    re.DOTALL,
)
_FILTER_WORDS = re.compile(r"content management policy|content[ _]filter|violat\w+ .{0,40}(?:usage|content) polic")
_MODEL_WORDS = re.compile(
    r"\bmodel\b.{0,120}?(?:does not exist|not found|is not available|identifier is invalid|has been (?:deprecated|"
    r"retired|shut ?down))|(?:no such|unknown|invalid) model",
    re.DOTALL,
)
_SHAPE_WORDS = re.compile(
    r"response_format|json_?schema|json schema|structured[_ ]outputs?|guided_|grammar|schema is too complex"
    r"|unsupported (?:parameter|value)|unrecognized (?:request )?argument|unknown (?:field|parameter|argument)"
    r"|extra (?:inputs|fields) (?:are )?not permitted|does not support (?:the )?(?:parameter|temperature|response)"
    # Anthropic and Bedrock, which give no code for it
    r"|output_?config|tool_?choice|input_?schema|is deprecated for this model|thinking\.type|extraneous key"
)
_KEY_WORDS = re.compile(r"(?:invalid|incorrect|missing|no) (?:api[ _-]?key|authorization)")


@dataclass(frozen=True, slots=True)
class Told:
    """What an error body says, all in lower case but the sentence."""

    sentence: str
    words: str
    codes: frozenset[str]
    param: str


def sentence(text: str, limit: int = SENTENCE_CHARS) -> str:
    """Foreign words made fit for a message: one line, no keys, control and direction marks escaped, cut at `limit`."""
    text = _KEYS.sub("[hidden]", " ".join(text[: 8 * limit].split()))
    out = "".join(
        char if char.isprintable() or char in "\u200c\u200d" else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
    return out if len(out) <= limit else out[: limit - 1] + "…"


def told(status: int, body: bytes) -> Told:
    """Read an error body of any shape: OpenAI's, older vLLM's, FastAPI's `detail`, Google's list, HTML, plain text."""
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = _TAGS.sub(" ", body[:65_536].decode("utf-8", "replace")) if body else ""
        data = {"message": text}
    return told_by(status, data)


def told_by(status: int, data: Any) -> Told:
    """The same for a body that is already parsed."""
    if isinstance(data, list):
        data = data[0] if data else None
    error: Any = data.get("error", data) if isinstance(data, dict) else data
    codes: set[str] = set()
    param, message = "", ""
    if isinstance(error, dict):
        message = _message(error)
        for part in (error, error.get("innererror"), error.get("details")):
            if isinstance(part, dict):
                codes.update(
                    str(part[key]).lower() for key in ("code", "type", "error_code", "status") if part.get(key)
                )
        param = str(error.get("param") or "").lower()
    elif isinstance(error, str):
        message = error
        if isinstance(data, dict):
            message = " ".join(filter(None, (error, str(data.get("message") or data.get("reason") or ""))))
    words = message[:4000].lower()
    shown = sentence(message)
    if not shown:
        shown = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "no reason given"
    return Told(shown, words, frozenset(codes), param)


def _message(error: Mapping[str, Any]) -> str:
    for key in ("message", "detail", "error_description", "msg"):
        found = error.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, list):
            # FastAPI: [{"loc": [...], "msg": "...", "input": ...}]; the input is the record and stays out.
            parts = [
                f"{'.'.join(str(step) for step in part.get('loc') or ())}: {part.get('msg', '')}"
                for part in found[:5]
                if isinstance(part, Mapping)
            ]
            if parts:
                return "; ".join(parts)
        if isinstance(found, Mapping):
            return _message(found)
    return ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the provider asks to wait, exactly as told (it may be negative or huge), or None.

    `retry-after-ms` before `retry-after`, which is seconds or an HTTP date; a date is read against the answer's own
    `date`, so that a wrong clock here does no harm.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            seconds = _until(text, headers.get("date")) if scale == 1.0 else None
        if seconds is not None and math.isfinite(seconds):
            return seconds
    return None


def _until(date: str, now: str | None) -> float | None:
    try:
        then = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    try:
        return then - email.utils.parsedate_to_datetime(now or "").timestamp()
    except (ValueError, OverflowError):
        return then - time.time()


def error_for(status: int, headers: Mapping[str, str], said: Told, *, provider: str) -> ProviderError:
    """The error that a non-2xx answer means. Pure; the caller raises it."""
    kind, remedy = classify(status, said)
    details: dict[str, Any] = {
        "provider": provider,
        "status": status,
        "request_id": (headers.get("x-request-id") or "")[:200] or None,
        "remedy": remedy,
    }
    if kind in (RateLimited, Overloaded, ProviderTimeout):
        details["retry_after_s"] = retry_after_s(headers)
    return kind(f"{provider} answered {status}: {said.sentence}", **details)


def classify(status: int, said: Told) -> tuple[type[ProviderError], str]:
    """(error class, remedy) of a status and what was told beside it."""
    if 300 <= status < 400:
        return RunError, "redirects are never followed, so that no key goes elsewhere: declare the final `endpoint`"
    if status == 501:
        return RunError, "check `endpoint`: what answers there takes no such requests; an API usually ends in /v1"
    if status >= 500:
        if status in (504, 524):
            return ProviderTimeout, ""
        # llama-cpp-python answers a response_format it does not know with a 500 and a validation text.
        if "response_format" in said.words and re.search(r"validation|input should be|literal", said.words):
            return SchemaRejected, _SCHEMA_REMEDY
        return Overloaded, ""
    if status == 402 or said.codes & _MONEY or any(code.endswith(_SPEND_LIMITS) for code in said.codes):
        return (
            SpendLimitReached,
            "top up or raise the limit of the provider's account, then type the same command again",
        )
    if status in (401, 403) or "invalid_api_key" in said.codes:
        if said.codes & _FILTER:
            return ContentFiltered, ""
        return AuthenticationFailed, "check the API key, and that it may use this model at this endpoint"
    if status == 429:
        return (TooLong, "") if _LONG_WORDS.search(said.words) else (RateLimited, "")
    if status in (404, 405, 410) or said.codes & _MODEL:
        return ModelNotFound, "check `model`, and `endpoint`, which usually ends in /v1"
    if status == 408:
        return ProviderTimeout, ""
    if status in (409, 425):
        return Overloaded, ""
    if status == 413:
        return TooLong, ""
    return _bad_request(said)


_SCHEMA_REMEDY = "remove the option it names, or use a model that takes JSON schemas"


def _bad_request(said: Told) -> tuple[type[ProviderError], str]:
    """The rest of 4xx: is it the record, or the shape that all records share?"""
    if said.codes & _LONG:
        return TooLong, ""
    if said.codes & _FILTER:
        return ContentFiltered, ""
    if said.codes & _SHAPE or said.param.startswith(("response_format", "text.format")):
        return SchemaRejected, _SCHEMA_REMEDY
    if _LONG_WORDS.search(said.words):
        return TooLong, ""
    if _FILTER_WORDS.search(said.words):
        return ContentFiltered, ""
    if _MODEL_WORDS.search(said.words):
        return ModelNotFound, "check `model` and `endpoint`"
    if _KEY_WORDS.search(said.words):
        return AuthenticationFailed, "check the API key"
    if _SHAPE_WORDS.search(said.words):
        return SchemaRejected, _SCHEMA_REMEDY
    return InvalidRequest, ""
