"""The transport on a real socket: one exchange, translation of failures, the deadline and the cap."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import inspect
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pyreqwest.exceptions
import pytest

from inlay.errors import (
    ConnectionFailed,
    ProviderError,
    ProviderTimeout,
    Unreadable,
)
from inlay.providers.transport import ERRORS, Transport
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


def closing(data: bytes, *, reset: bool = False) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()
        raise ConnectionError

    return serve


async def ask(origin: str, *, path: str = "/v1/chat", **options: Any) -> tuple[int, Any, bytes]:
    async with Transport(f"{origin}/v1", AUTH, env={}, **{"concurrency": 4, **options}) as transport:
        return await transport.send(HttpRequest(f"{origin}{path}", b'{"a":1}'))


def failure(raw_server: RawServer, serve: Serve, **options: Any) -> ProviderError:
    async def run() -> ProviderError:
        async with raw_server(serve) as origin:
            with pytest.raises(ProviderError) as caught:
                await ask(origin, **options)
            return caught.value

    return asyncio.run(run())


# --- what goes out and comes back


def test_one_exchange(raw_server: RawServer) -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(reply("日本 😀".encode(), "200 OK", "X-Request-ID: req_1", "Set-Cookie: a=b"))

    async def run() -> None:
        async with raw_server(serve) as origin, Transport(f"{origin}/v1", AUTH, concurrency=2, env={}) as transport:
            for _ in range(2):
                status, headers, body = await transport.send(HttpRequest(f"{origin}/v1/chat", b'{"a":1}'))
                assert (status, body.decode()) == (200, "日本 😀")
                assert type(body) is bytes
                assert headers.get("x-request-id") == "req_1"
                assert headers.get("x-missing") is None

    asyncio.run(run())
    head = seen[0].lower()
    assert head.startswith(b"post /v1/chat http/1.1\r\n")
    assert b"authorization: bearer " + SECRET.encode() in head
    assert head.count(b"content-type: application/json") == 1
    assert b"user-agent: inlay/" in head
    assert seen[0].endswith(b'{"a":1}')
    assert b"cookie" not in seen[1].lower()


def test_a_request_with_headers_of_its_own(raw_server: RawServer) -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request.lower())
        writer.write(reply(b"ok"))

    async def run() -> None:
        async with raw_server(serve) as origin, Transport(origin, AUTH, env={}) as transport:
            headers = (("content-type", "application/jsonl"), ("x-extra", "1"))
            await transport.send(HttpRequest(f"{origin}/files", b"{}", headers))

    asyncio.run(run())
    assert b"content-type: application/jsonl" in seen[0]
    assert b"x-extra: 1" in seen[0]


def test_every_status_is_an_answer_and_a_redirect_is_not_followed(raw_server: RawServer) -> None:
    asked: list[str] = []

    async def elsewhere(_: bytes, writer: asyncio.StreamWriter) -> None:
        asked.append("elsewhere")
        writer.write(reply(b"stolen"))

    async def run() -> None:
        async with raw_server(elsewhere) as other:
            for status in ("302 Found", "307 Temporary Redirect"):
                async with raw_server(always(reply(b"", status, f"Location: {other}/v1"))) as origin:
                    assert (await ask(origin))[0] == int(status[:3])
            async with raw_server(always(reply(b"no", "500 Internal Server Error"))) as origin:
                assert (await ask(origin))[0] == 500

    asyncio.run(run())
    assert asked == []


def test_compressed_and_chunked_bodies_are_read_whole(raw_server: RawServer) -> None:
    packed = gzip.compress(b"x" * 100_000)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

    async def run() -> None:
        async with raw_server(always(reply(packed, "200 OK", "Content-Encoding: gzip"))) as origin:
            assert (await ask(origin))[2] == b"x" * 100_000
        async with raw_server(always(chunked)) as origin:
            assert (await ask(origin))[2] == b"abcde"
        async with raw_server(always(reply(b"", "204 No Content"))) as origin:
            assert (await ask(origin))[2] == b""

    asyncio.run(run())


# --- failures


def test_every_exception_of_pyreqwest_is_mapped() -> None:
    theirs = {
        name
        for name, kind in inspect.getmembers(pyreqwest.exceptions, inspect.isclass)
        if issubclass(kind, pyreqwest.exceptions.PyreqwestError)
    }
    assert theirs == set(ERRORS)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_exception_becomes_its_class_and_shows_no_url(name: str) -> None:
    transport = Transport("http://127.0.0.1:1/v1", AUTH, env={})
    kind = getattr(pyreqwest.exceptions, name)
    details: dict[str, Any] = {"causes": [{"message": "for url (http://u:pw@h/)"}, {"message": "it broke"}]}
    if name == "JSONDecodeError":
        details |= {"doc": "", "pos": 0}
    error = kind("m") if name == "PyreqwestError" else kind("m", details)
    got = transport.translate(error)
    assert type(got) is ERRORS[name]
    assert got.possibly_paid is (name not in ("BuilderError", "PoolTimeoutError"))
    assert "pw@" not in str(got)


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (closing(b""), ConnectionFailed),
        (closing(b"", reset=True), ConnectionFailed),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), ConnectionFailed),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", reset=True), ConnectionFailed),
        (closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc"), Unreadable),
        (closing(b"hello, I am no web server\r\n\r\n"), Unreadable),
        (always(reply(b"abcde", "200 OK", "Content-Encoding: gzip")), Unreadable),
        (closing(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n"), Unreadable),
    ],
    ids=["hang up", "reset", "half a body", "reset in the body", "bad chunk", "no HTTP", "bad gzip", "huge header"],
)
def test_what_breaks_after_the_request_left_may_have_been_paid(
    raw_server: RawServer, serve: Serve, kind: type[ProviderError]
) -> None:
    caught = failure(raw_server, serve)
    assert type(caught) is kind
    assert caught.possibly_paid is True
    assert SECRET not in str(caught)


def test_nothing_was_paid_where_no_connection_was_made() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def run(origin: str) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await ask(origin, timeout_s=5)
        return caught.value

    for origin in (f"http://127.0.0.1:{port}", "https://no-such-host.invalid"):
        caught = asyncio.run(run(origin))
        assert type(caught) is ConnectionFailed
        assert caught.possibly_paid is False
        assert origin in str(caught)
        assert caught.remedy


def test_a_failed_tls_handshake_is_a_failed_connection() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def run() -> ProviderError:
        listening = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(ProviderError) as caught:
            await ask(f"https://127.0.0.1:{port}", timeout_s=5)
        listening.close()
        return caught.value

    caught = asyncio.run(run())
    assert type(caught) is ConnectionFailed
    assert caught.possibly_paid is False


def test_a_server_that_never_accepts_is_no_paid_call() -> None:
    async def run() -> ProviderError:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(deaf.getsockname())
            with pytest.raises(ProviderError) as caught:
                await ask(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=1)
            for filler in fillers:
                filler.close()
            return caught.value

    caught = asyncio.run(run())
    assert type(caught) is ConnectionFailed
    assert caught.possibly_paid is False


def _dribble(before: bytes) -> Serve:
    async def serve(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    return serve


@pytest.mark.parametrize(
    "before",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "],
    ids=["body", "headers"],
)
def test_one_deadline_covers_the_whole_exchange(raw_server: RawServer, before: bytes) -> None:
    caught = failure(raw_server, _dribble(before), timeout_s=0.5)
    assert type(caught) is ProviderTimeout
    assert caught.possibly_paid is True


def test_waiting_for_a_place_in_the_pool_counts_and_is_not_paid(raw_server: RawServer) -> None:
    async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def run() -> list[BaseException]:
        async with raw_server(silent) as origin, Transport(origin, concurrency=1, timeout_s=0.5, env={}) as transport:
            sends = [transport.send(HttpRequest(f"{origin}/a", b"{}")) for _ in range(3)]
            return [error for error in await asyncio.gather(*sends, return_exceptions=True) if error is not None]  # type: ignore[misc]

    # All have one deadline, so the one that holds the place may give it up an instant before the next has given up:
    # that one then leaves after all and is rightly counted as possibly paid. It is rare, and not so five times.
    for _ in range(5):
        outcomes = asyncio.run(run())
        assert [type(outcome) for outcome in outcomes] == [ProviderTimeout] * 3
        paid = sorted(outcome.possibly_paid for outcome in outcomes)  # type: ignore[attr-defined]
        assert any(paid), "whoever had the connection may have been billed"
        if paid == [False, False, True]:
            return
    pytest.fail("a request that never had a connection was counted as possibly paid, five times")


def test_the_body_is_capped_as_told_as_chunked_and_as_unpacked(raw_server: RawServer) -> None:
    big = b"z" * 200_000
    bomb = gzip.compress(b" " * 50_000_000)
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%b\r\n" % (b"y" * 1024) * 200
    for serve in (
        always(reply(big)),
        always(endless),
        always(reply(bomb, "200 OK", "Content-Encoding: gzip")),
        always(reply(big, "500 Internal Server Error")),
    ):
        caught = failure(raw_server, serve, body_cap=100_000, timeout_s=5)
        assert type(caught) is Unreadable
        assert caught.possibly_paid is True

    async def exactly() -> int:
        async with raw_server(always(reply(big))) as origin:
            return len((await ask(origin, body_cap=200_000))[2])

    assert asyncio.run(exactly()) == 200_000


def test_closing_ends_calls_in_flight(raw_server: RawServer) -> None:
    async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def run() -> BaseException | None:
        async with raw_server(silent) as origin:
            transport = Transport(origin, concurrency=1, env={})
            call = asyncio.create_task(transport.send(HttpRequest(f"{origin}/a", b"{}")))
            await asyncio.sleep(0.2)
            await transport.close()
            await transport.close()
            return (await asyncio.gather(call, return_exceptions=True))[0]  # type: ignore[return-value]

    caught = asyncio.run(run())
    assert isinstance(caught, ConnectionFailed)
    assert caught.possibly_paid is True


def test_cancelling_a_call_and_closing_after_it_return_at_once(raw_server: RawServer) -> None:
    async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def run() -> None:
        async with raw_server(silent) as origin:
            transport = Transport(origin, concurrency=1, timeout_s=60, env={})
            call = asyncio.create_task(transport.send(HttpRequest(f"{origin}/a", b"{}")))
            await asyncio.sleep(0.2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(call, 10)
            await asyncio.wait_for(transport.close(), 10)  # neither waits for the deadline of 60 s

    asyncio.run(run())


def test_a_closed_transport_sends_nothing_more(raw_server: RawServer) -> None:
    async def run() -> ProviderError:
        async with raw_server(always(reply(b"ok"))) as origin:
            transport = Transport(origin, env={})
            await transport.send(HttpRequest(f"{origin}/a", b"{}"))
            await transport.close()
            with pytest.raises(ProviderError) as caught:
                await transport.send(HttpRequest(f"{origin}/a", b"{}"))
            return caught.value

    caught = asyncio.run(run())
    assert type(caught) is ConnectionFailed
    assert caught.possibly_paid is False
