"""Anthropic's Messages wire as a server speaks it: POST /v1/messages, with usage and errors in Anthropic's own shape.

`input_tokens` excludes what was read from the prompt cache or written to it. What stays true: a structured answer is
asked by `output_config.format` or by a tool that must be called, its schema held to Anthropic's subset; a model that
takes no temperature or no forced tool refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from inlay.testing.anthropic_subset import subset_problem
from inlay.testing.wire import Announcing, Draft, Failure, Rejected, SimRequest, bearer, text_of

# Failure.kind → Anthropic's type of error; everything else that is a 4xx is an invalid request.
_ERRORS = {
    "server_error": "api_error",
    "overloaded": "overloaded_error",
    "rate_requests": "rate_limit_error",
    "rate_tokens": "rate_limit_error",
    "quota": "billing_error",
    "authentication": "authentication_error",
    "forbidden": "permission_error",
    "model_not_found": "not_found_error",
    "not_found": "not_found_error",
    "unknown_url": "not_found_error",
    "too_large": "request_too_large",
}
_KEYS = frozenset(
    {"model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k", "stop_sequences", "stream"}
    | {"metadata", "service_tier", "thinking", "tools", "tool_choice", "output_config", "cache_control"}
    | {"inference_geo", "speed", "container", "anthropic_version", "anthropic_beta"}
)
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_THINKING = ("enabled", "adaptive", "disabled", "between_tools")
_FAMILY = re.compile(r"(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?")
_MOST_MARKS = 4


def claude_of(model: str) -> tuple[str, tuple[int, int]]:
    """(family, (major, minor)) of a Claude model's name, however it is written; ("", (0, 0)) of any other."""
    found = _FAMILY.search(model)
    return (found[1], (int(found[2]), int(found[3] or 0))) if found else ("", (0, 0))


def takes_temperature(model: str) -> bool:
    """Whether the model takes sampling parameters: no Claude from Opus 4.7 and the 5 series on does."""
    family, version = claude_of(model)
    return version < ((4, 7) if family == "opus" else (5, 0))


def takes_forced_tool(model: str) -> bool:
    """Whether `tool_choice` may force a call."""
    family, version = claude_of(model)
    least = {"fable": (5, 1), "mythos": (5, 1), "opus": (5, 5), "sonnet": (5, 5)}.get(family)
    return least is None or version < least


def _reject(message: str, kind: str = "invalid") -> Rejected:
    return Rejected(Failure(400, kind, message))


