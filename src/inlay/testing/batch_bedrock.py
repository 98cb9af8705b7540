"""Bedrock's batch inference as a server speaks it: a job reads lines from S3 and writes its results there.

A job is created once for each `clientRequestToken`, however often that is tried. What stays true: results stand in
the order of the input, one file for each input file, beside a manifest with the counts; a line that cannot be read
fails alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import orjson

from inlay.errors import InlayError
from inlay.testing.batch_http import create_with_faults, embedded
from inlay.testing.batches import Line, LineResult, RemoteBatch, Stage
from inlay.testing.bedrock_wire import BedrockConverseWire, BedrockInvokeWire, aws_error, aws_headers, aws_status
from inlay.testing.ledger import sha256_of
from inlay.testing.s3 import ObjectStore
from inlay.testing.wire import Arrival, Failure, Rejected, Reply, Wire

if TYPE_CHECKING:
    from inlay.testing.service import Service

_PATH = re.compile(r"/(model-invocation-jobs?)(?:/(.+?))?(?:/(stop))?")
_NAME = re.compile(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9+\-.]){0,63}")
_TOKEN = re.compile(r"[a-zA-Z0-9]{1,256}(-*[a-zA-Z0-9]){0,256}")
_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_ARN = "arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/"
_OUTCOMES: Mapping[str, str] = {"completed": "Completed", "failed": "Failed", "cancelled": "Stopped"}
_MOST_LINES = 50_000


class BedrockJobs:
    """`/model-invocation-job` and `/model-invocation-jobs`."""

    def __init__(self, service: Service, objects: ObjectStore) -> None:
        self._service = service
        self._desk = service.desk
        self._objects = objects
        self._wire = BedrockConverseWire("")

    def reply(self, arrival: Arrival) -> Reply | None:
        """The reply to a request for a job; None for any other path."""
        found = _PATH.fullmatch(arrival.path)
        if found is None:
            return None
        if (refused := self._service.refused(arrival, self._wire)) is not None:
            return _failed(refused)
        account = self._desk.account(arrival, self._wire)
        kind, name, act = found.groups()
        do = f"{arrival.method} {kind}{' id' if name else ''}{f' {act}' if act else ''}"
        try:
            return self._do(do, account, unquote(name or ""), arrival)
        except Rejected as rejected:
            return _failed(rejected.failure)
        except InlayError as error:
            return _failed(Failure(400, "invalid", str(error)))

    def _do(self, do: str, account: str, name: str, arrival: Arrival) -> Reply | None:
        desk = self._desk
        if do == "POST model-invocation-job":
            return create_with_faults(self._service, lambda: self._create(account, arrival), _failed)
        if do == "GET model-invocation-jobs":
            return self._list(account, arrival)
        arn = name if name.startswith("arn:") else _ARN + name
        job = desk.find("bedrock", account, arn)
        if job is None or (do == "GET model-invocation-job id" and desk.strikes("poll_404", job.number)):
            raise Rejected(Failure(404, "not_found", "Could not find the requested model invocation job."))
        if do == "GET model-invocation-job id":
            if desk.strikes("poll_500", job.number):
                raise Rejected(Failure(500, "server_error", "The server had an error while processing your request."))
            return _said(self._json(job, desk.poll(job)))
        if do == "POST model-invocation-job id stop":
            if desk.stage(job) == "ended":
                raise Rejected(Failure(409, "conflict", "The job has ended and cannot be stopped."))
            desk.cancel(job)
            return _said({})
        return None

    def _list(self, account: str, arrival: Arrival) -> Reply:
        desk = self._desk
        query = {key: values[-1] for key, values in parse_qs(arrival.query).items()}
        mine = desk.of("bedrock", account)
        if any(desk.strikes("list_500", job.number) for job in mine[:1]):
            raise Rejected(Failure(500, "server_error", "The server had an error while processing your request."))
        jobs = [job for job in mine if not desk.strikes("list_hidden", job.number)]
        rows = [self._json(job, desk.stage(job)) for job in jobs if query.get("nameContains", "") in job.about["name"]]
        if wanted := query.get("statusEquals"):
            rows = [row for row in rows if row["status"] == wanted]
        if query.get("sortOrder") == "Ascending":
            rows.reverse()
        start = int(query["nextToken"]) if query.get("nextToken", "").isdecimal() else 0
        most = int(query["maxResults"]) if query.get("maxResults", "").isdecimal() else 100
        out: dict[str, Any] = {"invocationJobSummaries": rows[start : start + most]}
        if start + most < len(rows):
            out["nextToken"] = str(start + most)
        return _said(out)

    def _create(self, account: str, arrival: Arrival) -> Reply:
        try:
            body = orjson.loads(arrival.body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise _invalid("The request body is not a JSON object.")
        for name in ("jobName", "roleArn", "modelId"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise _invalid(f"1 validation error detected: Value null at '{name}' failed: Member must not be null")
        if len(body["jobName"]) > 63 or not _NAME.fullmatch(body["jobName"]):
            raise _invalid("1 validation error detected: Value at 'jobName' failed to satisfy constraint")
        token = body.get("clientRequestToken")
        if token is not None and (not isinstance(token, str) or len(token) > 256 or not _TOKEN.fullmatch(token)):
            raise _invalid("1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint")
        for job in self._desk.of("bedrock", account):
            if token is not None and job.about["token"] == token:
                if job.about["request"] != body:
                    raise Rejected(Failure(409, "conflict", "The clientRequestToken was used with other parameters."))
                return _said({"jobArn": job.id})
            if job.about["name"] == body["jobName"]:
                raise Rejected(Failure(409, "conflict", f"A job with the name {body['jobName']} exists already."))
        kind = body.get("modelInvocationType", "InvokeModel")
        if kind not in ("InvokeModel", "Converse"):
            raise _invalid("1 validation error detected: Value at 'modelInvocationType' failed to satisfy constraint")
        hours = body.get("timeoutDurationInHours", 24)
        if not isinstance(hours, int) or not 24 <= hours <= 168:
            raise _invalid("1 validation error detected: Value at 'timeoutDurationInHours' failed: from 24 to 168")
        source = _place(body.get("inputDataConfig"), "s3InputDataConfig")
        _place(body.get("outputDataConfig"), "s3OutputDataConfig")
        wire = (BedrockConverseWire if kind == "Converse" else BedrockInvokeWire)(body["modelId"])
        lines, files, problems = self._lines(*source, wire)
        number = len(self._desk.batches) + 1
        arn = _ARN + sha256_of(f"{account} {body['jobName']} {number}")[:12]
        about = {"name": body["jobName"], "token": token, "request": body, "hours": hours, "files": files}
        self._desk.create("bedrock", account, arn, lines, problems=problems, name=body["jobName"], about=about)
        return _said({"jobArn": arn})

    def _lines(
        self, bucket: str, key: str, wire: Wire
    ) -> tuple[list[Line], list[tuple[str, int]], list[tuple[int | None, str, str]]]:
        """All lines of the input, the number of lines of each file, and what validation finds wrong."""
        names = [name for name in self._objects.keys(bucket, key) if name == key or name.endswith(".jsonl")]
        if key and key in names:
            names = [key]
        lines: list[Line] = []
        files: list[tuple[str, int]] = []
        problems: list[tuple[int | None, str, str]] = []
        if not names:
            problems.append((None, "no_input", "The S3 input location holds no JSONL file."))
        for name in names:
            before = len(lines)
            for row in self._objects.read(bucket, name).split(b"\n"):
                if not row.strip():
                    continue
                try:
                    line = orjson.loads(row)
                except orjson.JSONDecodeError:
                    line = None
                if not isinstance(line, dict) or not isinstance(line.get("modelInput"), dict):
                    problems.append((len(lines) + 1, "bad_line", "A line holds no JSON object with a modelInput."))
                    continue
                record_id = str(line.get("recordId", f"{len(lines) + 1:011d}"))
                lines.append(Line(record_id, line["modelInput"], wire))
            files.append((name.rsplit("/", 1)[-1], len(lines) - before))
        least = self._service.spec.batch_minimum_lines
        if names and not least <= len(lines) <= _MOST_LINES:
            problems.append(
                (None, "lines", f"The input has {len(lines)} records; from {least} to {_MOST_LINES} are taken.")
            )
        return lines, files, problems

    def _json(self, job: RemoteBatch, stage: Stage) -> dict[str, Any]:
        if stage == "ended" and not job.about.get("written"):
            job.about["written"] = True
            self._write(job)
        request, begun = job.about["request"], stage not in ("validating",)
        out = {
            "jobArn": job.id,
            "jobName": job.about["name"],
            "modelId": request["modelId"],
            "roleArn": request["roleArn"],
            "status": self._status(job, stage),
            "submitTime": _at(job.created_at),
            "lastModifiedTime": _at(job.ended_at or time.time()),
            "jobExpirationTime": _at(job.created_at + job.about["hours"] * 3600),
            "inputDataConfig": request["inputDataConfig"],
            "outputDataConfig": request["outputDataConfig"],
            "timeoutDurationInHours": job.about["hours"],
            "modelInvocationType": request.get("modelInvocationType", "InvokeModel"),
            "totalRecordCount": len(job.lines) if begun else 0,
            "processedRecordCount": len(job.done) + len(job.failed),
            "successRecordCount": len(job.done),
            "errorRecordCount": len(job.failed),
        }
        if job.about["token"] is not None:
            out["clientRequestToken"] = job.about["token"]
        if job.ended_at is not None:
            out["endTime"] = _at(job.ended_at)
        if job.outcome == "failed":
            out["message"] = job.problems[0][2]
        return out

    def _status(self, job: RemoteBatch, stage: Stage) -> str:
        if stage == "ended":
            if job.outcome == "expired":
                return "PartiallyCompleted" if job.done or job.failed else "Expired"
            if job.outcome == "completed" and job.failed:
                return "PartiallyCompleted"
            return _OUTCOMES[job.outcome]
        if stage == "cancelling":
            return "Stopping"
        if stage == "validating":
            return "Submitted" if job.polls <= 1 else "Validating"
        if "batch_unknown_state" in job.faults:
            return "Hibernating"
        return "Scheduled" if self._desk.share(job) < 0.4 else "InProgress"

    def _write(self, job: RemoteBatch) -> None:
        """The results beside a manifest, below a folder with the job's id."""
        if job.outcome == "failed":
            return
        bucket, key = _place(job.about["request"]["outputDataConfig"], "s3OutputDataConfig")
        folder = f"{key.rstrip('/')}/{job.id.rsplit('/', 1)[-1]}".lstrip("/")
        silent = "batch_expire_silently" in job.faults
        start = 0
        for name, count in job.about["files"]:
            results = job.results[start : start + count]
            start += count
            told = self._desk.told(job, [result for result in results if result.status or not silent])
            data = b"".join([_result_line(result) for result in told])
            self._objects.write(bucket, f"{folder}/{name}.out", data, job=job.number)
        calls = self._service.recorder.snapshot().calls
        billed = [call for call in calls if call.batch == job.id]
        manifest = {
            "totalRecordCount": len(job.lines),
            "processedRecordCount": len(job.done) + len(job.failed),
            "successRecordCount": len(job.done),
            "errorRecordCount": len(job.failed),
            "inputTokenCount": sum(call.prompt_tokens for call in billed),
            "outputTokenCount": sum(call.completion_tokens for call in billed),
        }
        self._objects.write(bucket, f"{folder}/manifest.json.out", orjson.dumps(manifest))


