"""A plain client for the simulator's tests: standard library only, so that nothing of ours is tested by itself."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from inlay.testing import Simulator

WRAPPED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["evidence", "value", "confidence"],
    "properties": {
        "evidence": {"type": ["string", "null"]},
        "value": {"type": ["string", "null"], "enum": ["positive", "neutral", "Negative", None]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sentiment", "stars", "nulls"],
    "properties": {
        "sentiment": WRAPPED,
        "stars": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "nulls": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["field", "reason"],
                "properties": {
                    "field": {"type": "string", "enum": ["sentiment", "stars"]},
                    "reason": {"type": "string", "enum": ["not_stated", "ambiguous", "not_applicable"]},
                },
            },
        },
    },
}
TEXT = "Read this review: 部屋はとても静かで، الخدمة ممتازة and the breakfast was lovely 🍳 every morning"


def body_of(user: str = TEXT, *, schema: Any = SCHEMA, strict: bool = True, **more: Any) -> dict[str, Any]:
    """A request body as a client sends it."""
    body: dict[str, Any] = {
        "model": "gpt-sim",
        "messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": user}],
    }
    if schema is not None:
        inner = {"name": "answer", "strict": strict, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": inner}
    return {**body, **more}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def choice(self) -> Any:
        return self.json["choices"][0]

    @property
    def content(self) -> Any:
        return json.loads(self.choice["message"]["content"])


def ask(
    endpoint: str, body: Any = None, *, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> Answer:
    """One request on a connection of its own."""
    place = urlsplit(endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body_of() if body is None else body).encode()
        connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def request_bytes(body: Any = None) -> bytes:
    """A whole HTTP request."""
    data = json.dumps(body_of() if body is None else body).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def dial(endpoint: str, timeout: float = 5.0) -> socket.socket:
    """A bare socket to the simulator."""
    place = urlsplit(endpoint)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=timeout)


@pytest.fixture
def client() -> SimpleNamespace:
    """The functions above, since test modules import nothing from each other."""
    return SimpleNamespace(ask=ask, body=body_of, raw=request_bytes, dial=dial, schema=SCHEMA, text=TEXT)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulator with no settings."""
    with Simulator() as running:
        yield running
