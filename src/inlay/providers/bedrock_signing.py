"""AWS signatures (version 4), made by botocore with the credentials that AWS's own chain finds.

Environment, shared configuration and profiles, SSO, web identity, container and instance roles: botocore looks in its
usual order. What stays true: botocore is imported only where requests are signed; credentials are looked for and
renewed in a thread, by one call at a time; nothing of them is logged, shown or raised.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from inlay.contracts import Signer
from inlay.errors import AuthenticationFailed, ConnectionFailed, SpecError
from inlay.providers.errors_map import sentence
from inlay.types import HttpRequest

_REMEDY = (
    "aws configure, aws sso login, or export AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…; or a Bedrock API key in "
    "AWS_BEARER_TOKEN_BEDROCK"
)
_UNREACHABLE = frozenset(("HTTPClientError", "ConnectionError", "MetadataRetrievalError", "EndpointConnectionError"))
_REGION = re.compile(r"[a-z0-9-]{3,40}")


def installed() -> bool:
    """Whether botocore can be imported; imports nothing of it."""
    return importlib.util.find_spec("botocore") is not None


def find_region(region: str | None, env: Mapping[str, str]) -> str:
    """The declared region, else AWS_REGION, AWS_DEFAULT_REGION, or the region of the AWS profile. Raises SpecError."""
    found = region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or _region_of_profile(env)
    if not found:
        raise SpecError(
            "bedrock needs a region, and neither AWS_REGION nor the AWS profile names one",
            key="region",
            remedy="add, for example, region: eu-central-1",
        )
    if not _REGION.fullmatch(found):
        raise SpecError(f"{found[:40]!r} is no AWS region", key="region", remedy="write it like eu-central-1")
    return found


def _region_of_profile(env: Mapping[str, str]) -> str | None:
    if env is not os.environ or not installed():
        return None
    import botocore.session
    from botocore.exceptions import BotoCoreError

    try:
        return botocore.session.Session().get_config_variable("region")
    except BotoCoreError:
        return None  # a profile that does not exist: said when it is asked for credentials


class AwsSigner(Signer):
    """contracts.Signer for one AWS service in one region. One event loop.

    `env` other than the process's own stands alone: its keys are used, and no other source is looked at.
    """

    def __init__(self, region: str, *, service: str = "bedrock", env: Mapping[str, str] | None = None) -> None:
        if not installed():
            raise AuthenticationFailed(
                "bedrock signs its requests with botocore, which is not installed",
                provider="bedrock",
                remedy="pip install 'inlay[bedrock]', or put a Bedrock API key into AWS_BEARER_TOKEN_BEDROCK",
            )
        self.region = region
        self.service = service
        self._env = os.environ if env is None else env
        self._credentials: Any = None
        self._finding = asyncio.Lock()

    def __repr__(self) -> str:
        return f"AwsSigner({self.service!r}, {self.region!r})"

    async def headers(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        """The signature of this very request, and the session's token where there is one.

        Raises AuthenticationFailed where no credentials are to be had, ConnectionFailed (nothing sent, nothing paid)
        where their source cannot be reached.
        """
        credentials = self._credentials
        if credentials is None or _wants_renewal(credentials):
            async with self._finding:
                if self._credentials is None or _wants_renewal(self._credentials):
                    self._credentials = await asyncio.to_thread(self._find)
                credentials = self._credentials
        return self._signed(request, credentials.get_frozen_credentials())

    def _signed(self, request: HttpRequest, credentials: Any) -> list[tuple[str, str]]:
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.awsrequest import AWSRequest

        given = AWSRequest(request.method, request.url, headers=dict(request.headers), data=request.body)
        before = {name.lower() for name in given.headers}
        make = S3SigV4Auth if self.service == "s3" else SigV4Auth
        make(credentials, self.service, self.region).add_auth(given)
        return [(name.lower(), value) for name, value in given.headers.items() if name.lower() not in before]

    def _find(self) -> Any:
        """Look for credentials, or renew those at hand. In a thread: it may read files and ask the network."""
        from botocore.exceptions import BotoCoreError, ClientError

        # At DEBUG it writes the canonical request, and the session's token stands in that.
        logging.getLogger("botocore.auth").setLevel(logging.INFO)
        try:
            found = self._credentials or self._from_chain()
            if found is not None:
                found.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise _translated(error) from None
        if found is None:
            raise AuthenticationFailed("no AWS credentials were found", provider="bedrock", remedy=_REMEDY)
        return found

    def _from_chain(self) -> Any:
        import botocore.session
        from botocore.credentials import Credentials

        env = self._env
        if env is os.environ:
            return botocore.session.Session().get_credentials()
        if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
            token = env.get("AWS_SESSION_TOKEN") or None
            return Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], token)
        return None


def _wants_renewal(credentials: Any) -> bool:
    """Whether credentials expire within minutes; those without an end never do."""
    wants = getattr(credentials, "refresh_needed", None)
    return wants is not None and bool(wants())


def _translated(error: Exception) -> AuthenticationFailed | ConnectionFailed:
    names = {base.__name__ for base in type(error).__mro__}
    said = sentence(str(error).split("\n")[0], 160) or type(error).__name__
    if names & _UNREACHABLE:
        message = f"the source of the AWS credentials cannot be reached: {said}"
        return ConnectionFailed(message, provider="bedrock", possibly_paid=False)
    return AuthenticationFailed(f"AWS gave no credentials: {said}", provider="bedrock", remedy=_REMEDY)
