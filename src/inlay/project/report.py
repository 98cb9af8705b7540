"""What the verbs give back: plain values with the figures that commands print, and the exit code they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from inlay.errors import RunStopped
from inlay.planning.plan import Plan

DONE, SOME_FAILED, WRONG, STOPPED = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended. `summary` is `Tally.summary()`; `stopped` is the reason of an early, resumable end."""

    enrichment: str
    run_id: int
    plan: Plan
    summary: Mapping[str, Any]
    seconds: float
    stopped: RunStopped | None = None
    published: str | None = None
    published_rows: int = 0
    notes: tuple[str, ...] = ()

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
            **self.summary,
            "plan": self.plan.to_json(),
        }


@dataclass(frozen=True, slots=True)
class PassStatus:
    """One pass over all its cells: counts by state and by kind, and what they cost.

    `priced` says whether the model's price is known; `examples` are (key, kind, message) of the newest failures.
    """

    name: str
    model: str
    states: Mapping[str, int]
    kinds: Mapping[str, int]
    stale: int
    cost_usd: float
    priced: bool
    examples: tuple[tuple[str, str, str], ...]


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

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return asdict(self)
