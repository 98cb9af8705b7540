"""What a provider's wire looks like from the server's side, and the values that pass between wire, faults and service.

An `Arrival` is what reached a socket. A `Wire` reads a request body into a `SimRequest` and writes completions and
errors in its provider's own shape; everything else (answers, limits, faults, ledger) is the same for all wires. What
stays true: a fault speaks of `Failure.kind` and `Draft.content`, never of one provider's JSON, so that each wire gets
each fault for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import orjson

# How a wire tells of its rate limits: OpenAI's headers, Azure's with plain seconds, Anthropic's with times, or none.
Announcing: TypeAlias = Literal["openai", "azure", "anthropic", "nothing"]
Delivery = Literal[
    "whole", "never", "reset", "hang_up", "slow_headers", "dribble", "stall_mid_body", "reset_mid_body", "garbage_chunk"
]


@dataclass(slots=True)
class Arrival:
    """One HTTP request, whole. `path` and `query` are as they were sent (escapes kept), header names in lower case."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class SimRequest:
    """One request as the answer function sees it. Counted tokens are ceil(characters / 4).

    `number` counts the calls from 1; `tries` counts the admitted calls with this very user message, this one included.
    `schema` is the JSON Schema that was asked for, None without one. `body` is the parsed request. `cache_marks` are
    the texts up to each mark for the prompt cache, None on a wire that caches without marks. `tool` is the name of a
    tool that must be called, whose input is then the answer.
    """

    number: int
    model: str
    system: str
    user: str
    schema: dict[str, Any] | None = None
    schema_name: str = ""
    strict: bool = False
    wants_json: bool = False
    max_output_tokens: int | None = None
    chars: int = 0
    prompt_tokens: int = 0
    tries: int = 0
    user_sha256: str = ""
    cache_marks: tuple[str, ...] | None = None
    tool: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Failure:
    """An answer that is an error. `kind` is neutral; each wire has its own type, code and words for it."""

    status: int
    kind: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None


class Rejected(Exception):
    """The request is not one that the service accepts; carries the Failure that says so."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class Draft:
    """The answer to one call while it is being made; a fault changes it before the wire renders it.

    `content` is what the model says (None for nothing), `finish` why it stopped. `failure` makes it an error. `body`
    replaces the rendered body, `edit` changes it after rendering, `delivery` is how the bytes then travel. `hollow`
    makes it an answer with nothing in it, `broken_inside` an error inside a 200. `prompt_tokens` includes those that
    were read from the prompt cache (`cached_tokens`) and written to it (`written_tokens`).
    """

    request: SimRequest
    content: str | None = None
    finish: Literal["stop", "length", "content_filter"] = "stop"
    refusal: str | None = None
    failure: Failure | None = None
    body: bytes | None = None
    edit: Callable[[bytes], bytes] | None = None
    status: int = 200
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    delivery: Delivery = "whole"
    hollow: bool = False
    broken_inside: Failure | None = None
    fault: str = ""
    retry_after_s: float = 1.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    def value(self) -> Any:
        """The content as JSON, or None where it is not JSON."""
        try:
            return orjson.loads(self.content or "")
        except orjson.JSONDecodeError:
            return None


@dataclass(slots=True)
class Reply:
    """A reply that is no model's answer. `delivery` may break it: whole, never, reset or reset_mid_body.

    With `bodiless` only the body's length is told, as HEAD wants it.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    delivery: Delivery = "whole"
    bodiless: bool = False

    def head(self) -> bytes:
        """Its header lines."""
        lines = [f"{name}: {value}\r\n" for name, value in (("content-type", self.content_type), *self.headers)]
        return "".join(lines).encode("latin-1", "replace")


class Wire(Protocol):
    """The server side of one provider's wire. Pure: no I/O, no clock."""

    name: str
    announces: Announcing
    signed: bool  # whether AWS signatures are taken beside bearer keys

    def secret(self, headers: Mapping[str, str]) -> str:
        """The API key that the request carries, or an empty text. Header names are in lower case."""
        ...

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected for what the provider would refuse."""
        ...

    def check_schema(self, request: SimRequest) -> Failure | None:
        """What the provider has against the request's schema, or None. Depends on nothing but the schema's part."""
        ...

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        ...

    def status(self, failure: Failure) -> int:
        """The HTTP status under which this provider reports such a failure."""
        ...

    def error(self, failure: Failure) -> bytes:
        """The body of an error."""
        ...

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The headers of every answer: the request's id, and what an error says of itself."""
        ...


def tokens_of(chars: int) -> int:
    """Tokens of so many characters: a quarter, rounded up."""
    return (chars + 3) // 4


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token, or an empty text."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def text_of(content: Any, kinds: tuple[str, ...] = ("text",)) -> str | None:
    """Content as one text: a string, or a list of text parts put together; None for anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type", kinds[0]) in kinds else None
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)
