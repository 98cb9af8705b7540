"""OpenAI's batch API, and Azure's, which has the same wire: a file of requests, an order for it, two files of results.

What stays true: the submission stands in the order's metadata and in the file's name, so that an order whose answer was
lost is found again; both result files are read, whatever the state is called; a line that expired or was cancelled
before its turn never ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import orjson

from inlay.batches import Batch
from inlay.errors import Unreadable
from inlay.providers.batch import Phase, Remote, Result, Storage
from inlay.providers.errors_map import error_for, sentence, told
from inlay.types import HttpRequest

# The provider's own code for its quota of tokens that wait in batches.
QUOTA = "token_limit_exceeded"
_ENDED = frozenset(("completed", "expired", "cancelled"))
_UNRUN = frozenset(("batch_expired", "batch_cancelled"))
_PAGE = 100
_BOUNDARY = "inlay-7f2d9c51e0b84a63"


class OpenAIBatch:
    """providers.batch.BatchWire for `{endpoint}/files` and `{endpoint}/batches`."""

    most_requests: ClassVar[int] = 50_000
    most_bytes: ClassVar[int] = 200_000_000
    fewest_requests: ClassVar[int] = 1
    serial: ClassVar[bool] = False
    idempotent: ClassVar[bool] = False
    provider: ClassVar[str] = "openai"

    def __init__(self, endpoint: str, region: str, storage: Storage, dialect: object) -> None:
        parts = urlsplit(endpoint)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._query = f"?{parts.query}" if parts.query else ""

    def _url(self, path: str, query: str = "") -> str:
        mark = "&" if self._query else "?"
        return f"{self._base}{path}{self._query}{mark + query if query else ''}"

    def is_stored(self, request: HttpRequest) -> bool:
        return False

    def url(self, request: HttpRequest) -> str:
        path = urlsplit(request.url).path
        at = path.rfind("/v1/")
        return path[at:] if at >= 0 else "/v1/" + path.rpartition("/")[2]

    def line(self, custom_id: str, request: HttpRequest) -> bytes:
        body = request.body if b"\n" not in request.body else orjson.dumps(orjson.loads(request.body))
        return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (
            custom_id.encode(),
            self.url(request).encode(),
            body,
        )

    # --- in

    def upload(self, batch: Batch, data: bytes) -> HttpRequest | None:
        name = f"inlay-{batch.submission}.jsonl"
        body = b"".join(
            (
                f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode(),
                f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode(),
                b"Content-Type: application/jsonl\r\n\r\n",
                data,
                f"\r\n--{_BOUNDARY}--\r\n".encode(),
            )
        )
        return HttpRequest(self._url("/files"), body, (("content-type", f"multipart/form-data; boundary={_BOUNDARY}"),))

    def uploaded(self, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        data = self._parsed(status, headers, body)
        if not isinstance(data.get("id"), str) or not data["id"]:
            raise Unreadable(f"{self.provider} took the file and gave no id for it", provider=self.provider)
        return {"input_file": data["id"]}

    def create(self, batch: Batch, data: bytes) -> HttpRequest:
        return HttpRequest(
            self._url("/batches"),
            orjson.dumps(
                {
                    "input_file_id": batch.details["input_file"],
                    "endpoint": batch.url,
                    "completion_window": "24h",
                    "metadata": {"submission": batch.submission},
                }
            ),
        )

    def created(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        return self.polled(status, headers, body)

    def poll(self, batch: Batch) -> HttpRequest:
        return HttpRequest(self._url(f"/batches/{quote(batch.remote_id, safe='')}"), method="GET")

    def polled(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        found = self._remote(self._parsed(status, headers, body))
        if found is None:
            raise Unreadable(f"{self.provider}'s answer is no batch", provider=self.provider, status=status)
        return found

    # --- lost and found

    def search(self, batch: Batch, after: str) -> HttpRequest:
        query = f"limit={_PAGE}" + (f"&after={quote(after, safe='')}" if after else "")
        return HttpRequest(self._url("/batches", query), method="GET")

    def found(self, status: int, headers: Mapping[str, str], body: bytes) -> tuple[Sequence[Remote], str]:
        data = self._parsed(status, headers, body)
        listed = data.get("data")
        if not isinstance(listed, list):
            raise Unreadable(f"{self.provider}'s list of batches cannot be read", provider=self.provider)
        remotes = [remote for each in listed if isinstance(each, dict) and (remote := self._remote(each)) is not None]
        more = data.get("has_more") is True and remotes
        return remotes, remotes[-1].remote_id if more else ""

    def is_ours(self, batch: Batch, remote: Remote) -> bool | None:
        mine = batch.details.get("input_file")
        return remote.submission == batch.submission or (bool(mine) and remote.details.get("input_file") == mine)

    # --- out

    def outputs(self, batch: Batch) -> Sequence[tuple[str, HttpRequest]]:
        names = (("output", batch.details.get("output_file")), ("error", batch.details.get("error_file")))
        return [
            (name, HttpRequest(self._url(f"/files/{quote(file, safe='')}/content"), method="GET"))
            for name, file in names
            if isinstance(file, str) and file
        ]

    def read(self, line: bytes) -> Result | None:
        line = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not line:
            return None
        try:
            data = orjson.loads(line)
        except ValueError:
            data = json.loads(line.decode("utf-8", "replace"))
        if not isinstance(data, dict) or not isinstance(name := data.get("custom_id"), str):
            raise Unreadable(f"a line of {self.provider}'s results names no request", provider=self.provider)
        error = data.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, str) and code in _UNRUN:
            return Result(name, unrun=code)
        response = data.get("response")
        if not isinstance(response, dict):
            kept = {"error": error if isinstance(error, dict) else {"message": "the line has no response"}}
            return Result(name, 500, {}, orjson.dumps(kept))
        status = response.get("status_code")
        request_id = response.get("request_id")
        return Result(
            name,
            status if isinstance(status, int) else 200,
            {"x-request-id": request_id} if isinstance(request_id, str) else {},
            orjson.dumps(response.get("body")),
        )

    def cancel(self, batch: Batch) -> HttpRequest:
        return HttpRequest(self._url(f"/batches/{quote(batch.remote_id, safe='')}/cancel"), b"{}")

    def clean(self, batch: Batch) -> Sequence[HttpRequest]:
        files = [batch.details.get(name) for name in ("input_file", "output_file", "error_file")]
        return [
            HttpRequest(self._url(f"/files/{quote(file, safe='')}"), method="DELETE")
            for file in files
            if isinstance(file, str) and file
        ]

    # --- parts

    def _parsed(self, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        if not 200 <= status < 300:
            raise error_for(status, headers, told(status, body), provider=self.provider)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise Unreadable(f"{self.provider}'s answer is no JSON object", provider=self.provider, status=status)
        return data

    def _remote(self, data: Mapping[str, Any]) -> Remote | None:
        remote_id = data.get("id")
        if not isinstance(remote_id, str) or not remote_id:
            return None
        state = str(data.get("status") or "")
        phase: Phase = "failed" if state == "failed" else "ended" if state in _ENDED else "running"
        counts = data.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        metadata = data.get("metadata")
        files = {"input_file": "input_file_id", "output_file": "output_file_id", "error_file": "error_file_id"}
        details = {name: data[key] for name, key in files.items() if isinstance(data.get(key), str)}
        message, code = _told(data.get("errors"))
        if code == QUOTA:
            details["quota"] = True
        return Remote(
            remote_id,
            phase,
            state,
            *(_count(counts.get(name)) for name in ("total", "completed", "failed")),
            submission=str(metadata.get("submission") or "") if isinstance(metadata, dict) else "",
            created_at=float(_count(data.get("created_at"))),
            message=message,
            details=details,
        )


class AzureBatch(OpenAIBatch):
    """The same on Azure's `/openai/v1` (and its dated endpoints): a GlobalBatch deployment stands in every line."""

    most_requests: ClassVar[int] = 100_000
    provider: ClassVar[str] = "azure"

    def __init__(self, endpoint: str, region: str, storage: Storage, dialect: object) -> None:
        super().__init__(getattr(dialect, "base", None) or endpoint, region, storage, dialect)
        version = getattr(dialect, "api_version", None)
        if version:
            self._query = f"?api-version={quote(version, safe='')}"
        if not self._base.endswith(("/v1", "/openai")):
            self._base += "/openai"

    def url(self, request: HttpRequest) -> str:
        path = urlsplit(request.url).path
        at = path.rfind("/v1/")
        if at >= 0:
            return path[at:]
        return "/chat/completions" if path.endswith("/chat/completions") else "/" + path.rpartition("/")[2]


def _told(errors: Any) -> tuple[str, str]:
    """(sentence, code) of the first of a failed batch's errors."""
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    text = sentence(str(first.get("message") or ""), 200)
    line = first.get("line")
    return (f"line {line}: {text}" if isinstance(line, int) and text else text), str(first.get("code") or "")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0
