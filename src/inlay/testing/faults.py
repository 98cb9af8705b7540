"""Everything that can go wrong on a model's wire, by name: each fault spoils one `Draft` in one way.

`FAULTS` documents itself: name → Fault with one sentence. What stays true: a fault knows no provider. Errors are
neutral `Failure` kinds, bad answers are changes of the content, bad transport is a way of delivery: every wire has all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inlay.testing.spoiling import dumps, inside_string, is_wrapped, mapping_of, spoilt, swap_enums, wrong_type
from inlay.testing.wire import Draft, Failure

_DEPTH = 10_000
_HUGE = 10_000_000
_MARK = "\ue000spoil\ue000"  # private use: stands in the content for bytes that no encoder would write


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to spoil an answer. `sentence` says what a client sees."""

    name: str
    sentence: str
    apply: Callable[[Draft], None]


FAULTS: dict[str, Fault] = {}


def _fault(function: Callable[[Draft], None]) -> Callable[[Draft], None]:
    name = function.__name__.removeprefix("_")
    FAULTS[name] = Fault(name, (function.__doc__ or "").strip(), function)
    return function


# --- errors ---------------------------------------------------------------------------------------------------------


@_fault
def _http_500(draft: Draft) -> None:
    """500: the server had an error."""
    draft.failure = Failure(500, "server_error", "The server had an error while processing your request. Sorry!")


@_fault
def _http_503(draft: Draft) -> None:
    """503: the engine is overloaded; carries Retry-After."""
    message = "The engine is currently overloaded, please try again later."
    draft.failure = Failure(503, "overloaded", message, retry_after_s=draft.retry_after_s)


@_fault
def _http_529(draft: Draft) -> None:
    """529: the site is overloaded, without Retry-After."""
    draft.failure = Failure(529, "overloaded", "Overloaded")


@_fault
def _http_429(draft: Draft) -> None:
    """429: rate limit reached; carries Retry-After."""
    wait = draft.retry_after_s
    message = f"Rate limit reached for {draft.request.model} on requests per min (RPM). Please try again in {wait:g}s."
    draft.failure = Failure(429, "rate_requests", message, retry_after_s=wait)


@_fault
def _http_429_quota(draft: Draft) -> None:
    """429 insufficient_quota: the account's money is exhausted; waiting does not help."""
    message = "You exceeded your current quota, please check your plan and billing details."
    draft.failure = Failure(429, "quota", message)


@_fault
def _http_401(draft: Draft) -> None:
    """401: the API key is wrong."""
    draft.failure = Failure(401, "authentication", "Incorrect API key provided.")


@_fault
def _http_403(draft: Draft) -> None:
    """403: this account may not ask from here."""
    draft.failure = Failure(403, "forbidden", "Country, region, or territory not supported.")


@_fault
def _http_404(draft: Draft) -> None:
    """404: the model does not exist."""
    message = f"The model `{draft.request.model}` does not exist or you do not have access to it."
    draft.failure = Failure(404, "model_not_found", message)


@_fault
def _http_400_schema(draft: Draft) -> None:
    """400: the answer schema is rejected."""
    name = draft.request.schema_name or "answer"
    message = (
        f"Invalid schema for response_format '{name}': In context=('properties', 'x'), 'pattern' is not permitted."
    )
    draft.failure = Failure(400, "schema", message)


@_fault
def _http_400_context(draft: Draft) -> None:
    """400 context_length_exceeded: the record is too long for the model."""
    draft.failure = context_failure(8_192, max(8_193, draft.prompt_tokens))


@_fault
def _http_400_filter(draft: Draft) -> None:
    """400 content_filter: the prompt was filtered before the model saw it."""
    message = "The response was filtered due to the prompt triggering the content management policy."
    draft.failure = Failure(400, "content_filter", message)


@_fault
def _http_413(draft: Draft) -> None:
    """413: the request body is too large."""
    draft.failure = Failure(413, "too_large", "Request body too large.")


@_fault
def _redirect(draft: Draft) -> None:
    """302 to another host, which must not be followed with the key."""
    draft.status, draft.body = 302, b""
    draft.headers.append(("location", "http://elsewhere.invalid/v1/chat/completions"))


