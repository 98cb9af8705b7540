"""OpenAI's files and batches as a server speaks them, and Azure's, which are the same under other paths.

A batch reads an uploaded file of lines and writes two: what was answered, and what was not. What stays true: a file
that breaks a rule (an id twice, two models, another URL) fails the batch's validation as a whole, and nothing is run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from inlay.testing.azure_wire import AzureChatWire, AzureResponsesWire
from inlay.testing.batch_http import create_with_faults, download, embedded, failed_reply, multipart
from inlay.testing.batches import Line, LineResult, RemoteBatch, Stage
from inlay.testing.ledger import sha256_of
from inlay.testing.openai_wire import OpenAIChatWire
from inlay.testing.responses_wire import OpenAIResponsesWire
from inlay.testing.wire import Arrival, Failure, Reply, Wire

if TYPE_CHECKING:
    from inlay.testing.service import Service

_PATH = re.compile(r"(/v1|/openai/v1|/openai)/(files|batches)(?:/([^/]+))?(?:/(content|cancel))?")
_MOST_LINES = {"openai": 50_000, "azure": 100_000}
_DAY = 86_400
_STAGES: Mapping[str, str] = {
    "validating": "validating",
    "running": "in_progress",
    "finalizing": "finalizing",
    "cancelling": "cancelling",
}
_UNRUN = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was cancelled before it was executed."),
}


@dataclass(slots=True)
class _File:
    id: str
    provider: str
    account: str
    name: str
    purpose: str
    data: bytes
    created_at: int


class OpenAIBatches:
    """`/v1/files` and `/v1/batches`, `/openai/v1/…` and the dated `/openai/…`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._desk = service.desk
        self._files: dict[str, _File] = {}
        self._wires: dict[tuple[str, str], Wire] = {
            ("openai", "chat/completions"): OpenAIChatWire(),
            ("openai", "responses"): OpenAIResponsesWire(),
            ("azure", "chat/completions"): AzureChatWire(),
            ("azure", "responses"): AzureResponsesWire(),
        }

    def reply(self, arrival: Arrival) -> Reply | None:
        """The reply to a request for a file or a batch; None for any other path."""
        found = _PATH.fullmatch(arrival.path)
        if found is None:
            return None
        prefix, kind, name, act = found.groups()
        provider = "openai" if prefix == "/v1" else "azure"
        wire = self._wires[provider, "chat/completions"]
        if (refused := self._service.refused(arrival, wire)) is not None:
            return failed_reply(wire, refused)
        query = {key: values[-1] for key, values in parse_qs(arrival.query).items()}
        if prefix == "/openai" and "api-version" not in query:
            return failed_reply(wire, Failure(404, "unknown_url", "Resource not found"))
        account = self._desk.account(arrival, wire)
        do = f"{arrival.method} {kind}{'/id' if name else ''}{f'/{act}' if act else ''}"
        try:
            if kind == "files":
                return self._of_files(do, provider, account, name or "", arrival, query)
            return self._of_batches(do, provider, account, name or "", arrival, query)
        except _Refused as refused_:
            return failed_reply(wire, refused_.failure)

    # files

    def _of_files(
        self, do: str, provider: str, account: str, name: str, arrival: Arrival, query: Mapping[str, str]
    ) -> Reply | None:
        if do == "POST files":
            return self._upload(provider, account, arrival)
        mine = [f for f in self._files.values() if (f.provider, f.account) == (provider, account)]
        if do == "GET files":
            shown = [f for f in mine[::-1] if query.get("purpose", f.purpose) == f.purpose]
            if query.get("order") == "asc":
                shown.reverse()
            return _listed([_file_json(f) for f in shown], query)
        file = self._files.get(name)
        if file is None or file not in mine:
            raise _Refused(Failure(404, "not_found", f"No such File object: {name}", param="id"))
        if do == "GET files/id":
            return _json(_file_json(file))
        if do == "DELETE files/id":
            del self._files[name]
            return _json({"id": name, "object": "file", "deleted": True})
        if do == "GET files/id/content":
            return self._download(file)
        return None

    def _upload(self, provider: str, account: str, arrival: Arrival) -> Reply:
        self._desk.uploads += 1
        number = self._desk.uploads
        if self._desk.strikes("upload_500", number):
            raise _Refused(Failure(500, "server_error", "The server had an error while processing your request."))
        parts = multipart(arrival)
        if "file" not in parts or "purpose" not in parts:
            missing = "file" if "file" not in parts else "purpose"
            raise _Refused(Failure(400, "invalid", f"Missing required parameter: '{missing}'.", param=missing))
        name, data = parts["file"]
        file = self._store(provider, account, name, parts["purpose"][1].decode(), data)
        delivery = "reset" if self._desk.strikes("upload_reset_after", number) else "whole"
        reply = _json(_file_json(file))
        reply.delivery = delivery
        return reply

    def _store(self, provider: str, account: str, name: str, purpose: str, data: bytes) -> _File:
        number = len(self._files) + 1
        mark = sha256_of(f"{provider} {account} {name} {number} {time.time_ns()}")[:16]
        file = _File(f"file-sim{number:04d}{mark}", provider, account, name, purpose, data, int(time.time()))
        self._files[file.id] = file
        return file

    def _download(self, file: _File) -> Reply:
        number = next((b.number for b in self._desk.batches if file.id in b.about.values()), 0)
        return download(self._service, number, file.data, self._wires[file.provider, "chat/completions"])

    # batches

    def _of_batches(
        self, do: str, provider: str, account: str, name: str, arrival: Arrival, query: Mapping[str, str]
    ) -> Reply | None:
        desk = self._desk
        if do == "POST batches":
            return self._create(provider, account, arrival)
        if do == "GET batches":
            mine = desk.of(provider, account)
            if any(desk.strikes("list_500", batch.number) for batch in mine[:1]):
                raise _Refused(Failure(500, "server_error", "The server had an error while processing your request."))
            shown = [batch for batch in mine if not desk.strikes("list_hidden", batch.number)]
            return _listed([self._batch_json(batch, desk.stage(batch)) for batch in shown], query)
        batch = desk.find(provider, account, name)
        if batch is None or (do == "GET batches/id" and desk.strikes("poll_404", batch.number)):
            raise _Refused(Failure(404, "not_found", f"No batch found with id '{name}'.", param="batch_id"))
        if do == "GET batches/id":
            if desk.strikes("poll_500", batch.number):
                raise _Refused(Failure(500, "server_error", "The server had an error while processing your request."))
            return _json(self._batch_json(batch, desk.poll(batch)))
        if do == "POST batches/id/cancel":
            if batch.outcome:
                message = f"Cannot cancel a batch with status '{batch.outcome}'."
                raise _Refused(Failure(409, "invalid", message))
            desk.cancel(batch)
            return _json(self._batch_json(batch, desk.stage(batch)))
        return None

    def _create(self, provider: str, account: str, arrival: Arrival) -> Reply:
        wire = self._wires[provider, "chat/completions"]

        def make() -> Reply:
            body = _object(arrival.body)
            file = self._files.get(str(body.get("input_file_id")))
            if file is None or (file.provider, file.account) != (provider, account):
                message = f"Invalid 'input_file_id': no such file '{body.get('input_file_id')}'."
                raise _Refused(Failure(400, "invalid", message, param="input_file_id"))
            endpoint = str(body.get("endpoint"))
            inner = self._wires.get((provider, _bare(endpoint)))
            if inner is None:
                raise _Refused(
                    Failure(400, "invalid", f"Invalid value for 'endpoint': {endpoint!r}.", param="endpoint")
                )
            if body.get("completion_window") != "24h":
                message = "Invalid value for 'completion_window': supported is '24h'."
                raise _Refused(Failure(400, "invalid", message, param="completion_window"))
            metadata = body.get("metadata") or {}
            if not isinstance(metadata, dict) or len(metadata) > 16:
                message = "Invalid 'metadata': at most 16 pairs of text."
                raise _Refused(Failure(400, "invalid", message, param="metadata"))
            lines, problems = _lines_of(file.data, endpoint, inner, most=_MOST_LINES[provider])
            number = len(self._desk.batches) + 1
            batch_id = f"batch_sim{number:04d}{sha256_of(f'{account} {file.id} {number}')[:16]}"
            batch = self._desk.create(
                provider,
                account,
                batch_id,
                lines,
                problems=problems,
                name=" ".join([str(value) for value in metadata.values()]) or file.name,
                about={"input": file.id, "endpoint": endpoint, "metadata": metadata},
            )
            return _json(self._batch_json(batch, "validating"))

        return create_with_faults(self._service, make, lambda failure: failed_reply(wire, failure))

    def _batch_json(self, batch: RemoteBatch, stage: Stage) -> dict[str, Any]:
        about, ended = batch.about, int(batch.ended_at or 0) or None
        if stage == "ended" and "output" not in about:
            self._write_files(batch)
        status = batch.outcome if stage == "ended" else _STAGES[stage]
        if "batch_unknown_state" in batch.faults and stage == "running":
            status = "hibernating"
        begun = stage not in ("validating",) and batch.outcome != "failed"
        total = len(batch.lines) if begun else 0
        done, failed = len(batch.done), len(batch.failed)
        if stage in ("running", "finalizing"):
            done = total if stage == "finalizing" else int(total * self._desk.share(batch))
        created = int(batch.created_at)
        data = [{"code": code, "line": line, "message": words, "param": None} for line, code, words in batch.problems]
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": about["endpoint"],
            "model": next((line.body.get("model") for line in batch.lines if isinstance(line.body, dict)), None),
            "errors": {"object": "list", "data": data} if data and batch.outcome == "failed" else None,
            "input_file_id": about["input"],
            "completion_window": "24h",
            "status": status,
            "output_file_id": about.get("output"),
            "error_file_id": about.get("errors"),
            "created_at": created,
            "in_progress_at": created if begun else None,
            "expires_at": created + _DAY,
            "finalizing_at": ended,
            "completed_at": ended if status == "completed" else None,
            "failed_at": ended if status == "failed" else None,
            "expired_at": ended if status == "expired" else None,
            "cancelling_at": None if batch.cancelled_at is None else int(batch.cancelled_at),
            "cancelled_at": ended if status == "cancelled" else None,
            "request_counts": {"total": total, "completed": done, "failed": failed},
            "metadata": about["metadata"],
        }

    def _write_files(self, batch: RemoteBatch) -> None:
        about = batch.about
        about["output"] = about["errors"] = None
        if batch.outcome == "failed":
            return
        missed = [*batch.failed]
        if "batch_expire_silently" not in batch.faults:
            missed += batch.unrun
        answered = [_result_line(result, batch) for result in self._desk.told(batch, batch.done)]
        errors = [_result_line(result, batch) for result in missed]
        if answered:
            data = b"".join(answered)
            about["output"] = self._store(
                batch.provider, batch.account, f"{batch.id}_output.jsonl", "batch_output", data
            ).id
        if errors or batch.provider == "azure":  # Azure gives a file that may be empty
            data = b"".join(errors)
            about["errors"] = self._store(
                batch.provider, batch.account, f"{batch.id}_error.jsonl", "batch_output", data
            ).id


