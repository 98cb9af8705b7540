"""The simulator as a process of its own, with a CPU of its own: it outlives a kill -9 of what is being tested.

What stays true: settings and keys go down a pipe, never onto a command line; the child ends when its parent does,
however the parent ends; books and settings are reached over the child's own HTTP routes.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

import orjson

from inlay.errors import InlayError, SpecError
from inlay.testing.ledger import Ledger
from inlay.testing.routes import endpoints_at
from inlay.testing.settings import SimulatorSpec

_STOP_S = 10.0
_ASK_S = 60.0


class SimulatorProcess:
    """A simulated provider in a subprocess, for `with`; the same questions as a `Simulator` answers.

    `cpu` pins it to one CPU where the system can. It answers by table or by schema: an answer function cannot cross to
    another process. `ledger_file` takes every finished call as a JSON line and stays when the process is killed.
    """

    def __init__(
        self,
        *,
        spec: SimulatorSpec | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ledger_file: str | Path | None = None,
        cpu: int | None = None,
        **settings: Any,
    ) -> None:
        self.endpoint = ""
        self._spec = SimulatorSpec.of(settings) if spec is None else spec.changed(settings)
        self._arguments = ["--host", host, "--port", str(port)]
        if ledger_file is not None:
            self._arguments += ["--ledger", str(ledger_file)]
        if cpu is not None:
            self._arguments += ["--cpu", str(cpu)]
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child().pid

    def start(self) -> Self:
        """Start the child; `endpoint` is set when this returns. Raises SpecError with what the child said otherwise."""
        if self._process is not None:
            raise SpecError("the simulator is running already", remedy="stop it first, or make another one")
        command = [sys.executable, "-m", "inlay.testing", "--spec", "-", "--until-eof", *self._arguments]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would block the child
        process = subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=_environment()
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(self._spec.with_keys_json()).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended before it read: its own words follow
        line = process.stdout.readline().decode().strip()
        if not line.startswith("http"):
            process.communicate()
            raise SpecError(f"the simulator did not start: {self._last_words()}")
        self._process = process
        self.endpoint = line
        return self

    def stop(self) -> None:
        """End the child with SIGTERM. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._last_words()

    @property
    def endpoints(self) -> dict[str, str]:
        """What to declare as the endpoint, by provider; as a `Simulator` says it."""
        return endpoints_at(self.endpoint)

    @property
    def ledger(self) -> Ledger:
        """The child's books as they stand. Read them before it stops, or from `ledger_file` afterwards."""
        return Ledger.read(self._ask("GET", "/ledger")).with_batches(self._ask("GET", "/ledger/batches"))

    def summary(self) -> dict[str, Any]:
        """Running sums over all calls; the keys of `Ledger.summary`."""
        return orjson.loads(self._ask("GET", "/ledger/summary"))

    def control(self, **changes: Any) -> None:
        """Change settings from the next call on. Raises SpecError."""
        present = self._spec.changed(changes)
        wanted = present.with_keys_json()
        self._ask("POST", "/control", {name: wanted[name] for name in changes})
        self._spec = present

    def clear(self) -> None:
        """Forget finished calls, tries and the clock of the fault windows; buckets are full again."""
        self._ask("POST", "/control", {"clear": True})

    def _last_words(self) -> str:
        """What the child wrote on its standard error; closes the file."""
        said, self._said = self._said, None
        if said is None:
            return ""
        with said:
            said.seek(0)
            return said.read().decode(errors="replace").strip()[-500:]

    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise SpecError("the simulator is not running", remedy="use it in a `with`, or call start()")
        return self._process

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        self._child()
        address = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_ASK_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise InlayError(
                f"the simulator's process does not answer: {error}", remedy="see whether it was killed"
            ) from None
        finally:
            connection.close()
        if answer.status != 200:
            raise SpecError(f"the simulator refused: {orjson.loads(data)['error']['message']}")
        return data


def _environment() -> dict[str, str]:
    """Ours, such that the child finds the same package even where it is run from a source folder."""
    folder = Path(__file__).resolve().parents[2]
    if folder.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
