"""OpenAI's chat wire as a server speaks it: POST /v1/chat/completions, with usage and errors in OpenAI's own shape.

Requests are checked as the real service checks them where a client could get it wrong: model, messages, the type of
`response_format`, the schema's name, parameters with a wrong type. A schema is held to the strict subset (strict.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from inlay.testing.strict import strict_problem
from inlay.testing.wire import Announcing, Draft, Failure, Rejected, SimRequest, bearer, text_of

# Failure.kind → (type, code, param) in OpenAI's error object.
_ERRORS: dict[str, tuple[str, str | None, str | None]] = {
    "server_error": ("server_error", None, None),
    "overloaded": ("server_error", "server_overloaded", None),
    "rate_requests": ("requests", "rate_limit_exceeded", None),
    "rate_tokens": ("tokens", "rate_limit_exceeded", None),
    "quota": ("insufficient_quota", "insufficient_quota", None),
    "authentication": ("invalid_request_error", "invalid_api_key", None),
    "forbidden": ("invalid_request_error", "unsupported_country_region_territory", None),
    "model_not_found": ("invalid_request_error", "model_not_found", None),
    "not_found": ("invalid_request_error", None, None),
    "unknown_url": ("invalid_request_error", "unknown_url", None),
    "schema": ("invalid_request_error", None, "response_format"),
    "context_length": ("invalid_request_error", "context_length_exceeded", "messages"),
    "content_filter": ("invalid_request_error", "content_filter", "prompt"),
    "parameter": ("invalid_request_error", "unsupported_parameter", None),
    "invalid": ("invalid_request_error", None, None),
    "too_large": ("invalid_request_error", "request_too_large", None),
}
SYSTEM_ROLES = ("system", "developer")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def reject(message: str, param: str | None = None, kind: str = "invalid") -> Rejected:
    """A 400 in OpenAI's words."""
    return Rejected(Failure(400, kind, message, param=param))


