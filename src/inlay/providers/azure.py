"""Azure OpenAI: OpenAI's chat and Responses wires at a resource of your own, by deployment. No I/O.

    v1       https://RESOURCE.openai.azure.com/openai/v1, or …services.ai.azure.com; the endpoint of today
    dated    https://RESOURCE.openai.azure.com/openai/deployments/DEPLOYMENT/chat/completions?api-version=…

`model: azure:NAME` is the name of a deployment. What stays true: dated paths are used only where a version is named, in
the endpoint or in OPENAI_API_VERSION; schemas keep within what Azure documents, which is less than OpenAI takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from inlay.contracts import Signer
from inlay.errors import AuthenticationFailed, ModelNotFound, RunError, SpecError
from inlay.providers.azure_entra import entra
from inlay.providers.lower import AZURE, Subset
from inlay.providers.openai_chat import OpenAIChat
from inlay.providers.openai_responses import OpenAIResponses
from inlay.types import Completion

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}")
# What portals show and people paste: the address of one operation.
_OPERATION = re.compile(r"/(?:chat/completions|responses)$")
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)$")


class _Azure(OpenAIChat):
    """What both wires have in common: where requests go, and with which credential."""

    name = "azure"
    default_endpoint: ClassVar[str | None] = None
    endpoint_env: ClassVar[str | None] = "AZURE_OPENAI_ENDPOINT"
    endpoint_example: ClassVar[str] = "https://RESOURCE.openai.azure.com"
    key_env: ClassVar[str | None] = "AZURE_OPENAI_API_KEY"
    key_hosts: ClassVar[tuple[str, ...]] = (
        "openai.azure.com",
        "services.ai.azure.com",
        "cognitiveservices.azure.com",
    )
    wires: ClassVar[Mapping[str, str]] = {
        "chat": "inlay.providers.azure:AzureChat",
        "responses": "inlay.providers.azure:AzureResponses",
    }
    subset: ClassVar[Subset] = AZURE
    operation: ClassVar[str] = "/chat/completions"
    by_deployment: ClassVar[bool] = True  # whether the dated path names the deployment

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        provider: str | None = None,
        api_version: str | None = None,
        deployment: str | None = None,
    ) -> None:
        super().__init__(endpoint, provider=provider)
        self.api_version = api_version
        self.deployment = deployment  # the one that the endpoint named, if it did
        if api_version is None and not self.base.endswith("/v1"):
            self.base = _resource(self.base) + "/openai/v1"

    @classmethod
    def placed(cls, endpoint: str, env: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
        """An endpoint as people have it, as a plain one and the arguments that this class is made with.

        Takes the resource alone, either base, or the whole address of an operation with its `?api-version=`; without
        one, OPENAI_API_VERSION. An address that ends in /v1 is v1, whatever the environment says. Raises SpecError.
        """
        try:
            parts = urlsplit(endpoint)
        except ValueError:
            return endpoint, {}  # refused by who checks endpoints, and so is any other query
        name, _, version = parts.query.partition("=")
        query, key = "", "endpoint"
        if name.lower() != "api-version":
            query, version = parts.query, ""
        path = _OPERATION.sub("", parts.path.rstrip("/"))
        deployment = None
        if (named := _DEPLOYMENT.search(path)) is not None:
            deployment, path = unquote(named[1]), path[: named.start()]
        if not version and not path.endswith("/v1"):
            version, key = env.get("OPENAI_API_VERSION", ""), "OPENAI_API_VERSION"
        if version and not _VERSION.fullmatch(version):
            # Not shown: a key may have been pasted along with it.
            raise SpecError("this names no api-version", key=key, remedy="write it like 2025-04-01-preview")
        if path.endswith("/v1"):
            base = path
        else:
            base = _resource(path) + ("" if version else "/openai/v1")
        plain = urlunsplit((parts.scheme, parts.netloc, base, query, parts.fragment))
        return plain, {"api_version": version or None, "deployment": deployment}

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """Azure's own header for keys."""
        return (("api-key", secret),)

    def signer(self, env: Mapping[str, str], region: str | None) -> Signer | None:
        """Entra's token where there is one, or where there is no key; None: a plain key. See `azure_entra.entra`."""
        return entra(env)

    def url(self, model: str) -> str:
        """Where the requests for a deployment go. Raises SpecError where the endpoint names another one."""
        if self.deployment is not None and self.deployment != model:
            raise SpecError(
                f"the endpoint names the deployment {self.deployment!r}, and the model is {model!r}",
                key="endpoint",
                remedy=f"write model: azure:{self.deployment}, or leave the path out of `endpoint`",
            )
        version = f"?api-version={self.api_version}" if self.api_version else ""
        if self.base.endswith("/v1"):
            return self.base + self.operation + version
        middle = f"/deployments/{quote(model, safe='')}" if self.by_deployment else ""
        return f"{_resource(self.base)}/openai{middle}{self.operation}{version}"

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response; see OpenAIChat. What stops a run says what that means on Azure."""
        try:
            return super().read(status, headers, body)
        except RunError as error:
            if isinstance(error, ModelNotFound):
                error.remedy = "`model: azure:NAME` is the deployment's name, not the model's; check `endpoint` too"
            elif isinstance(error, AuthenticationFailed):
                error.remedy = (
                    "check that the key is this resource's; with Entra, that you have the role Cognitive Services "
                    "OpenAI User there"
                )
            raise


class AzureChat(_Azure):
    """contracts.Dialect for Azure's chat completions."""


class AzureResponses(_Azure, OpenAIResponses):
    """contracts.Dialect for Azure's Responses; its dated path names no deployment."""

    operation: ClassVar[str] = "/responses"
    by_deployment: ClassVar[bool] = False


def _resource(base: str) -> str:
    """The address without the /openai that either base goes on with."""
    return base.removesuffix("/openai")
