"""A run as one line that is redrawn: HTML in a notebook, text on a terminal. Read from the gauges, never guessed.

In a notebook it shows unless it is unwanted, elsewhere only when it is asked for. What stays true: it is drawn by the
thread that waits (`project.control`), so the run never waits for a display; whatever a display does, the run goes on.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from inlay.project.control import Control, in_thread, in_thread_async, loop_runs_here
from inlay.project.report import Report
from inlay.project.running import Gauges, RunOptions, Watch
from inlay.types import usd

LINE_EVERY_S = 10.0

T = TypeVar("T")


class Bar(Protocol):
    """Shows a run."""

    def watch(self, gauges: Gauges) -> None:
        """The run begins; called by the run's own thread."""
        ...

    def beat(self) -> None:
        """Draw the figures of now."""
        ...

    def close(self, report: Report | None) -> None:
        """Draw the end; None where the run raised an error."""
        ...


class Shown:
    """One run with the bar that shows it, if any: `wanted` True or False, or None for "in a notebook".

    The run sets `report` when it has one; `beat` and `close` belong to the thread that waits for it.
    """

    def __init__(self, wanted: bool | None) -> None:
        self.report: Report | None = None
        self.bar: Bar | None = None
        if wanted is not False and in_notebook():
            self.bar = NotebookBar()
        elif wanted:
            self.bar = LineBar()

    def options(self, options: RunOptions, control: Control | None) -> RunOptions:
        """The options of a run that this shows and `control` may stop (None: signals do, in the main thread)."""
        return replace(options, watch=self._watch(options.watch), control=control, interrupts=control is None)

    def _watch(self, other: Watch | None) -> Watch | None:
        if self.bar is None:
            return other
        own = self.bar.watch

        def watch(gauges: Gauges) -> None:
            own(gauges)
            if other is not None:
                other(gauges)

        return watch

    def wait(self, work: Callable[[Control | None], T]) -> T:
        """Do the work: here, or in a thread of its own where a loop runs here or a bar is drawn."""
        try:
            if self.bar is None and not loop_runs_here():
                return work(None)
            return in_thread(work, self._beat)
        finally:
            self._close()

    async def wait_async(self, work: Callable[[Control | None], T]) -> T:
        """Do the work in a thread of its own while the loop goes on."""
        try:
            return await in_thread_async(work, self._beat)
        finally:
            self._close()

    def _beat(self) -> None:
        if self.bar is not None:
            self.bar.beat()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close(self.report)


def in_notebook() -> bool:
    """Whether an IPython kernel runs this, told without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


class _Drawn:
    """What both bars have in common: the figures in words."""

    def __init__(self) -> None:
        self._gauges: Gauges | None = None
        self._started = time.monotonic()

    def watch(self, gauges: Gauges) -> None:
        """The run begins."""
        self._gauges = gauges

    def _figures(self) -> tuple[int, int, str]:
        """(done, all, the rest in words)"""
        if self._gauges is None:
            return 0, 0, "planning"
        tally = self._gauges.tally
        words = [_dollars(usd(tally.cost_nusd))]
        if bad := tally.failed + tally.partial:
            words.append(f"{bad:,} failed or partial")
        words.append(f"{time.monotonic() - self._started:.0f} s")
        return tally.rows_done, tally.rows_planned, " · ".join(words)

    def _text(self, report: Report | None, *, ended: bool) -> str:
        done, rows, words = self._figures()
        if self._gauges is None and not ended:
            return words
        if report is not None and report.plan.nothing_to_do:
            return f"{report.enrichment}: nothing to do, every row is taken care of"
        text = f"{done:,} of {rows:,} rows · {words}"
        if report is not None and report.stopped is not None:
            text += f" · stopped: {report.stopped.message}"
        return text


class NotebookBar(_Drawn):
    """A bar in the output of the cell that runs."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._last = ""

    def beat(self) -> None:
        """Draw the figures of now."""
        self._show(None, ended=False)

    def close(self, report: Report | None) -> None:
        """Draw the end."""
        self._show(report, ended=True)

    def _show(self, report: Report | None, *, ended: bool) -> None:
        text = self._text(report, ended=ended)
        done, rows, _ = self._figures()
        if ended and report is not None and report.stopped is None:
            done = rows = max(rows, 1)
        bar = f'<progress value="{done}" max="{max(rows, 1)}" aria-label="rows done" style="width: 20em"></progress>'
        shown = {"text/html": f"<div>{bar} {html.escape(text)}</div>", "text/plain": text}
        if shown["text/html"] == self._last:
            return
        self._last = shown["text/html"]
        try:
            if self._handle is None:
                from IPython.display import display  # type: ignore[import-not-found]

                self._handle = display(shown, raw=True, display_id=True)
            else:
                self._handle.update(shown, raw=True)
        except Exception:  # noqa: BLE001 (a display that cannot draw must not end a run that is paid for)
            self._last = ""


class LineBar(_Drawn):
    """A line on standard error: redrawn on a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn_at = self._started
        self._width = 0

    def beat(self) -> None:
        """Draw the figures of now."""
        terminal = sys.stderr.isatty()
        if terminal or time.monotonic() - self._drawn_at >= LINE_EVERY_S:
            self._drawn_at = time.monotonic()
            self._write(self._text(None, ended=False), "\r" if terminal else "\n")

    def close(self, report: Report | None) -> None:
        """Draw the end."""
        self._write(self._text(report, ended=True), "\n")

    def _write(self, text: str, end: str) -> None:
        shown = "".join(char if char.isprintable() else " " for char in text)
        try:
            sys.stderr.write(shown.ljust(self._width) + end)
            sys.stderr.flush()
        except (OSError, ValueError):
            return
        self._width = len(shown) if end == "\r" else 0


def _dollars(amount: float) -> str:
    return "$0" if not amount else f"${amount:,.2f}" if amount >= 1 else f"${amount:.6f}".rstrip("0")
