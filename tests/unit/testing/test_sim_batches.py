"""Batch APIs of the simulator: the official clients drive them, and the books say what was paid."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import boto3
import botocore.exceptions
import openai
import pytest
from botocore.config import Config

from inlay.errors import SpecError
from inlay.testing import BATCH_FAULTS, Simulator, SimulatorProcess

USERS = [f"Read review {index}: 部屋は静か、الخدمة ممتازة and breakfast 🍳 number {index}" for index in range(10)]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["mood", "stars"],
    "properties": {"mood": {"type": "string", "enum": ["良い", "bad"]}, "stars": {"type": "integer"}},
}


def chat(user: str, model: str = "gpt-6-luna") -> dict[str, Any]:
    inner = {"name": "answer", "strict": True, "schema": SCHEMA}
    return {
        "model": model,
        "messages": [{"role": "user", "content": user}],
        "response_format": {"type": "json_schema", "json_schema": inner},
    }


def response(user: str) -> dict[str, Any]:
    form = {"type": "json_schema", "name": "answer", "strict": True, "schema": SCHEMA}
    return {"model": "gpt-6-luna", "input": user, "text": {"format": form}, "store": False}


def message(user: str) -> dict[str, Any]:
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": user}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


def lines_for(url: str, body: Any, users: list[str]) -> bytes:
    rows = [
        {"custom_id": f"line{index:03d}", "method": "POST", "url": url, "body": body(user)}
        for index, user in enumerate(users)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@contextmanager
def opened(sim: Simulator, provider: str = "openai", key: str = "sk-1") -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=sim.endpoints[provider], api_key=key, max_retries=0, timeout=3) as client:
        yield client


def submit(
    client: openai.OpenAI, data: bytes | None = None, endpoint: str = "/v1/chat/completions", **more: Any
) -> Any:
    data = lines_for(endpoint, chat, USERS) if data is None else data
    file = client.files.create(file=("chunk 1.jsonl", io.BytesIO(data)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,
        completion_window="24h",
        **more,  # type: ignore[arg-type]
    )


def rows_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [] if file_id is None else [json.loads(row) for row in client.files.content(file_id).read().splitlines()]


def live_answers(sim: Simulator) -> dict[str, str]:
    """What the live wire says to the same messages, by line."""
    with opened(sim) as client:
        said = [client.chat.completions.create(**chat(user)).choices[0].message.content for user in USERS]
    return {f"line{index:03d}": text or "" for index, text in enumerate(said)}


# --- OpenAI ---------------------------------------------------------------------------------------------------------


def test_a_batch_walks_its_states_and_answers_as_live_at_half_the_price():
    with Simulator(batch_polls=3) as sim, opened(sim) as client:
        live = live_answers(sim)
        live_cost = sim.ledger.billed_nusd
        sim.clear()
        batch = submit(client, metadata={"submission": "s-1"})
        assert batch.status == "validating"
        seen = [client.batches.retrieve(batch.id) for _ in range(4)]
        assert [b.status for b in seen] == ["validating", "in_progress", "finalizing", "completed"]
        assert [b.request_counts.total for b in seen] == [0, 10, 10, 10]
        done = seen[-1]
        assert (done.request_counts.completed, done.error_file_id) == (10, None)
        rows = rows_of(client, done.output_file_id)
        told = {row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in rows}
        assert told == live
        books = sim.ledger
    assert {(call.mode, call.batch) for call in books.calls} == {("batch", batch.id)}
    assert {call.custom_id for call in books.calls} == set(live)
    assert live_cost / 2 <= books.billed_nusd <= live_cost / 2 + 10
    (entry,) = books.batches
    assert (entry.id, entry.outcome, entry.paid_lines, entry.name) == (batch.id, "completed", 10, "s-1")
    assert len(entry.custom_ids) == 10
    assert books.paid_again() == {}
    assert Counter(request.path for request in books.batch_requests)["/v1/files"] == 1
    assert len(books) == 10


def test_responses_in_a_batch_and_azure_under_both_paths():
    with Simulator() as sim:
        live = live_answers(sim)
        with opened(sim) as client:
            batch = submit(client, lines_for("/v1/responses", response, USERS), "/v1/responses")
            rows = rows_of(client, client.batches.retrieve(batch.id).output_file_id)
            told = {row["custom_id"]: row["response"]["body"]["output"][-1]["content"][0]["text"] for row in rows}
            assert told == live
        with opened(sim, "azure") as azure:
            batch = submit(azure)
            ended = azure.batches.retrieve(batch.id)
            assert len(rows_of(azure, ended.output_file_id)) == 10
            assert rows_of(azure, ended.error_file_id) == []
            assert ended.error_file_id is not None
        with openai.AzureOpenAI(
            azure_endpoint=sim.endpoints["azure-dated"], api_version="2025-04-01-preview", api_key="sk-1", max_retries=0
        ) as dated:
            assert [b.id for b in dated.batches.list()] == [batch.id]
            assert dated.batches.retrieve(batch.id).status == "completed"


def test_files_and_lists_are_an_accounts_own_and_paged():
    with Simulator() as sim, opened(sim) as client, opened(sim, key="sk-2") as other:
        ids = [submit(client, metadata={"submission": f"s{n}"}).id for n in range(5)]
        page = client.batches.list(limit=2)
        assert [batch.id for batch in page.data] == ids[:-3:-1]
        assert [batch.id for batch in client.batches.list(limit=2)] == ids[::-1]
        assert [batch.metadata for batch in client.batches.list(limit=1).data] == [{"submission": "s4"}]
        assert list(other.batches.list()) == []
        with pytest.raises(openai.NotFoundError):
            other.batches.retrieve(ids[0])
        names = [file.id for file in client.files.list(purpose="batch")]
        assert len(names) == 5
        assert client.files.retrieve(names[0]).filename == "chunk 1.jsonl"
        assert client.files.delete(names[0]).deleted
        assert names[0] not in [file.id for file in client.files.list()]
        assert len({entry.account for entry in sim.ledger.batches}) == 1


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (lines_for("/v1/chat/completions", chat, USERS[:1]) * 2, "duplicate_custom_id", 2),
        (b"{no json\n", "invalid_json_line", 1),
        (b"\xef\xbb\xbf" + lines_for("/v1/chat/completions", chat, USERS[:1]), "invalid_json_line", 1),
        (lines_for("/v1/responses", response, USERS), "mismatched_endpoint", 1),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}\n', "missing_required_parameter", 1),
        (b"\n", "empty_file", 1),
    ],
)
def test_a_file_that_breaks_a_rule_fails_the_batch_and_costs_nothing(data, code, line):
    with Simulator() as sim, opened(sim) as client:
        batch = client.batches.retrieve(submit(client, data).id)
        assert (batch.status, batch.output_file_id) == ("failed", None)
        assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, line)
        assert (len(sim.ledger), sim.ledger.batches[0].outcome) == (0, "failed")


def test_lines_fail_alone_into_the_file_of_errors():
    faults = [{"fault": "http_500", "record": "number 3", "mode": "batch"}, {"fault": "refusal", "record": "number 4"}]
    with Simulator(faults=faults) as sim, opened(sim) as client:
        batch = client.batches.retrieve(submit(client).id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (9, 1)
        (error,) = rows_of(client, batch.error_file_id)
        assert (error["custom_id"], error["response"]["status_code"]) == ("line003", 500)
        assert error["response"]["body"]["error"]["type"] == "server_error"
        rows = {row["custom_id"]: row for row in rows_of(client, batch.output_file_id)}
        assert rows["line004"]["response"]["body"]["choices"][0]["message"]["refusal"]
        assert sum(call.cost_nusd > 0 for call in sim.ledger.calls) == 9
        assert client.chat.completions.create(**chat(USERS[3])).choices[0].message.content


@pytest.mark.parametrize("fault", ["batch_expire", "batch_expire_silently", "batch_expire_unbegun", "batch_cancel"])
def test_a_batch_that_ends_early_keeps_what_was_paid(fault):
    with Simulator(batch_faults=[{"fault": fault}], batch_done_share=0.3) as sim, opened(sim) as client:
        batch = client.batches.retrieve(submit(client).id)
        done, missed = rows_of(client, batch.output_file_id), rows_of(client, batch.error_file_id)
        paid = sim.ledger.batches[0].paid_lines
    expected = 0 if fault == "batch_expire_unbegun" else 3
    assert batch.status == ("cancelled" if fault == "batch_cancel" else "expired")
    assert (len(done), paid) == (expected, expected)
    assert len(missed) == (0 if fault == "batch_expire_silently" else 10 - expected)
    codes = {row["error"]["code"] for row in missed}
    assert codes <= {"batch_cancelled" if fault == "batch_cancel" else "batch_expired"}


def test_a_client_cancels():
    with Simulator(batch_polls=4) as sim, opened(sim) as client:
        batch = submit(client)
        for _ in range(3):
            client.batches.retrieve(batch.id)
        assert client.batches.cancel(batch.id).status == "cancelling"
        ended = client.batches.retrieve(batch.id)
        assert (ended.status, ended.request_counts.completed) == ("cancelled", 5)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)


def test_batches_are_held_until_they_are_released():
    with Simulator(release_batches=False) as sim, opened(sim) as client:
        batch = submit(client)
        states = [client.batches.retrieve(batch.id).status for _ in range(4)]
        assert states == ["validating", "in_progress", "in_progress", "in_progress"]
        assert sim.ledger.billed_nusd == 0
        sim.control(release_batches=True)
        assert client.batches.retrieve(batch.id).status == "completed"
        assert sim.ledger.billed_nusd > 0


def test_a_quota_of_enqueued_tokens():
    with Simulator(release_batches=False, batch_enqueued_tokens=700) as sim, opened(sim) as client:
        first, second = submit(client), submit(client)
        sim.control(release_batches=True)
        assert client.batches.retrieve(first.id).status == "completed"
        refused = client.batches.retrieve(second.id)
        assert (refused.status, refused.errors.data[0].code) == ("failed", "token_limit_exceeded")
        assert client.batches.retrieve(submit(client).id).status == "completed"


@pytest.mark.parametrize(
    ("fault", "error", "created"),
    [
        ("create_500_before", openai.InternalServerError, 0),
        ("create_429_before", openai.RateLimitError, 0),
        ("create_reset_before", openai.APIConnectionError, 0),
        ("create_500_after", openai.InternalServerError, 1),
        ("create_reset_after", openai.APIConnectionError, 1),
        ("create_timeout_after", openai.APITimeoutError, 1),
        ("create_cut_after", openai.APIConnectionError, 1),
    ],
)
def test_an_answer_to_create_is_lost(fault, error, created):
    with Simulator(batch_faults=[{"fault": fault, "times": 1}]) as sim, opened(sim) as client:
        with pytest.raises(error):
            submit(client.with_options(timeout=0.5), metadata={"submission": "s-9"})
        found = [batch for batch in client.batches.list() if batch.metadata == {"submission": "s-9"}]
        assert (len(found), len(sim.ledger.batches)) == (created, created)
        assert submit(client).id
        assert len(sim.ledger.batches) == created + 1


def test_results_that_arrive_wrong():
    names = ["batch_shuffled", "batch_doubled_line", "batch_foreign_line", "batch_lost_line"]
    rules = [{"fault": name, "numbers": [number]} for number, name in enumerate(names, 1)]
    whole = [f"line{index:03d}" for index in range(10)]
    got = []
    with Simulator(batch_faults=rules) as sim, opened(sim) as client:
        for _ in names:
            rows = rows_of(client, client.batches.retrieve(submit(client).id).output_file_id)
            got.append([row["custom_id"] for row in rows])
    assert (got[0] != whole, sorted(got[0])) == (True, whole)
    assert got[1:] == [[*whole, "line000"], [*whole, "line000foreign"], whole[:-1]]


def test_polls_lists_and_downloads_fail_as_often_as_told():
    rules = [{"fault": name, "times": 1} for name in ("poll_500", "list_hidden", "download_500", "batch_unknown_state")]
    rules += [{"fault": "download_cut", "times": 1}, {"fault": "download_short", "times": 1}]
    with Simulator(batch_faults=rules, batch_polls=2) as sim, opened(sim) as client:
        batch = submit(client)
        assert list(client.batches.list()) == []
        assert [b.id for b in client.batches.list()] == [batch.id]
        with pytest.raises(openai.InternalServerError):
            client.batches.retrieve(batch.id)
        assert [client.batches.retrieve(batch.id).status for _ in range(2)] == ["validating", "hibernating"]
        ended = client.batches.retrieve(batch.id)
        with pytest.raises(openai.InternalServerError):
            client.files.content(ended.output_file_id)
        with pytest.raises(openai.APIConnectionError):
            client.files.content(ended.output_file_id).read()
        short = client.files.content(ended.output_file_id).read()
        whole = client.files.content(ended.output_file_id).read()
        assert len(short) < len(whole)
        assert len(sim.ledger) == 10


def test_uploads_fail_as_told():
    rules = [{"fault": "upload_500", "numbers": [1]}, {"fault": "upload_reset_after", "numbers": [2]}]
    with Simulator(batch_faults=rules) as sim, opened(sim) as client:
        for error in (openai.InternalServerError, openai.APIConnectionError):
            with pytest.raises(error):
                submit(client)
        assert len(list(client.files.list())) == 1
        assert [r.status for r in sim.ledger.batch_requests if r.method == "POST"] == [500, 0]


def test_batches_take_their_time():
    with Simulator(batch_seconds=0.4) as sim, opened(sim) as client:
        batch = submit(client)
        states = [client.batches.retrieve(batch.id).status]
        while states[-1] != "completed":
            states.append(client.batches.retrieve(batch.id).status)
    assert list(dict.fromkeys(states)) == ["validating", "in_progress", "finalizing", "completed"]


# --- Anthropic ------------------------------------------------------------------------------------------------------


@contextmanager
def claude(sim: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=sim.endpoints["anthropic"], api_key="sk-ant", max_retries=0, timeout=3) as client:
        yield client


def requests(users: list[str] = USERS) -> list[Any]:
    return [{"custom_id": f"line{index:03d}", "params": message(user)} for index, user in enumerate(users)]


def test_message_batches_from_creation_to_deletion():
    faults = [{"fault": "http_400_context", "record": "number 7", "mode": "batch"}]
    with Simulator(batch_polls=2, faults=faults) as sim, claude(sim) as client:
        live = live_answers(sim)
        batch = client.messages.batches.create(requests=requests())
        assert (batch.processing_status, batch.request_counts.processing, batch.results_url) == (
            "in_progress",
            10,
            None,
        )
        assert client.messages.batches.retrieve(batch.id).request_counts.succeeded == 0
        with pytest.raises(anthropic.AnthropicError):
            client.messages.batches.results(batch.id)
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.delete(batch.id)
        client.messages.batches.retrieve(batch.id)
        ended = client.messages.batches.retrieve(batch.id)
        assert (ended.processing_status, ended.request_counts.succeeded, ended.request_counts.errored) == (
            "ended",
            9,
            1,
        )
        results = {row.custom_id: row.result for row in client.messages.batches.results(batch.id)}
        failed = results.pop("line007")
        assert (failed.type, failed.error.error.type) == ("errored", "invalid_request_error")
        told = {name: result.message.content[-1].text for name, result in results.items()}
        assert told == {name: text for name, text in live.items() if name != "line007"}
        assert results["line000"].message.usage.service_tier == "batch"
        assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
        assert list(client.messages.batches.list()) == []
        assert [entry.paid_lines for entry in sim.ledger.batches] == [9]


def test_message_batches_are_listed_newest_first_and_refuse_ids():
    with Simulator() as sim, claude(sim) as client:
        ids = [client.messages.batches.create(requests=requests(USERS[: n + 1])).id for n in range(4)]
        assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
        page = client.messages.batches.list(limit=2, before_id=ids[0])
        assert [batch.id for batch in page.data] == [ids[2], ids[1]]
        for wrong in ("ä", "", "x" * 65, "line000"):
            twice = [{"custom_id": "line000", "params": message("x")}, {"custom_id": wrong, "params": message("x")}]
            with pytest.raises(anthropic.BadRequestError):
                client.messages.batches.create(requests=twice)
        assert len(sim.ledger.batches) == 4


@pytest.mark.parametrize(
    ("fault", "kind"), [("batch_expire", "expired"), ("batch_cancel", "canceled"), ("batch_token_limit", "errored")]
)
def test_message_batches_that_end_early(fault, kind):
    with Simulator(batch_faults=[{"fault": fault}]) as sim, claude(sim) as client:
        batch = client.messages.batches.create(requests=requests())
        ended = client.messages.batches.retrieve(batch.id)
        kinds = Counter(row.result.type for row in client.messages.batches.results(batch.id))
        counts = ended.request_counts
        assert {"succeeded": counts.succeeded, kind: getattr(counts, kind)} == {
            "succeeded": kinds["succeeded"],
            kind: kinds[kind],
        }
        assert kinds == ({"errored": 10} if kind == "errored" else {"succeeded": 5, kind: 5})


def test_message_batches_are_cancelled_and_their_creation_is_lost():
    rule = {"fault": "create_timeout_after", "numbers": [2]}
    with Simulator(batch_polls=5, batch_faults=[rule]) as sim, claude(sim) as client:
        batch = client.messages.batches.create(requests=requests())
        for _ in range(2):
            client.messages.batches.retrieve(batch.id)
        cancelled = client.messages.batches.cancel(batch.id)
        assert cancelled.processing_status == "canceling"
        assert cancelled.cancel_initiated_at is not None
        assert client.messages.batches.retrieve(batch.id).request_counts.canceled == 5
        with pytest.raises(anthropic.APITimeoutError):
            client.with_options(timeout=0.4).messages.batches.create(requests=requests())
        assert [b.id for b in client.messages.batches.list()] == [entry.id for entry in sim.ledger.batches[::-1]]


# --- Bedrock --------------------------------------------------------------------------------------------------------


def aws(sim: Simulator, service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=sim.endpoints[endpoint],
        region_name="us-east-1",
        aws_access_key_id="AKIASIM",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=2),
    )


def converse(user: str) -> dict[str, Any]:
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "answer"}}
    return {
        "messages": [{"role": "user", "content": [{"text": user}]}],
        "inferenceConfig": {"maxTokens": 500},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": structure}},
    }


def job(name: str, token: str, **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "clientRequestToken": token,
        "modelId": "openai.gpt-oss-120b-1:0",
        "roleArn": "arn:aws:iam::123456789012:role/inlay",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://rows-in/入力/chunk 1.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://rows-out/results/"}},
        **more,
    }


def put_lines(s3: Any, body: Any) -> None:
    rows = [{"recordId": f"line{index:03d}", "modelInput": body(user)} for index, user in enumerate(USERS)]
    s3.put_object(Bucket="rows-in", Key="入力/chunk 1.jsonl", Body="\n".join(json.dumps(row) for row in rows).encode())


def invoke(user: str) -> dict[str, Any]:
    return {name: value for name, value in chat(user).items() if name != "model"}


@pytest.mark.parametrize("kind", ["InvokeModel", "Converse"])
def test_invocation_jobs_read_and_write_s3(kind):
    settings = {"batch_polls": 4, "aws_keys": {"AKIASIM": "secret"}, "api_keys": ["sk-1"]}
    with Simulator(**settings, faults=[{"fault": "http_400_schema", "record": "number 5", "mode": "batch"}]) as sim:
        live = live_answers(sim)
        s3, bedrock = aws(sim, "s3", "s3"), aws(sim, "bedrock", "bedrock")
        put_lines(s3, converse if kind == "Converse" else invoke)
        arn = bedrock.create_model_invocation_job(**job("chunk-1", "t1", modelInvocationType=kind))["jobArn"]
        again = bedrock.create_model_invocation_job(**job("chunk-1", "t1", modelInvocationType=kind))["jobArn"]
        assert again == arn
        for name, token in (("chunk-1", "t2"), ("chunk-2", "t1")):
            with pytest.raises(bedrock.exceptions.ConflictException):
                bedrock.create_model_invocation_job(**job(name, token))
        found = bedrock.list_model_invocation_jobs(nameContains="chunk")["invocationJobSummaries"]
        assert [summary["jobArn"] for summary in found] == [arn]
        seen = [bedrock.get_model_invocation_job(jobIdentifier=arn) for _ in range(5)]
        states = [state["status"] for state in seen]
        assert states == ["Submitted", "Scheduled", "InProgress", "InProgress", "PartiallyCompleted"]
        assert (seen[-1]["successRecordCount"], seen[-1]["errorRecordCount"]) == (9, 1)
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket="rows-out")["Contents"]]
        folder = f"results/{arn.rsplit('/', 1)[1]}"
        assert keys == [f"{folder}/chunk 1.jsonl.out", f"{folder}/manifest.json.out"]
        rows = [json.loads(row) for row in s3.get_object(Bucket="rows-out", Key=keys[0])["Body"].read().splitlines()]
        assert [row["recordId"] for row in rows] == sorted(live)
        assert rows[5]["error"]["errorCode"] == 400
        outputs = {row["recordId"]: row["modelOutput"] for row in rows if "modelOutput" in row}
        if kind == "Converse":
            told = {name: out["output"]["message"]["content"][0]["text"] for name, out in outputs.items()}
        else:
            told = {name: out["choices"][0]["message"]["content"] for name, out in outputs.items()}
        assert told == {name: text for name, text in live.items() if name != "line005"}
        assert json.loads(s3.get_object(Bucket="rows-out", Key=keys[1])["Body"].read())["successRecordCount"] == 9
        assert [entry.paid_lines for entry in sim.ledger.batches] == [9]


def test_jobs_stop_expire_and_fail():
    rules = [{"fault": "batch_expire", "numbers": [2]}, {"fault": "batch_expire_unbegun", "numbers": [3]}]
    rules += [{"fault": "batch_fail_validation", "numbers": [4]}]
    with Simulator(batch_polls=3, batch_faults=rules) as sim:
        s3, bedrock = aws(sim, "s3", "s3"), aws(sim, "bedrock", "bedrock")
        put_lines(s3, invoke)
        arns = [bedrock.create_model_invocation_job(**job(f"chunk-{n}", f"t{n}"))["jobArn"] for n in range(4)]

        def status(arn: str) -> str:
            return bedrock.get_model_invocation_job(jobIdentifier=arn)["status"]

        for _ in range(2):
            status(arns[0])
        bedrock.stop_model_invocation_job(jobIdentifier=arns[0])
        listed = bedrock.list_model_invocation_jobs(statusEquals="Stopping")["invocationJobSummaries"]
        assert [summary["jobArn"] for summary in listed] == [arns[0]]
        assert status(arns[0]) == "Stopped"
        ends = []
        for arn in arns[1:]:
            ends.append([status(arn) for _ in range(4)][-1])
        assert ends == ["PartiallyCompleted", "Expired", "Failed"]
        assert [entry.paid_lines for entry in sim.ledger.batches] == [5, 5, 0, 0]
        with pytest.raises(bedrock.exceptions.ResourceNotFoundException):
            bedrock.get_model_invocation_job(jobIdentifier=arns[0][:-2] + "zz")
        place = {"s3OutputDataConfig": {"s3Uri": "s3://no bucket"}}
        with pytest.raises(bedrock.exceptions.ValidationException):
            bedrock.create_model_invocation_job(**job("short", "t9", outputDataConfig=place))


def test_a_job_needs_lines():
    with Simulator(batch_minimum_lines=100) as sim:
        s3, bedrock = aws(sim, "s3", "s3"), aws(sim, "bedrock", "bedrock")
        put_lines(s3, invoke)
        arn = bedrock.create_model_invocation_job(**job("few", "t1"))["jobArn"]
        told = bedrock.get_model_invocation_job(jobIdentifier=arn)
        assert (told["status"], "10 records" in told["message"]) == ("Failed", True)
        assert sim.ledger.billed_nusd == 0


def test_objects_of_any_name():
    with Simulator() as sim:
        s3 = aws(sim, "s3", "s3")
        names = ["a/b c.txt", "日本/データ+1.jsonl", "x&y<z>.json", "emoji 🍳"]
        for name in names:
            s3.put_object(Bucket="any", Key=name, Body=name.encode())
        assert sorted(i["Key"] for i in s3.list_objects_v2(Bucket="any")["Contents"]) == sorted(names)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="any", PaginationConfig={"PageSize": 1})
        assert sorted(i["Key"] for page in pages for i in page["Contents"]) == sorted(names)
        for name in names:
            assert s3.get_object(Bucket="any", Key=name)["Body"].read() == name.encode()
            assert s3.head_object(Bucket="any", Key=name)["ContentLength"] == len(name.encode())
        s3.delete_object(Bucket="any", Key=names[0])
        s3.delete_objects(Bucket="any", Delete={"Objects": [{"Key": names[2]}]})
        with pytest.raises(botocore.exceptions.ClientError) as error:
            s3.get_object(Bucket="any", Key=names[0])
        assert error.value.response["Error"]["Code"] == "NoSuchKey"
        assert s3.list_objects_v2(Bucket="any")["KeyCount"] == 2


# --- the books and the rules ----------------------------------------------------------------------------------------


def test_the_books_of_a_process_hold_batches():
    with SimulatorProcess() as sim, opened(sim) as client:  # type: ignore[arg-type]
        batch = submit(client)
        client.batches.retrieve(batch.id)
        books = sim.ledger
        assert [entry.id for entry in books.batches_with("line003")] == [batch.id]
        assert books.batches_with("other") == ()
        assert {request.method for request in books.batch_requests} == {"GET", "POST"}
        assert b"sk-1" not in books.to_jsonl() + books.batches_json()
        sim.clear()
        assert (sim.ledger.batches, sim.ledger.batch_requests) == ((), ())


def test_batch_faults_say_what_they_do_and_mistakes_name_the_nearest():
    assert all(sentence.endswith(".") for sentence in BATCH_FAULTS.values())
    with pytest.raises(SpecError, match="did you mean poll_500"):
        Simulator(batch_faults=[{"fault": "poll_50"}])
