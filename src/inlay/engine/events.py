"""What a run tells its listener: rare, typed, and never the text of a record.

Frequent figures are not events: read them from the run's Tally whenever a display wants to draw. Names are stable;
`name` is what structured logs carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """The plan is made and allowed. Money is an estimate, None where a price is unknown; `worst_usd` is the most.

    `rows` are taken up by this run, of `rows_selected`; `budget_usd` None: there is none.
    """

    name: ClassVar[str] = "run_planned"
    rows_source: int
    rows_selected: int
    rows: int
    cells: int
    calls: int
    cost_usd: float | None
    worst_usd: float | None
    budget_usd: float | None
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunWaiting:
    """Another run of this enrichment is going; this one waits for its end, for `longest_s` at most."""

    name: ClassVar[str] = "run_waiting"
    who: str
    longest_s: float


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has its number in the store; calls follow, if there are any to make."""

    name: ClassVar[str] = "run_started"
    run: int


@dataclass(frozen=True, slots=True)
class LaneOpened:
    """A lane is about to make its one opening call. `concurrency` None: it finds its own level."""

    name: ClassVar[str] = "lane_opened"
    lane: str
    model: str
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Stopping:
    """The run takes no new calls; what is in flight is being saved. `kind` is the RunStopped kind.

    `cause` is the kind of the provider's error where that is what stops it, else empty.
    """

    name: ClassVar[str] = "run_stopping"
    kind: str
    message: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """Four fifths of the budget are spent."""

    name: ClassVar[str] = "budget_warning"
    spent_usd: float
    cap_usd: float


@dataclass(frozen=True, slots=True)
class FirstFailure:
    """A cell of this pass failed in a kind that no cell of it had failed in during this run."""

    name: ClassVar[str] = "first_failure"
    pass_name: str
    kind: str


@dataclass(frozen=True, slots=True)
class BatchMoved:
    """A batch has come further. `state` is ours, `provider_state` the provider's own word; counts as it told them."""

    name: ClassVar[str] = "batch_moved"
    submission: str
    provider: str
    state: str
    provider_state: str
    requests: int
    done: int
    errors: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class TablePublished:
    """The table is at its place, whole. `path` is a file's, or the table's name in its database; there, `new`,
    `changed` and `unchanged` say what became of its rows (None for files)."""

    name: ClassVar[str] = "table_published"
    path: str
    rows: int
    new: int | None = None
    changed: int | None = None
    unchanged: int | None = None


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over, and its table written if there was one to write. `summary` is `Tally.summary()`."""

    name: ClassVar[str] = "run_finished"
    outcome: str
    exit_code: int
    seconds: float
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """A command or webhook that the declaration wants after a run did not succeed; the run is as it was."""

    name: ClassVar[str] = "action_failed"
    message: str


Event: TypeAlias = (
    RunPlanned
    | RunWaiting
    | RunStarted
    | LaneOpened
    | BudgetWarning
    | FirstFailure
    | Stopping
    | BatchMoved
    | TablePublished
    | RunFinished
    | ActionFailed
)
Listener: TypeAlias = Callable[[Event], None]
