"""The one rule that says whether a cell is asked, and why: in Python for one cell, in SQL for millions.

    no cell yet                                          new
    its input differs (and can be compared)              input_changed
    failed or partial: worth another try                 retry
                       not worth it, or out of tries     given_up
    done: under another recipe                           stale        asked only with `refresh: stale`
          older than the pass's ttl                      expired
          otherwise                                      cached

What stays true: `Rule.decide` and `Rule.sql` give the same reason for the same cell (a property test holds them
equal); a changed prompt alone never makes a cell asked; whoever reads this file knows what a run will pay for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inlay.types import CellState, Reason

# Failures that may go away by themselves, or that another sample of the model may not repeat.
RETRYABLE = (
    "asked_again",
    "connection",
    "invalid_output",
    "overloaded",
    "rate_limited",
    "timeout",
    "truncated",
    "unreadable",
)

ASKED = (Reason.NEW, Reason.INPUT_CHANGED, Reason.RETRY, Reason.EXPIRED)


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What the rule needs to know of a stored cell."""

    recipe_id: int
    state: str
    reason: str
    tries: int
    answered_at: float


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule for one pass in one run.

    `comparable` are the recipes that read the same inputs in the same way, so that input hashes can be compared;
    a cell of any other recipe is stale rather than changed: editing a prompt must not cost money by surprise.
    `now` and `ttl_s` are seconds; `max_tries` bounds the runs in a row that may fail a cell.
    """

    recipe_id: int
    comparable: frozenset[int]
    now: float
    ttl_s: float | None
    max_tries: int
    refresh: frozenset[Reason]

    def decide(self, cell: CellFacts | None, *, same_input: bool) -> Reason:
        """The reason of a cell."""
        if cell is None:
            return Reason.NEW
        if not same_input and cell.recipe_id in self.comparable:
            return Reason.INPUT_CHANGED
        if cell.state != CellState.DONE:
            if cell.recipe_id != self.recipe_id:
                return Reason.RETRY
            worth = cell.reason in RETRYABLE and cell.tries < self.max_tries
            return Reason.RETRY if worth else Reason.GIVEN_UP
        if cell.recipe_id != self.recipe_id:
            return Reason.STALE
        if self.ttl_s is not None and cell.answered_at + self.ttl_s < self.now:
            return Reason.EXPIRED
        return Reason.CACHED

    @property
    def since(self) -> float:
        """An answer given at or after this time is young enough for the pass's ttl (seconds, UTC)."""
        return 0.0 if self.ttl_s is None else self.now - self.ttl_s

    def asks(self, reason: Reason) -> bool:
        """Whether a run asks a cell of this reason."""
        return reason in ASKED or reason in self.refresh

    def sql(self, cell: str, same_input: str) -> str:
        """The same decision as a SQL expression; `cell` is the alias of the stored cell's columns."""
        return self.joined_sql(same_input, self.comparable_sql(cell), self.unchanged_sql(cell))

    def joined_sql(self, same_input: str, comparable: str, unchanged: str) -> str:
        """The decision from the two expressions below, both NULL where there is no cell."""
        return f"""CASE
            WHEN {unchanged} IS NULL THEN 'new'
            WHEN NOT ({same_input}) AND {comparable} THEN 'input_changed'
            ELSE {unchanged} END"""

    def comparable_sql(self, cell: str) -> str:
        """Whether the hashes of a cell may be compared with ours."""
        return f"({cell}.recipe_id IN ({_numbers(self.comparable)}))"

    def unchanged_sql(self, cell: str) -> str:
        """The reason of a cell whose input has not changed (or cannot be compared); NULL where there is no cell."""
        ttl = (
            f"WHEN {cell}.answered_at + {float(self.ttl_s)!r} < {float(self.now)!r} THEN 'expired'"
            if self.ttl_s is not None
            else ""
        )
        return f"""(CASE
            WHEN {cell}.recipe_id IS NULL THEN NULL
            WHEN {cell}.state <> 'done' THEN CASE
                WHEN {cell}.recipe_id <> {self.recipe_id} THEN 'retry'
                WHEN {cell}.reason IN ({_texts(RETRYABLE)}) AND {cell}.tries < {self.max_tries} THEN 'retry'
                ELSE 'given_up' END
            WHEN {cell}.recipe_id <> {self.recipe_id} THEN 'stale'
            {ttl}
            ELSE 'cached' END)"""

    def asked_sql(self, reason: str) -> str:
        """Whether a run asks a cell whose reason is the SQL expression `reason`."""
        return f"{reason} IN ({_texts(sorted({*ASKED, *self.refresh}))})"


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))


def _texts(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)
