"""What each error answer means: recorded shapes of OpenAI, Azure, vLLM, llama.cpp, Ollama, FastAPI and gateways."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from inlay.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RunError,
    SchemaRejected,
    SpendLimitReached,
    TooLong,
    Transient,
)
from inlay.providers.errors_map import retry_after_s, sentence
from inlay.providers.openai_chat import OpenAIChat


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error", param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error(status: int, body: Any, **headers: str) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ProviderError) as caught:
        OpenAIChat().read(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
    return caught.value


CASES: list[tuple[int, Any, type[ProviderError]]] = [
    (401, openai("Incorrect API key provided: sk-ab***.", "invalid_api_key"), AuthenticationFailed),
    (403, openai("Country, region, or territory not supported", "unsupported_country_region_territory"),
     AuthenticationFailed),
    (400, openai("bad key", "invalid_api_key"), AuthenticationFailed),
    (402, openai("Payment required"), SpendLimitReached),
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), SpendLimitReached),
    (429, openai("x", None, "insufficient_quota"), SpendLimitReached),
    (429, openai("x", "billing_hard_limit_reached"), SpendLimitReached),
    (429, openai("x", "credit_balance_exhausted"), SpendLimitReached),
    (429, openai("x", "project_spend_limit_exceeded"), SpendLimitReached),
    (403, openai("x", "billing_not_active"), SpendLimitReached),
    (429, openai("Rate limit reached for requests", "rate_limit_exceeded", "requests"), RateLimited),
    (429, b"", RateLimited),
    (429, openai("Request too large for gpt-6-luna on tokens per min (TPM): Limit 10000, Requested 12000. "
                 "The input or output tokens must be reduced in order to run successfully.",
                 "rate_limit_exceeded", "tokens"), TooLong),
    (404, openai("The model `gpt-9` does not exist", "model_not_found"), ModelNotFound),
    (404, {"detail": "Not Found"}, ModelNotFound),
    (405, b"Method Not Allowed", ModelNotFound),
    (400, openai("nope", "model_not_found"), ModelNotFound),
    (400, {"error": "model \"llama9\" not found, try pulling it first"}, ModelNotFound),
    (400, {"message": "The provided model identifier is invalid."}, ModelNotFound),
    (400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"), TooLong),
    (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested "
           "5000 tokens", "type": "BadRequestError", "param": None, "code": 400}, TooLong),
    (400, openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096."), TooLong),
    (400, {"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it",
                     "type": "exceed_context_size_error", "n_prompt_tokens": 9000}}, TooLong),
    (400, {"error": "input length exceeds the context length"}, TooLong),
    (422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000"}, TooLong),
    (413, b"<html><body>413 Request Entity Too Large</body></html>", TooLong),
    (400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                     "management policy.", "code": "content_filter", "param": "prompt", "status": 400,
                     "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, ContentFiltered),
    (400, {"error": {"message": "x", "code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
     ContentFiltered),
    (400, openai("Invalid prompt: your prompt was flagged", "invalid_prompt"), ContentFiltered),
    (400, openai("Invalid schema for response_format 'read': 'minLength' is not permitted.", "invalid_json_schema",
                 param="response_format"), SchemaRejected),
    (400, openai("Unsupported value: 'temperature' does not support 0.2 with this model.", "unsupported_value",
                 param="temperature"), SchemaRejected),
    (400, openai("Unrecognized request argument supplied: foo"), SchemaRejected),
    (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model."), SchemaRejected),
    (400, openai("'response_format' does not support response format `json_schema`"), SchemaRejected),
    (422, {"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text' or 'json_object'",
                       "input": "the record itself"}]}, SchemaRejected),
    (500, {"error": {"message": "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': "
                     "\"Input should be 'text' or 'json_object'\"}]", "type": "internal_server_error"}},
     SchemaRejected),
    (400, openai("We could not parse the JSON body of your request."), InvalidRequest),
    (422, {"detail": "Unprocessable"}, InvalidRequest),
    (418, b"", InvalidRequest),
    (408, openai("Request timeout"), ProviderTimeout),
    (504, b"<html><title>504 Gateway Time-out</title></html>", ProviderTimeout),
    (409, openai("conflict"), Overloaded),
    (500, openai("The server had an error", None, "server_error"), Overloaded),
    (502, b"<html>Bad gateway</html>", Overloaded),
    (503, openai("overloaded"), Overloaded),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, Overloaded),
    (301, b"", RunError),
    (302, b"", RunError),
    (307, b"", RunError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_each_recorded_error_has_its_class(status: int, body: Any, kind: type[ProviderError]) -> None:
    caught = error(status, body, x_request_id="req_42")
    assert type(caught) is kind
    assert (caught.provider, caught.status, caught.request_id) == ("openai", status, "req_42")
    assert str(status) in caught.message
    if isinstance(caught, RunError):
        assert caught.remedy
    assert str(pickle.loads(pickle.dumps(caught))) == str(caught)


def test_only_a_time_out_behind_the_gateway_may_have_been_paid() -> None:
    assert {status: error(status, b"").possibly_paid for status in (400, 401, 429, 500, 503, 529, 408, 504)} == {
        400: False, 401: False, 429: False, 500: False, 503: False, 529: False, 408: True, 504: True,
    }  # fmt: skip


def test_a_redirect_says_that_it_is_not_followed() -> None:
    assert "never followed" in str(error(302, b"", location="https://elsewhere.example/"))


def test_the_record_in_a_validation_error_stays_out_of_the_message() -> None:
    body = {"detail": [{"loc": ["body", "x"], "msg": "bad", "input": "secret record"}]}
    assert "secret record" not in str(error(422, body))
    assert "body.x: bad" in str(error(422, body))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, -1.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "a while"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT", "date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT", "date": "Fri, 20 Nov 2026 12:00:00 GMT"}, -3600.0),
    ],
)
def test_how_long_to_wait_is_given_as_told(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds
    caught = error(429, b"", **{name.replace("-", "_"): value for name, value in headers.items()})
    assert isinstance(caught, Transient)
    assert caught.retry_after_s == seconds


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Incorrect API key provided: sk-proj-abc123DEF456.", "abc123DEF456"),
        ("Authorization: Bearer abcdef.ghi", "abcdef"),
        ("cannot reach http://me:hunter2@proxy.example/", "hunter2"),
        ("key 0123456789abcdef0123456789abcdef is unknown", "0123456789abcdef"),
        ("https://x.example/?api_key=hunter2&b=1", "hunter2"),
        ("token eyJhbGciOiJIUzI1NiJ9.payload", "payload"),
    ],
)
def test_what_looks_like_a_key_is_taken_out(text: str, hidden: str) -> None:
    assert hidden not in sentence(text)
    assert "[hidden]" in sentence(text)


def test_a_foreign_sentence_is_one_harmless_line() -> None:
    assert sentence("a\n\n b\t日本 😀") == "a b 日本 😀"
    assert sentence("x\x1b[31mred\u202egnp.exe\x00") == "x\\x1b[31mred\\u202egnp.exe\\x00"
    assert sentence("half \ud800") == "half \\ud800"
    assert len(sentence("é" * 5000)) == 300
    for innocent in ("the api_version is wrong", "model Qwen2.5-Coder-32B-Instruct-GPTQ-Int4", "scikit sk-learn"):
        assert sentence(innocent) == innocent


def test_a_body_of_any_shape_gives_a_message() -> None:
    assert "Unauthorized" in str(error(401, b""))
    assert "Sign in" in str(error(401, b"<html><style>p{}</style><script>x()</script><body><p>Sign in</p></body>"))
    assert "script" not in str(error(401, b"<script>x()</script>Sign in"))
    assert "listed" in str(error(400, [{"error": {"message": "listed", "code": 400}}]))
    assert "plain words" in str(error(500, b"plain words"))
    assert "no reason given" in str(error(499, b"null"))
