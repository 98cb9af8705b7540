"""Where Bedrock is, with which credential, and what its wire does with a declaration."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from inlay.errors import AuthenticationFailed, SpecError
from inlay.providers.abilities import abilities
from inlay.providers.bedrock import BedrockConverse
from inlay.providers.bedrock_invoke import BedrockInvoke
from inlay.providers.bedrock_signing import AwsSigner, find_region
from inlay.providers.models import resolve
from inlay.providers.transport import Transport
from inlay.testing import Simulator
from inlay.types import CallShape, HttpRequest

MODEL = "bedrock:openai.gpt-oss-120b-1:0"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/EXAMPLEKEY"}
ENV = {**KEYS, "AWS_REGION": "eu-central-1"}
SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer"}},
    "required": ["stars"],
    "additionalProperties": False,
}


def shape(model: str, **more: Any) -> CallShape:
    given: dict[str, Any] = {"abilities": abilities("bedrock", model), **more}
    return CallShape(model, "Be exact.", SCHEMA, "read", 300, **given)


def body(model: str, **more: Any) -> Any:
    return json.loads(BedrockConverse("https://b").encoder(shape(model, **more))("x").body)


# --- where it is


def test_the_region_is_the_declared_one_then_the_environments() -> None:
    assert resolve(MODEL, env=ENV).endpoint.host == "bedrock-runtime.eu-central-1.amazonaws.com"  # type: ignore[union-attr]
    found = resolve(MODEL, env=ENV, region="us-west-2")
    assert found.endpoint is not None
    assert found.endpoint.host == "bedrock-runtime.us-west-2.amazonaws.com"
    assert repr(found.signer) == "AwsSigner('bedrock', 'us-west-2')"
    assert BedrockConverse.endpoint_of_region("cn-north-1", {}).endswith(".amazonaws.com.cn")
    assert find_region(None, {"AWS_DEFAULT_REGION": "ap-northeast-1"}) == "ap-northeast-1"


def test_without_a_region_the_error_says_how_to_name_one() -> None:
    with pytest.raises(SpecError, match="needs a region") as caught:
        resolve(MODEL, env=KEYS)
    assert caught.value.key == "region"
    with pytest.raises(SpecError, match="no AWS region"):
        find_region(None, {"AWS_REGION": "x/../y"})


@pytest.mark.parametrize(
    ("host", "home"),
    [
        ("bedrock-runtime.eu-central-1.amazonaws.com", True),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", True),
        ("vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", True),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", True),
        ("bedrock-runtime.s3.amazonaws.com", False),
        ("bedrock-runtime.s3-us-west-2.amazonaws.com", False),
        ("abc.execute-api.us-east-1.amazonaws.com", False),
        ("bedrock-runtime.us-east-1.amazonaws.com.evil.org", False),
        ("evil.org", False),
    ],
)
def test_credentials_go_to_bedrock_alone(host: str, home: bool) -> None:
    assert BedrockConverse.is_home(host) is home
    for env in (ENV, {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-1", "AWS_REGION": "eu-central-1"}):
        if home:
            assert resolve(MODEL, f"https://{host}", env=env).endpoint is not None
            continue
        with pytest.raises(SpecError, match="not sent to"):
            resolve(MODEL, f"https://{host}", env=env)


def test_a_bedrock_key_goes_before_credentials() -> None:
    found = resolve(MODEL, env={**ENV, "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-1"})
    assert found.signer is None
    assert found.auth_headers == (("authorization", "Bearer bedrock-api-key-1"),)
    assert found.key_variable == "AWS_BEARER_TOKEN_BEDROCK"


def test_a_model_by_its_arn_stands_in_the_path_escaped() -> None:
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-5-5"
    assert resolve(f"bedrock:{arn}", env=ENV).name == arn
    url = BedrockConverse("https://b").url(arn)
    assert url == (
        "https://b/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2F"
        "eu.anthropic.claude-haiku-5-5/converse"
    )


# --- signatures


def once(sim: Simulator, env: dict[str, str], wire: str | None = None) -> int:
    async def scenario() -> int:
        found = resolve("bedrock:eu.anthropic.claude-haiku-5-5-v1:0", sim.endpoints["bedrock"], env=env, wire=wire)
        assert found.dialect is not None
        assert found.endpoint is not None
        request = found.dialect.encoder(shape(found.name))('日本 "x" stars')
        async with Transport(found.endpoint, found.auth_headers, env={}, signer=found.signer) as transport:
            status, _, _ = await transport.send(request)
        return status

    return asyncio.run(scenario())


@pytest.mark.parametrize("wire", [None, "invoke"])
def test_a_service_that_checks_signatures_takes_ours(wire: str | None) -> None:
    with Simulator(aws_keys={KEYS["AWS_ACCESS_KEY_ID"]: KEYS["AWS_SECRET_ACCESS_KEY"]}) as sim:
        assert once(sim, ENV, wire) == 200
        assert once(sim, {**ENV, "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr"}, wire) == 200
        assert once(sim, {**ENV, "AWS_SECRET_ACCESS_KEY": "another"}, wire) == 403


def test_no_credentials_at_all_say_how_to_get_some() -> None:
    async def scenario() -> None:
        await AwsSigner("eu-central-1", env={}).headers(HttpRequest("https://b/model/m/converse", b"{}"))

    with pytest.raises(AuthenticationFailed, match="no AWS credentials") as caught:
        asyncio.run(scenario())
    assert "AWS_BEARER_TOKEN_BEDROCK" in caught.value.remedy


def test_credentials_that_expire_are_renewed_once_for_all_who_wait() -> None:
    import datetime as dt

    from botocore.credentials import RefreshableCredentials

    made: list[int] = []

    def renew() -> dict[str, str]:
        made.append(1)
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        return {"access_key": "AKIA2", "secret_key": "s", "token": "t2", "expiry_time": ends.isoformat()}

    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    signer = AwsSigner("eu-central-1", env={})
    signer._credentials = RefreshableCredentials("AKIA1", "s", "t1", soon, renew, "test")

    async def scenario() -> list[Any]:
        request = HttpRequest("https://b/model/m/converse", b"{}")
        return await asyncio.gather(*(signer.headers(request) for _ in range(8)))

    found = asyncio.run(scenario())
    assert len(made) == 1
    assert {dict(headers)["x-amz-security-token"] for headers in found} == {"t2"}


def test_nothing_of_a_credential_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    env = {**ENV, "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEJr-canary"}
    signer = AwsSigner("eu-central-1", env=env)
    with caplog.at_level(logging.DEBUG):
        headers = asyncio.run(signer.headers(HttpRequest("https://b/model/m/converse", b"{}")))
    assert dict(headers)["x-amz-security-token"] == env["AWS_SESSION_TOKEN"]
    shown = caplog.text + repr(signer) + repr(resolve(MODEL, env=env))
    assert not any(value in shown for value in (*KEYS.values(), "canary"))


# --- what is sent


def test_a_model_thinks_as_little_as_it_can_unless_options_say_how_much() -> None:
    assert body("anthropic.claude-haiku-5-5")["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert body("anthropic.claude-opus-5-5")["outputConfig"]["effort"] == "low"
    assert body("openai.gpt-oss-20b-1:0")["additionalModelRequestFields"] == {"reasoning_effort": "low"}
    found = body("anthropic.claude-haiku-5-5", options={"effort": "high"})
    assert found["outputConfig"]["effort"] == "high"
    assert "additionalModelRequestFields" not in found
    with pytest.raises(SpecError, match="no effort 'none'"):
        body("openai.gpt-oss-20b-1:0", options={"reasoning_effort": "none"})


@pytest.mark.parametrize("model", ["eu.anthropic.claude-opus-4-7", "openai.gpt-5.6-luna", "openai.gpt-6.1-terra"])
def test_a_temperature_that_is_refused_is_an_error_before_anything_is_sent(model: str) -> None:
    with pytest.raises(SpecError, match="takes no `temperature`"):
        body(model, temperature=0.0)


def test_cache_points_stand_where_the_constant_part_ends() -> None:
    prefix = "Read this review and fill in the fields. " * 300
    model = "anthropic.claude-haiku-5-5"
    encode = BedrockConverse("https://b").encoder(shape(model, user_prefix=prefix))
    assert json.loads(encode(prefix + "wörd").body)["messages"][0]["content"] == [
        {"text": prefix},
        {"cachePoint": {"type": "default"}},
        {"text": "wörd"},
    ]
    assert json.loads(encode(prefix).body)["messages"][0]["content"] == [{"text": prefix}]
    assert "cachePoint" not in json.dumps(body(model, user_prefix=prefix, cache=False))
    assert "cachePoint" not in json.dumps(body(model, user_prefix="short"))


def test_an_open_model_by_invoke_gets_the_chat_body_without_its_name() -> None:
    encode = BedrockInvoke("https://b").encoder(shape("openai.gpt-oss-120b-1:0"))
    sent = json.loads(encode("x").body)
    assert sent["reasoning_effort"] == "low"
    assert sent["max_completion_tokens"] == 300
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert "model" not in sent
    in_words = json.loads(BedrockInvoke("https://b").encoder(shape("meta.llama4-scout"))("x").body)
    assert "response_format" not in in_words
    assert "JSON Schema" in in_words["messages"][0]["content"]
