"""The transport's secrets: where the key goes, where it never shows, and which proxies are used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from inlay.errors import ProviderError, SpecError
from inlay.providers.transport import Transport
from inlay.types import HttpRequest

SECRET = "sk-canary-9876543210"
AUTH = (("authorization", f"Bearer {SECRET}"),)

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
RawServer = Callable[[Serve], contextlib.AbstractAsyncContextManager[str]]


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(data: bytes) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return serve


def test_the_secret_is_shown_nowhere(raw_server: RawServer) -> None:
    async def echo(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"you sent: " + request, "401 Unauthorized"))

    async def run() -> tuple[Transport, bytes]:
        async with raw_server(echo) as origin:
            transport = Transport(f"{origin}/v1", AUTH, env={})
            async with transport:
                body = (await transport.send(HttpRequest(f"{origin}/v1/chat", b"{}")))[2]
        return transport, body

    transport, body = asyncio.run(run())
    assert SECRET not in repr(transport)
    assert SECRET.encode() not in body
    assert b"[hidden]" in body


def test_a_dummy_key_does_not_change_answers(raw_server: RawServer) -> None:
    async def run() -> bytes:
        auth = (("authorization", "Bearer lm-studio"),)
        serving = always(reply(b"lm-studio is fine"))
        async with raw_server(serving) as origin, Transport(origin, auth, env={}) as transport:
            return (await transport.send(HttpRequest(f"{origin}/a", b"{}")))[2]

    assert asyncio.run(run()) == b"lm-studio is fine"


@pytest.mark.parametrize("url", ["http://127.0.0.1:11/v1", "http://127.0.0.1.evil.example/", "https://127.0.0.1:1/v1"])
def test_the_secret_goes_to_the_endpoints_origin_alone(url: str) -> None:
    async def run() -> None:
        async with Transport("http://127.0.0.1:1/v1", AUTH, env={}) as transport:
            await transport.send(HttpRequest(url, b"{}"))

    with pytest.raises(SpecError, match="another place"):
        asyncio.run(run())


def test_proxies_of_the_environment(raw_server: RawServer) -> None:
    seen: list[bytes] = []

    async def proxy(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(reply(b"no", "403 Forbidden"))

    async def run(env: dict[str, str], endpoint: str) -> None:
        async with Transport(endpoint, AUTH, timeout_s=1, env=env) as transport:
            await transport.send(HttpRequest(f"{endpoint}/a", b"{}"))

    async def through() -> None:
        async with raw_server(proxy) as origin, raw_server(always(reply(b"ok"))) as direct:
            with pytest.raises(ProviderError):
                await run({"HTTPS_PROXY": origin}, "https://api.example.com")
            await run({"HTTP_PROXY": origin, "ALL_PROXY": origin, "HTTPS_PROXY": origin}, direct)
            with pytest.raises(ProviderError):
                await run({"HTTPS_PROXY": origin, "NO_PROXY": "127.0.0.1"}, direct.replace("http:", "https:"))

    asyncio.run(through())
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT api.example.com:443")
    assert SECRET.encode() not in seen[0]
    with pytest.raises(SpecError, match="HTTPS_PROXY"):
        asyncio.run(run({"HTTPS_PROXY": "http://[nonsense"}, "https://api.example.com"))
