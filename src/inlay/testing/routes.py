"""Which wire a path belongs to. What stays true: a path without variables is found by one look into a dict."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote

from inlay.testing.anthropic_wire import AnthropicMessagesWire
from inlay.testing.azure_wire import AzureChatWire, AzureResponsesWire
from inlay.testing.bedrock_wire import BedrockConverseWire, BedrockInvokeWire
from inlay.testing.openai_wire import OpenAIChatWire
from inlay.testing.responses_wire import OpenAIResponsesWire
from inlay.testing.wire import Wire

CHAT = OpenAIChatWire()
_FIXED: Mapping[str, Wire] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": OpenAIResponsesWire(),
    "/v1/messages": AnthropicMessagesWire(),
    "/openai/v1/chat/completions": AzureChatWire(),
    "/openai/v1/responses": AzureResponsesWire(),
}
# (path, what makes a wire of its variable and the API version)
_VARIABLE: tuple[tuple[re.Pattern[str], Callable[[str, str | None], Wire]], ...] = (
    (re.compile(r"/model/([^/]+)/converse"), lambda model, version: BedrockConverseWire(model)),
    (re.compile(r"/model/([^/]+)/invoke"), lambda model, version: BedrockInvokeWire(model)),
    (
        re.compile(r"/openai/deployments/([^/]+)/chat/completions"),
        lambda deployment, version: AzureChatWire(deployment, version=version),
    ),
    (re.compile(r"/openai/(responses)"), lambda _, version: AzureResponsesWire(version=version)),
)
# What a client is told to use as its endpoint, by provider: the path after the simulator's own address, and what
# is found below it.
ENDPOINTS: Mapping[str, tuple[str, str]] = {
    "openai": ("/v1", "chat, Responses, files and batches"),
    "compatible": ("/v1", "the same"),
    "azure": ("/openai/v1", "the same; a deployment stands for the model"),
    "azure-dated": ("", "/openai/deployments/NAME/…, /openai/responses, with api-version"),
    "anthropic": ("", "/v1/messages and /v1/messages/batches"),
    "bedrock": ("", "/model/ID/converse, /model/ID/invoke, model invocation jobs"),
    "s3": ("/s3", "objects, in path style"),
}


def wire_at(path: str, query: str) -> Wire | None:
    """The wire that is asked by POST at this path, as it was sent; None where there is none."""
    found = _FIXED.get(path)
    if found is not None:
        return found
    for pattern, make in _VARIABLE:
        if (match := pattern.fullmatch(path)) is not None:
            version = parse_qs(query).get("api-version", [None])[-1] if query else None
            return make(unquote(match[1]), version)
    return None


def refusing_wire(path: str) -> Wire:
    """The wire in whose shape a path that nothing serves is refused."""
    if path.startswith(("/openai/", "/openai")):
        return _FIXED["/openai/v1/chat/completions"]
    if path.startswith("/v1/messages"):
        return _FIXED["/v1/messages"]
    if path.startswith(("/model", "/async-invoke")):
        return BedrockConverseWire("")
    return CHAT


def endpoints_at(endpoint: str) -> dict[str, str]:
    """The endpoints of every provider on the simulator whose own endpoint is this one."""
    origin = endpoint.removesuffix("/v1")
    return {name: origin + path for name, (path, _) in ENDPOINTS.items()}


def endpoint_lines(origin: str) -> str:
    """A table of the endpoints: provider, what to declare, what is there."""
    return "\n".join([f"{name:12} {origin + path:26} {below}" for name, (path, below) in ENDPOINTS.items()])
