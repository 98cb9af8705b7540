"""What a run has done so far, in plain counters that a display may read at any time.

What stays true: every cell that the plan gave to the run ends in exactly one of done, reused, partial, failed or
skipped, or is still pending; so the closing summary adds up. Counters only grow, and only the loop writes them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from inlay.types import Usage, usd


@dataclass(slots=True)
class PassTally:
    """One pass in this run. `planned` counts the cells that the plan asks; the rest says how they ended."""

    name: str
    planned: int = 0
    done: int = 0  # answered by a call of this run
    reused: int = 0  # an answer that was already there, or came for an identical input
    partial: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # kind -> cells
    skipped: Counter[str] = field(default_factory=Counter)  # why -> cells
    unchanged: int = 0  # reached, and found to need nothing
    confidence_sum: float = 0.0
    confidence_n: int = 0
    ruled: int = 0  # every field given by a rule, without a call
    escalated: int = 0  # times that a cell went on to the next model of a cascade

    @property
    def settled(self) -> int:
        """Cells that are through."""
        answered = self.done + self.ruled + self.reused + self.partial + self.unchanged
        return answered + self.failed.total() + self.skipped.total()


@dataclass(slots=True)
class Tally:
    """A whole run."""

    passes: list[PassTally]
    rows_planned: int = 0
    rows_done: int = 0
    calls: int = 0  # requests sent
    answers: int = 0  # answers received and kept
    shared: int = 0  # answers that came in the call of another: calls that fusing and packing saved
    retries: Counter[str] = field(default_factory=Counter)  # transient kind -> times
    usage: Usage = field(default_factory=Usage)
    cost_nusd: int = 0
    estimated_nusd: int = 0  # the part of cost_nusd that is a worst-case booking
    waiting_for_others: int = 0  # addresses that another runner is asking right now

    def add_usage(self, usage: Usage) -> None:
        """Book the tokens of one call."""
        self.usage = self.usage + usage

    @property
    def failed(self) -> int:
        """Cells that failed, over all passes."""
        return sum(part.failed.total() for part in self.passes)

    @property
    def partial(self) -> int:
        """Cells that are partial, over all passes."""
        return sum(part.partial for part in self.passes)

    @property
    def settled(self) -> int:
        """Cells that are through, over all passes."""
        return sum(part.settled for part in self.passes)

    @property
    def planned(self) -> int:
        """Cells that the run set out to ask, over all passes."""
        return sum(part.planned for part in self.passes)

    def summary(self) -> dict[str, Any]:
        """The closing figures as plain values, ready for JSON and for the store."""
        return {
            "rows": self.rows_planned,
            "rows_done": self.rows_done,
            "calls": self.calls,
            "answers": self.answers,
            "calls_saved": self.shared,
            "retries": dict(self.retries),
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "cost_usd": usd(self.cost_nusd),
            "cost_estimated_usd": usd(self.estimated_nusd),
            "passes": [
                {
                    "pass": part.name,
                    "cells": part.planned,
                    "done": part.done,
                    "ruled": part.ruled,
                    "escalated": part.escalated,
                    "reused": part.reused,
                    "unchanged": part.unchanged,
                    "partial": part.partial,
                    "failed": dict(part.failed),
                    "skipped": dict(part.skipped),
                    "pending": part.planned - part.settled,
                    "avg_confidence": round(part.confidence_sum / part.confidence_n, 4) if part.confidence_n else None,
                }
                for part in self.passes
            ],
        }
