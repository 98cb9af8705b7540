"""What all JSON wires have in common: a request as constant bytes around one string, and a body taken apart.

What stays true: building a request costs microseconds; any text makes a sound request, in UTF-8; nothing that a server
sends, of whatever shape, raises anything but a ProviderError; an answer that surely was paid for and cannot be read
says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import orjson

from inlay.errors import Overloaded, SpecError, Unreadable
from inlay.providers.errors_map import error_for, sentence, told_by
from inlay.types import HttpRequest, Usage

MOST_TOKENS = 1_000_000_000  # a count above this is no count
Parsed = dict[str, Any]


# --- requests


def json_text(text: str) -> bytes:
    """A JSON string; lone surrogates, which no UTF-8 can hold, become U+FFFD and pairs become their character."""
    try:
        return orjson.dumps(text)
    except TypeError:
        return orjson.dumps(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def json_object(values: Mapping[str, Any]) -> bytes:
    """A JSON object. Raises SpecError for what is no JSON: that can only come from `options`."""
    try:
        return orjson.dumps(values)
    except TypeError as error:
        raise SpecError(f"`options` cannot be written as JSON: {error}", key="options") from None


def around(url: str, before: bytes, after: bytes) -> Callable[[str], HttpRequest]:
    """A function that puts one text, as a JSON string, between two constant parts."""
    dumps, join = orjson.dumps, b"".join

    def encode(user: str) -> HttpRequest:
        try:
            content = dumps(user)
        except TypeError:
            content = json_text(user)
        return HttpRequest(url, join((before, content, after)))

    return encode


def schema_name(name: str) -> str:
    """The name in the alphabet that OpenAI takes, 64 characters at most."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer"


def checked_options(
    options: Mapping[str, Any], own: Mapping[str, str], harmless: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The options, once none of them is a key that Inlay writes itself (`own`: key to what to do instead).

    An own key is let through with exactly its `harmless` value. Raises SpecError at `options.KEY`.
    """
    for key, instead in own.items():
        if key in options and not (harmless and key in harmless and options[key] == harmless[key]):
            raise SpecError(f"`{key}` cannot be set as an option", key=f"options.{key}", remedy=instead)
    return dict(options)


def cache_key(*parts: str | bytes) -> str:
    """A short stable name for the constant part of a pass, 32 characters: the same parts give the same name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return "inlay-" + digest.hexdigest()[:26]


# --- answers


def parse_object(status: int, body: bytes, *, provider: str, request_id: str | None) -> Parsed:
    """The JSON object of a 2xx. Raises Unreadable for everything else, an HTML page and an empty body included."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = _lenient(body)
    if not isinstance(data, dict):
        start = sentence(body[:600].decode("utf-8", "replace"), 120)
        raise Unreadable(
            f"{provider} answered {status} without a completion: "
            + (f"it begins {start!r}" if start else "the body is empty"),
            provider=provider,
            status=status,
            request_id=request_id,
            page=body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")),
            remedy="check that `endpoint` is the API itself (it usually ends in /v1), not a web page before it",
        )
    return data


def nothing_in_it(
    status: int, headers: Mapping[str, str], data: Parsed, *, provider: str, request_id: str | None, missing: str
) -> NoReturn:
    """Raise what a 2xx without an answer means: gateways put the real error inside it."""
    error = data.get("error")
    if not error:
        raise Unreadable(
            f"{provider} answered {status} with {missing}", provider=provider, status=status, request_id=request_id
        )
    said = told_by(status, data)
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        raise error_for(code, headers, said, provider=provider)
    raise Overloaded(
        f"{provider} answered {status} with an error inside: {said.sentence}",
        provider=provider,
        status=status,
        request_id=request_id,
        possibly_paid=True,
    )


def paid(status: int, request_id: str | None, usage: Usage | None, *, provider: str) -> dict[str, Any]:
    """The details of an error that came instead of an answer. Without a usage the charge is unknown, and the worst
    case has to be assumed."""
    return {
        "provider": provider,
        "status": status,
        "request_id": request_id,
        "usage": usage,
        "possibly_paid": usage is None,
    }


def short(value: Any) -> str:
    """A string of at most 200 characters, "" for anything else."""
    return value[:200] if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A number of tokens, None for anything that cannot be one."""
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MOST_TOKENS:
        return int(value)
    return None


def counted(raw: Any, *path: str) -> int:
    """A number of tokens somewhere inside, 0 where any step is null, absent or of another kind."""
    for step in path:
        raw = raw.get(step) if isinstance(raw, dict) else None
    return count(raw) or 0


def _lenient(body: bytes) -> Any:
    """What orjson refuses but the standard library reads: a lone surrogate or NaN in an otherwise sound envelope."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
