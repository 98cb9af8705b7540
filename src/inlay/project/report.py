"""What the verbs give back: plain values with the figures that commands print, and the exit code they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from inlay.batches import Batch
from inlay.errors import RunStopped
from inlay.planning.plan import Plan
from inlay.spec.model import Enrichment

if TYPE_CHECKING:
    import pyarrow as pa

    from inlay.project.publishing import Published

DONE, SOME_FAILED, WRONG, STOPPED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `summary` is `Tally.summary()`; `stopped` is the reason of an early, resumable end.

    `published` is the file or the table that was written, and `publication` what became of its rows. `declaration` is
    what was run, as resolved; `table` is the answered table where the run was over a frame.
    """

    enrichment: str
    run_id: int
    plan: Plan
    summary: Mapping[str, Any]
    seconds: float
    stopped: RunStopped | None = None
    published: str | None = None
    published_rows: int = 0
    publication: Published | None = None
    notes: tuple[str, ...] = ()
    declaration: Enrichment | None = field(default=None, repr=False, compare=False)
    table: pa.Table | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> int:
        """Cells that failed, are partial, or were skipped because an earlier pass had no answer."""
        total = 0
        for part in self.summary["passes"]:
            total += part["partial"] + sum(part["failed"].values()) + part["skipped"].get("upstream", 0)
        return total

    @property
    def exit_code(self) -> int:
        """0 done; 1 done, some cells failed; 3 stopped and resumable."""
        if self.stopped is not None:
            return STOPPED
        return SOME_FAILED if self.failed else DONE

    def to_arrow(self) -> pa.Table:
        """The table with its answers: as published, or as the store has it now where it was not (to Parquet). Free."""
        from inlay.project.results import reported

        return reported(self)

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame; whole numbers and truth values keep their nulls (Int64, boolean)."""
        from inlay.project.results import converted

        return converted(self.to_arrow(), "pandas")

    def to_polars(self) -> Any:
        """The same as a polars DataFrame."""
        from inlay.project.results import converted

        return converted(self.to_arrow(), "polars")

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {
            "enrichment": self.enrichment,
            "run": self.run_id,
            "exit_code": self.exit_code,
            "stopped": None if self.stopped is None else {"kind": self.stopped.kind, "message": self.stopped.message},
            "seconds": round(self.seconds, 3),
            "published": self.published,
            "published_rows": self.published_rows,
            "published_new": None if self.publication is None else self.publication.new,
            "published_changed": None if self.publication is None else self.publication.changed,
            "published_unchanged": None if self.publication is None else self.publication.unchanged,
            **self.summary,
            "estimate": {
                "cost_usd": self.plan.cost_usd,
                "low_usd": self.plan.low_usd,
                "high_usd": self.plan.high_usd,
                "worst_usd": self.plan.worst_usd,
                "seen": self.plan.seen,
                "actual_usd": self.summary.get("cost_usd"),
            },
            "plan": self.plan.to_json(),
        }


@dataclass(frozen=True, slots=True)
class PassStatus:
    """One pass over all its cells: counts by state and by kind, and what they cost.

    `priced` says whether the model's price is known; `examples` are (key, kind, message) of the newest failures;
    `below` is how many answers are kept but not published, where the pass has `accept_above`.
    """

    name: str
    model: str
    states: Mapping[str, int]
    kinds: Mapping[str, int]
    stale: int
    cost_usd: float
    priced: bool
    examples: tuple[tuple[str, str, str], ...]
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an enrichment: coverage by pass, costs, latest runs."""

    enrichment: str
    store: str
    rows: int | None
    passes: tuple[PassStatus, ...]
    runs: tuple[Mapping[str, Any], ...]
    ledger: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = field(default=())
    batches: tuple[Batch, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {**asdict(self), "batches": [batch.to_json() for batch in self.batches]}
