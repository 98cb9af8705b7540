"""Anthropic's Message Batches as a server speaks them: lines handed in with the request, results as JSON lines.

What stays true: an id twice, or one that is no id, is refused at once; the counts are zero until a batch has ended,
and its lines' ids are shown nowhere before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from inlay.testing.anthropic_wire import AnthropicMessagesWire
from inlay.testing.batch_http import create_with_faults, download, embedded, failed_reply
from inlay.testing.batches import Line, LineResult, RemoteBatch, Stage
from inlay.testing.ledger import sha256_of
from inlay.testing.wire import Arrival, Failure, Rejected, Reply

if TYPE_CHECKING:
    from inlay.testing.service import Service

_PATH = re.compile(r"/v1/messages/batches(?:/([^/]+))?(?:/(cancel|results))?")
_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST = 100_000
_DAY = 86_400


class AnthropicBatches:
    """`/v1/messages/batches`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._desk = service.desk
        self._wire = AnthropicMessagesWire()

    def reply(self, arrival: Arrival) -> Reply | None:
        """The reply to a request for a batch; None for any other path."""
        found = _PATH.fullmatch(arrival.path)
        if found is None:
            return None
        if (refused := self._service.refused(arrival, self._wire)) is not None:
            return failed_reply(self._wire, refused)
        name, act = found.groups()
        account = self._desk.account(arrival, self._wire)
        do = f"{arrival.method}{' id' if name else ''}{f' {act}' if act else ''}"
        host = arrival.headers.get("host", "localhost")
        try:
            return self._do(do, account, name or "", arrival, host)
        except Rejected as rejected:
            return failed_reply(self._wire, rejected.failure)

    def _do(self, do: str, account: str, name: str, arrival: Arrival, host: str) -> Reply | None:
        desk = self._desk
        if do == "POST":
            make = lambda: self._create(account, arrival, host)  # noqa: E731 - handed on once
            return create_with_faults(self._service, make, lambda failure: failed_reply(self._wire, failure))
        if do == "GET":
            mine = desk.of("anthropic", account)
            if any(desk.strikes("list_500", batch.number) for batch in mine[:1]):
                raise Rejected(Failure(500, "server_error", "Internal server error"))
            shown = [batch for batch in mine if not desk.strikes("list_hidden", batch.number)]
            query = {key: values[-1] for key, values in parse_qs(arrival.query).items()}
            return _listed([self._json(batch, desk.stage(batch), host) for batch in shown], query)
        batch = desk.find("anthropic", account, name)
        if batch is None or (do == "GET id" and desk.strikes("poll_404", batch.number)):
            raise Rejected(Failure(404, "not_found", f"Batch {name} not found."))
        if do == "GET id":
            if desk.strikes("poll_500", batch.number):
                raise Rejected(Failure(500, "server_error", "Internal server error"))
            return _said(self._json(batch, desk.poll(batch), host))
        if do == "POST id cancel":
            desk.cancel(batch)
            return _said(self._json(batch, desk.stage(batch), host))
        if do == "GET id results":
            if desk.stage(batch) != "ended":
                raise Rejected(Failure(404, "not_found", f"Batch {name} has no results yet: it has not ended."))
            reply = download(self._service, batch.number, self._results(batch), self._wire)
            reply.content_type = "application/x-jsonl"
            return reply
        if do == "DELETE id":
            if desk.stage(batch) != "ended":
                raise Rejected(Failure(400, "invalid", f"Batch {name} cannot be deleted while it is in progress."))
            desk.delete(batch)
            return _said({"id": name, "type": "message_batch_deleted"})
        return None

    def _create(self, account: str, arrival: Arrival, host: str) -> Reply:
        try:
            body = orjson.loads(arrival.body)
        except orjson.JSONDecodeError:
            body = None
        requests = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(requests, list) or not requests:
            return failed_reply(self._wire, Failure(400, "invalid", "requests: List should have at least 1 item"))
        if len(requests) > _MOST:
            return failed_reply(
                self._wire, Failure(400, "invalid", f"requests: List should have at most {_MOST} items")
            )
        lines: list[Line] = []
        seen: set[str] = set()
        for index, request in enumerate(requests):
            custom_id = request.get("custom_id") if isinstance(request, dict) else None
            if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
                message = f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
                return failed_reply(self._wire, Failure(400, "invalid", message))
            if custom_id in seen:
                message = f"requests.{index}.custom_id: duplicate custom_id '{custom_id}'"
                return failed_reply(self._wire, Failure(400, "invalid", message))
            if not isinstance(request.get("params"), dict):
                return failed_reply(self._wire, Failure(400, "invalid", f"requests.{index}.params: Field required"))
            seen.add(custom_id)
            lines.append(Line(custom_id, request["params"], self._wire))
        number = len(self._desk.batches) + 1
        batch_id = f"msgbatch_sim{number:04d}{sha256_of(f'{account} {number} {time.time_ns()}')[:16]}"
        batch = self._desk.create("anthropic", account, batch_id, lines)
        return _said(self._json(batch, "validating", host))

    def _json(self, batch: RemoteBatch, stage: Stage, host: str) -> dict[str, Any]:
        ended = stage == "ended"
        status = "ended" if ended else "canceling" if stage == "cancelling" else "in_progress"
        if "batch_unknown_state" in batch.faults and stage == "running":
            status = "hibernating"
        unrun = len(batch.unrun)
        expired = unrun if batch.outcome == "expired" else 0
        errored = len(batch.failed) + (unrun if batch.outcome == "failed" else 0)
        counts = {
            "processing": 0 if ended else len(batch.lines),
            "succeeded": len(batch.done),
            "errored": errored,
            "canceled": unrun if batch.outcome == "cancelled" else 0,
            "expired": expired,
        }
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "ended_at": _at(batch.ended_at),
            "created_at": _at(batch.created_at),
            "expires_at": _at(batch.created_at + _DAY),
            "archived_at": None,
            "cancel_initiated_at": _at(batch.cancelled_at),
            "results_url": f"http://{host}/v1/messages/batches/{batch.id}/results" if ended else None,
        }

    def _results(self, batch: RemoteBatch) -> bytes:
        results = batch.results
        if "batch_expire_silently" in batch.faults:
            results = [result for result in results if result.status]
        return b"".join([_result_line(result, batch) for result in self._desk.told(batch, results)])