class _Refused(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _lines_of(data: bytes, endpoint: str, wire: Wire, *, most: int) -> tuple[list[Line], list[tuple[int, str, str]]]:
    """The lines of an input file, and what its validation finds wrong with them."""
    lines: list[Line] = []
    problems: list[tuple[int, str, str]] = []
    seen: set[str] = set()
    models: set[Any] = set()
    rows = data.split(b"\n")
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            line = orjson.loads(row)
        except orjson.JSONDecodeError:
            line = None
        if not isinstance(line, dict):
            problems.append((number, "invalid_json_line", "This line is not parseable as valid JSON."))
            continue
        custom_id, body = line.get("custom_id"), line.get("body")
        if not isinstance(custom_id, str) or not custom_id or not isinstance(body, dict):
            name = "body" if isinstance(custom_id, str) and custom_id else "custom_id"
            problems.append((number, "missing_required_parameter", f"Missing required parameter: '{name}'."))
            continue
        if custom_id in seen:
            message = f"The custom_id '{custom_id}' for this request is a duplicate of another request."
            problems.append((number, "duplicate_custom_id", message))
        if line.get("method") != "POST":
            problems.append((number, "invalid_method", "The method of each request must be 'POST'."))
        if _bare(str(line.get("url"))) != _bare(endpoint):
            problems.append((number, "mismatched_endpoint", f"The url of each request must be '{endpoint}'."))
        seen.add(custom_id)
        models.add(body.get("model"))
        lines.append(Line(custom_id, body, wire))
    if not lines and not problems:
        problems.append((1, "empty_file", "The input file is empty."))
    if len(models) > 1:
        problems.append((1, "mismatched_model", "All requests of a batch must have the same model."))
    if len(lines) > most:
        problems.append((most + 1, "too_many_tasks", f"A batch may have at most {most} requests."))
    return lines, problems


def _result_line(result: LineResult, batch: RemoteBatch) -> bytes:
    row: dict[str, Any] = {
        "id": f"batch_req_sim{result.number:08d}",
        "custom_id": result.line.custom_id,
        "response": None,
        "error": None,
    }
    if result.status:
        request_id = f"req_sim{result.number:08d}"
        row["response"] = {"status_code": result.status, "request_id": request_id, "body": embedded(result.body)}
    else:
        code, message = _UNRUN[batch.outcome]
        row["error"] = {"code": code, "message": message}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _file_json(file: _File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": file.created_at,
        "expires_at": None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _listed(rows: list[dict[str, Any]], query: Mapping[str, str]) -> Reply:
    """A page of a list, after the one that the client names."""
    ids = [row["id"] for row in rows]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = int(query["limit"]) if query.get("limit", "").isdecimal() else 20
    page = rows[start : start + limit]
    return _json(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + limit < len(rows),
        }
    )


def _bare(endpoint: str) -> str:
    """An endpoint without what stands before it."""
    return re.sub(r"^/?(openai/)?(v1/)?", "", endpoint)


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise _Refused(Failure(400, "invalid", "We could not parse the JSON body of your request."))
    return body


def _json(value: Any) -> Reply:
    return Reply(200, orjson.dumps(value), headers=[("x-request-id", "req_sim")])
