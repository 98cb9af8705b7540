"""A run as structured logs: one JSON object a line, with stable names, for machines that watch it.

    with RunLog(sys.stderr, "reviews") as log:
        inlay.run("reviews.yaml", listener=log.listen, watch=log.watch)

Every line has `event` and `at` (ISO 8601, UTC), and `enrichment` and `run` once they are known; docs/logs.md lists the
rest.
What stays true: no line holds the text of a record, a row key or an answer; nothing here can end a run or hold it up
(a stream that cannot be written goes quiet); lines are whole, whoever writes beside.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from inlay.engine.events import BatchMoved, FirstFailure, RunFinished, RunStarted, Stopping, TablePublished
from inlay.errors import InlayError, PlanError, ProviderError, SourceError
from inlay.project.meter import Meter

if TYPE_CHECKING:
    from inlay.engine.events import Event
    from inlay.project.running import Gauges

EVERY_S = 10.0

# Every name that a line can carry, and what it says.
EVENTS: dict[str, str] = {
    "cells_marked": "`inlay retry` made failed cells worth asking again",
    "run_waiting": "another run of the enrichment is going, and this one waits for its end",
    "run_planned": "the plan is made and allowed",
    "run_started": "the run has its number in the store",
    "lane_opened": "a model is about to be asked its first question",
    "progress": "figures, every ten seconds and once more at the end",
    "budget_warning": "four fifths of the budget are spent",
    "first_failure": "a pass has its first failed cell of a kind",
    "run_stopping": "the run ends early; calls in flight are being saved",
    "batch_moved": "a batch has come further",
    "table_published": "the table is at its place, whole",
    "run_finished": "the run is over",
    "action_failed": "a command or webhook of the declaration did not succeed",
    "error": "the command ends in an error",
}
# What stands in quotes in a complaint about the source is a key or a line of it.
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_LONGEST = 2_000


class RunLog:
    """Writes one run's events. `listen` and `watch` are given to the library; `close` ends it. Safe in any order."""

    def __init__(self, stream: TextIO, enrichment: str = "", *, every_s: float = EVERY_S) -> None:
        self._stream = stream
        self._enrichment = enrichment
        self._every_s = every_s
        self._run: int | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._meter: Meter | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def listen(self, event: Event) -> None:
        """Write an event. Called from the run."""
        figures = asdict(event)
        if isinstance(event, RunStarted):
            self._run = figures.pop("run")
        elif isinstance(event, FirstFailure):
            figures = {"pass": event.pass_name, "kind": event.kind}
        elif isinstance(event, Stopping):
            del figures["message"]  # it may be a provider's own words
        elif isinstance(event, BatchMoved):
            del figures["message"]
        elif isinstance(event, TablePublished):
            self._stop_watching()
        elif isinstance(event, RunFinished):
            self._stop_watching()
            figures |= figures.pop("summary")
        self.write(event.name, figures)

    def watch(self, gauges: Gauges) -> None:
        """Begin to write figures, every `every_s` seconds, from a thread of its own."""
        self._meter = Meter(gauges)
        self._thread = threading.Thread(target=self._figures, name="inlay-log", daemon=True)
        self._thread.start()

    def error(self, error: BaseException, exit_code: int) -> None:
        """Write what a command ends in."""
        self.write("error", told(error) | {"exit_code": exit_code})

    def close(self) -> None:
        """Write the last figures, if none were since the end. Idempotent."""
        self._stop_watching()

    def write(self, name: str, figures: Mapping[str, Any]) -> None:
        """One line. Never raises for a stream that is gone."""
        head: dict[str, Any] = {"event": name, "at": _now()}
        if self._enrichment:
            head["enrichment"] = self._enrichment
        if self._run is not None:
            head["run"] = self._run
        text = json.dumps({**head, **figures}, default=str)
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()

    def _stop_watching(self) -> None:
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()  # it ends with the last figures

    def _figures(self) -> None:
        meter = self._meter
        assert meter is not None
        meter.read()
        while not self._ended.wait(self._every_s):
            self._progress(meter)
        self._progress(meter)

    def _progress(self, meter: Meter) -> None:
        moment = asdict(meter.read())
        self.write("progress", {name: _rounded(value) for name, value in moment.items()})


def told(error: BaseException) -> dict[str, Any]:
    """An error as figures of a log line: its kind, what happened, what to do; without any text of the source."""
    if not isinstance(error, InlayError):
        return {"kind": "unexpected", "message": f"Inlay did not expect this: {type(error).__name__}", "remedy": ""}
    message = str(error).removesuffix(f"\n  → {error.remedy}") if error.remedy else str(error)
    if isinstance(error, PlanError | SourceError):
        message = _QUOTED.sub("'…'", message)
    elif isinstance(error, ProviderError) and error.status is not None:
        message = f"{error.provider} answered {error.status}"  # the rest is a provider's own words
    return {"kind": error.kind, "message": message[:_LONGEST], "remedy": error.remedy[:_LONGEST]}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
