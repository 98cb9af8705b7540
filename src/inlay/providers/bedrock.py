"""AWS Bedrock's Converse wire: one shape for every model there. No I/O.

What stays true: a model's id may be a name, an inference profile or an ARN, and stands in the path with every special
character escaped; the schema is JSON text, in the subset of the model's maker; usage counts cached tokens as input,
which Bedrock does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote

from inlay.contracts import Signer
from inlay.errors import ContentFiltered, Refused, SpecError, TooLong, Unreadable
from inlay.providers import wire
from inlay.providers.abilities import check_effort, check_temperature
from inlay.providers.anthropic import cache_marks, in_words, least_thinking, split_encoder, tool_text
from inlay.providers.bedrock_errors import bedrock_error, request_id_of
from inlay.providers.lower import lower_strict
from inlay.providers.lower_anthropic import TooComplex, lower_anthropic
from inlay.types import CallShape, Completion, HttpRequest, Usage

_OWN_KEYS = {
    "modelId": "declare `model` of the pass",
    "messages": "declare `prompt` of the pass",
    "system": "declare `prompt` of the pass",
    "inferenceConfig": "declare `max_output_tokens` and `temperature` of the pass",
    "toolConfig": "an answer is made from the record alone, and a tool's price cannot be bounded",
    "promptVariables": "declare `prompt` of the pass",
    "stream": "answers are always read whole",
}
_WITHIN = frozenset(("messages", "system", "max_tokens", "tools", "tool_choice", "temperature", "stream"))
_CACHE_POINT = b'{"cachePoint":{"type":"default"}}'
_CUT = frozenset(("max_tokens", "model_context_window_exceeded"))
_FILTERED = frozenset(("guardrail_intervened", "content_filtered"))
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"
# Only AWS can have these names: a bucket or an API gateway of somebody else has other ones under amazonaws.com.
_HOST = re.compile(rf"(?:[a-z0-9-]+\.)?bedrock-runtime(?:-fips)?\.({_REGION})\.(?:vpce\.)?amazonaws\.com(?:\.cn)?")


class BedrockConverse:
    """contracts.Dialect for `POST {endpoint}/model/{id}/converse`."""

    name = "bedrock"
    default_endpoint: ClassVar[str | None] = None
    endpoint_env: ClassVar[str | None] = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
    endpoint_example: ClassVar[str] = "https://bedrock-runtime.eu-central-1.amazonaws.com"
    key_env: ClassVar[str | None] = "AWS_BEARER_TOKEN_BEDROCK"
    key_hosts: ClassVar[tuple[str, ...]] = ("amazonaws.com", "amazonaws.com.cn")  # and of these, what `is_home` says
    wires: ClassVar[Mapping[str, str]] = {
        "converse": "inlay.providers.bedrock:BedrockConverse",
        "invoke": "inlay.providers.bedrock_invoke:BedrockInvoke",
    }
    operation: ClassVar[str] = "converse"

    def __init__(self, endpoint: str | None = None, *, provider: str | None = None) -> None:
        if not endpoint:
            raise SpecError("`bedrock` needs an `endpoint`", key="endpoint", remedy="or a region")
        self.base = endpoint.rstrip("/")
        self.provider = provider or self.name

    @classmethod
    def endpoint_of_region(cls, region: str | None, env: Mapping[str, str]) -> str:
        """The endpoint in this region, else in the one of the environment or of the AWS profile. Raises SpecError."""
        from inlay.providers.bedrock_signing import find_region

        found = find_region(region, env)
        return f"https://bedrock-runtime.{found}.amazonaws.com" + (".cn" if found.startswith("cn-") else "")

    @classmethod
    def is_home(cls, host: str) -> bool:
        """Whether this host is Bedrock itself."""
        return _HOST.fullmatch(host) is not None

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The bearer header, for a Bedrock API key."""
        return (("authorization", f"Bearer {secret}"),)

    def signer(self, env: Mapping[str, str], region: str | None) -> Signer | None:
        """What signs requests with AWS's credentials; None where AWS_BEARER_TOKEN_BEDROCK is set."""
        if env.get("AWS_BEARER_TOKEN_BEDROCK"):
            return None
        from inlay.providers.bedrock_signing import AwsSigner, find_region

        host = _HOST.search(self.base)
        return AwsSigner(find_region(region or (host[1] if host else None), env), env=env)

    def url(self, model: str) -> str:
        """Where the requests for a model go."""
        return f"{self.base}/model/{quote(model, safe='-._~')}/{self.operation}"

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once; the result costs microseconds a request.

        `effort` (or `reasoning_effort`) and `thinking` are put where the model takes them. Raises SpecError for an
        option that Inlay writes itself, and for what the model is known to refuse.
        """
        able = shape.abilities
        check_temperature(shape.model, shape.temperature, able)
        options = wire.checked_options(shape.options, _OWN_KEYS, {"stream": False})
        options.pop("stream", None)
        config, more = _effort_and_thinking(shape, options)
        system, structured = _structure(shape, more)
        if "outputConfig" in structured:
            config |= structured.pop("outputConfig")
        cap = shape.max_output_tokens
        inference: dict[str, Any] = {
            "maxTokens": cap if able.max_output_tokens is None else min(cap, able.max_output_tokens)
        }
        if shape.temperature is not None:
            inference["temperature"] = shape.temperature
        body: dict[str, Any] = {"inferenceConfig": inference, **structured}
        if config:
            body["outputConfig"] = config
        if more:
            body["additionalModelRequestFields"] = more
        marked, split = cache_marks(shape, system + json.dumps([config, structured]))
        before = wire.json_object({**body, **options})[:-1]
        if system:
            point = b"," + _CACHE_POINT if marked else b""
            before += b',"system":[{"text":%b}%b]' % (wire.json_text(system), point)
        before += b',"messages":[{"role":"user","content":['
        url = self.url(shape.model)
        plain = wire.around(url, before + b'{"text":', b"}]}]}")
        if not split:
            return plain
        opening = before + b'{"text":%b},%b,{"text":' % (wire.json_text(shape.user_prefix), _CACHE_POINT)
        return split_encoder(shape.user_prefix, plain, wire.around(url, opening, b"}]}]}"))

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response.

        Raises ContentFiltered with the `usage` that was charged, Unreadable for a 2xx that holds no answer, and what
        the error's name says for every other status.
        """
        provider, request_id = self.provider, request_id_of(headers)
        if not 200 <= status < 300:
            raise bedrock_error(status, headers, body, provider=provider)
        data = wire.parse_object(status, body, provider=provider, request_id=request_id)
        output = data.get("output")
        message = output.get("message") if isinstance(output, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        reason = data.get("stopReason")
        usage = converse_usage(data.get("usage"))
        details = wire.paid(status, request_id, usage, provider=provider)
        if isinstance(reason, str) and reason in _FILTERED:
            raise ContentFiltered(f"{provider}'s content filter stopped the answer", **details)
        if reason == "refusal":
            raise Refused(f"{provider}'s model declined", **details)
        if not isinstance(content, list) or (not content and not isinstance(reason, str)):
            _nothing(status, headers, data, provider, request_id, body)
        text = _said(content)
        if reason == "model_context_window_exceeded" and not text:
            raise TooLong("the record leaves no room for an answer in the model's context", **details)
        if isinstance(reason, str) and reason.startswith("malformed_") and not text:
            details["possibly_paid"] = True
            raise Unreadable(f"{provider}'s model wrote nothing that can be read ({wire.short(reason)})", **details)
        return Completion(text, usage, "", request_id, isinstance(reason, str) and reason in _CUT)


def _nothing(
    status: int, headers: Mapping[str, str], data: wire.Parsed, provider: str, request_id: str | None, body: bytes
) -> NoReturn:
    if data.get("message") and not data.get("output"):  # AWS's error, inside a 200
        raise bedrock_error(status, headers, body, provider=provider)
    wire.nothing_in_it(
        status, headers, data, provider=provider, request_id=request_id, missing="no content in the message"
    )


def of_claude(model: str) -> bool:
    """Whether Anthropic's rules hold for a model: it is a Claude, or an ARN that does not tell."""
    name = model.lower()
    return "claude" in name or "anthropic." in name or (name.startswith("arn:") and "foundation-model/" not in name)


def _structure(shape: CallShape, more: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The system message, and the keys that ask for the shape of the answer in the best way that the model has."""
    problem: SpecError | None = None
    thinking = more.get("thinking")
    thinks = isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive")
    name = wire.schema_name(shape.schema_name)
    for kind in shape.abilities.structured:
        if kind == "json_schema":
            try:
                schema = (lower_anthropic if of_claude(shape.model) else lower_strict)(shape.schema)
            except TooComplex as error:
                problem = error
                continue
            text = wire.json_object(schema).decode()
            form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": text, "name": name}}}
            return shape.system, {"outputConfig": {"textFormat": form}}
        if kind == "forced_tool" and not thinks:
            spec = {
                "name": name,
                "description": "Hands over the answer.",
                "inputSchema": {"json": lower_strict(shape.schema)},
            }
            return shape.system, {
                "toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": name}}},
            }
        if kind == "prompt":
            return in_words(shape), {}
    raise problem or SpecError(
        f"{shape.model} has no way left to be asked for the shape of an answer",
        key="abilities",
        remedy="add abilities: {structured: prompt}",
    )


def _effort_and_thinking(shape: CallShape, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(outputConfig, additionalModelRequestFields), taken out of `options`; without a word there about it, the model
    thinks as little as it can."""
    config, more = options.pop("outputConfig", {}), options.pop("additionalModelRequestFields", {})
    if not isinstance(config, Mapping) or "textFormat" in config:
        raise SpecError(
            "`outputConfig` may hold `effort` alone", key="options.outputConfig", remedy="declare `fields` of the pass"
        )
    if not isinstance(more, Mapping) or _WITHIN & set(more):
        raise SpecError(
            "`additionalModelRequestFields` may not hold what Inlay writes itself",
            key="options.additionalModelRequestFields",
            remedy="declare `prompt`, `fields` and `max_output_tokens` of the pass",
        )
    config, more = dict(config), dict(more)
    effort = None
    for key in ("effort", "reasoning_effort"):
        if key in options:
            effort = options.pop(key)
            check_effort(shape.model, effort, shape.abilities, key=f"options.{key}")
    if "thinking" in options:
        more["thinking"] = options.pop("thinking")
    told = config or effort or {"thinking", "reasoning_effort", "output_config"} & set(more)
    if not told:
        little = least_thinking(shape.abilities)
        effort = little.get("output_config", {}).get("effort")
        more |= {key: value for key, value in little.items() if key == "thinking"}
    if effort is not None:
        if of_claude(shape.model):
            config["effort"] = effort
        else:
            more["reasoning_effort"] = effort
    return config, more


def _said(content: list[Any]) -> str:
    """The text blocks in order; the input of a tool that was called goes before them."""
    blocks = [block for block in content if isinstance(block, dict)]
    for block in blocks:
        if isinstance(use := block.get("toolUse"), dict):
            return tool_text(use.get("input"))
    return "".join(block["text"] for block in blocks if isinstance(block.get("text"), str))


def converse_usage(raw: Any) -> Usage | None:
    """Token counts, None unless both input and output are told. Thinking is not told apart."""
    if not isinstance(raw, dict):
        return None
    fresh, written = wire.count(raw.get("inputTokens")), wire.count(raw.get("outputTokens"))
    if fresh is None or written is None:
        return None
    read, kept = wire.counted(raw, "cacheReadInputTokens"), wire.counted(raw, "cacheWriteInputTokens")
    return Usage(fresh + read + kept, written, read, kept)
