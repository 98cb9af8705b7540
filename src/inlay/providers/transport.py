"""The one place where requests leave this machine: a pool of connections to one endpoint.

What stays true: the secret lives in the client's default headers and in nothing that is shown, raised or logged; it
goes to the endpoint's origin alone, since redirects are never followed and there are no cookies; one deadline covers
the whole exchange, so that a server that dribbles cannot hold a place; a body is cut off at the cap, counted after
decompression; pyreqwest's errors are translated here, once, through a table.

The only thing read from the environment is the standard HTTPS_PROXY (with NO_PROXY), for https endpoints alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from inlay._version import __version__
from inlay.contracts import Signer
from inlay.errors import (
    ConnectionFailed,
    InvalidRequest,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RunError,
    SpecError,
    Unreadable,
)
from inlay.providers.endpoint import Endpoint, parse_endpoint, resolve_endpoint
from inlay.providers.errors_map import error_for, sentence, told
from inlay.providers.lasting import import_lastingly
from inlay.types import HttpRequest

if TYPE_CHECKING:
    from pyreqwest.client import Client
    from pyreqwest.response import Response

BODY_CAP = 8 * 1024 * 1024
DOWNLOAD_CAP = 4 * 1024**3
CONNECT_TIMEOUT_S = 10.0
# uvicorn, and with it vLLM, closes idle connections after 5 s: a request written into one that is just closing would
# have to be counted as possibly paid.
IDLE_S = 4.0
# A process that ends in the very instant in which pyreqwest's thread drops an unfinished call may abort (measured: 2
# exits of 55 without this pause, none of 55 with it).
GRACE_S = 0.1
_JSON = HttpRequest("", b"").headers

# Error class by the name of pyreqwest's class; the three that depend on how far the request got are decided in
# `translate`. A test holds this table to all that pyreqwest has.
ERRORS: dict[str, type[ProviderError]] = {
    "PyreqwestError": ConnectionFailed,
    "DetailedPyreqwestError": ConnectionFailed,
    "RequestError": ConnectionFailed,
    "StatusError": Overloaded,
    "RedirectError": RunError,
    "DecodeError": Unreadable,
    "BodyDecodeError": Unreadable,
    "JSONDecodeError": Unreadable,
    "TransportError": ConnectionFailed,
    "RequestTimeoutError": ProviderTimeout,
    "NetworkError": ConnectionFailed,
    "ConnectTimeoutError": ProviderTimeout,
    "ReadTimeoutError": ProviderTimeout,
    "WriteTimeoutError": ProviderTimeout,
    "PoolTimeoutError": ProviderTimeout,
    "ConnectError": ConnectionFailed,
    "ReadError": ConnectionFailed,
    "WriteError": ConnectionFailed,
    "ClientClosedError": ConnectionFailed,
    "BuilderError": InvalidRequest,
    "RequestPanicError": ConnectionFailed,
}
_NOTHING_SENT = frozenset(("BuilderError", "PoolTimeoutError"))


class Transport:
    """Sends requests to one endpoint, `concurrency` at most at a time.

    `auth_headers` hold the secret, or `signer` makes them for each request. `timeout_s` covers an exchange from asking
    for a connection to the last byte. Use as an async context manager, or call `close`. One event loop.
    """

    def __init__(
        self,
        endpoint: str | Endpoint,
        auth_headers: tuple[tuple[str, str], ...] = (),
        *,
        concurrency: int = 64,
        timeout_s: float = 120.0,
        body_cap: int = BODY_CAP,
        provider: str = "",
        env: Mapping[str, str] | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.endpoint = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.body_cap = body_cap
        self.provider = provider or self.endpoint.host
        self._auth = auth_headers
        self._signer = signer
        self._secrets = tuple(word for _, value in auth_headers for word in _words(value))
        self._env = os.environ if env is None else env
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._checked = ""
        self._in_flight = 0
        self._abandoned = False
        self._closed = False

    def __repr__(self) -> str:
        return f"Transport({self.endpoint.url!r}, concurrency={self.concurrency})"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Check where the endpoint's name leads, and make the client. Idempotent; `send` does it when needed.

        Raises SpecError for an endpoint that must not be asked, ConnectionFailed after `close`.
        """
        async with self._opening:
            if self._closed:
                raise ConnectionFailed(f"the connections to {self.endpoint.origin} are closed", provider=self.provider)
            if self._client is None:
                proxy = self._proxy()
                pin = None if proxy else await resolve_endpoint(self.endpoint)
                self._client = self._build(proxy, pin)

    async def close(self) -> None:
        """Close every connection; calls in flight fail with ConnectionFailed. Idempotent."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            unfinished = self._in_flight > 0 or self._abandoned
            self._abandoned = False
            await client.close()
            if unfinished:
                await asyncio.sleep(GRACE_S)

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One request, once: status, headers (looked up in lower case) and the whole body. May cost money.

        Raises ConnectionFailed or ProviderTimeout (`possibly_paid` says whether the request had left), Unreadable
        for a body above the cap or a garbled answer: paid for, worth one more try. Every status is an answer here.
        Cancelling returns at once (or gives the answer, where it was just there), but pyreqwest lets the exchange go on
        unseen, and it keeps its place until its own end or deadline; closing does not cut it short either.
        """
        builder, secrets = await self._builder(request)
        self._in_flight += 1
        try:
            async with builder.build_streamed() as response:
                status = response.status
                body = await self._body(response)
                headers = response.headers
        except asyncio.CancelledError:
            self._abandoned = True
            raise
        except _pyreqwest_error() as error:
            raise self.translate(error) from None
        finally:
            self._in_flight -= 1
        if status >= 300:
            # A server that echoes the request in its error must not put the key into messages and logs.
            for secret in secrets:
                body = body.replace(secret, b"[hidden]")
        return status, headers, body

    async def download(self, request: HttpRequest, path: Path, *, cap: int = DOWNLOAD_CAP) -> int:
        """Write the body of an answer to a file, in bounded memory; its status. The file is not synced.

        Raises what `send` raises, Unreadable above `cap` bytes, and the error that a status other than 2xx means.
        """
        builder, secrets = await self._builder(request)
        self._in_flight += 1
        try:
            async with builder.build_streamed() as response:
                if not 200 <= response.status < 300:
                    body, status, headers = await self._body(response), response.status, response.headers
                    for secret in secrets:
                        body = body.replace(secret, b"[hidden]")
                    raise error_for(status, headers, told(status, body), provider=self.provider)
                size = 0
                with path.open("wb") as file:
                    while (chunk := await response.body_reader.read_chunk()) is not None:
                        size += len(chunk)
                        if size > cap:
                            raise Unreadable(
                                f"{self.provider} sent more than {cap // 1024**2} MB; the rest was not read",
                                provider=self.provider,
                            )
                        file.write(chunk)
                return response.status
        except asyncio.CancelledError:
            self._abandoned = True
            raise
        except _pyreqwest_error() as error:
            raise self.translate(error) from None
        finally:
            self._in_flight -= 1

    async def _builder(self, request: HttpRequest) -> tuple[Any, tuple[bytes, ...]]:
        """The request as pyreqwest has it, with the credentials, and what of these must never be shown."""
        client = self._client
        if client is None:
            await self.open()
            client = self._client
            assert client is not None
        url = request.url
        if url is not self._checked:
            self._check(url)
        if request.method == "POST":
            builder = client.post(url).body_bytes(request.body)
        else:
            builder = client.request(request.method, url)
            if request.body:
                builder = builder.body_bytes(request.body)
        if request.headers is not _JSON and request.headers != _JSON:
            builder = builder.headers(request.headers)
        secrets = self._secrets
        if self._signer is not None:
            for name, value in await self._signer.headers(request):
                builder = builder.header(name, value, is_sensitive=True)
                secrets += _words(value)
        return builder, secrets

    async def _body(self, response: Response) -> bytes:
        length = response.get_header("content-length")  # taken away by pyreqwest where the body is compressed
        if length is not None and length.isdecimal() and int(length) <= self.body_cap:
            return bytes(await response.bytes())
        read = response.body_reader.read_chunk
        chunks: list[bytes] = []
        size = 0
        while (chunk := await read()) is not None:
            size += len(chunk)
            if size > self.body_cap:
                raise Unreadable(
                    f"{self.provider} sent more than {self.body_cap // 1024} KB for one answer; the rest was not read",
                    provider=self.provider,
                    status=response.status,
                    request_id=response.get_header("x-request-id"),
                )
            chunks.append(bytes(chunk))
        return b"".join(chunks)

    def translate(self, error: Exception) -> ProviderError:
        """A pyreqwest error as one of ours. Its text is the only place where it tells how far a request got."""
        name = next((base.__name__ for base in type(error).__mro__ if base.__name__ in ERRORS), "PyreqwestError")
        kind = ERRORS[name]
        details: Any = getattr(error, "details", None)
        causes = [str(cause.get("message", "")) for cause in (details or {}).get("causes") or ()]
        text = " / ".join(causes)
        paid = name not in _NOTHING_SENT
        if "client error (Connect)" in text:  # DNS, TCP or TLS: the request never left
            kind, paid = ConnectionFailed, False
        elif kind is Unreadable and ("before message" in text or "end of file" in text):
            kind = ConnectionFailed
        if kind is ProviderTimeout:
            message = f"{self.provider} gave no whole answer within {self.timeout_s:g} s"
            if name == "PoolTimeoutError":
                message = f"no free connection to {self.provider} within {self.timeout_s:g} s"
        elif kind is ConnectionFailed and not paid:
            message = f"cannot connect to {self.endpoint.origin}: {_reason(causes)}"
        elif kind is ConnectionFailed:
            message = f"the connection to {self.endpoint.origin} broke: {_reason(causes)}"
        else:
            message = f"{self.provider}'s answer cannot be read: {_reason(causes)}"
        remedy = "check `endpoint`, the network and that the server runs" if not paid else ""
        return kind(message, provider=self.provider, possibly_paid=paid, remedy=remedy)

    def _check(self, url: str) -> None:
        origin = self.endpoint.origin
        if not url.startswith(origin) or url[len(origin) : len(origin) + 1] not in ("/", "?", ""):
            raise SpecError(f"a request was made for another place than {origin}", key="endpoint")
        self._checked = url

    def _proxy(self) -> str:
        env = self._env
        return (env.get("HTTPS_PROXY") or env.get("https_proxy") or "") if self.endpoint.scheme == "https" else ""

    def _build(self, proxy: str, pin: str | None) -> Client:
        import_lastingly()
        from pyreqwest.client import ClientBuilder
        from pyreqwest.exceptions import BuilderError
        from pyreqwest.http import HeaderMap, Url
        from pyreqwest.proxy import ProxyBuilder

        seen = (Url(self.endpoint.url).host_str or "").strip("[]")
        if seen != self.endpoint.host:
            # Two readers of one URL must agree on where it leads, or the checks above checked something else.
            raise SpecError(f"the endpoint's host can be read in two ways: {seen}", key="endpoint")
        headers = HeaderMap(_JSON)
        for name, value in self._auth:
            headers.append(name, value, is_sensitive=True)
        builder = (
            ClientBuilder()
            .no_proxy()
            .follow_redirects(False)
            .referer(False)
            .user_agent(f"inlay/{__version__}")
            .default_headers(headers)
            .max_connections(self.concurrency)
            .pool_max_idle_per_host(self.concurrency)
            .pool_idle_timeout(timedelta(seconds=IDLE_S))
            .timeout(timedelta(seconds=self.timeout_s))
            .connect_timeout(timedelta(seconds=min(CONNECT_TIMEOUT_S, self.timeout_s * 0.8)))
        )
        if pin is not None:
            builder = builder.resolve(self.endpoint.host, pin, self.endpoint.port)
        if proxy:
            try:
                no_proxy = self._env.get("NO_PROXY") or self._env.get("no_proxy")
                builder = builder.proxy(ProxyBuilder.https(proxy).no_proxy(no_proxy))
            except (BuilderError, ValueError):
                raise SpecError("HTTPS_PROXY is not a URL", key="HTTPS_PROXY") from None
        return builder.build()


def _words(value: str) -> tuple[bytes, ...]:
    """The parts of a header's value that are long enough to be a secret."""
    return tuple(word.encode() for word in value.split() if len(word) >= 8)


def _pyreqwest_error() -> type[Exception]:
    """pyreqwest's root error; looked up only once something has failed, so that this module imports without it."""
    from pyreqwest.exceptions import PyreqwestError

    return PyreqwestError


def _reason(causes: list[str]) -> str:
    """The innermost cause: the plainest one, and the one without a URL."""
    return sentence(causes[-1], 160) if causes else "no reason given"
