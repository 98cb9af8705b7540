"""Anthropic's Message Batches: the requests go with the order, the results come as JSON lines.

The order carries no name of ours, and what a batch holds is shown only once it has ended. What stays true: orders of an
account are sent one at a time, so that one whose answer was lost is the only unknown one of its size since then; what
was adopted on that ground is believed only when its results carry our ids.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import orjson

from inlay.batches import Batch
from inlay.errors import Unreadable
from inlay.providers.batch import Phase, Remote, Result, Storage
from inlay.providers.errors_map import error_for, told
from inlay.types import HttpRequest

_VERSION = "2023-06-01"
_PAGE = 100
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_UNRUN = frozenset(("canceled", "expired"))


class AnthropicBatch:
    """providers.batch.BatchWire for `/v1/messages/batches`."""

    most_requests: ClassVar[int] = 100_000
    most_bytes: ClassVar[int] = 250_000_000
    fewest_requests: ClassVar[int] = 1
    serial: ClassVar[bool] = True
    idempotent: ClassVar[bool] = False

    def __init__(self, endpoint: str, region: str, storage: Storage, dialect: object) -> None:
        self._base = endpoint.rstrip("/").removesuffix("/v1") + "/v1/messages/batches"
        self._headers = (
            ("content-type", "application/json"),
            ("anthropic-version", str(getattr(dialect, "api_version", None) or _VERSION)),
        )

    def _get(self, path: str) -> HttpRequest:
        return HttpRequest(self._base + path, b"", self._headers, "GET")

    def is_stored(self, request: HttpRequest) -> bool:
        return False

    def url(self, request: HttpRequest) -> str:
        return urlsplit(request.url).path

    def line(self, custom_id: str, request: HttpRequest) -> bytes:
        body = request.body if b"\n" not in request.body else orjson.dumps(orjson.loads(request.body))
        return b'{"custom_id":"%b","params":%b}\n' % (custom_id.encode(), body)

    # --- in

    def upload(self, batch: Batch, data: bytes) -> HttpRequest | None:
        return None

    def uploaded(self, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        return {}

    def create(self, batch: Batch, data: bytes) -> HttpRequest:
        body = b'{"requests":[%b]}' % b",".join(data.rstrip(b"\n").split(b"\n"))
        return HttpRequest(self._base, body, self._headers)

    def created(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        return self.polled(status, headers, body)

    def poll(self, batch: Batch) -> HttpRequest:
        return self._get("/" + quote(batch.remote_id, safe=""))

    def polled(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        found = _remote(_parsed(status, headers, body))
        if found is None:
            raise Unreadable("anthropic's answer is no batch", provider="anthropic", status=status)
        return found

    # --- lost and found

    def search(self, batch: Batch, after: str) -> HttpRequest:
        return self._get(f"?limit={_PAGE}" + (f"&after_id={quote(after, safe='')}" if after else ""))

    def found(self, status: int, headers: Mapping[str, str], body: bytes) -> tuple[Sequence[Remote], str]:
        data = _parsed(status, headers, body)
        listed = data.get("data")
        if not isinstance(listed, list):
            raise Unreadable("anthropic's list of batches cannot be read", provider="anthropic")
        remotes = [remote for each in listed if isinstance(each, dict) and (remote := _remote(each)) is not None]
        return remotes, remotes[-1].remote_id if data.get("has_more") is True and remotes else ""

    def is_ours(self, batch: Batch, remote: Remote) -> bool | None:
        return None if remote.total in (0, batch.requests) else False

    # --- out

    def outputs(self, batch: Batch) -> Sequence[tuple[str, HttpRequest]]:
        return [("results", self._get(f"/{quote(batch.remote_id, safe='')}/results"))]

    def read(self, line: bytes) -> Result | None:
        if not line.strip():
            return None
        try:
            data = orjson.loads(line)
        except ValueError:
            data = json.loads(line.decode("utf-8", "replace"))
        result = data.get("result") if isinstance(data, dict) else None
        if not isinstance(result, dict) or not isinstance(name := data.get("custom_id"), str):
            raise Unreadable("a line of anthropic's results names no request", provider="anthropic")
        kind = result.get("type")
        if kind in _UNRUN:
            return Result(name, unrun=str(kind))
        if kind == "succeeded":
            return Result(name, 200, {}, orjson.dumps(result.get("message")))
        error = result.get("error")
        inner = error.get("error") if isinstance(error, dict) else None
        code = inner.get("type") if isinstance(inner, dict) else None
        return Result(name, _STATUS.get(str(code), 500), {}, orjson.dumps(error))

    def cancel(self, batch: Batch) -> HttpRequest:
        return HttpRequest(f"{self._base}/{quote(batch.remote_id, safe='')}/cancel", b"", self._headers)

    def clean(self, batch: Batch) -> Sequence[HttpRequest]:
        return [HttpRequest(f"{self._base}/{quote(batch.remote_id, safe='')}", b"", self._headers, "DELETE")]


def _parsed(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if not 200 <= status < 300:
        raise error_for(status, headers, told(status, body), provider="anthropic")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Unreadable("anthropic's answer is no JSON object", provider="anthropic", status=status)
    return data


def _remote(data: Mapping[str, Any]) -> Remote | None:
    remote_id = data.get("id")
    if not isinstance(remote_id, str) or not remote_id:
        return None
    state = str(data.get("processing_status") or "")
    counts = data.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    done, errors, *rest = (_count(counts.get(n)) for n in ("succeeded", "errored", "processing", "canceled", "expired"))
    phase: Phase = "ended" if state == "ended" else "running"
    return Remote(
        remote_id,
        phase,
        state,
        done + errors + sum(rest),
        done,
        errors,
        created_at=_seconds(data.get("created_at")),
    )


def _seconds(text: Any) -> float:
    try:
        return dt.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0
