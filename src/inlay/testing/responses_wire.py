"""OpenAI's Responses wire as a server speaks it: POST /v1/responses, answered whole.

What the chat wire says with `finish_reason` stands here in `status` and `incomplete_details`; a refusal is a part of
the content; a failure of the model arrives with status 200. Nothing is stored, whatever `store` says: an answer can
not be fetched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from inlay.testing.openai_wire import SCHEMA_NAME, SYSTEM_ROLES, openai_error, read_parameters, reject, strict_failure
from inlay.testing.wire import Announcing, Draft, Failure, SimRequest, bearer, text_of

_WHERE = "text.format"
_PARTS = ("input_text", "output_text", "text")
_ROLES = ("system", "developer", "user", "assistant")
# Keys that only mean something with what the simulator does not do.
_NOT_HERE = ("background", "previous_response_id", "conversation", "prompt")


class OpenAIResponsesWire:
    """Responses. `input_tokens` includes cached ones, `output_tokens` includes reasoning."""

    name = "openai_responses"
    announces: Announcing = "openai"
    signed = False
    subset = "openai"

    def secret(self, headers: Mapping[str, str]) -> str:
        """The bearer token, or Azure's `api-key`."""
        return bearer(headers) or headers.get("api-key", "")

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected with OpenAI's own sentence where it has one."""
        if not isinstance(body, dict):
            raise reject("We could not parse the JSON body of your request: it must be an object.")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise reject("Missing required parameter: 'model'.", "model")
        for name in _NOT_HERE:
            if body.get(name):
                raise reject(f"The simulator does not know '{name}'.", name, "parameter")
        for name, instead in (("messages", "input"), ("response_format", "text.format")):
            if name in body:
                raise reject(f"Unsupported parameter: '{name}'. It has moved to '{instead}'.", name, "parameter")
        request = SimRequest(number=number, model=model, system="", user="", body=body)
        self._read_input(request, body)
        text = body.get("text")
        if text is not None and not isinstance(text, dict):
            raise reject("Invalid type for 'text': expected an object.", "text")
        if text and text.get("format") is not None:
            self._read_format(request, text["format"])
        read_parameters(request, body, "max_output_tokens", body.get("max_output_tokens"))
        return request

    def _read_input(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        instructions = body.get("instructions")
        if instructions is not None and not isinstance(instructions, str):
            raise reject("Invalid type for 'instructions': expected a string.", "instructions")
        given = body.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        if not isinstance(items, list) or not items:
            raise reject("Missing required parameter: 'input'.", "input")
        system: list[str] = [instructions] if instructions else []
        user: list[str] = []
        for index, item in enumerate(items):
            role = item.get("role") if isinstance(item, dict) and item.get("type", "message") == "message" else None
            if role not in _ROLES:
                raise reject(f"Invalid value for 'input[{index}].role'; one of {_ROLES}.", f"input[{index}]")
            said = text_of(item.get("content"), _PARTS)
            if said is None:
                raise reject(
                    f"Invalid type for 'input[{index}].content': expected a string or an array of input_text parts.",
                    f"input[{index}].content",
                )
            if role == "user":
                user.append(said)
            elif role in SYSTEM_ROLES:
                system.append(said)
            else:
                request.chars += len(said)
        request.chars += sum(map(len, system)) + sum(map(len, user))
        request.system, request.user = "\n".join(system), "\n".join(user)

    def _read_format(self, request: SimRequest, wanted: Any) -> None:
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        if kind == "text":
            return
        if kind not in ("json_object", "json_schema"):
            raise reject(
                f"Invalid value: {kind!r}. Supported values are: 'json_object', 'json_schema', and 'text'.",
                "text.format.type",
            )
        request.wants_json = True
        if kind == "json_object":
            return
        name, schema = wanted.get("name"), wanted.get("schema")
        if not isinstance(name, str) or not SCHEMA_NAME.fullmatch(name):
            raise reject("Missing required parameter: 'text.format.name'.", "text.format.name")
        if not isinstance(schema, dict):
            raise reject("Missing required parameter: 'text.format.schema'.", "text.format.schema")
        request.schema, request.schema_name, request.strict = schema, name, wanted.get("strict") is True

    def check_schema(self, request: SimRequest) -> Failure | None:
        """The strict subset's verdict, in OpenAI's sentence; None for a schema that is fine or not strict."""
        return strict_failure(request, _WHERE)

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        request, body = draft.request, draft.request.body
        number = f"sim{request.number:08d}"
        status, details, error = "completed", None, None
        if draft.broken_inside is not None:
            status, error = "failed", {"code": "server_error", "message": draft.broken_inside.message}
        elif draft.finish != "stop":
            reason = "max_output_tokens" if draft.finish == "length" else "content_filter"
            status, details = "incomplete", {"reason": reason}
        return orjson.dumps(
            {
                "id": f"resp_{number}",
                "object": "response",
                "created_at": created,
                "completed_at": created if status == "completed" else None,
                "status": status,
                "background": False,
                "error": error,
                "incomplete_details": details,
                "instructions": body.get("instructions"),
                "max_output_tokens": request.max_output_tokens,
                "model": request.model,
                "output": [] if draft.hollow or error else _output(draft, number, status),
                "parallel_tool_calls": True,
                "previous_response_id": None,
                "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
                "service_tier": "default",
                "store": body.get("store", True),
                "temperature": body.get("temperature", 1.0),
                "text": body.get("text") or {"format": {"type": "text"}},
                "tool_choice": "auto",
                "tools": [],
                "top_p": 1.0,
                "truncation": "disabled",
                "usage": {
                    "input_tokens": draft.prompt_tokens,
                    "input_tokens_details": {
                        "cached_tokens": draft.cached_tokens,
                        "cache_write_tokens": draft.written_tokens,
                    },
                    "output_tokens": draft.completion_tokens,
                    "output_tokens_details": {"reasoning_tokens": draft.reasoning_tokens},
                    "total_tokens": draft.prompt_tokens + draft.completion_tokens,
                },
                "metadata": body.get("metadata") or {},
            }
        )

    def status(self, failure: Failure) -> int:
        """As it is: the neutral statuses are OpenAI's."""
        return failure.status

    def error(self, failure: Failure) -> bytes:
        """OpenAI's error object."""
        if failure.kind == "schema" and failure.param is None:
            failure = replace(failure, param=_WHERE)
        return openai_error(failure)

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id."""
        return [("x-request-id", f"req_sim{number:08d}")]


def _output(draft: Draft, number: str, status: str) -> list[dict[str, Any]]:
    """What the model gave, in order: its reasoning, which says nothing, and one message."""
    output: list[dict[str, Any]] = []
    if draft.reasoning_tokens:
        output.append({"type": "reasoning", "id": f"rs_{number}", "summary": []})
    if draft.refusal is not None:
        content = [{"type": "refusal", "refusal": draft.refusal}]
    elif draft.content is None:
        content = []
    else:
        content = [{"type": "output_text", "text": draft.content, "annotations": [], "logprobs": []}]
    message = {"type": "message", "id": f"msg_{number}", "status": status, "role": "assistant", "content": content}
    return [*output, message]
