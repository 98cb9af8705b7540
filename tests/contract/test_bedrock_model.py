"""Bedrock's requests and answers held against botocore's own model of the service."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
import botocore.validate
import orjson
import pytest
from dialect_scene import WIRES, body_of
from hypothesis import given
from hypothesis import strategies as st
from test_openai_types import declared

from inlay.engine.ask import answer_schema, default_max_output_tokens, system_prompt
from inlay.providers.abilities import abilities
from inlay.providers.bedrock import BedrockConverse
from inlay.providers.bedrock_invoke import BedrockInvoke
from inlay.spec.fields import FieldSpec
from inlay.testing.anthropic_subset import subset_problem
from inlay.testing.strict import strict_problem
from inlay.types import CallShape

SERVICE: Any = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
CONVERSE, INVOKE = SERVICE.operation_model("Converse"), SERVICE.operation_model("InvokeModel")
SERIALIZER = botocore.serialize.create_serializer("rest-json", include_validation=True)
MODELS = st.sampled_from(
    [
        "eu.anthropic.claude-haiku-5-5-v1:0",
        "anthropic.claude-opus-5-5",
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "openai.gpt-oss-120b-1:0",
        "amazon.nova-micro-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123",
    ]
)
options = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "high"]),
        "requestMetadata": st.just({"team": "a"}),
        "serviceTier": st.just({"type": "flex"}),
    },
)


def problems(operation: Any, given: dict[str, Any]) -> str:
    report = botocore.validate.ParamValidator().validate(given, operation.input_shape)
    unknown = set(given) - set(operation.input_shape.members)
    return report.generate_report() + (f"unknown: {unknown}" if unknown else "")


def shape_for(model: str, declared: dict[str, FieldSpec], options: dict[str, Any], prefix: str) -> CallShape:
    return CallShape(
        model=model,
        system=system_prompt(declared),
        schema=answer_schema(declared),
        schema_name="a name: 日本",
        max_output_tokens=default_max_output_tokens(declared),
        options=options,
        user_prefix=prefix,
        abilities=abilities("bedrock", model),
    )


PREFIXES = st.sampled_from(["", "Read this review, then fill in the fields. " * 300])


@given(declared=declared, options=options, model=MODELS, user=st.text(min_size=1, max_size=30), prefix=PREFIXES)
def test_any_declaration_makes_a_converse_request_that_botocore_could_have_sent(
    declared: dict[str, FieldSpec], options: dict[str, Any], model: str, user: str, prefix: str
) -> None:
    request = BedrockConverse("https://b").encoder(shape_for(model, declared, options, prefix))(prefix + user)
    body = orjson.loads(request.body)
    parameters = {"modelId": model, **body}
    assert problems(CONVERSE, parameters) == ""
    theirs = SERIALIZER.serialize_to_request(parameters, CONVERSE)
    assert request.url == "https://b" + theirs["url_path"]
    assert json.loads(theirs["body"]) == body
    assert "".join(block.get("text", "") for block in body["messages"][0]["content"]) == prefix + user
    if (output := body.get("outputConfig", {}).get("textFormat")) is not None:
        schema = json.loads(output["structure"]["jsonSchema"]["schema"])
        assert (strict_problem if "gpt" in model else subset_problem)(schema) is None
    else:
        assert "toolConfig" in body or "JSON Schema" in body["system"][0]["text"]


@given(declared=declared, model=MODELS, user=st.text(min_size=1, max_size=30))
def test_any_declaration_makes_an_invoke_request_that_botocore_could_have_sent(
    declared: dict[str, FieldSpec], model: str, user: str
) -> None:
    request = BedrockInvoke("https://b").encoder(shape_for(model, declared, {}, ""))(user)
    headers = dict(request.headers)
    parameters = {
        "modelId": model,
        "body": request.body,
        "contentType": headers["content-type"],
        "accept": headers["accept"],
    }
    assert problems(INVOKE, parameters) == ""
    theirs = SERIALIZER.serialize_to_request(parameters, INVOKE)
    assert request.url == "https://b" + theirs["url_path"]
    assert {name.lower(): value for name, value in theirs["headers"].items()} == headers
    assert theirs["body"] == request.body
    assert "model" not in orjson.loads(request.body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "x"},
        {"messages": [{"role": "user", "content": [{"text": 5}]}]},
        {"messages": [], "inferenceConfig": {"maxTokens": "many"}},
        {"messages": [], "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {}}}}},
        {"messages": [], "output_config": {}},
    ],
)
def test_botocore_does_refuse_what_is_wrong(wrong: dict[str, Any]) -> None:
    assert problems(CONVERSE, {"modelId": "m", **wrong})


(FIXTURES,) = [wire for wire in WIRES if wire.name == "bedrock_converse"]
OURS = [case for case in FIXTURES.cases if isinstance(case["body"], dict)]


@pytest.mark.parametrize("case", OURS, ids=lambda case: case["name"])
def test_botocore_reads_the_fixtures_as_we_do(case: dict[str, Any]) -> None:
    answer = {"status_code": case["status"], "headers": case.get("headers", {}), "body": body_of(case)}
    theirs = botocore.parsers.create_parser("rest-json").parse(answer, CONVERSE.output_shape)
    if case["status"] >= 300:
        assert theirs["Error"]["Code"] in case.get("says", theirs["Error"]["Code"]) or "bedrock:" in case["says"]
        assert theirs["Error"]["Code"].endswith("Exception")
        return
    if "output" not in case["body"]:
        return
    assert theirs["stopReason"] == case["body"]["stopReason"]
    said = [block["text"] for block in theirs["output"]["message"]["content"] if "text" in block]
    if "text" in case and case["body"]["stopReason"] != "tool_use":
        assert "".join(said) == case["text"]
    if case.get("usage"):
        counts = theirs["usage"]
        cached = counts.get("cacheReadInputTokens", 0), counts.get("cacheWriteInputTokens", 0)
        assert case["usage"] == [counts["inputTokens"] + sum(cached), counts["outputTokens"], *cached, 0]


def test_every_stop_reason_of_the_service_is_shown_by_a_fixture() -> None:
    known = set(SERVICE.shape_for("StopReason").enum)
    shown = {case["body"].get("stopReason") for case in OURS}
    assert known - shown <= {"stop_sequence", "malformed_tool_use", "malformed_model_output"} - shown


def test_every_error_of_the_operation_has_a_class_by_name() -> None:
    from inlay.providers.bedrock_errors import _BY_NAME

    known = {shape.name.lower() for shape in [*CONVERSE.error_shapes, *INVOKE.error_shapes]}
    assert known - set(_BY_NAME) <= {"validationexception"}  # told apart by its words


def test_a_shape_without_abilities_asks_nothing_unusual() -> None:
    shape = replace(shape_for("m.x", {"a": FieldSpec()}, {}, ""), abilities=abilities("bedrock", "m.x"))
    body = orjson.loads(BedrockConverse("https://b").encoder(shape)("x").body)
    assert set(body) == {"inferenceConfig", "outputConfig", "system", "messages"}
