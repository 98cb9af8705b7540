"""Any other server that speaks OpenAI's chat wire, in the form of structured output that it takes. No I/O.

    json_schema           as OpenAI has it: vLLM, Ollama, llama.cpp's server, most gateways
    json_object           JSON mode with the schema beside it: llama-cpp-python
    structured_outputs    vLLM's own key
    prompt                nothing asked of the server: the schema stands in the system message, as text

What stays true: the form changes how a question is put, never what it asks, so it is no part of an answer's address;
an encoder follows a change of `structured` at the next request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import orjson

from inlay.providers.anthropic import AnthropicMessages
from inlay.providers.lower import lower_strict
from inlay.providers.openai_chat import OpenAIChat
from inlay.providers.openai_responses import OpenAIResponses
from inlay.types import CallShape, HttpRequest

Form: TypeAlias = Literal["json_schema", "json_object", "structured_outputs", "prompt"]
FORMS: tuple[Form, ...] = get_args(Form)
_INTRODUCED = "Answer with one JSON object that fits this JSON Schema, and nothing else:\n"


class _Elsewhere:
    """No endpoint and no key of its own."""

    name = "compatible"
    default_endpoint: ClassVar[str | None] = None
    endpoint_env: ClassVar[str | None] = None
    key_env: ClassVar[str | None] = None
    key_hosts: ClassVar[tuple[str, ...]] = ()
    wires: ClassVar[Mapping[str, str]] = {
        "chat": "inlay.providers.compatible:CompatibleChat",
        "responses": "inlay.providers.compatible:CompatibleResponses",
        "messages": "inlay.providers.compatible:CompatibleMessages",
    }


class CompatibleChat(_Elsewhere, OpenAIChat):
    """The chat wire on any other server: the older name of the output cap, and `structured`, the form it takes.

    vLLM, Ollama, llama.cpp, TGI and the gateways all take `max_tokens`; some know nothing newer.
    """

    output_cap_key: ClassVar[str] = "max_tokens"

    def __init__(
        self, endpoint: str | None = None, *, provider: str | None = None, structured: Form = "json_schema"
    ) -> None:
        super().__init__(endpoint, provider=provider)
        self.structured: Form = structured

    def structure(self, shape: CallShape) -> tuple[str, dict[str, Any]]:
        """The system message, and the keys of the body that ask for the shape of the answer."""
        if self.structured == "json_schema":
            return super().structure(shape)
        return self._asked(shape.system, lower_strict(shape.schema, self.subset))

    def _asked(self, system: str, schema: Any) -> tuple[str, dict[str, Any]]:
        if self.structured == "json_object":
            return system, {"response_format": {"type": "json_object", "schema": schema}}
        if self.structured == "structured_outputs":
            return system, {"structured_outputs": {"json": schema}}
        words = _INTRODUCED + orjson.dumps(schema).decode()
        return f"{system}\n\n{words}" if system else words, {}

    def recast(self, request: HttpRequest) -> HttpRequest:
        """A request that was encoded in an earlier form, in the present one."""
        body = orjson.loads(request.body)
        wanted = body.pop("response_format", {})
        inner = wanted.get("json_schema", {"name": "answer", "strict": True, "schema": wanted.get("schema")})
        if (own := body.pop("structured_outputs", None)) is not None:
            inner["schema"] = own["json"]
        if self.structured == "json_schema":
            rest: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": inner}}
        else:
            messages = body["messages"]
            system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
            system, rest = self._asked(system, inner["schema"])
            if system:
                messages.insert(0, {"role": "system", "content": system})
        return replace(request, body=orjson.dumps({**body, **rest}))

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build the constant part once a form; the result costs microseconds a request. Raises SpecError."""
        build = super().encoder
        built = {self.structured: build(shape)}

        def encode(user: str) -> HttpRequest:
            found = built.get(self.structured)
            if found is None:
                found = built[self.structured] = build(shape)
            return found(user)

        return encode


class CompatibleResponses(_Elsewhere, OpenAIResponses):
    """The Responses wire on any other server that has it, such as vLLM."""


class CompatibleMessages(_Elsewhere, AnthropicMessages):
    """Anthropic's Messages wire on any other server that has it: vLLM, LiteLLM and other gateways."""

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """Both headers: some gateways look for Anthropic's own, vLLM for a bearer token."""
        return (("x-api-key", secret), ("authorization", f"Bearer {secret}"))
