"""A run while it is going: a few lines redrawn on a terminal, a plain line every ten seconds elsewhere.

A thread reads the run's counters; the run itself never waits for a display. What stays true: nothing here can end a
run (a display that cannot write goes quiet), and every figure comes from the tally, never from a guess, save the ETA.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from inlay.cli import screen, words
from inlay.project.meter import Meter, Moment

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from inlay.project.running import Gauges

PER_SECOND = 8
LINE_EVERY_S = 10.0


def money(now: Moment) -> list[str]:
    """Calls, pace, cost, what is left of the budget, and how long it will take."""
    parts = [
        words.counted(now.calls, "call"),
        f"{now.calls_per_second:.0f}/s" if now.calls_per_second >= 10 else f"{now.calls_per_second:.1f}/s",
        f"{words.count(now.in_flight)} in flight",
        words.dollars(now.cost_usd),
    ]
    if now.budget_left_usd is not None:
        parts.append(f"{words.dollars(now.budget_left_usd)} of the budget left")
    if now.eta_s is not None:
        parts.append(f"{words.duration(now.eta_s)} to go")
    return parts


def trouble(now: Moment) -> list[str]:
    """What did not go well, in numbers; empty where all did."""
    parts = []
    if now.failed:
        parts.append(f"failed {words.count(sum(now.failed.values()))} ({words.kinds(now.failed)})")
    if now.partial:
        parts.append(f"partial {words.count(now.partial)}")
    if now.retries:
        parts.append(f"asked again {words.count(sum(now.retries.values()))} ({words.kinds(now.retries)})")
    if now.waiting_for_others:
        parts.append(f"waiting for another runner: {words.count(now.waiting_for_others)}")
    return parts


def line(now: Moment) -> str:
    """One moment as one plain line."""
    done = (
        f"{words.duration(now.seconds)}: {words.count(now.rows_done)} of {words.counted(now.rows, 'row')}, "
        f"{words.count(now.cells_done)} of {words.counted(now.cells, 'cell')}"
    )
    return ", ".join([done, *money(now), *trouble(now)])


class Progress:
    """Shows a run. `watch` is given to the library; `close` ends the display. Both are safe to call in any order."""

    def __init__(self, *, quiet: bool = False, every_s: float = LINE_EVERY_S) -> None:
        self._quiet = quiet
        self._every_s = every_s
        self._live: Live | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._gauges: Gauges | None = None
        self._meter: Meter | None = None

    def watch(self, gauges: Gauges) -> None:
        """Begin to show these figures."""
        self._gauges = gauges
        meter = self._meter = Meter(gauges)
        if self._quiet:
            return
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._live = self._open_live(meter)
        else:
            self._thread = threading.Thread(target=self._lines, args=(meter,), name="inlay-progress", daemon=True)
            self._thread.start()

    @property
    def in_flight(self) -> int:
        """Calls that are open now."""
        return 0 if self._gauges is None else self._gauges.in_flight()

    def close(self, *, unfinished: bool = False) -> None:
        """Take the display away; `unfinished` leaves a last line of figures, for a run without a report. Idempotent."""
        self._ended.set()
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
            self._live = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if unfinished and self._meter is not None:
            self.say(line(self._meter.read()))

    def say(self, text: str) -> None:
        """A line of its own, above the display. Never raises: whoever listens may be gone."""
        with contextlib.suppress(OSError, ValueError):
            if self._live is not None:
                self._live.console.print(words.escaped(text), soft_wrap=True)
            elif not self._quiet:
                sys.stderr.write(words.escaped(text) + "\n")
                sys.stderr.flush()

    def _open_live(self, meter: Meter) -> Live:
        from rich.live import Live

        live = Live(
            console=screen.console(err=True),
            get_renderable=lambda: drawing(meter.read()),
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def _lines(self, meter: Meter) -> None:
        meter.read()
        while not self._ended.wait(self._every_s):
            try:
                sys.stderr.write(line(meter.read()) + "\n")
                sys.stderr.flush()
            except (OSError, ValueError):
                return


def drawing(now: Moment) -> RenderableType:
    """One moment as the lines that are redrawn on a terminal."""
    from rich.text import Text

    return Text("\n".join(_drawn(now)), no_wrap=True, overflow="ellipsis")


def _drawn(now: Moment) -> Iterator[str]:
    share = now.cells_done / now.cells if now.cells else 0.0
    yield (
        f"{screen.bar(share)} {words.percent(now.cells_done, now.cells)}  "
        f"rows {words.count(now.rows_done)}/{words.count(now.rows)}  "
        f"cells {words.count(now.cells_done)}/{words.count(now.cells)}"
    )
    yield " · ".join([words.duration(now.seconds), *money(now)])
    if parts := trouble(now):
        yield " · ".join(parts)
