"""Every wire beside chat: the official clients read its answers, and all of them answer alike."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import anthropic
import boto3
import botocore.exceptions
import openai
import pytest
from anthropic.lib._parse._transform import transform_schema
from botocore.config import Config

from inlay.engine.ask import answer_schema
from inlay.providers.lower import lower_strict
from inlay.spec.fields import FieldSpec
from inlay.testing import FAULTS, Price, Simulator

CLAUDE, GPT = "claude-haiku-4-5", "openai.gpt-oss-120b-1:0"
BEDROCK_CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
FIELDS = {
    "気分": FieldSpec(type="enum", values=["positiv", "مُحايد", "negativ"], evidence=True, confidence=True),
    "stars given": FieldSpec(type="integer", min=1, max=5, description="How many"),
    "share": FieldSpec(type="number", min=0.5, confidence=True),
    "below": FieldSpec(type="number", max=-3),
    'a "name"': FieldSpec(type="string", max_length=20),
    "when": FieldSpec(type="date"),
    "tags": FieldSpec(type="list", items=FieldSpec(type="string", max_length=12), max_items=3),
    "room": FieldSpec(type="object", fields={"floor": FieldSpec(type="integer", min=1, max=9)}),
    "sure": FieldSpec(type="boolean", nullable=False),
}
SCHEMA = lower_strict(answer_schema(FIELDS))


def split(schema: Any) -> Any:
    """The schema with a choice of branches where a type is a list, which the SDK's transformer does not know."""
    if isinstance(schema, list):
        return [split(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: split(value) for key, value in schema.items()}
    if not isinstance(out.get("type"), list) or "enum" in out:
        return out
    about = {key: out.pop(key) for key in list(out) if key == "description"}
    kind = next(kind for kind in out.pop("type") if kind != "null")
    return {**about, "anyOf": [{**out, "type": kind}, {"type": "null"}]}


CLAUDE_SCHEMA = transform_schema(split(answer_schema(FIELDS)))
SYSTEM = "Answer the question."
USERS = [f"Read review {index}: 部屋は静か、الخدمة ممتازة and breakfast 🍳 number {index}" for index in range(25)]


def chat(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    body = {
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
    }
    if schema:
        inner = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": inner}
    return {**body, "max_completion_tokens": 4000, **more}


def responses(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    body = {"model": "gpt-6-luna", "instructions": SYSTEM, "input": user, "store": False, "max_output_tokens": 4000}
    if schema:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "strict": True, "schema": schema}}
    return {**body, **more}


def messages(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    body = {"model": CLAUDE, "system": SYSTEM, "messages": [{"role": "user", "content": user}], "max_tokens": 4000}
    if schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return {**body, **more}


def converse(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "system": [{"text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"text": user}]}],
        "inferenceConfig": {"maxTokens": 4000},
    }
    if schema:
        inner = {"schema": json.dumps(schema), "name": "answer"}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": inner}}}
    return {**body, **more}


def without(body: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names} | more


def invoke_claude(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    return without(messages(user, schema, **more), "model", anthropic_version="bedrock-2023-05-31")


def invoke_gpt(user: str, schema: Any, **more: Any) -> dict[str, Any]:
    return without(chat(user, schema, **more), "model")


def said_in_chat(answer: Any) -> Any:
    return answer["choices"][0]["message"]["content"]


def said_in_response(answer: Any) -> Any:
    return answer["output"][-1]["content"][0]["text"]


def said_in_message(answer: Any) -> Any:
    return answer["content"][-1]["text"]


def said_in_converse(answer: Any) -> Any:
    return answer["output"]["message"]["content"][-1]["text"]


# name → (path, request, what it said, schema)
WIRES = {
    "chat": ("/v1/chat/completions", chat, said_in_chat, SCHEMA),
    "responses": ("/v1/responses", responses, said_in_response, SCHEMA),
    "azure chat": ("/openai/v1/chat/completions", chat, said_in_chat, SCHEMA),
    "azure responses": ("/openai/v1/responses", responses, said_in_response, SCHEMA),
    "azure dated chat": (
        "/openai/deployments/my%20luna/chat/completions?api-version=2025-04-01-preview",
        chat,
        said_in_chat,
        SCHEMA,
    ),
    "azure dated responses": ("/openai/responses?api-version=2025-04-01-preview", responses, said_in_response, SCHEMA),
    "messages": ("/v1/messages", messages, said_in_message, CLAUDE_SCHEMA),
    "converse claude": (f"/model/{quote(BEDROCK_CLAUDE)}/converse", converse, said_in_converse, CLAUDE_SCHEMA),
    "converse gpt": (f"/model/{quote(GPT)}/converse", converse, said_in_converse, SCHEMA),
    "invoke claude": (f"/model/{quote(BEDROCK_CLAUDE)}/invoke", invoke_claude, said_in_message, CLAUDE_SCHEMA),
    "invoke gpt": (f"/model/{quote(GPT)}/invoke", invoke_gpt, said_in_chat, SCHEMA),
}
BESIDE_CHAT = [name for name in WIRES if name != "chat"]


def asked(client: SimpleNamespace, sim: Simulator, wire: str, user: str = USERS[0], **more: Any) -> Any:
    path, request, _, schema = WIRES[wire]
    return client.ask(sim.endpoint, request(user, schema, **more), path=path)


# --- all alike ------------------------------------------------------------------------------------------------------


def test_the_same_records_get_the_same_answers_at_the_same_price_on_every_wire(client):
    told: dict[str, Any] = {}
    bills: dict[str, Any] = {}
    for wire, (_, _, said, _) in WIRES.items():
        with Simulator(null_share=0.3) as sim:
            told[wire] = [json.loads(said(asked(client, sim, wire, user).json)) for user in USERS]
            bills[wire] = [(c.prompt_tokens, c.completion_tokens, c.cost_nusd) for c in sim.ledger.calls]
            assert sim.ledger.billed_nusd > 0
    for wire in BESIDE_CHAT:
        assert told[wire] == told["chat"], wire
        assert bills[wire] == bills["chat"], wire
    stars = {answer["stars given"] for answer in told["chat"]}
    assert stars <= {1, 2, 3, 4, 5, None}
    assert len(stars) > 3


@pytest.mark.parametrize("wire", BESIDE_CHAT)
def test_every_fault_on_every_wire(client, wire):
    transport = {"timeout", "slow_headers", "dribble", "stall_mid_body", "reset", "reset_mid_body", "hang_up"}
    transport |= {"garbage_chunk"}
    with Simulator(dribble_interval_s=0.001) as sim:
        for fault in sorted(set(FAULTS) - transport):
            sim.control(faults=[{"fault": fault}])
            answer = asked(client, sim, wire)
            call = sim.ledger.calls[-1]
            assert (call.fault, call.status) == (fault, answer.status)
            if fault.startswith("http_"):
                assert answer.status >= 400
                assert (call.cost_nusd, "message" in answer.data.decode()) == (0, True)
            elif fault != "redirect":
                assert (answer.status, call.cost_nusd > 0) == (200, True)
        assert set(sim.ledger.by_fault) == set(FAULTS) - transport


# --- the official clients -------------------------------------------------------------------------------------------


def openai_client(sim: Simulator) -> openai.OpenAI:
    return openai.OpenAI(base_url=sim.endpoints["openai"], api_key="sk-x", max_retries=0)


def test_openai_client_reads_responses():
    with Simulator(reasoning_tokens=7) as sim, openai_client(sim) as client:
        raw = client.responses.with_raw_response.create(**responses(USERS[0], SCHEMA))
        answer = raw.parse()
        assert raw.headers["x-request-id"]
        assert answer.status == "completed"
        assert set(json.loads(answer.output_text)) == set(SCHEMA["properties"])
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        assert answer.usage.output_tokens_details.reasoning_tokens == 7
        (call,) = sim.ledger.calls
        assert (call.prompt_tokens, call.completion_tokens) == (answer.usage.input_tokens, answer.usage.output_tokens)
        sim.control(faults=[{"fault": "truncated"}])
        cut = client.responses.create(**responses(USERS[0], SCHEMA))
        assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        sim.control(faults=[{"fault": "refusal"}])
        refused = client.responses.create(**responses(USERS[0], SCHEMA))
        assert refused.output[-1].content[0].type == "refusal"
        sim.control(faults=[{"fault": "error_in_200"}])
        failed = client.responses.create(**responses(USERS[0], SCHEMA))
        assert (failed.status, failed.error.code) == ("failed", "server_error")
        sim.control(faults=[{"fault": "http_429_quota"}])
        with pytest.raises(openai.RateLimitError) as error:
            client.responses.create(**responses(USERS[0], SCHEMA))
        assert error.value.code == "insufficient_quota"


def test_azure_clients_both_ways():
    with Simulator(api_keys={"key-1"}) as sim:
        with openai.AzureOpenAI(
            azure_endpoint=sim.endpoints["azure-dated"],
            api_version="2025-04-01-preview",
            api_key="key-1",
            max_retries=0,
        ) as dated:
            answer = dated.chat.completions.create(**chat(USERS[0], SCHEMA, model="luna eins"))
            assert set(json.loads(answer.choices[0].message.content)) == set(SCHEMA["properties"])
            assert dated.responses.create(**responses(USERS[0], SCHEMA)).status == "completed"
        with openai.OpenAI(base_url=sim.endpoints["azure"], api_key="key-1", max_retries=0) as plain:
            assert plain.chat.completions.create(**chat(USERS[0], SCHEMA)).choices[0].finish_reason == "stop"
            sim.control(faults=[{"fault": "http_400_filter"}])
            with pytest.raises(openai.BadRequestError) as filtered:
                plain.chat.completions.create(**chat(USERS[0], SCHEMA))
            assert filtered.value.code == "content_filter"
            assert filtered.value.body["innererror"]["content_filter_result"]["violence"]["filtered"]
            with pytest.raises(openai.BadRequestError) as filtered:
                plain.responses.create(**responses(USERS[0], SCHEMA))
            assert filtered.value.body["content_filters"][0]["blocked"]
        assert [call.wire for call in sim.ledger.calls][:3] == ["azure_chat", "azure_responses", "azure_chat"]
        assert sim.ledger.calls[0].model == "luna eins"


def test_azure_without_a_version_or_with_a_wrong_key(client):
    with Simulator(api_keys={"key-1"}) as sim:
        path = "/openai/deployments/d/chat/completions"
        lost = client.ask(sim.endpoint, chat("x", None), path=path, api_key="key-1")
        assert (lost.status, lost.json["error"]["code"]) == (404, "404")
        wrong = client.ask(sim.endpoint, chat("x", None), path="/openai/v1/chat/completions", api_key="key-2")
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "401")


def anthropic_client(sim: Simulator, key: str = "sk-ant") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=sim.endpoints["anthropic"], api_key=key, max_retries=0)


def test_anthropic_client_reads_messages():
    with Simulator(reasoning_tokens=5, api_keys={"sk-ant"}) as sim, anthropic_client(sim) as client:
        answer = client.messages.create(**messages(USERS[0], CLAUDE_SCHEMA))
        assert [block.type for block in answer.content] == ["thinking", "text"]
        assert set(json.loads(answer.content[-1].text)) == set(SCHEMA["properties"])
        assert (answer.stop_reason, answer.usage.output_tokens_details.thinking_tokens) == ("end_turn", 5)
        sim.control(faults=[{"fault": "refusal"}])
        refused = client.messages.create(**messages(USERS[0], CLAUDE_SCHEMA))
        assert (refused.stop_reason, refused.stop_details.category) == ("refusal", "general_harms")
        sim.control(faults=[{"fault": "truncated"}])
        assert client.messages.create(**messages(USERS[0], CLAUDE_SCHEMA)).stop_reason == "max_tokens"
        for fault, kind in (
            ("http_429", anthropic.RateLimitError),
            (
                "http_529",
                anthropic.OverloadedError if hasattr(anthropic, "OverloadedError") else anthropic.APIStatusError,
            ),
            ("http_404", anthropic.NotFoundError),
            ("http_400_schema", anthropic.BadRequestError),
        ):
            sim.control(faults=[{"fault": fault}])
            with pytest.raises(kind) as error:
                client.messages.create(**messages(USERS[0], CLAUDE_SCHEMA))
            assert error.value.body["type"] == "error"
        with anthropic_client(sim, "sk-wrong") as stranger, pytest.raises(anthropic.AuthenticationError):
            stranger.messages.create(**messages(USERS[0], CLAUDE_SCHEMA))


def test_a_forced_tool_answers_as_its_input(client):
    tool = {"name": "answer", "input_schema": SCHEMA}
    forced = {"tools": [tool], "tool_choice": {"type": "tool", "name": "answer"}}
    with Simulator() as sim, anthropic_client(sim) as sdk:
        answer = sdk.messages.create(**messages(USERS[0], None, **forced))
        assert (answer.stop_reason, answer.content[0].type) == ("tool_use", "tool_use")
        plain = client.ask(sim.endpoint, messages(USERS[0], CLAUDE_SCHEMA), path="/v1/messages").json
        assert answer.content[0].input == json.loads(said_in_message(plain))
        with pytest.raises(anthropic.BadRequestError, match="not supported"):
            sdk.messages.create(**messages(USERS[0], None, **forced, model="claude-opus-5-5"))


def aws(sim: Simulator, secret: str = "secret+key/1", access: str = "AKIASIM") -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=sim.endpoints["bedrock"],
        region_name="eu-central-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        aws_session_token="session",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_boto_client_signs_and_reads_converse_and_invoke():
    with Simulator(aws_keys={"AKIASIM": "secret+key/1"}, api_keys=set()) as sim:
        client = aws(sim)
        for model, schema in ((BEDROCK_CLAUDE, CLAUDE_SCHEMA), (GPT, SCHEMA)):
            answer = client.converse(modelId=model, **converse(USERS[0], schema))
            assert answer["stopReason"] == "end_turn"
            assert set(json.loads(said_in_converse(answer))) == set(SCHEMA["properties"])
            assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + answer["usage"]["outputTokens"]
        body = json.dumps(invoke_claude(USERS[0], CLAUDE_SCHEMA))
        answer = client.invoke_model(modelId=BEDROCK_CLAUDE, body=body, contentType="application/json")
        assert set(json.loads(said_in_message(json.loads(answer["body"].read())))) == set(SCHEMA["properties"])
        for fault, name in (
            ("http_429", "ThrottlingException"),
            ("http_503", "ServiceUnavailableException"),
            ("http_404", "ValidationException"),
            ("http_403", "AccessDeniedException"),
        ):
            sim.control(faults=[{"fault": fault}])
            with pytest.raises(botocore.exceptions.ClientError) as error:
                client.converse(modelId=GPT, **converse(USERS[0], SCHEMA))
            assert error.value.response["Error"]["Code"] == name
        for secret, access, name in (
            ("wrong", "AKIASIM", "InvalidSignatureException"),
            ("secret+key/1", "AKIAOTHER", "UnrecognizedClientException"),
        ):
            with pytest.raises(botocore.exceptions.ClientError) as error:
                aws(sim, secret, access).converse(modelId=GPT, **converse(USERS[0], SCHEMA))
            assert error.value.response["Error"]["Code"] == name


def test_a_signature_covers_the_body(client):
    with Simulator(aws_keys={"AKIASIM": "secret+key/1"}) as sim:
        seen: dict[str, Any] = {}
        boto = aws(sim)
        boto.meta.events.register("before-send.*", lambda request, **_: seen.update(request.headers))
        boto.converse(modelId=GPT, **converse(USERS[0], None))
        headers = {
            name: v.decode() if isinstance(v, bytes) else v for name, v in seen.items() if name != "Content-Length"
        }
        again = client.ask(sim.endpoint, converse("other", None), path=f"/model/{quote(GPT)}/converse", **headers)
        assert (again.status, again.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
        assert client.ask(sim.endpoint, converse("x", None), path=f"/model/{quote(GPT)}/converse").status == 403


def test_bedrock_takes_a_bearer_key(client):
    with Simulator(api_keys={"bedrock-key"}) as sim:
        path = f"/model/{quote(GPT)}/converse"
        body = converse("x", None)
        assert client.ask(sim.endpoint, body, path=path, authorization="Bearer bedrock-key").status == 200
        assert client.ask(sim.endpoint, body, path=path, authorization="Bearer other").status == 403


# --- what a wire refuses --------------------------------------------------------------------------------------------


def an_object(properties: dict[str, Any], required: Any = None) -> dict[str, Any]:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (an_object({"a": {"type": "integer", "minimum": 1}}), "minimum"),
        (an_object({"a": {"type": "string", "maxLength": 3}}), "maxLength"),
        (an_object({"a": {"type": "array", "items": {"type": "string"}, "minItems": 2}}), "minItems"),
        ({"type": "object", "properties": {}, "required": []}, "additionalProperties"),
        (an_object({f"f{n}": {"type": ["string", "null"]} for n in range(17)}), "union types"),
        (an_object({f"f{n}": {"type": "string"} for n in range(25)}, []), "optional parameters"),
        (
            {**an_object({"a": {"$ref": "#/$defs/n"}}), "$defs": {"n": an_object({"n": {"$ref": "#/$defs/n"}})}},
            "ecursive",
        ),
        (an_object({"a": {"oneOf": [{"type": "string"}]}}), "oneOf"),
    ],
)
def test_anthropics_subset(client, sim, schema, words):
    for path, request in (("/v1/messages", messages), (f"/model/{quote(BEDROCK_CLAUDE)}/converse", converse)):
        answer = client.ask(sim.endpoint, request("x", schema), path=path)
        assert (answer.status, words in answer.data.decode()) == (400, True)


def test_the_subset_is_the_models(client, sim):
    schema = an_object({"a": {"type": "integer", "minimum": 1}})
    statuses = [
        client.ask(sim.endpoint, converse("x", schema), path=f"/model/{quote(model)}/converse").status
        for model in (GPT, BEDROCK_CLAUDE, GPT)
    ]
    assert statuses == [200, 400, 200]


def test_temperature_where_a_model_takes_none(client, sim):
    for model, status in (
        ("claude-haiku-4-5", 200),
        ("claude-opus-4-6", 200),
        ("claude-opus-4-7", 400),
        ("claude-sonnet-4-20250514", 200),
        ("claude-haiku-5-5", 400),
        ("claude-sonnet-5", 400),
    ):
        answer = client.ask(sim.endpoint, messages("x", None, model=model, temperature=0.5), path="/v1/messages")
        assert (model, answer.status) == (model, status)
    warm = converse("x", None, inferenceConfig={"maxTokens": 9, "temperature": 0.1})
    for model, status in ((GPT, 200), ("anthropic.claude-sonnet-5-5-v1:0", 400), ("openai.gpt-6-luna", 400)):
        assert client.ask(sim.endpoint, warm, path=f"/model/{quote(model)}/converse").status == status


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/responses", {"model": "m"}, "input"),
        ("/v1/responses", {"model": "m", "input": "x", "response_format": {}}, "text.format"),
        ("/v1/responses", {"model": "m", "input": "x", "background": True}, "background"),
        ("/v1/messages", {"model": "m", "messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
        ("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "system", "content": "x"}]}, "role"),
        ("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [], "response_format": {}}, "Extra inputs"),
        ("/model/m/converse", {"messages": [{"role": "user", "content": "x"}]}, "content"),
        ("/model/m/invoke", {"model": "m"}, "model"),
        ("/model/claude-haiku-4-5/invoke", {"messages": [], "max_tokens": 4}, "anthropic_version"),
    ],
)
def test_wrong_requests_are_a_400_with_a_sentence(client, sim, path, body, words):
    answer = client.ask(sim.endpoint, body, path=path)
    assert (answer.status, words in answer.data.decode()) == (400, True)
    assert sim.ledger.billed_nusd == 0


# --- the prompt cache -----------------------------------------------------------------------------------------------

LONG = "規則 and rules. " * 400
PRICE = Price(input_per_million=1, output_per_million=0, cached_input_per_million=0.1, cache_write_per_million=1.25)


def test_marks_write_once_and_are_read_afterwards():
    marked = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    with Simulator(prompt_cache=True, prices=PRICE) as sim, anthropic_client(sim) as client:
        usages = [client.messages.create(**messages(user, None, system=marked)).usage for user in "abc"]
        costs = [call.cost_nusd for call in sim.ledger.calls]
    tokens = -(-len(LONG) // 4)
    assert [u.cache_creation_input_tokens for u in usages] == [tokens, 0, 0]
    assert [u.cache_read_input_tokens for u in usages] == [0, tokens, tokens]
    assert [u.input_tokens for u in usages] == [1, 1, 1]
    assert costs == [tokens * 1250 + 1000, tokens * 100 + 1000, tokens * 100 + 1000]


def test_without_marks_nothing_is_cached_where_marks_are_wanted(client):
    with Simulator(prompt_cache=True) as sim:
        for _ in range(2):
            usage = client.ask(sim.endpoint, messages("x", None, system=LONG), path="/v1/messages").json["usage"]
            assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (0, 0)


def test_cache_points_of_converse(client):
    system = [{"text": LONG}, {"cachePoint": {"type": "default"}}]
    with Simulator(prompt_cache=True) as sim:
        path = f"/model/{quote(BEDROCK_CLAUDE)}/converse"
        usages = [client.ask(sim.endpoint, converse(u, None, system=system), path=path).json["usage"] for u in "ab"]
    tokens = -(-len(LONG) // 4)
    assert [(u["cacheWriteInputTokens"], u["cacheReadInputTokens"]) for u in usages] == [(tokens, 0), (0, tokens)]


def test_a_wire_without_marks_caches_the_beginning_of_system_and_user():
    with Simulator(prompt_cache=True, prices=PRICE) as sim, openai_client(sim) as client:
        usages = [client.responses.create(**responses(LONG + user, None)).usage for user in "ab"]
    written = usages[0].input_tokens_details.cache_write_tokens
    assert written % 128 == 0
    assert written >= 1024
    assert [u.input_tokens_details.cached_tokens for u in usages] == [0, written]
    assert usages[1].input_tokens_details.cache_write_tokens == 0


def test_what_is_being_written_cannot_be_read_yet(client):
    marked = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    with Simulator(prompt_cache=True, latency=0.5) as sim:
        with client.dial(sim.endpoint) as first:
            data = json.dumps(messages("a", None, system=marked)).encode()
            first.sendall(b"POST /v1/messages HTTP/1.1\r\nhost: s\r\ncontent-length: %d\r\n\r\n" % len(data) + data)
            while sim.summary()["open"] == 0:
                pass
            body = messages("b", None, system=marked)
            second = client.ask(sim.endpoint, body, path="/v1/messages").json["usage"]
        third = client.ask(sim.endpoint, body, path="/v1/messages").json["usage"]
    assert second["cache_creation_input_tokens"] > 0
    assert third["cache_read_input_tokens"] == second["cache_creation_input_tokens"]
