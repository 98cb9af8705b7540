"""AWS Bedrock as a server speaks it: Converse and InvokeModel, with AWS's keys, errors and usage.

Converse has one shape for all models and a schema that is JSON text; InvokeModel takes and gives the model's own
body: Anthropic's for Claude, OpenAI's chat for every other. The model's id stands in the path. What stays true: a
schema is held to what the model's maker takes, Anthropic's subset for Claude, OpenAI's for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from inlay.testing.anthropic_wire import (
    AnthropicMessagesWire,
    claude_of,
    claude_schema_failure,
    takes_forced_tool,
    takes_temperature,
    tool_input,
)
from inlay.testing.openai_wire import OpenAIChatWire, strict_failure
from inlay.testing.wire import Announcing, Draft, Failure, Rejected, SimRequest, bearer

ANTHROPIC_VERSION = "bedrock-2023-05-31"
# Failure.kind → (status, AWS's name of the error); everything else is a ValidationException.
_ERRORS = {
    "server_error": (500, "InternalServerException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "rate_requests": (429, "ThrottlingException"),
    "rate_tokens": (429, "ThrottlingException"),
    "quota": (400, "ServiceQuotaExceededException"),
    "authentication": (403, "UnrecognizedClientException"),
    "signature": (403, "InvalidSignatureException"),
    "expired": (403, "ExpiredTokenException"),
    "forbidden": (403, "AccessDeniedException"),
    "unknown_url": (404, "UnknownOperationException"),
    "too_large": (413, "RequestEntityTooLargeException"),
    "conflict": (409, "ConflictException"),
    "not_found": (404, "ResourceNotFoundException"),
}
_WORDS = {
    "authentication": "The security token included in the request is invalid.",
    "rate_requests": "Too many requests, please wait before trying again.",
    "rate_tokens": "Too many tokens, please wait before trying again.",
    "model_not_found": "The provided model identifier is invalid.",
    "content_filter": "Output blocked by content filtering policy",
}
_NO_TEMPERATURE = re.compile(r"gpt-(5\.[6-9]|6)")


def aws_status(failure: Failure) -> int:
    """The status of an error."""
    return _ERRORS.get(failure.kind, (400, ""))[0]


def aws_error(failure: Failure) -> bytes:
    """The body of an error; its name is in a header."""
    message = _WORDS.get(failure.kind, failure.message)
    if failure.kind == "context_length":
        message = f"Input is too long for requested model. {message}"
    return orjson.dumps({"message": message})


def aws_headers(number: int, failure: Failure | None) -> list[tuple[str, str]]:
    """The request's id, and the name of an error."""
    headers = [("x-amzn-requestid", f"00000000-0000-4000-8000-{number:012d}")]
    if failure is not None:
        headers.append(("x-amzn-errortype", _ERRORS.get(failure.kind, (400, "ValidationException"))[1]))
    return headers


def _reject(message: str, kind: str = "invalid") -> Rejected:
    return Rejected(Failure(400, kind, message))