def _result_line(result: LineResult) -> bytes:
    row: dict[str, Any] = {"modelInput": result.line.body}
    if result.status == 200:
        row["modelOutput"] = embedded(result.body)
    else:
        message = "The job expired before this record was processed."
        if result.status:
            message = str(orjson.loads(result.body).get("message"))
        expired = result.status == 0
        row["error"] = {
            "errorCode": result.status or 400,
            "errorMessage": message,
            "expired": expired,
            "retryable": expired or result.status >= 429,
        }
    row["recordId"] = result.line.custom_id
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _place(config: Any, name: str) -> tuple[str, str]:
    """(bucket, key) of an S3 location."""
    inner = config.get(name) if isinstance(config, dict) else None
    uri = inner.get("s3Uri") if isinstance(inner, dict) else None
    found = _S3.fullmatch(uri) if isinstance(uri, str) else None
    if found is None:
        raise _invalid(f"1 validation error detected: Value at '{name}.s3Uri' failed to satisfy constraint: s3://…")
    return found[1], found[2] or ""


def _invalid(message: str) -> Rejected:
    return Rejected(Failure(400, "invalid", message))


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _said(value: Any) -> Reply:
    return Reply(200, orjson.dumps(value), headers=aws_headers(0, None))


def _failed(failure: Failure) -> Reply:
    return Reply(aws_status(failure), aws_error(failure), headers=aws_headers(0, failure))