class OpenAIChatWire:
    """Chat completions. `prompt_tokens` includes cached ones, `completion_tokens` includes reasoning."""

    name = "openai_chat"
    announces: Announcing = "openai"
    signed = False

    def secret(self, headers: Mapping[str, str]) -> str:
        """The bearer token, or Azure's `api-key`."""
        return bearer(headers) or headers.get("api-key", "")

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected with OpenAI's own sentence where it has one."""
        if not isinstance(body, dict):
            raise reject("We could not parse the JSON body of your request: it must be an object.")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise reject("you must provide a model parameter", "model")
        request = SimRequest(number=number, model=model, system="", user="", body=body)
        self._read_messages(request, body.get("messages"))
        if (wanted := body.get("response_format")) is not None:
            self._read_format(request, wanted)
        read_parameters(
            request, body, "max_completion_tokens", body.get("max_completion_tokens", body.get("max_tokens"))
        )
        if body.get("n", 1) not in (1, None):
            raise reject("The simulator gives one choice: leave 'n' out.", "n", "parameter")
        return request

    def _read_messages(self, request: SimRequest, messages: Any) -> None:
        if messages is None:
            raise reject("Missing required parameter: 'messages'.", "messages")
        if not isinstance(messages, list) or not messages:
            raise reject("Invalid 'messages': expected an array of at least one message.", "messages")
        system: list[str] = []
        user: list[str] = []
        for index, message in enumerate(messages):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in _ROLES:
                raise reject(f"Invalid value for 'messages[{index}].role'; one of {_ROLES}.", f"messages[{index}]")
            text = _text(message.get("content"), index, role)
            request.chars += len(text)
            if role == "user":
                user.append(text)
            elif role in SYSTEM_ROLES:
                system.append(text)
        request.system = "\n".join(system)
        request.user = "\n".join(user)

    def _read_format(self, request: SimRequest, wanted: Any) -> None:
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if kind == "text":
            return
        if kind == "json_object":
            request.wants_json = True
            return
        if kind != "json_schema":
            raise reject(
                f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
                "response_format.type",
            )
        inner = wanted.get("json_schema")
        if not isinstance(inner, dict):
            raise reject("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema")
        name, schema = inner.get("name"), inner.get("schema")
        if not isinstance(name, str) or not SCHEMA_NAME.fullmatch(name):
            raise reject(
                "Invalid 'response_format.json_schema.name': expected 1 to 64 of [A-Za-z0-9_-].",
                "response_format.json_schema.name",
            )
        if not isinstance(schema, dict):
            raise reject(
                "Missing required parameter: 'response_format.json_schema.schema'.",
                "response_format.json_schema.schema",
            )
        request.wants_json = True
        request.schema, request.schema_name, request.strict = schema, name, inner.get("strict") is True

    def check_schema(self, request: SimRequest) -> Failure | None:
        """The strict subset's verdict, in OpenAI's sentence; None for a schema that is fine or not strict."""
        return strict_failure(request, "response_format")

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        request = draft.request
        if draft.broken_inside is not None:
            return openai_error(draft.broken_inside)
        return orjson.dumps(
            {
                "id": f"chatcmpl-sim{request.number:08d}",
                "object": "chat.completion",
                "created": created,
                "model": request.model,
                "choices": [] if draft.hollow else [self.choice(draft)],
                "usage": {
                    "prompt_tokens": draft.prompt_tokens,
                    "completion_tokens": draft.completion_tokens,
                    "total_tokens": draft.prompt_tokens + draft.completion_tokens,
                    "prompt_tokens_details": {
                        "cached_tokens": draft.cached_tokens,
                        "cache_write_tokens": draft.written_tokens,
                        "audio_tokens": 0,
                    },
                    "completion_tokens_details": {
                        "reasoning_tokens": draft.reasoning_tokens,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
                "service_tier": "default",
                "system_fingerprint": "fp_simulator",
            }
        )

    def choice(self, draft: Draft) -> dict[str, Any]:
        """The only choice of a completion."""
        message = {"role": "assistant", "content": draft.content, "refusal": draft.refusal, "annotations": []}
        return {"index": 0, "message": message, "logprobs": None, "finish_reason": draft.finish}

    def status(self, failure: Failure) -> int:
        """As it is: the neutral statuses are OpenAI's."""
        return failure.status

    def error(self, failure: Failure) -> bytes:
        """OpenAI's error object."""
        return openai_error(failure)

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id."""
        return [("x-request-id", f"req_sim{number:08d}")]


def openai_error(failure: Failure) -> bytes:
    """OpenAI's error object; a filtered prompt carries Azure's `innererror` too."""
    kind, code, param = _ERRORS[failure.kind]
    error: dict[str, Any] = {"message": failure.message, "type": kind, "param": failure.param or param, "code": code}
    if failure.kind == "content_filter":
        error["status"] = failure.status
        error["innererror"] = {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        }
    return orjson.dumps({"error": error})


def strict_failure(request: SimRequest, where: str) -> Failure | None:
    """The strict subset's verdict in OpenAI's sentence, `where` being the parameter; None if fine or not strict."""
    if request.schema is None or not request.strict or (problem := strict_problem(request.schema)) is None:
        return None
    context, reason = problem
    place = "(" + ", ".join(repr(part) for part in context) + ("," if len(context) == 1 else "") + ")"
    message = f"Invalid schema for {where} '{request.schema_name}': In context={place}, {reason}"
    return Failure(400, "schema", message, param=where)


def read_parameters(request: SimRequest, body: Mapping[str, Any], cap_name: str, cap: Any) -> None:
    """The cap on output, the temperature, and what the simulator does not do. Raises Rejected."""
    if cap is not None:
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise reject(f"Invalid '{cap_name}': expected an integer >= 1.", cap_name)
        request.max_output_tokens = cap
    temperature = body.get("temperature")
    if temperature is not None and (
        isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 <= temperature <= 2
    ):
        raise reject("Invalid 'temperature': expected a number from 0 to 2.", "temperature")
    if body.get("stream"):
        raise reject("The simulator does not stream.", "stream", "parameter")


def _text(content: Any, index: int, role: str) -> str:
    if isinstance(content, str):
        return content
    if content is None and role in ("assistant", "function"):
        return ""
    if (text := text_of(content)) is not None:
        return text
    raise reject(
        f"Invalid type for 'messages[{index}].content': expected a string or an array of text parts.",
        f"messages[{index}].content",
    )
