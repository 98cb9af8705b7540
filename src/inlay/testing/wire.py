"""What a provider's wire looks like from the server's side, and the values that pass between wire, faults and service.

A `Wire` reads a request body into a `SimRequest` and writes completions and errors in its provider's own shape;
everything else (answers, limits, faults, ledger) is the same for all wires. What stays true: a fault speaks of
`Failure.kind` and `Draft.content`, never of one provider's JSON, so that each wire gets each fault for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

Delivery = Literal[
    "whole", "never", "reset", "hang_up", "slow_headers", "dribble", "stall_mid_body", "reset_mid_body", "garbage_chunk"
]


@dataclass(slots=True)
class SimRequest:
    """One request as the answer function sees it. Counted tokens are ceil(characters / 4).

    `number` counts the calls from 1; `tries` counts the admitted calls with this very user message, this one included.
    `schema` is the JSON Schema that was asked for, None without one. `body` is the parsed request.
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
    replaces the rendered body, `edit` changes it after rendering, `delivery` is how the bytes then travel.
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
    fault: str = ""
    retry_after_s: float = 1.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    def value(self) -> Any:
        """The content as JSON, or None where it is not JSON."""
        try:
            return orjson.loads(self.content or "")
        except orjson.JSONDecodeError:
            return None


class Wire(Protocol):
    """The server side of one provider's wire. Pure: no I/O, no clock."""

    name: str
    path: str

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

    def error(self, failure: Failure) -> bytes:
        """The body of an error."""
        ...


def tokens_of(chars: int) -> int:
    """Tokens of so many characters: a quarter, rounded up."""
    return (chars + 3) // 4
