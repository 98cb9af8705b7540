"""Azure OpenAI as a server speaks it: OpenAI's bodies under Azure's paths, with Azure's keys, errors and headers.

The v1 paths (`/openai/v1/…`) take the deployment's name as `model`; the dated ones need `api-version`, and chat then
names its deployment in the path. A filtered prompt is a 400 that says what was filtered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inlay.testing.openai_wire import OpenAIChatWire, reject
from inlay.testing.responses_wire import OpenAIResponsesWire
from inlay.testing.wire import Announcing, Draft, Failure, Rejected, SimRequest, bearer

_FILTERS = ("hate", "self_harm", "sexual", "violence")
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in _FILTERS}
_UNSAFE = {**_SAFE, "violence": {"filtered": True, "severity": "high"}}
_SUBSCRIPTION = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)


class AzureChatWire(OpenAIChatWire):
    """Chat completions on Azure; `deployment` is the one in the path, where the path has one."""

    name = "azure_chat"
    announces: Announcing = "azure"

    def __init__(self, deployment: str | None = None, *, version: str | None = "v1") -> None:
        self.deployment = deployment
        self.version = version

    def secret(self, headers: Mapping[str, str]) -> str:
        """Azure's `api-key`, or the bearer token."""
        return headers.get("api-key", "") or bearer(headers)

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request; on a dated path the deployment stands for the model."""
        _held_to(self.version)
        if self.deployment is not None and isinstance(body, dict):
            body = {**body, "model": self.deployment}
        return super().parse(number, body)

    def choice(self, draft: Draft) -> dict[str, Any]:
        """OpenAI's choice, with what Azure's filter thinks of it."""
        results = _UNSAFE if draft.finish == "content_filter" else _SAFE
        return {**super().choice(draft), "content_filter_results": results}

    def error(self, failure: Failure) -> bytes:
        """Azure's error object, which is shorter than OpenAI's."""
        if failure.kind == "content_filter":
            return super().error(failure)
        return _azure_error(failure) or super().error(failure)

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id under Azure's name."""
        return [("apim-request-id", f"sim-{number:08d}"), ("x-request-id", f"req_sim{number:08d}")]


class AzureResponsesWire(OpenAIResponsesWire):
    """Responses on Azure: no deployment in the path, the deployment's name as `model`."""

    name = "azure_responses"
    announces: Announcing = "azure"

    def __init__(self, *, version: str | None = "v1") -> None:
        self.version = version

    def secret(self, headers: Mapping[str, str]) -> str:
        """Azure's `api-key`, or the bearer token."""
        return headers.get("api-key", "") or bearer(headers)

    def parse(self, number: int, body: Any) -> SimRequest:
        """A parsed JSON body as a request."""
        _held_to(self.version)
        return super().parse(number, body)

    def error(self, failure: Failure) -> bytes:
        """Azure's error object; a filtered prompt has its list of filters."""
        if failure.kind == "content_filter":
            error = {
                "message": failure.message,
                "type": "invalid_request_error",
                "param": "prompt",
                "code": "content_filter",
                "content_filters": [
                    {"blocked": True, "source_type": "prompt", "content_filter_results": _UNSAFE},
                ],
            }
            return orjson.dumps({"error": error})
        return _azure_error(failure) or super().error(failure)

    def headers(self, number: int, failure: Failure | None) -> list[tuple[str, str]]:
        """The request's id under Azure's name."""
        return [("apim-request-id", f"sim-{number:08d}"), ("x-request-id", f"req_sim{number:08d}")]


def _held_to(version: str | None) -> None:
    """A dated path without a version is not found."""
    if not version:
        raise Rejected(Failure(404, "unknown_url", "Resource not found"))
    if version not in ("v1", "preview", "latest") and not version[:4].isdecimal():
        raise reject(f"API version not supported: {version}", "api-version")


def _azure_error(failure: Failure) -> bytes | None:
    """The errors for which Azure has words of its own."""
    said = {
        "authentication": ("401", _SUBSCRIPTION),
        "model_not_found": ("DeploymentNotFound", _NO_DEPLOYMENT),
        "unknown_url": ("404", "Resource not found"),
        "rate_requests": ("429", failure.message),
        "rate_tokens": ("429", failure.message),
    }.get(failure.kind)
    if said is None:
        return None
    return orjson.dumps({"error": {"code": said[0], "message": said[1]}})
