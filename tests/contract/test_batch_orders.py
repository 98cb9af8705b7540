"""What is sent to batch APIs, held against the vendors' own definitions: the clients' types, botocore's model."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, get_type_hints

import botocore.session
import pytest
from botocore.validate import ParamValidator
from pydantic import TypeAdapter

from inlay.batches import Batch, custom_id
from inlay.errors import ProviderError, RateLimited, SpecError, Unreadable
from inlay.providers.batch import BatchWire, Remote, Storage
from inlay.providers.batch.anthropic import AnthropicBatch
from inlay.providers.batch.bedrock import BedrockBatch
from inlay.providers.batch.openai import AzureBatch, OpenAIBatch
from inlay.types import HttpRequest

SUBMISSION = "0123456789abcdef" * 2
STORAGE = Storage("my-bucket", "a/b", "arn:aws:iam::123456789012:role/inlay")
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "日本\n語 😐"}]}).encode()


def batch(wire: BatchWire, request: HttpRequest, **more: Any) -> Batch:
    base: dict[str, Any] = {
        "submission": SUBMISSION,
        "enrichment": "e",
        "run_id": 1,
        "provider": "p",
        "model": "m",
        "wire": "",
        "endpoint": "",
        "region": "",
        "url": wire.url(request),
        "account": "a",
        "requests": 2,
        "size": 1,
        "sha256": "",
        "details": {"input_file": "file-1", "output_file": "file-2", "error_file": "file-3"},
        "remote_id": "batch_1",
    }
    return Batch(**{**base, **more})


OPENAI = OpenAIBatch("https://api.openai.com/v1", "", STORAGE, None)
CHAT = HttpRequest("https://api.openai.com/v1/chat/completions", BODY)


def test_ids_suit_every_provider() -> None:
    name = custom_id(SUBMISSION, 99_999)
    assert name.isalnum()
    assert name.isascii()
    assert 11 <= len(name) <= 64
    assert len({custom_id(SUBMISSION, number) for number in range(1000)}) == 1000


def test_openais_order_is_what_its_client_would_send() -> None:
    from openai.types.batch_create_params import BatchCreateParams

    sent = OPENAI.create(batch(OPENAI, CHAT), b"")
    assert (sent.url, sent.method) == ("https://api.openai.com/v1/batches", "POST")
    given = json.loads(sent.body)
    TypeAdapter(get_type_hints(BatchCreateParams)["endpoint"]).validate_python(given["endpoint"])
    assert set(given) <= set(get_type_hints(BatchCreateParams))
    assert given["metadata"] == {"submission": SUBMISSION}
    line = json.loads(OPENAI.line("id", CHAT))
    assert line == {"custom_id": "id", "method": "POST", "url": "/v1/chat/completions", "body": json.loads(BODY)}
    responses = HttpRequest("https://api.openai.com/v1/responses", BODY)
    assert json.loads(OPENAI.line("id", responses))["url"] == "/v1/responses"


def test_a_line_is_one_line() -> None:
    pretty = HttpRequest(CHAT.url, json.dumps(json.loads(BODY), indent=2).encode())
    assert OPENAI.line("id", pretty).count(b"\n") == 1


def test_openais_answers_are_read_as_its_client_reads_them() -> None:
    from openai.types import Batch as Theirs

    told = {
        "id": "batch_1",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "completion_window": "24h",
        "status": "expired",
        "output_file_id": "file-2",
        "created_at": 1795176000,
        "request_counts": {"total": 3, "completed": 2, "failed": 0},
        "metadata": {"submission": SUBMISSION},
    }
    Theirs.model_validate(told, strict=True)
    remote = OPENAI.polled(200, {}, json.dumps(told).encode())
    assert (remote.phase, remote.state, remote.total, remote.done) == ("ended", "expired", 3, 2)
    assert remote.details == {"input_file": "file-1", "output_file": "file-2"}
    assert OPENAI.is_ours(batch(OPENAI, CHAT), remote)


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("validating", "running"),
        ("in_progress", "running"),
        ("finalizing", "running"),
        ("cancelling", "running"),
        ("hibernating", "running"),
        ("completed", "ended"),
        ("expired", "ended"),
        ("cancelled", "ended"),
        ("failed", "failed"),
    ],
)
def test_states_of_openai(state: str, phase: str) -> None:
    assert OPENAI.polled(200, {}, json.dumps({"id": "b", "status": state}).encode()).phase == phase


@pytest.mark.parametrize(
    ("endpoint", "version", "files", "url"),
    [
        ("https://r.openai.azure.com/openai/v1", None, "https://r.openai.azure.com/openai/v1/files", "/v1/responses"),
        (
            "https://r.openai.azure.com",
            "2025-04-01-preview",
            "https://r.openai.azure.com/openai/files?api-version=2025-04-01-preview",
            "/responses",
        ),
    ],
)
def test_azures_addresses(endpoint: str, version: str | None, files: str, url: str) -> None:
    wire = AzureBatch(endpoint, "", STORAGE, SimpleNamespace(base=endpoint, api_version=version))
    middle = "" if endpoint.endswith("/v1") else "/openai"
    request = HttpRequest(f"{endpoint}{middle}/responses", BODY)
    assert wire.url(request) == url
    sent = wire.upload(batch(wire, request), b"{}\n")
    assert sent is not None
    assert sent.url == files


def test_anthropics_order_is_what_its_client_would_send() -> None:
    from anthropic.types.messages.batch_create_params import BatchCreateParams, Request

    wire = AnthropicBatch("https://api.anthropic.com", "", STORAGE, None)
    request = HttpRequest("https://api.anthropic.com/v1/messages", BODY)
    data = wire.line("a" * 12, request) + wire.line("b" * 12, request)
    sent = wire.create(batch(wire, request), data)
    assert sent.url == "https://api.anthropic.com/v1/messages/batches"
    given = json.loads(sent.body)
    assert set(given) <= set(get_type_hints(BatchCreateParams))
    assert [set(each) for each in given["requests"]] == [set(get_type_hints(Request))] * 2
    assert given["requests"][1] == {"custom_id": "b" * 12, "params": json.loads(BODY)}


def test_bedrocks_order_fits_botocores_model() -> None:
    wire = BedrockBatch("https://bedrock-runtime.eu-central-1.amazonaws.com", "eu-central-1", STORAGE, None)
    request = HttpRequest(
        "https://bedrock-runtime.eu-central-1.amazonaws.com/model/openai.gpt-oss-120b-1%3A0/converse", BODY
    )
    one = batch(wire, request, remote_id="arn:aws:bedrock:eu-central-1:1:model-invocation-job/abc123")
    sent = wire.create(one, b"")
    assert sent.url == "https://bedrock.eu-central-1.amazonaws.com/model-invocation-job"
    given = json.loads(sent.body)
    model = botocore.session.get_session().get_service_model("bedrock")
    shape = model.operation_model("CreateModelInvocationJob").input_shape
    report = ParamValidator().validate(given, shape)
    assert not report.has_errors(), report.generate_report()
    assert given["modelInvocationType"] in shape.members["modelInvocationType"].enum  # type: ignore[union-attr]
    assert given["modelId"] == "openai.gpt-oss-120b-1:0"
    assert given["modelInvocationType"] == "Converse"
    put = wire.upload(one, b"{}\n")
    assert put is not None
    assert (put.method, put.url) == (
        "PUT",
        f"https://s3.eu-central-1.amazonaws.com/my-bucket/a/b/{SUBMISSION}/{SUBMISSION}.jsonl",
    )
    assert wire.is_stored(put)
    assert not wire.is_stored(sent)
    [(_, got)] = wire.outputs(one)
    assert got.url.endswith(f"/a/b/{SUBMISSION}/out/abc123/{SUBMISSION}.jsonl.out")
    for name in ("bucket", "role_arn"):
        with pytest.raises(SpecError, match=name):
            BedrockBatch("https://x", "", Storage(**{"bucket": "b" * 3, "role_arn": "arn", name: ""}), None)


WIRES: list[BatchWire] = [
    OPENAI,
    AnthropicBatch("https://api.anthropic.com", "", STORAGE, None),
    BedrockBatch("http://127.0.0.1:1", "", STORAGE, None),
]


BODIES = [b"", b"null", b"[]", b"{}", b"<html>", b'{"id": 5}', b"\xff", b"[" * 5000, b'{"data": 1}']


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
@pytest.mark.parametrize("body", BODIES)
def test_nothing_that_a_server_sends_is_taken_for_a_batch(wire: BatchWire, body: bytes) -> None:
    for read in (wire.created, wire.polled, wire.found):
        with pytest.raises(Unreadable):
            read(200, {}, body)
        for status in (400, 401, 404, 429, 500, 529):
            with pytest.raises(ProviderError):
                read(status, {}, body)
    with pytest.raises(RateLimited):
        wire.created(429, {}, body)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
@pytest.mark.parametrize("line", [b"{}", b"[]", b"null", b'{"custom_id": 5}', b'{"recordId": null}', b'"x"'])
def test_a_line_without_a_name_is_none_of_ours(wire: BatchWire, line: bytes) -> None:
    with pytest.raises(Unreadable):
        wire.read(line)
    assert wire.read(b" \n") is None


def test_only_the_size_can_tell_anthropics_batches_apart() -> None:
    wire = WIRES[1]
    one = batch(wire, HttpRequest("https://api.anthropic.com/v1/messages", BODY))
    assert wire.is_ours(one, Remote("x", "running", "in_progress", total=2)) is None
    assert wire.is_ours(one, Remote("x", "running", "in_progress", total=3)) is False
