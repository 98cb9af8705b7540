"""What the verbs give back: plain values with the figures that commands print, and the exit code they mean.

What stays true: a report's `line` is what a host prints of it, whatever became of the run; its exit code is the one
that the command line would end with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from inlay.batches import Batch
from inlay.engine.tally import Tally
from inlay.errors import InlayError, PlanError, RunStopped, SourceError, SpecError
from inlay.planning.plan import Plan
from inlay.project.rates import Day, HitRate
from inlay.reporting.words import dollars
from inlay.spec.model import Enrichment

if TYPE_CHECKING:
    import pyarrow as pa

    from inlay.project.publishing import Published

DONE, SOME_FAILED, WRONG, STOPPED, UNEXPECTED = 0, 1, 2, 3, 70


@dataclass(frozen=True, slots=True)
class ReportedError:
    """What a run ended in that was to raise nothing: the kind of the error, what happened, what to do."""

    kind: str
    message: str
    remedy: str
    exit_code: int

    @classmethod
    def of(cls, error: Exception) -> ReportedError:
        """An error as plain values. One that nobody expected is named by its type alone: its text is not ours."""
        if not isinstance(error, InlayError):
            what = f"Inlay did not expect this: {type(error).__name__}"
            return cls("unexpected", what, "INLAY_TRACEBACK=1 logs where it happened", UNEXPECTED)
        text = str(error).removesuffix(f"\n  → {error.remedy}") if error.remedy else str(error)
        return cls(error.kind, text, error.remedy, exit_code_of(error))


def exit_code_of(error: Exception) -> int:
    """The exit code that an error means."""
    if not isinstance(error, InlayError):
        return UNEXPECTED
    return WRONG if isinstance(error, SpecError | PlanError | SourceError) else STOPPED


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `summary` is `Tally.summary()`; `stopped` is the reason of an early, resumable end.

    `published` is the file or the table that was written, and `publication` what became of its rows. `skipped` says
    why nothing was done (empty: it was), `dry_run` that it was planned alone; `error` is what the run ended in, where
    it was to raise nothing. `declaration` is what was run, as resolved; `table` is the answered table where the run was
    over a frame.
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
    skipped: str = ""
    dry_run: bool = False
    error: ReportedError | None = None
    declaration: Enrichment | None = field(default=None, repr=False, compare=False)
    table: pa.Table | None = field(default=None, repr=False, compare=False)

    @classmethod
    def nothing(cls, enrichment: str, *, plan: Plan | None = None, **facts: Any) -> Report:
        """A report of a run that asked nothing: skipped, planned alone, or ended by an error before it began."""
        empty = Plan(enrichment, "", 0, 0, 0, 0, {}, (), None, None)
        return cls(enrichment, 0, plan or empty, Tally([]).summary(), **{"seconds": 0.0, **facts})

    @property
    def enriched(self) -> int:
        """Rows that have an answer from this run: by a call, by a rule, or known already for the same input. With
        several passes, those of the pass that answered most."""
        parts = self.summary["passes"]
        return max((part["done"] + part["ruled"] + part["reused"] + part["partial"] for part in parts), default=0)

    @property
    def outcome(self) -> str:
        """skipped, dry run, error, "stopped: KIND", failures (some cells failed) or done."""
        if self.skipped:
            return "skipped"
        if self.error is not None:
            return "error"
        if self.dry_run:
            return "dry run"
        if self.stopped is not None:
            return f"stopped: {self.stopped.kind}"
        return "failures" if self.failed else "done"

    @property
    def line(self) -> str:
        """The run in one line, for a host's own log: selected, answered, failed, dollars, seconds."""
        if self.skipped:
            return f"{self.enrichment}: skipped, {self.skipped}"
        if self.error is not None:
            return f"{self.enrichment}: error, " + " ".join(self.error.message.split())
        plan, summary = self.plan, self.summary
        head = f"{self.enrichment}: {plan.rows_selected:,} selected"
        if plan.rows_taken != plan.rows_selected:
            head += f", {plan.rows_taken:,} to ask"
        if self.dry_run:
            cost = "at a price that is not known" if plan.cost_usd is None else f"about {dollars(plan.cost_usd)}"
            return f"{head}, {plan.calls:,} calls, {cost}: dry run, nothing was sent"
        end = f", stopped: {self.stopped.kind}" if self.stopped is not None else ""
        cost = dollars(summary["cost_usd"])
        return f"{head}, {self.enriched:,} answered, {self.failed:,} failed, {cost}, {self.seconds:,.1f} s{end}"

    @property
    def failed(self) -> int:
        """Cells that failed, are partial, or were skipped because an earlier pass had no answer."""
        total = 0
        for part in self.summary["passes"]:
            total += part["partial"] + sum(part["failed"].values()) + part["skipped"].get("upstream", 0)
        return total

    @property
    def exit_code(self) -> int:
        """0 done; 1 done, some cells failed; 3 stopped and resumable; that of the `error` where there is one."""
        if self.error is not None:
            return self.error.exit_code
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
            "outcome": self.outcome,
            "line": self.line,
            "enriched": self.enriched,
            "skipped": self.skipped or None,
            "error": None if self.error is None else asdict(self.error),
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
    """The state of an enrichment: coverage by pass, costs, latest runs, and what was bought on the last days.

    `targets` are the passes' hit rates over the rows that the source has now; None where it was not looked at.
    """

    enrichment: str
    store: str
    rows: int | None
    passes: tuple[PassStatus, ...]
    runs: tuple[Mapping[str, Any], ...]
    ledger: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = field(default=())
    batches: tuple[Batch, ...] = ()
    days: tuple[Day, ...] = ()
    targets: tuple[HitRate, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        targets = None if self.targets is None else [one.to_json() for one in self.targets]
        return {**asdict(self), "batches": [batch.to_json() for batch in self.batches], "targets": targets}