class AnthropicMessagesWire:
    """Messages. Takes the key as `x-api-key` or as a bearer token."""

    name = "anthropic_messages"
    announces: Announcing = "anthropic"
    signed = False

    def secret(self, headers: Mapping[str, str]) -> str:
        """Anthropic's `x-api-key`, or the bearer token."""
        return headers.get("x-api-key", "") or bearer(headers)

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request. Raises Rejected with Anthropic's own sentence where it has one."""
        if not isinstance(body, dict):
            raise _reject("The request body is not valid JSON: it must be an object.")
        if unknown := sorted(set(body) - _KEYS):
            raise _reject(f"{unknown[0]}: Extra inputs are not permitted", "parameter")
        model, cap = body.get("model"), body.get("max_tokens")
        if not isinstance(model, str) or not model:
            raise _reject("model: Field required")
        if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
            raise _reject("max_tokens: Field required" if cap is None else "max_tokens: Input should be at least 1")
        request = SimRequest(number=number, model=model, system="", user="", max_output_tokens=cap, body=body)
        self._read_text(request, body)
        self._read_output(request, body)
        self._read_tools(request, body)
        self._read_rest(request, body)
        return request

    def _read_text(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        system = text_of(body.get("system", ""))
        if system is None:
            raise _reject("system: Input should be a valid string or a list of text blocks")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _reject("messages: at least one message is required")
        user: list[str] = []
        for index, message in enumerate(messages):
            role = message.get("role") if isinstance(message, dict) else None
            if role not in ("user", "assistant"):
                raise _reject(f"messages.{index}.role: Input should be 'user' or 'assistant'")
            said = text_of(message.get("content"))
            if not said:
                raise _reject(f"messages.{index}.content: text content blocks must be non-empty")
            request.chars += len(said)
            if role == "user":
                user.append(said)
        if messages[-1]["role"] == "assistant":
            raise _reject("This model does not support assistant message prefill. The conversation must end with user.")
        request.chars += len(system)
        request.system, request.user = system, "\n".join(user)
        request.cache_marks = _marks(body)

    def _read_output(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        config = body.get("output_config")
        if config is None:
            return
        if not isinstance(config, dict) or set(config) - {"format", "effort"}:
            raise _reject("output_config: Extra inputs are not permitted")
        if config.get("effort") is not None and config["effort"] not in _EFFORTS:
            raise _reject(f"output_config.effort: Input should be one of {_EFFORTS}")
        wanted = config.get("format")
        if wanted is None:
            return
        schema = wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None
        if not isinstance(schema, dict) or set(wanted) != {"type", "schema"}:
            raise _reject("output_config.format: Input should be {'type': 'json_schema', 'schema': …} and nothing else")
        request.schema, request.strict, request.wants_json = schema, True, True

    def _read_tools(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        choice = body.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else None
        if choice is not None and kind not in ("auto", "any", "tool", "none"):
            raise _reject("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
        if choice is None or kind not in ("any", "tool"):
            return
        tools = {tool.get("name"): tool for tool in body.get("tools") or () if isinstance(tool, dict)}
        name = choice.get("name") if kind == "tool" else next(iter(tools), None)
        schema = tools[name].get("input_schema") if name in tools else None
        if not isinstance(name, str) or not isinstance(schema, dict):
            raise _reject(f"Tool '{name}' not found in provided tools")
        if not takes_forced_tool(request.model):
            raise _reject(f"tool_choice: forcing a tool is not supported by {request.model}", "parameter")
        thinking = body.get("thinking") or {}
        if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
            raise _reject("Thinking may not be enabled when tool_choice forces tool use.")
        request.schema, request.schema_name, request.tool, request.wants_json = schema, name, name, True
        request.strict = tools[name].get("strict") is True

    def _read_rest(self, request: SimRequest, body: Mapping[str, Any]) -> None:
        for name in ("temperature", "top_p", "top_k"):
            if body.get(name) is None:
                continue
            if not takes_temperature(request.model):
                raise _reject(f"`{name}` is deprecated for this model.", "parameter")
            if name == "temperature" and not (_is_number(body[name]) and 0 <= body[name] <= 1):
                raise _reject("temperature: range: 0..1")
        thinking = body.get("thinking")
        if thinking is not None and (not isinstance(thinking, dict) or thinking.get("type") not in _THINKING):
            raise _reject(f"thinking.type: Input should be one of {_THINKING}")
        if body.get("stream"):
            raise _reject("The simulator does not stream.", "parameter")

    def check_schema(self, request: SimRequest) -> Failure | None:
        """What the subset has against the schema; None for one that is fine, or a tool's that is not strict."""
        return claude_schema_failure(request)

    def completion(self, draft: Draft, *, created: int) -> bytes:
        """The body of a 200."""
        if draft.broken_inside is not None:
            return self.error(draft.broken_inside)
        return orjson.dumps(self.message(draft))

    def message(self, draft: Draft) -> dict[str, Any]:
        """A Message as an object."""
        request = draft.request
        number = f"sim{request.number:08d}"
        reason = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}[draft.finish]
        details = None
        if draft.refusal is not None or reason == "refusal":
            reason = "refusal"
            details = {"type": "refusal", "category": "general_harms", "explanation": draft.refusal}
        content: list[dict[str, Any]] = []
        if not draft.hollow:
            if draft.reasoning_tokens:
                content.append({"type": "thinking", "thinking": "", "signature": "c2ltdWxhdGVk"})
            if draft.content is not None and request.tool:
                block = {"type": "tool_use", "id": f"toolu_{number}", "name": request.tool}
                content.append({**block, "input": tool_input(draft.content)})
                reason = "tool_use" if reason == "end_turn" else reason
            elif draft.content is not None:
                content.append({"type": "text", "text": draft.content})
        return {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "stop_details": details,
            "usage": {
                "input_tokens": draft.prompt_tokens - draft.cached_tokens - draft.written_tokens,
                "cache_creation_input_tokens": draft.written_tokens,
                "cache_read_input_tokens": draft.cached_tokens,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": draft.written_tokens,
                    "ephemeral_1h_input_tokens": 0,
                },
                "output_tokens": draft.completion_tokens,
                "output_tokens_details": {"thinking_tokens": draft.reasoning_tokens},
                "service_tier": "standard",
            },
        }

    def status(self, failure: Failure) -> int:
        """Anthropic's statuses: money that is spent is a 402, an overload a 529."""
        return {"quota": 402, "overloaded": 529}.get(failure.kind, failure.status)

    def error(self, failure: Failure) -> bytes:
        """Anthropic's error object."""
        return orjson.dumps({**error_object(failure), "request_id": "req_sim"})

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id."""
        return [("request-id", f"req_sim{number:08d}")]


def error_object(failure: Failure) -> dict[str, Any]:
    """Anthropic's error without the request's id."""
    kind = _ERRORS.get(failure.kind, "invalid_request_error")
    message = f"prompt is too long: {failure.message}" if failure.kind == "context_length" else failure.message
    if failure.kind == "content_filter":
        message = "Output blocked by content filtering policy"
    return {"type": "error", "error": {"type": kind, "message": message}}


def claude_schema_failure(request: SimRequest) -> Failure | None:
    """What Anthropic's subset has against a request's schema."""
    if request.schema is None or not request.strict or (problem := subset_problem(request.schema)) is None:
        return None
    where = f"tools.{request.tool}.input_schema" if request.tool else "output_config.format.schema"
    return Failure(400, "schema", f"{where}: {problem}")


def tool_input(content: str) -> Any:
    """An answer as a tool's input. What is no JSON object stands in one, as Anthropic does it."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = None
    return orjson.Fragment(content) if isinstance(value, dict) else {"INVALID_JSON": content}


def _marks(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts up to each `cache_control`, system first. Raises Rejected for more than four."""
    blocks: list[Mapping[str, Any]] = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    marks = ["" for block in blocks if block.get("cache_control")]
    text = ""
    for content in (body.get("system", ""), *(message.get("content") for message in body["messages"])):
        for block in [{"text": content}] if isinstance(content, str) else content:
            text += block["text"]
            if block.get("cache_control"):
                marks.append(text)
    if body.get("cache_control"):
        marks.append(text)
    if len(marks) > _MOST_MARKS:
        raise _reject(f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")
    return tuple(mark for mark in marks if mark)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
