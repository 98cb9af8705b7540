"""Bedrock's batch inference: requests and results are files in S3, the order is a model invocation job.

The order carries the submission as its `clientRequestToken`, so that the same one sent again is the same job, and in
its name, by which it is found. What stays true: nothing is kept in the bucket but below the declared prefix, and what
was put there is deleted when it has been applied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import orjson

from inlay.batches import Batch
from inlay.errors import SpecError, Unreadable
from inlay.providers.batch import Phase, Remote, Result, Storage
from inlay.providers.errors_map import error_for, told
from inlay.types import HttpRequest

_ENDED = frozenset(("Completed", "PartiallyCompleted", "Stopped", "Expired"))
_AWS = ".amazonaws.com"


class BedrockBatch:
    """providers.batch.BatchWire for `CreateModelInvocationJob` and its like, with S3 in the model's region."""

    most_requests: ClassVar[int] = 50_000
    most_bytes: ClassVar[int] = 1_000_000_000
    fewest_requests: ClassVar[int] = 100
    serial: ClassVar[bool] = False
    idempotent: ClassVar[bool] = True

    def __init__(self, endpoint: str, region: str, storage: Storage, dialect: object) -> None:
        """Raises SpecError without a bucket and a role."""
        for name, value in (("bucket", storage.bucket), ("role_arn", storage.role_arn)):
            if not value:
                raise SpecError(
                    f"batches on bedrock need `batch.{name}`",
                    key=f"batch.{name}",
                    remedy="batch: {bucket: NAME, role_arn: arn:aws:iam::ACCOUNT:role/NAME}; see docs/batch.md",
                )
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        host = parts.hostname or ""
        if host.endswith(_AWS):
            place = host.removesuffix(_AWS).rpartition(".")[2]
            self._control = f"https://bedrock.{place}{_AWS}"
            self._s3 = f"https://s3.{place}{_AWS}"
        else:  # a gateway or a test: everything at one place
            self._control = origin
            self._s3 = f"{origin}/s3"
        if storage.endpoint:
            self._s3 = storage.endpoint.rstrip("/")
        self._storage = storage

    def is_stored(self, request: HttpRequest) -> bool:
        return request.url.startswith(self._s3 + "/")

    def url(self, request: HttpRequest) -> str:
        """`MODEL OPERATION`, as in the path of the live call."""
        model, _, operation = urlsplit(request.url).path.removeprefix("/model/").rpartition("/")
        return f"{unquote(model)} {operation}"

    def line(self, custom_id: str, request: HttpRequest) -> bytes:
        body = request.body if b"\n" not in request.body else orjson.dumps(orjson.loads(request.body))
        return b'{"recordId":"%b","modelInput":%b}\n' % (custom_id.encode(), body)

    def _key(self, batch: Batch, name: str) -> str:
        return "/".join(part for part in (self._storage.prefix, batch.submission, name) if part)

    def _object(self, key: str, method: str, body: bytes = b"") -> HttpRequest:
        headers = (("content-type", "application/jsonl"),) if body else ()
        return HttpRequest(f"{self._s3}/{self._storage.bucket}/{quote(key)}", body, headers, method)

    # --- in

    def upload(self, batch: Batch, data: bytes) -> HttpRequest | None:
        return self._object(self._key(batch, f"{batch.submission}.jsonl"), "PUT", data)

    def uploaded(self, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        if not 200 <= status < 300:
            raise error_for(status, headers, told(status, body), provider="s3")
        return {}

    def create(self, batch: Batch, data: bytes) -> HttpRequest:
        model, _, operation = batch.url.rpartition(" ")
        at = f"s3://{self._storage.bucket}/"
        body = {
            "jobName": f"inlay-{batch.submission}",
            "clientRequestToken": batch.submission,
            "roleArn": self._storage.role_arn,
            "modelId": model or batch.model,
            "modelInvocationType": "InvokeModel" if operation == "invoke" else "Converse",
            "inputDataConfig": {
                "s3InputDataConfig": {
                    "s3InputFormat": "JSONL",
                    "s3Uri": at + self._key(batch, f"{batch.submission}.jsonl"),
                }
            },
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": at + self._key(batch, "out/")}},
            "timeoutDurationInHours": self._storage.window_hours,
        }
        return HttpRequest(f"{self._control}/model-invocation-job", orjson.dumps(body))

    def created(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        data = _parsed(status, headers, body)
        arn = data.get("jobArn")
        if not isinstance(arn, str) or not arn:
            raise Unreadable("bedrock made a job and gave no name for it", provider="bedrock", status=status)
        return Remote(arn, "running", "Submitted")

    def poll(self, batch: Batch) -> HttpRequest:
        return HttpRequest(f"{self._control}/model-invocation-job/{quote(batch.remote_id, safe='')}", method="GET")

    def polled(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        found = _remote(_parsed(status, headers, body))
        if found is None:
            raise Unreadable("bedrock's answer is no job", provider="bedrock", status=status)
        return found

    # --- lost and found

    def search(self, batch: Batch, after: str) -> HttpRequest:
        query = f"maxResults=100&nameContains=inlay-{batch.submission}"
        query += f"&nextToken={quote(after, safe='')}" if after else ""
        return HttpRequest(f"{self._control}/model-invocation-jobs?{query}", method="GET")

    def found(self, status: int, headers: Mapping[str, str], body: bytes) -> tuple[Sequence[Remote], str]:
        data = _parsed(status, headers, body)
        listed = data.get("invocationJobSummaries")
        if not isinstance(listed, list):
            raise Unreadable("bedrock's list of jobs cannot be read", provider="bedrock")
        remotes = [remote for each in listed if isinstance(each, dict) and (remote := _remote(each)) is not None]
        token = data.get("nextToken")
        return remotes, token if isinstance(token, str) else ""

    def is_ours(self, batch: Batch, remote: Remote) -> bool | None:
        return remote.submission == batch.submission

    # --- out

    def outputs(self, batch: Batch) -> Sequence[tuple[str, HttpRequest]]:
        return [("output", self._object(self._output(batch, f"{batch.submission}.jsonl.out"), "GET"))]

    def _output(self, batch: Batch, name: str) -> str:
        return self._key(batch, f"out/{batch.remote_id.rpartition('/')[2]}/{name}")

    def read(self, line: bytes) -> Result | None:
        if not line.strip():
            return None
        try:
            data = orjson.loads(line)
        except ValueError:
            data = json.loads(line.decode("utf-8", "replace"))
        if not isinstance(data, dict) or not isinstance(name := data.get("recordId"), str):
            raise Unreadable("a line of bedrock's results names no record", provider="bedrock")
        if "modelOutput" in data:
            return Result(name, 200, {}, orjson.dumps(data["modelOutput"]))
        error = data.get("error")
        error = error if isinstance(error, dict) else {}
        if error.get("expired") is True:
            return Result(name, unrun="expired")
        status = error.get("errorCode")
        status = status if isinstance(status, int) and 400 <= status < 600 else 500
        return Result(name, status, {}, orjson.dumps({"message": str(error.get("errorMessage") or "")}))

    def cancel(self, batch: Batch) -> HttpRequest:
        return HttpRequest(f"{self._control}/model-invocation-job/{quote(batch.remote_id, safe='')}/stop", b"{}")

    def clean(self, batch: Batch) -> Sequence[HttpRequest]:
        keys = [self._key(batch, f"{batch.submission}.jsonl")]
        if batch.remote_id:
            keys += [self._output(batch, name) for name in (f"{batch.submission}.jsonl.out", "manifest.json.out")]
        return [self._object(key, "DELETE") for key in keys]


def _parsed(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if not 200 <= status < 300:
        raise error_for(status, headers, told(status, body), provider="bedrock")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Unreadable("bedrock's answer is no JSON object", provider="bedrock", status=status)
    return data


def _remote(data: Mapping[str, Any]) -> Remote | None:
    arn = data.get("jobArn")
    if not isinstance(arn, str) or not arn:
        return None
    state = str(data.get("status") or "")
    total, done, errors = (
        _count(data.get(name)) for name in ("totalRecordCount", "successRecordCount", "errorRecordCount")
    )
    phase: Phase = "ended" if state in _ENDED or (state == "Failed" and done + errors) else "running"
    if state == "Failed" and phase == "running":
        phase = "failed"
    name = str(data.get("jobName") or "")
    return Remote(
        arn,
        phase,
        state,
        total,
        done,
        errors,
        submission=name.removeprefix("inlay-") if name.startswith("inlay-") else "",
        message=str(data.get("message") or "")[:200],
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0
