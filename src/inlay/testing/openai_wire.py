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
from inlay.testing.wire import Draft, Failure, Rejected, SimRequest

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
    "unknown_url": ("invalid_request_error", "unknown_url", None),
    "schema": ("invalid_request_error", None, "response_format"),
    "context_length": ("invalid_request_error", "context_length_exceeded", "messages"),
    "content_filter": ("invalid_request_error", "content_filter", "prompt"),
    "parameter": ("invalid_request_error", "unsupported_parameter", None),
    "invalid": ("invalid_request_error", None, None),
    "too_large": ("invalid_request_error", "request_too_large", None),
}
_SYSTEM_ROLES = ("system", "developer")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _reject(message: str, param: str | None = None, kind: str = "invalid") -> Rejected:
    return Rejected(Failure(400, kind, message, param=param))


class OpenAIChatWire:
    """Chat completions. `prompt_tokens` includes cached ones, `completion_tokens` includes reasoning."""

    name = "openai_chat"
    path = "/v1/chat/completions"

    def secret(self, headers: Mapping[str, str]) -> str:
        """The bearer token, or Azure's `api-key`."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected with OpenAI's own sentence where it has one."""
        if not isinstance(body, dict):
            raise _reject("We could not parse the JSON body of your request: it must be an object.")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise _reject("you must provide a model parameter", "model")
        request = SimRequest(number=number, model=model, system="", user="", body=body)
        self._read_messages(request, body.get("messages"))
        if (wanted := body.get("response_format")) is not None:
            self._read_format(request, wanted)
        self._read_parameters(request, body)
        return request

    def _read_messages(self, request: SimRequest, messages: Any) -> None:
        if messages is None:
            raise _reject("Missing required parameter: 'messages'.", "messages")
        if not isinstance(messages, list) or not messages:
            raise _reject("Invalid 'messages': expected an array of at least one message.", "messages")
        system: list[str] = []
        user: list[str] = []
        for index, message in enumerate(messages):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in _ROLES:
                raise _reject(f"Invalid value for 'messages[{index}].role'; one of {_ROLES}.", f"messages[{index}]")
            text = _text(message.get("content"), index, role)
            request.chars += len(text)
            if role == "user":
                user.append(text)
            elif role in _SYSTEM_ROLES:
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
            raise _reject(
                f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
                "response_format.type",
            )
        inner = wanted.get("json_schema")
        if not isinstance(inner, dict):
            raise _reject("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema")
        name, schema = inner.get("name"), inner.get("schema")
        if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
            raise _reject(
                "Invalid 'response_format.json_schema.name': expected 1 to 64 of [A-Za-z0-9_-].",
                "response_format.json_schema.name",
            )
        if not isinstance(schema, dict):
            raise _reject(
                "Missing required parameter: 'response_format.json_schema.schema'.",
                "response_format.json_schema.schema",
            )
        request.wants_json = True
        request.schema, request.schema_name, request.strict = schema, name, inner.get("strict") is True

    def _read_parameters(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        cap = body.get("max_completion_tokens", body.get("max_tokens"))
        if cap is not None:
            if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
                raise _reject("Invalid 'max_completion_tokens': expected an integer >= 1.", "max_completion_tokens")
            request.max_output_tokens = cap
        temperature = body.get("temperature")
        if temperature is not None and (
            isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 <= temperature <= 2
        ):
            raise _reject("Invalid 'temperature': expected a number from 0 to 2.", "temperature")
        if body.get("stream"):
            raise _reject("The simulator does not stream.", "stream", "parameter")
        if body.get("n", 1) not in (1, None):
            raise _reject("The simulator gives one choice: leave 'n' out.", "n", "parameter")

    def check_schema(self, request: SimRequest) -> Failure | None:
        """The strict subset's verdict, in OpenAI's sentence; None for a schema that is fine or not strict."""
        if request.schema is None or not request.strict:
            return None
        problem = strict_problem(request.schema)
        if problem is None:
            return None
        context, reason = problem
        place = "(" + ", ".join(repr(part) for part in context) + ("," if len(context) == 1 else "") + ")"
        message = f"Invalid schema for response_format '{request.schema_name}': In context={place}, {reason}"
        return Failure(400, "schema", message)

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        request = draft.request
        return orjson.dumps(
            {
                "id": f"chatcmpl-sim{request.number:08d}",
                "object": "chat.completion",
                "created": created,
                "model": request.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": draft.content,
                            "refusal": draft.refusal,
                            "annotations": [],
                        },
                        "logprobs": None,
                        "finish_reason": draft.finish,
                    }
                ],
                "usage": {
                    "prompt_tokens": draft.prompt_tokens,
                    "completion_tokens": draft.completion_tokens,
                    "total_tokens": draft.prompt_tokens + draft.completion_tokens,
                    "prompt_tokens_details": {"cached_tokens": draft.cached_tokens, "audio_tokens": 0},
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

    def error(self, failure: Failure) -> bytes:
        """OpenAI's error object; a filtered prompt carries Azure's `innererror` too."""
        kind, code, param = _ERRORS[failure.kind]
        error: dict[str, Any] = {
            "message": failure.message,
            "type": kind,
            "param": failure.param or param,
            "code": code,
        }
        if failure.kind == "content_filter":
            error["status"] = failure.status
            error["innererror"] = {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
            }
        return orjson.dumps({"error": error})


def _text(content: Any, index: int, role: str) -> str:
    if isinstance(content, str):
        return content
    if content is None and role in ("assistant", "function"):
        return ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    raise _reject(
        f"Invalid type for 'messages[{index}].content': expected a string or an array of text parts.",
        f"messages[{index}].content",
    )