class _Bedrock:
    announces: Announcing = "nothing"
    signed = True

    def __init__(self, model: str) -> None:
        self.model = model
        self.subset = "anthropic" if claude_of(model)[0] else "openai"

    def secret(self, headers: Mapping[str, str]) -> str:
        """The bearer key; a signature is looked at elsewhere."""
        return bearer(headers)

    def check_schema(self, request: SimRequest) -> Failure | None:
        """Anthropic's verdict for Claude, OpenAI's for every other model."""
        if self.subset == "anthropic":
            return claude_schema_failure(request)
        return strict_failure(request, "outputConfig")

    def status(self, failure: Failure) -> int:
        """AWS's status."""
        return aws_status(failure)

    def error(self, failure: Failure) -> bytes:
        """AWS's error object."""
        return aws_error(failure)

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id, and the name of an error."""
        return aws_headers(number, failure)


class BedrockConverseWire(_Bedrock):
    """Converse. `inputTokens` excludes what was read from the prompt cache or written to it."""

    name = "bedrock_converse"

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected for what Bedrock would refuse."""
        if not isinstance(body, dict):
            raise _reject("The request body is not a JSON object.")
        request = SimRequest(number=number, model=self.model, system="", user="", body=body)
        marks: list[str] = []
        system = self._texts(body.get("system", []), "system", "", marks)
        text, user = system, []
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _reject("1 validation error detected: Value at 'messages' failed to satisfy constraint.")
        for index, message in enumerate(messages):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in ("user", "assistant"):
                raise _reject(f"Value at 'messages.{index}.role' failed to satisfy constraint: [user, assistant]")
            said = self._texts(message.get("content"), f"messages.{index}.content", text, marks)
            if not said:
                raise _reject(f"The content field in the Message object at messages.{index} is empty.")
            text += said
            if role == "user":
                user.append(said)
        request.chars = len(text)
        request.system, request.user, request.cache_marks = system, "\n".join(user), tuple(marks)
        self._read_inference(request, body.get("inferenceConfig") or {})
        self._read_output(request, body.get("outputConfig"))
        self._read_tools(request, body.get("toolConfig"))
        return request

    def _texts(self, content: Any, place: str, before: str, marks: list[str]) -> str:
        """The text of a list of blocks; notes what stands before each cache point."""
        if not isinstance(content, list):
            raise _reject(f"Value at '{place}' failed to satisfy constraint: a list of blocks")
        text = ""
        for block in content:
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                text += block["text"]
            elif isinstance(block, dict) and isinstance(block.get("cachePoint"), dict):
                marks.append(before + text)
            else:
                raise _reject(f"Value at '{place}' failed to satisfy constraint: text or cachePoint")
        return text

    def _read_inference(self, request: SimRequest, config: Any) -> None:
        if not isinstance(config, dict) or set(config) - {"maxTokens", "temperature", "topP", "stopSequences"}:
            raise _reject("inferenceConfig: extraneous key is not permitted", "parameter")
        cap = config.get("maxTokens")
        if cap is not None:
            if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
                raise _reject("Value at 'inferenceConfig.maxTokens' failed to satisfy constraint: at least 1")
            request.max_output_tokens = cap
        if config.get("temperature") is not None and (
            not takes_temperature(request.model) or _NO_TEMPERATURE.search(request.model)
        ):
            raise _reject("The model returned the following errors: `temperature` is deprecated for this model.")

    def _read_output(self, request: SimRequest, config: Any) -> None:
        wanted = config.get("textFormat") if isinstance(config, dict) else None
        if wanted is None:
            return
        try:
            inner = wanted["structure"]["jsonSchema"]
            schema = orjson.loads(inner["schema"]) if wanted["type"] == "json_schema" else None
        except (KeyError, TypeError, orjson.JSONDecodeError):
            schema, inner = None, {}
        if not isinstance(schema, dict):
            raise _reject("Value at 'outputConfig.textFormat' failed to satisfy constraint: a JSON schema as text")
        request.schema, request.strict, request.wants_json = schema, True, True
        request.schema_name = str(inner.get("name", "answer"))

    def _read_tools(self, request: SimRequest, config: Any) -> None:
        choice = config.get("toolChoice") if isinstance(config, dict) else None
        if not isinstance(choice, dict) or not ("any" in choice or "tool" in choice):
            return
        specs = [tool["toolSpec"] for tool in config.get("tools") or () if isinstance(tool.get("toolSpec"), dict)]
        tools = {spec.get("name"): spec for spec in specs}
        name = choice["tool"].get("name") if "tool" in choice else next(iter(tools), None)
        schema = tools[name].get("inputSchema", {}).get("json") if name in tools else None
        if not isinstance(name, str) or not isinstance(schema, dict):
            raise _reject(f"The toolChoice names a tool that is not in toolConfig: {name}")
        if not takes_forced_tool(request.model):
            raise _reject("The model returned the following errors: tool_choice: forcing a tool is not supported.")
        request.schema, request.schema_name, request.tool, request.wants_json = schema, name, name, True
        request.strict = tools[name].get("strict") is True

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        if draft.broken_inside is not None:
            return aws_error(draft.broken_inside)
        request = draft.request
        reason = {"stop": "end_turn", "length": "max_tokens", "content_filter": "guardrail_intervened"}[draft.finish]
        content: list[dict[str, Any]] = []
        if draft.refusal is not None:
            reason = "content_filtered"
        if draft.reasoning_tokens and not draft.hollow:
            content.append({"reasoningContent": {"reasoningText": {"text": "", "signature": "c2ltdWxhdGVk"}}})
        if draft.content is not None and not draft.hollow:
            if request.tool:
                use = {"toolUseId": f"tooluse_sim{request.number:08d}", "name": request.tool}
                content.append({"toolUse": {**use, "input": tool_input(draft.content)}})
                reason = "tool_use" if reason == "end_turn" else reason
            else:
                content.append({"text": draft.content})
        return orjson.dumps(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": reason,
                "usage": {
                    "inputTokens": draft.prompt_tokens - draft.cached_tokens - draft.written_tokens,
                    "outputTokens": draft.completion_tokens,
                    "totalTokens": draft.prompt_tokens + draft.completion_tokens,
                    "cacheReadInputTokens": draft.cached_tokens,
                    "cacheWriteInputTokens": draft.written_tokens,
                },
                "metrics": {"latencyMs": 1},
            }
        )


class BedrockInvokeWire(_Bedrock):
    """InvokeModel: the body and the answer are those of the model's maker, the errors AWS's."""

    name = "bedrock_invoke"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.inner = AnthropicMessagesWire() if self.subset == "anthropic" else OpenAIChatWire()

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected for what Bedrock would refuse."""
        if not isinstance(body, dict):
            raise _reject("Malformed input request, please reformat your input and try again.")
        if "model" in body or "stream" in body:
            raise _reject("Malformed input request: extraneous key [model] or [stream] is not permitted", "parameter")
        if isinstance(self.inner, AnthropicMessagesWire) and body.get("anthropic_version") != ANTHROPIC_VERSION:
            raise _reject("anthropic_version: Field required")
        return self.inner.parse(number, {**body, "model": self.model})

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200, in the maker's shape."""
        if draft.broken_inside is not None:
            return aws_error(draft.broken_inside)
        return self.inner.completion(draft, created=created)
