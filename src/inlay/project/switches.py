"""Switches by environment: what whoever runs the job may change without touching its code or its declaration.

    INLAY_SKIP=1  INLAY_DRY_RUN=1  INLAY_LIMIT=500  INLAY_BUDGET_USD=2.50  INLAY_FAIL_ON_ERROR=1  INLAY_IF_RUNNING=exit

What stays true: what a caller says in so many words (an argument, an option of the command line) stands above the
environment, and the environment above the declaration; INLAY_SKIP and INLAY_FAIL_ON_ERROR alone stand above everything,
since they are for the moment when the code is not at hand. A switch that is set and cannot be read is an error, never
passed over: a cap that is misspelt must not mean "no cap". Every switch that had an effect is told in the notes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inlay.errors import SpecError

if TYPE_CHECKING:
    from inlay.project.running import RunOptions

SKIP, DRY_RUN, LIMIT, BUDGET = "INLAY_SKIP", "INLAY_DRY_RUN", "INLAY_LIMIT", "INLAY_BUDGET_USD"
FAIL, IF_RUNNING = "INLAY_FAIL_ON_ERROR", "INLAY_IF_RUNNING"
MEANWHILE = ("join", "wait", "exit")
_ON, _OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")

# What the page of commands says of each.
SWITCHES: dict[str, str] = {
    SKIP: "`1`: runs do nothing and say so; no source, store or provider is opened",
    DRY_RUN: "`1`: runs show their plan and send nothing, as with `--dry-run`",
    LIMIT: "a number of rows that one run takes up at most, as with `--limit`; `0` takes none",
    BUDGET: "the most that a run may spend, in US dollars, as with `--budget`",
    FAIL: '`1`: `inlay.run(…, on_error="warn")` raises all the same',
    IF_RUNNING: "`join`, `wait` or `exit`: what a run does while another one of its enrichment is going",
}


@dataclass(frozen=True, slots=True)
class Switches:
    """What the environment says; None or False where it says nothing."""

    skip: bool = False
    dry_run: bool = False
    limit: int | None = None
    budget_usd: float | None = None
    fail_on_error: bool = False
    if_running: str | None = None

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Switches:
        """Read them. Raises SpecError for one that cannot be read; INLAY_SKIP is looked at first and alone counts."""
        if _flag(env, SKIP):
            return cls(skip=True)
        if (meanwhile := env.get(IF_RUNNING, "").strip().lower()) not in ("", *MEANWHILE):
            raise _wrong(IF_RUNNING, "is none of join, wait and exit", "set it to one of these, or unset it")
        return cls(
            dry_run=_flag(env, DRY_RUN),
            limit=_rows(env),
            budget_usd=_dollars(env),
            fail_on_error=_flag(env, FAIL),
            if_running=meanwhile or None,
        )

    def over(self, options: RunOptions) -> tuple[RunOptions, list[str]]:
        """The options with what the environment adds to them, and a sentence for each switch that had an effect."""
        notes = []
        if options.dry_run is None and self.dry_run:
            options = replace(options, dry_run=True)
            notes.append(f"{DRY_RUN} is set: nothing is sent")
        if options.limit is None and self.limit is not None:
            options = replace(options, limit=self.limit)
            notes.append(f"{LIMIT} is set: at most {self.limit:,} rows")
        if options.budget_usd is None and self.budget_usd is not None:
            options = replace(options, budget_usd=self.budget_usd)
            notes.append(f"{BUDGET} is set: at most ${self.budget_usd:,.2f}")
        if options.if_running is None and self.if_running is not None:
            options = replace(options, if_running=self.if_running)
        if options.on_error == "warn" and self.fail_on_error:
            options = replace(options, on_error="raise")
            notes.append(f"{FAIL} is set: an error is raised")
        return options, notes


def capped(limit: int | None, env: Mapping[str, str] = os.environ) -> tuple[int | None, list[str]]:
    """The cap of a plan: what was said, else INLAY_LIMIT's, with a sentence where that has an effect."""
    rows = _rows(env) if limit is None else None
    return (limit, []) if rows is None else (rows, [f"{LIMIT} is set: at most {rows:,} rows"])


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower()
    if value not in (*_ON, *_OFF):
        raise _wrong(name, "is neither on nor off", "set it to 1, or unset it")
    return value in _ON


def _rows(env: Mapping[str, str]) -> int | None:
    text = env.get(LIMIT, "").strip().replace(",", "").replace("_", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise _wrong(LIMIT, "is not a number of rows", "set it to a number such as 500, to 0 for none, or unset it")
    return int(text)


def _dollars(env: Mapping[str, str]) -> float | None:
    text = env.get(BUDGET, "").strip().removeprefix("$")
    if not text:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or amount < 0:
        raise _wrong(BUDGET, "is not an amount of US dollars", "set it to an amount such as 2.50, or unset it")
    return amount


def _wrong(name: str, what: str, remedy: str) -> SpecError:
    return SpecError(f"the environment variable {name} {what}", key=name, remedy=remedy)