def context_failure(limit: int, tokens: int) -> Failure:
    """What a prompt of so many tokens gets from a model whose context is `limit`."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return Failure(400, "context_length", message)


# --- transport ------------------------------------------------------------------------------------------------------


@_fault
def _timeout(draft: Draft) -> None:
    """Never answers: the connection stays open and silent."""
    draft.delivery = "never"


@_fault
def _slow_headers(draft: Draft) -> None:
    """A status line and then one header after another, without end."""
    draft.delivery = "slow_headers"


@_fault
def _dribble(draft: Draft) -> None:
    """The right answer, one byte at a time."""
    draft.delivery = "dribble"


@_fault
def _stall_mid_body(draft: Draft) -> None:
    """Headers and half of the body, then silence."""
    draft.delivery = "stall_mid_body"


@_fault
def _reset(draft: Draft) -> None:
    """The connection is reset (RST) before any byte of an answer."""
    draft.delivery = "reset"


@_fault
def _reset_mid_body(draft: Draft) -> None:
    """Headers and half of the body, then a reset (RST)."""
    draft.delivery = "reset_mid_body"


@_fault
def _hang_up(draft: Draft) -> None:
    """The connection is closed (FIN) without any answer."""
    draft.delivery = "hang_up"


@_fault
def _garbage_chunk(draft: Draft) -> None:
    """A chunked body whose second chunk has no valid size."""
    draft.delivery = "garbage_chunk"


# --- bodies ---------------------------------------------------------------------------------------------------------


@_fault
def _empty_200(draft: Draft) -> None:
    """200 with an empty body."""
    draft.body = b""


@_fault
def _html_200(draft: Draft) -> None:
    """200 with a web page, as a proxy in between gives."""
    draft.content_type = "text/html; charset=utf-8"
    draft.body = b"<!doctype html><html><head><title>Bad gateway</title></head><body>upstream error</body></html>"


@_fault
def _null_body(draft: Draft) -> None:
    """200 with the JSON value null."""
    draft.body = b"null"


@_fault
def _no_choices(draft: Draft) -> None:
    """200 with an empty list of choices, or of content."""
    draft.hollow = True


@_fault
def _error_in_200(draft: Draft) -> None:
    """200 whose body is an error, as gateways and the Responses API give."""
    message = "The server had an error while processing your request. Sorry!"
    draft.broken_inside = Failure(500, "server_error", message)


@_fault
def _bad_utf8(draft: Draft) -> None:
    """Bytes that are no UTF-8 inside the content."""
    draft.content = spoilt(draft, _MARK)
    draft.edit = lambda body: body.replace(_MARK.encode(), b"\xff\xfe\x80")


@_fault
def _lone_surrogate(draft: Draft) -> None:
    """Half of a surrogate pair, escaped, in a value of the answer."""
    draft.content = spoilt(draft, _MARK).replace(_MARK, "\\ud83d")


@_fault
def _lone_surrogate_outer(draft: Draft) -> None:
    """Half of a surrogate pair, escaped, in the body around the answer."""
    draft.content = spoilt(draft, _MARK)
    draft.edit = lambda body: body.replace(_MARK.encode(), b"\\ud83d")


# --- what the model says --------------------------------------------------------------------------------------------


@_fault
def _truncated(draft: Draft) -> None:
    """finish_reason length: the content is cut inside a string."""
    text = draft.content or ""
    draft.content, draft.finish = text[: inside_string(text)], "length"


@_fault
def _malformed(draft: Draft) -> None:
    """Broken JSON: a colon and the last brace are missing."""
    draft.content = (draft.content or "").replace('":', '" ', 1)[:-1]


@_fault
def _wrong_schema(draft: Draft) -> None:
    """Valid JSON in which every value has the wrong type."""
    draft.content = dumps({name: wrong_type(value) for name, value in mapping_of(draft).items()})


@_fault
def _missing_key(draft: Draft) -> None:
    """The first field is missing."""
    draft.content = dumps(dict(list(mapping_of(draft).items())[1:]))


@_fault
def _extra_key(draft: Draft) -> None:
    """A field that nobody asked for."""
    draft.content = dumps({"unexpected_extra": "surplus", **mapping_of(draft)})


@_fault
def _enum_case(draft: Draft) -> None:
    """Enum values in the other case."""
    schema = draft.request.schema or {}
    draft.content = dumps(swap_enums(draft.value(), schema, schema))


@_fault
def _fenced(draft: Draft) -> None:
    """The answer inside a ```json fence."""
    draft.content = f"```json\n{draft.content}\n```"


@_fault
def _reasoning_prefix(draft: Draft) -> None:
    """A <reasoning> block, with braces in it, before the answer."""
    draft.content = f"<reasoning>The record says little; maybe {{unclear}}.</reasoning>{draft.content}"


@_fault
def _two_objects(draft: Draft) -> None:
    """A wrong draft of the answer, and the answer after it."""
    first = {name: wrong_type(value) for name, value in mapping_of(draft).items()}
    draft.content = f"{dumps(first)}\n{draft.content}"


@_fault
def _nan(draft: Draft) -> None:
    """NaN where a number (or the first value) was."""
    draft.content = spoilt(draft, _MARK, numbers=True).replace(f'"{_MARK}"', "NaN")


@_fault
def _duplicate_keys(draft: Draft) -> None:
    """The first field twice, with different values."""
    value = mapping_of(draft)
    name = next(iter(value), "field")
    first = f"{dumps(name)}:{dumps(wrong_type(value.get(name)))}"
    rest = dumps(value)[1:]
    draft.content = "{" + first + ("," + rest if value else rest)


@_fault
def _deep_nesting(draft: Draft) -> None:
    """A value nested 10,000 deep."""
    draft.content = spoilt(draft, _MARK).replace(f'"{_MARK}"', "[" * _DEPTH + "]" * _DEPTH)


@_fault
def _huge_body(draft: Draft) -> None:
    """A value of 10 MB."""
    draft.content = spoilt(draft, _MARK).replace(_MARK, "x" * _HUGE)


@_fault
def _flattened(draft: Draft) -> None:
    """Plain values where objects with a value were asked for; a single nested object loses its wrapper."""
    value = mapping_of(draft)
    flat = {name: part["value"] if is_wrapped(part) else part for name, part in value.items()}
    inner = [part for part in value.values() if isinstance(part, dict)]
    if flat == value and len(value) == 1 and inner:
        flat = inner[0]
    draft.content = dumps(flat)


@_fault
def _wrapped(draft: Draft) -> None:
    """The answer inside an object that nobody asked for."""
    draft.content = dumps({"answer": mapping_of(draft)})


@_fault
def _empty_content(draft: Draft) -> None:
    """An answer whose content is an empty text."""
    draft.content = ""


@_fault
def _null_content(draft: Draft) -> None:
    """An answer whose content is null, with no refusal."""
    draft.content = None


@_fault
def _refusal(draft: Draft) -> None:
    """The model declines: `refusal` is set and the content is null."""
    draft.content, draft.refusal = None, "I'm sorry, I can't help with that."


@_fault
def _filtered(draft: Draft) -> None:
    """finish_reason content_filter: the answer was stopped half-way."""
    text = draft.content or ""
    draft.content, draft.finish = text[: len(text) // 2], "content_filter"
