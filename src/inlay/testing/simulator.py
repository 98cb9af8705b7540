"""The model simulator in this process: a real HTTP server on a thread and loop of its own.

    with Simulator(latency=0.2) as sim:
        ...  # ask sim.endpoint
    assert sim.ledger.by_status == {200: 100}

What stays true: the port is free again and the thread is gone when the `with` ends; nothing leaves loopback unless the
caller names another host; settings and books may be used from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import parse_qs

import orjson

from inlay.errors import InlayError, SpecError
from inlay.testing.ledger import Ledger
from inlay.testing.remote import Remote
from inlay.testing.routes import endpoints_at
from inlay.testing.service import Answer, Service
from inlay.testing.settings import SimulatorSpec
from inlay.testing.wire import Arrival, Reply

if TYPE_CHECKING:
    from inlay.testing.connection import Connection

T = TypeVar("T")
_START_S = 10.0


class Server:
    """The service on a socket, inside the running loop; `Simulator` and the process form both stand on it."""

    def __init__(self, service: Service, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.service = service
        self._remote = Remote(service)
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._alive: set[Connection] = set()

    async def start(self) -> str:
        """Listen; the endpoint. Raises SpecError where the address is taken or not ours."""
        try:
            from inlay.testing.connection import Connection
        except ImportError as error:
            raise SpecError(
                f"the simulator needs {error.name}", remedy="install it with: pip install 'inlay[testing]'"
            ) from None
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self.service, self._other, self._alive, loop),
                self._host,
                self._port,
                backlog=4096,
            )
        except OSError as error:
            reason = error.strerror or error
            raise SpecError(
                f"the simulator cannot listen on {self._host}:{self._port}: {reason}",
                key="port",
                remedy="choose another port, or 0 for a free one",
            ) from None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"

    async def stop(self) -> None:
        """Close the socket and every connection; what is in flight is entered as `cut`. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._alive):
            connection.shut()
        await self._server.wait_closed()
        for _ in range(100):
            if not self._alive:
                break
            await asyncio.sleep(0)  # aborted transports say so in the next turns of the loop
        self._server = None
        self.service.recorder.close()

    def _other(self, arrival: Arrival) -> Reply | None:
        """What is no call: the books, the settings, the list of models, and the batch APIs."""
        found = self._admin(f"{arrival.method} {arrival.path}", arrival.query, arrival.body)
        return self._remote.reply(arrival) if found is None else Reply(*found)

    def _admin(self, route: str, query: str, body: bytes) -> tuple[int, bytes] | None:
        service = self.service
        if route == "GET /ledger":
            since = parse_qs(query).get("since", ["0"])[-1]
            if not since.isdecimal():
                return 400, orjson.dumps({"error": {"message": "`since` must be a call number"}})
            return 200, service.recorder.snapshot(since=int(since)).to_jsonl()
        if route == "GET /ledger/summary":
            return 200, orjson.dumps(service.recorder.summary())
        if route == "GET /ledger/batches":
            return 200, service.recorder.snapshot().batches_json()
        if route == "GET /control":
            return 200, orjson.dumps(service.spec.to_json())
        if route == "POST /control":
            return self._control(body)
        if route == "GET /v1/models":
            models = service.spec.models or ("simulated",)
            rows = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in models]
            return 200, orjson.dumps({"object": "list", "data": rows})
        return None

    def _control(self, body: bytes) -> tuple[int, bytes]:
        try:
            changes = orjson.loads(body)
            if not isinstance(changes, dict):
                raise SpecError("settings are a JSON object")
            if changes.pop("clear", False):
                self.service.clear()
            if changes:
                self.service.configure(self.service.spec.changed(changes))
        except (orjson.JSONDecodeError, SpecError) as error:
            return 400, orjson.dumps({"error": {"message": str(error)}})
        return 200, orjson.dumps(self.service.spec.to_json())


class Simulator:
    """A simulated provider in this process, for `with`.

    `answer` gives the content of every answer: a mapping (sent as JSON) or the very text. It runs on the server's
    thread and must be quick; an error it raises is answered 500 and raised again when the simulator stops.
    `settings` are the fields of SimulatorSpec. `ledger_file` takes every finished call as a JSON line.
    """

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        spec: SimulatorSpec | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ledger_file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.endpoint = ""
        self._spec = SimulatorSpec.of(settings) if spec is None else spec.changed(settings)
        self._answer = answer
        self._address = (host, port)
        self._ledger_file = ledger_file
        self._service: Service | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop()
        except InlayError:
            if error is None:
                raise  # what went wrong inside the `with` is the better story

    def start(self) -> Self:
        """Start the server; `endpoint` is set when this returns. Raises SpecError where it cannot listen."""
        if self._thread is not None:
            raise SpecError("the simulator is running already", remedy="stop it first, or make another one")
        self._service = Service(self._spec, answer=self._answer, ledger_file=self._ledger_file)
        started: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="inlay-simulator", daemon=True)
        self._thread.start()
        try:
            self.endpoint = started.result(_START_S)
        except BaseException:
            self._thread.join(_START_S)
            self._thread = None
            self._service.recorder.close()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and its thread. Idempotent. Raises InlayError if the answer function had raised."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        assert self._loop is not None
        assert self._stopping is not None
        assert self._service is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()
        if self._service.broken is not None:
            broken = self._service.broken
            raise InlayError(
                f"the simulator's answer function raised {type(broken).__name__}: {broken}",
                remedy="make it answer every request that is sent",
            ) from broken

    @property
    def ledger(self) -> Ledger:
        """The books as they stand: a snapshot, also after the end."""
        return self._running().recorder.snapshot()

    def summary(self) -> dict[str, Any]:
        """Running sums over all calls, without copying them; the keys of `Ledger.summary`."""
        return self._running().recorder.summary()

    def control(self, **changes: Any) -> None:
        """Change settings from the next call on. Raises SpecError."""
        service = self._running()
        self._on_loop(lambda: service.configure(service.spec.changed(changes)))

    def clear(self) -> None:
        """Forget finished calls, tries and the clock of the fault windows; buckets are full again."""
        self._on_loop(self._running().clear)

    @property
    def endpoints(self) -> dict[str, str]:
        """What to declare as the endpoint, by provider: openai, compatible, azure, anthropic, bedrock, s3."""
        return endpoints_at(self.endpoint)

    def _running(self) -> Service:
        if self._service is None:
            raise SpecError("the simulator has not been started", remedy="use it in a `with`, or call start()")
        return self._service

    def _on_loop(self, act: Callable[[], T]) -> T:
        if self._thread is None or self._loop is None:
            raise SpecError("the simulator is not running", remedy="use it in a `with`, or call start()")
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(act())
            except InlayError as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(_START_S)

    def _run(self, started: concurrent.futures.Future[str]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve(started))

    async def _serve(self, started: concurrent.futures.Future[str]) -> None:
        assert self._service is not None
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = Server(self._service, host=self._address[0], port=self._address[1])
        try:
            endpoint = await server.start()
        except InlayError as error:
            started.set_exception(error)
            return
        started.set_result(endpoint)
        await self._stopping.wait()
        await server.stop()


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where there is one, asyncio's own loop elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
