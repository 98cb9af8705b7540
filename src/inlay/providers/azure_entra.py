"""Entra (Azure AD) tokens: from AZURE_OPENAI_AD_TOKEN, or from azure-identity's own chain of credentials.

What stays true: AZURE_OPENAI_AD_TOKEN comes before AZURE_OPENAI_API_KEY, as in Azure's own client; azure-identity is
imported only where neither is set; a token is fetched in a thread, by one call at a time, and again five minutes
before it expires; no error shows any part of it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inlay.contracts import Signer
from inlay.errors import AuthenticationFailed, ConnectionFailed
from inlay.providers.credentials import require_key
from inlay.providers.errors_map import sentence
from inlay.types import HttpRequest

SCOPE = "https://ai.azure.com/.default"
SCOPE_ENV = "AZURE_OPENAI_SCOPE"  # another scope: older resources, sovereign clouds
TOKEN_ENV = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105 (a variable's name)
KEY_ENV = "AZURE_OPENAI_API_KEY"
EARLY_S = 300.0
_REMEDY = f"export {KEY_ENV}=…, or for Entra: pip install 'inlay[azure]', then az login or a managed identity"


def entra(env: Mapping[str, str]) -> Signer | None:
    """What signs Azure's requests here and now; None where a plain key does.

    Raises AuthenticationFailed where there is no token, no key and no azure-identity to ask.
    """
    if env.get(TOKEN_ENV):
        return GivenToken(require_key(TOKEN_ENV, env, provider="azure"))
    if env.get(KEY_ENV):
        return None
    if not installed():
        raise AuthenticationFailed(
            f"azure needs a credential: neither {KEY_ENV} nor {TOKEN_ENV} is set, and azure-identity is not installed",
            provider="azure",
            remedy=_REMEDY,
        )
    return EntraTokens(env.get(SCOPE_ENV) or SCOPE)


def installed() -> bool:
    """Whether azure-identity can be imported; imports nothing of it."""
    try:
        return importlib.util.find_spec("azure.identity") is not None
    except ModuleNotFoundError:
        return False


class GivenToken:
    """contracts.Signer with the token of the environment, which Inlay cannot renew."""

    def __init__(self, token: str) -> None:
        self._headers = (("authorization", f"Bearer {token}"),)

    def __repr__(self) -> str:
        return f"GivenToken({TOKEN_ENV})"

    async def headers(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        """The bearer header."""
        return self._headers


class EntraTokens:
    """contracts.Signer with tokens of azure-identity's DefaultAzureCredential, or of what `make` makes.

    `make` gives an object with `get_token(scope)`, whose answer has `token` and `expires_on` (seconds since the
    epoch). One event loop.
    """

    def __init__(
        self, scope: str = SCOPE, make: Callable[[], Any] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.scope = scope
        self._make = make or _default_credential
        self._clock = clock
        self._credential: Any = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._expires = 0.0
        self._fetching = asyncio.Lock()

    def __repr__(self) -> str:
        return f"EntraTokens({self.scope!r})"

    async def headers(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        """The bearer header, with a token that lives for five minutes more wherever one is to be had.

        Raises AuthenticationFailed where the chain has no credential, ConnectionFailed (nothing sent, nothing paid)
        where it cannot be reached.
        """
        if self._clock() >= self._expires - EARLY_S:
            async with self._fetching:
                if self._clock() >= self._expires - EARLY_S:
                    await self._renew()
        return self._headers

    async def _renew(self) -> None:
        try:
            found = await asyncio.to_thread(self._fetch)
        except Exception as error:  # noqa: BLE001 (the edge: any credential of the chain may raise its own)
            if self._clock() < self._expires:
                return  # the one we have still counts; the next request tries again
            raise _translated(error) from None
        self._headers = (("authorization", f"Bearer {found.token}"),)
        self._expires = float(found.expires_on)

    def _fetch(self) -> Any:
        if self._credential is None:
            self._credential = self._make()
        return self._credential.get_token(self.scope)


def _default_credential() -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _translated(error: Exception) -> AuthenticationFailed | ConnectionFailed:
    """azure-core's names decide: what it calls a request or response that failed is the network's fault."""
    names = {base.__name__ for base in type(error).__mro__}
    said = sentence(str(error).split("\n")[0], 160) or type(error).__name__
    if names & {"ServiceRequestError", "ServiceResponseError"}:
        return ConnectionFailed(f"Entra cannot be reached: {said}", provider="azure", possibly_paid=False)
    return AuthenticationFailed(f"Entra gave no token: {said}", provider="azure", remedy=_REMEDY)
