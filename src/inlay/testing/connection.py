"""The simulator's sockets: HTTP/1.1 on asyncio and httptools, keep-alive, pipelined requests answered in order.

One `Connection` a socket; it hands whole requests to the service and delivers the reply when its time has come, whole
or in one of the broken ways of `Delivery`. What stays true: a connection works on one request at a time, and a client
that leaves is noticed at once, so that the books say `abandoned` and not `answered`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

import httptools

from inlay.testing.routes import CHAT, refusing_wire, wire_at
from inlay.testing.wire import Arrival, Failure, Reply, Wire

if TYPE_CHECKING:
    from inlay.testing.service import Exchange, Service

# A request that no wire answers → the reply, or None for a path that is not there.
Admin: TypeAlias = Callable[[Arrival], Reply | None]

_LINGER_NOT = struct.pack("ii", 1, 0)  # close with RST instead of FIN
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {529: "Site is overloaded"}
_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n".encode() for status, phrase in _PHRASES.items()}
_BODY_CAP = 256 * 1024 * 1024
_QUEUE_CAP = 64


class _Request:
    __slots__ = ("body", "headers", "keep_alive", "method", "parts", "path", "size")

    def __init__(self) -> None:
        self.path = b""
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.method = ""
        self.keep_alive = True
        self.body = b""


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(
        self,
        service: Service,
        admin: Admin,
        alive: set[Connection],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._service = service
        self._admin = admin
        self._alive = alive
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Request] = deque()
        self._reading = _Request()
        self._exchange: Exchange | None = None
        self._keep_alive = True
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._closing = False
        self._status = 0  # of the reply whose first bytes have left while the rest has not

    # from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._alive.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # an offer of another protocol may be ignored
        except httptools.HttpParserError:
            self._queue.clear()
            self._keep_alive = False
            if self._exchange is None:
                self._write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                self._close()
            return
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._alive.discard(self)
        self._transport = None
        self._queue.clear()
        self._drop_timer()
        self._end("abandoned", self._status)

    # from the parser

    def on_url(self, url: bytes) -> None:
        self._reading.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reading.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._reading.headers.get("expect", "").lower() == "100-continue" and self._exchange is None:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        request = self._reading
        request.size += len(body)
        if request.size <= _BODY_CAP:
            request.parts.append(body)

    def on_message_complete(self) -> None:
        request = self._reading
        request.method = self._parser.get_method().decode()
        request.keep_alive = self._parser.should_keep_alive()
        request.body = request.parts[0] if len(request.parts) == 1 else b"".join(request.parts)
        self._reading = _Request()
        self._queue.append(request)

    # one request at a time

    def _pump(self) -> None:
        while self._exchange is None and self._queue and not self._closing:
            self._take(self._queue.popleft())
        if self._transport is not None and (len(self._queue) > _QUEUE_CAP) != self._paused:
            self._paused = not self._paused
            if self._paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _take(self, request: _Request) -> None:
        self._keep_alive = request.keep_alive
        path, _, query = request.path.decode("latin-1").partition("?")
        wire = wire_at(path, query) if request.method == "POST" else None
        if request.size > _BODY_CAP:
            self._refuse(wire or CHAT, Failure(413, "too_large", "Request body too large."))
            return
        arrival = Arrival(request.method, path, query, request.headers, request.body)
        if wire is not None:
            self._exchange = exchange = self._service.begin(wire, arrival)
            if exchange.delay_s > 0:
                self._timer = self._loop.call_later(exchange.delay_s, self._due)
            else:
                self._deliver(exchange)
        elif (reply := self._admin(arrival)) is not None:
            self._hand_over(reply)
        else:
            message = f"Unknown request URL: {request.method} {path}. Please check the URL for typos."
            self._refuse(refusing_wire(path), Failure(404, "unknown_url", message))

    def _hand_over(self, reply: Reply) -> None:
        """Deliver what is no model's answer: whole, or broken."""
        if reply.delivery == "whole":
            self._answer(reply.status, reply.head(), reply.body, bodiless=reply.bodiless)
            return
        self._closing = True  # nothing else is answered here
        if reply.delivery == "reset":
            self._abort()
        elif reply.delivery == "reset_mid_body":
            length = b"content-length: %d\r\n\r\n" % len(reply.body)
            self._write(b"".join([_LINES[reply.status], reply.head(), length, reply.body[: len(reply.body) // 2]]))
            self._timer = self._loop.call_later(0.05, self._abort)

    def _refuse(self, wire: Wire, failure: Failure) -> None:
        lines = [("content-type", "application/json"), *wire.headers(0, failure)]
        head = "".join([f"{name}: {value}\r\n" for name, value in lines]).encode()
        self._answer(wire.status(failure), head, wire.error(failure))

    def _due(self) -> None:
        self._timer = None
        if self._exchange is not None:
            self._deliver(self._exchange)
            self._pump()

    def _deliver(self, exchange: Exchange) -> None:
        draft = exchange.draft
        if draft.delivery == "whole":
            self._end("answered", draft.status)  # before the write: a client that has its answer finds it in the books
            self._answer(draft.status, exchange.head, exchange.body)
        else:
            _DELIVERIES[draft.delivery](self, exchange)

    def _end(self, outcome: str, status: int) -> None:
        exchange, self._exchange = self._exchange, None
        self._status = 0
        if exchange is not None:
            self._service.end(exchange, outcome, status=status)

    def _answer(self, status: int, head: bytes, body: bytes, *, bodiless: bool = False) -> None:
        chunked = self._service.spec.chunked and len(body) > 2 and not bodiless
        length = b"transfer-encoding: chunked\r\n" if chunked else b"content-length: %d\r\n" % len(body)
        close = b"" if self._keep_alive else b"connection: close\r\n"
        payload = b"" if bodiless else _chunks(body) if chunked else body
        self._write(b"".join([_LINES[status], head, length, close, b"\r\n", payload]))
        if not self._keep_alive:
            self._close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # broken ways to deliver; `status` 0 in the books where no status line left

    def _whole_bytes(self, exchange: Exchange) -> bytes:
        length = b"content-length: %d\r\n\r\n" % len(exchange.body)
        return b"".join([_LINES[exchange.draft.status], exchange.head, length, exchange.body])

    def _half(self, exchange: Exchange) -> None:
        whole = self._whole_bytes(exchange)
        self._status = exchange.draft.status
        self._write(whole[: len(whole) - max(1, len(exchange.body) // 2)])

    def _never(self, exchange: Exchange) -> None:
        """Nothing more happens until the client leaves."""

    def _reset(self, exchange: Exchange) -> None:
        self._end("broken", 0)
        self._abort()

    def _hang_up(self, exchange: Exchange) -> None:
        self._end("broken", 0)
        self._close()

    def _reset_mid_body(self, exchange: Exchange) -> None:
        self._half(exchange)
        self._closing = True
        self._end("broken", exchange.draft.status)
        # Leaves the kernel time to pass the first half on: a reset throws away what was not read.
        self._timer = self._loop.call_later(0.05, self._abort)

    def _garbage_chunk(self, exchange: Exchange) -> None:
        head = b"".join([_LINES[exchange.draft.status], exchange.head, b"transfer-encoding: chunked\r\n\r\n"])
        self._end("broken", exchange.draft.status)
        self._write(head + b"%x\r\n%b\r\n" % (len(exchange.body[:20]), exchange.body[:20]) + b"not-a-size\r\n")
        self._close()

    def _slow_headers(self, exchange: Exchange, turn: int = 0) -> None:
        self._status = 200
        self._write(_LINES[200] if turn == 0 else f"x-slow-{turn}: wait\r\n".encode())
        interval = self._service.spec.dribble_interval_s
        self._timer = self._loop.call_later(interval, self._slow_headers, exchange, turn + 1)

    def _dribble(self, exchange: Exchange, whole: bytes = b"", at: int = 0) -> None:
        whole = whole or self._whole_bytes(exchange)
        self._status = exchange.draft.status
        if at + 1 >= len(whole):
            self._timer = None
            self._end("answered", exchange.draft.status)
            self._write(whole[at:])
            self._pump()
            return
        self._write(whole[at : at + 1])
        interval = self._service.spec.dribble_interval_s
        self._timer = self._loop.call_later(interval, self._dribble, exchange, whole, at + 1)

    def _abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()

    def shut(self) -> None:
        """End at once: what is in flight is entered as `cut`."""
        self._drop_timer()
        self._end("cut", self._status)
        if self._transport is not None:
            self._transport.abort()


def _chunks(body: bytes) -> bytes:
    half = len(body) // 2
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:])]
    return b"".join([*parts, b"0\r\n\r\n"])


_DELIVERIES: dict[str, Callable[[Connection, Exchange], None]] = {
    "never": Connection._never,
    "reset": Connection._reset,
    "hang_up": Connection._hang_up,
    "slow_headers": Connection._slow_headers,
    "dribble": Connection._dribble,
    "stall_mid_body": Connection._half,
    "reset_mid_body": Connection._reset_mid_body,
    "garbage_chunk": Connection._garbage_chunk,
}
