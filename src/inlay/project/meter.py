"""The figures of a run while it goes, with rates: what displays draw and logs write.

What stays true: every figure comes from the run's own counters, save the time that is left; reading them never holds
the run up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inlay.types import usd

if TYPE_CHECKING:
    from inlay.project.running import Gauges

# Rates are taken over this long, so that the time that is left follows a provider that slows down.
WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What is so at one instant. `eta_s` is None while nobody can say."""

    seconds: float
    rows_done: int
    rows: int
    cells_done: int
    cells: int
    calls: int
    calls_per_second: float
    in_flight: int
    cost_usd: float
    budget_left_usd: float | None
    eta_s: float | None
    failed: dict[str, int]
    partial: int
    retries: dict[str, int]
    waiting_for_others: int


class Meter:
    """Turns counters into rates. Call `read` from one thread only."""

    def __init__(self, gauges: Gauges, clock: Callable[[], float] = time.monotonic) -> None:
        self._gauges = gauges
        self._clock = clock
        self._start = clock()
        self._past: deque[tuple[float, int, int]] = deque([(self._start, 0, 0)])

    def read(self) -> Moment:
        """The figures of now."""
        tally, now = self._gauges.tally, self._clock()
        cells_done, cells, calls = tally.settled, tally.planned, tally.calls
        self._past.append((now, cells_done, calls))
        while len(self._past) > 2 and self._past[1][0] <= now - WINDOW_S:
            self._past.popleft()
        then, cells_then, calls_then = self._past[0]
        passed = max(now - then, 1e-9)
        pace = (cells_done - cells_then) / passed
        budget = self._gauges.budget
        failed: dict[str, int] = {}
        for part in tally.passes:
            # A copy is made in one step; the run may add a kind at any moment.
            for kind, number in dict(part.failed).items():
                failed[kind] = failed.get(kind, 0) + number
        return Moment(
            seconds=now - self._start,
            rows_done=tally.rows_done,
            rows=tally.rows_planned,
            cells_done=cells_done,
            cells=cells,
            calls=calls,
            calls_per_second=(calls - calls_then) / passed,
            in_flight=self._gauges.in_flight(),
            cost_usd=usd(tally.cost_nusd),
            budget_left_usd=None
            if budget is None
            else usd(max(0, budget.cap_nusd - self._gauges.spent_before_nusd - tally.cost_nusd)),
            eta_s=(cells - cells_done) / pace if pace > 0 and cells >= cells_done else None,
            failed=failed,
            partial=tally.partial,
            retries=dict(tally.retries),
            waiting_for_others=tally.waiting_for_others,
        )
