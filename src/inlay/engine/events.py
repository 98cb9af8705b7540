"""What the engine tells its listener: rare, typed, and never the text of a record.

Frequent figures are not events: read them from the run's Tally whenever a display wants to draw. Names are stable;
`name` is what structured logs carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """A lane is about to make its one opening call. `concurrency` None: it finds its own level."""

    name: ClassVar[str] = "lane_opened"
    lane: str
    model: str
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Stopping:
    """The run takes no new calls; what is in flight is being saved. `kind` is the RunStopped kind."""

    name: ClassVar[str] = "run_stopping"
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """Four fifths of the budget are spent."""

    name: ClassVar[str] = "budget_warning"
    spent_usd: float
    cap_usd: float


Event: TypeAlias = LaneOpened | Stopping | BudgetWarning
Listener: TypeAlias = Callable[[Event], None]