def _result_line(result: LineResult, batch: RemoteBatch) -> bytes:
    if result.status == 200:
        body = b'"service_tier":"batch"'.join(result.body.rsplit(b'"service_tier":"standard"', 1))
        said: dict[str, Any] = {"type": "succeeded", "message": embedded(body)}
    elif result.status:
        said = {"type": "errored", "error": embedded(result.body)}
    elif batch.outcome == "failed":
        _, _, message = batch.problems[0]
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        said = {"type": "errored", "error": {**error, "request_id": "req_sim"}}
    else:
        said = {"type": "canceled" if batch.outcome == "cancelled" else "expired"}
    return orjson.dumps({"custom_id": result.line.custom_id, "result": said}, option=orjson.OPT_APPEND_NEWLINE)


def _listed(rows: list[dict[str, Any]], query: Mapping[str, str]) -> Reply:
    """A page of a list: after `after_id`, or the one that ends before `before_id`."""
    ids = [row["id"] for row in rows]
    limit = int(query["limit"]) if query.get("limit", "").isdecimal() else 20
    if query.get("before_id") in ids:
        end = ids.index(query["before_id"])
        page, more = rows[max(0, end - limit) : end], end > limit
    else:
        start = ids.index(query["after_id"]) + 1 if query.get("after_id") in ids else 0
        page, more = rows[start : start + limit], start + limit < len(rows)
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return _said({"data": page, "has_more": more, "first_id": first, "last_id": last})


def _at(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


def _said(value: Any) -> Reply:
    return Reply(200, orjson.dumps(value), headers=[("request-id", "req_sim")])
