"""How well the store serves: which of the present targets need no call, how many answers a day, what it all saved.

What stays true: a row counts as served only where its answer was given for what the row says now (a changed input is a
miss, as the next run would find it); money and calls are those of the ledger; what "asking every target every run"
would have cost takes the number of targets that each run really had, at the mean price of an answer that was paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from inlay.project.account import is_paid
from inlay.types import NANO, Reason, usd

if TYPE_CHECKING:
    from inlay.planning.plan import Plan
    from inlay.project.session import Session

DAYS = 30
TARGETS = "targets"  # in a run's summary: the rows that `select` took
_HITS = (Reason.CACHED, Reason.STALE)  # an earlier prompt's answer is served, and not bought again
_RUNS = 100_000
MONTH_DAYS, YEAR_DAYS = 30, 365


@dataclass(frozen=True, slots=True)
class HitRate:
    """One pass over the present targets: `hits` are answered for what they say now, `percent` to two decimals (None
    without targets)."""

    name: str
    targets: int
    hits: int

    @property
    def percent(self) -> float | None:
        """Hits among a hundred targets."""
        return round(100 * self.hits / self.targets, 2) if self.targets else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "percent": self.percent}


def hit_rates(plan: Plan) -> tuple[HitRate, ...]:
    """The hit rate of each pass."""
    return tuple(
        HitRate(part.name, plan.rows_selected, sum(part.reasons.get(reason, 0) for reason in _HITS))
        for part in plan.passes
    )


@dataclass(frozen=True, slots=True)
class Day:
    """Answers that were bought on one day (UTC), and their price."""

    day: str
    answers: int
    calls: float
    cost_usd: float


def days(ledger: Sequence[Mapping[str, Any]], *, most: int = DAYS) -> tuple[Day, ...]:
    """The last days on which something was asked, newest first; `ledger` is `Store.ledger(…, days=True)`."""
    sums: dict[str, list[float]] = {}
    for line in ledger:
        into = sums.setdefault(str(line["day"]), [0, 0, 0])
        for at, name in enumerate(("answers", "calls", "cost_nusd")):
            into[at] += line[name] or 0
    newest = sorted(sums, reverse=True)[:most]
    return tuple(Day(day, int(sums[day][0]), round(sums[day][1], 3), usd(int(sums[day][2]))) for day in newest)


# --- with and without a store


@dataclass(frozen=True, slots=True)
class Side:
    """Calls and dollars, with the store or without it: so far, and as it goes on."""

    calls: float
    cost_usd: float
    month_calls: float | None
    month_usd: float | None
    year_calls: float | None
    year_usd: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was paid, against asking every target in every run. `runs` are those that were reckoned (`unknown` older
    ones did not note their targets). A month is 30 days and a year 365, with a run every `every_days`: with the store
    they are like the later runs, and the year has the first one beside; None before there is a later one.
    `per_answer_usd` is the mean price of a paid answer."""

    runs: int
    unknown: int
    every_days: float
    per_answer_usd: float
    paid: Side
    without: Side

    @property
    def saved_usd(self) -> float:
        """Dollars that were not paid so far."""
        return self.without.cost_usd - self.paid.cost_usd

    @property
    def saved_percent(self) -> float | None:
        """The share of the dollars (of the calls, where no price is known) that was not paid, to one decimal."""
        ours, all_of_it = self.paid.cost_usd, self.without.cost_usd
        if not all_of_it:
            ours, all_of_it = self.paid.calls, self.without.calls
        return round(100 * (1 - ours / all_of_it), 1) if all_of_it else None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {**asdict(self), "saved_usd": self.saved_usd, "saved_percent": self.saved_percent}


def compare(session: Session, *, every_days: float = 1.0) -> Comparison:
    """Reckon both. Reads the store, pays nothing."""
    store, name = session.store(), session.enrichment.name
    ledger = store.ledger(name)
    runs = [run for run in store.runs(name, _RUNS) if run.ended_at is not None and "warmed" not in run.summary]
    counted = sorted((run for run in runs if TARGETS in run.summary), key=lambda run: run.run_id)
    prices = _per_answer(ledger)
    each = sum(price for price, _ in prices.values()), sum(calls for _, calls in prices.values())
    spent = {run.run_id: (0.0, 0.0) for run in counted}
    for line in ledger:
        if line["run_id"] in spent and is_paid(line):
            before = spent[line["run_id"]]
            spent[line["run_id"]] = (before[0] + line["calls"], before[1] + line["cost_nusd"] / NANO)
    targets = [int(run.summary[TARGETS]) for run in counted]
    asked = [(count * each[1], count * each[0]) for count in targets]
    return Comparison(
        runs=len(counted),
        unknown=len(runs) - len(counted),
        every_days=every_days,
        per_answer_usd=each[0],
        paid=_side([spent[run.run_id] for run in counted], every_days, first_apart=True),
        without=_side(asked, every_days, first_apart=False),
    )


def _per_answer(ledger: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Dollars and calls of one paid answer, by pass; tries that brought none are a part of the price."""
    sums: dict[str, list[float]] = {}
    for line in ledger:
        if is_paid(line):
            into = sums.setdefault(str(line["pass"]), [0, 0, 0])
            into[0] += line["cost_nusd"] / NANO
            into[1] += line["calls"]
            into[2] += line["answers"]
    return {name: (cost / answers, calls / answers) for name, (cost, calls, answers) in sums.items() if answers}


def _side(figures: Sequence[tuple[float, float]], every_days: float, *, first_apart: bool) -> Side:
    """`first_apart`: the first run filled the store, and those that come are like the later ones."""
    calls, cost = sum(pair[0] for pair in figures), sum(pair[1] for pair in figures)
    if len(figures) < 2:
        return Side(round(calls, 3), cost, None, None, None, None)
    later, first = (figures[1:], figures[0]) if first_apart else (figures, (0.0, 0.0))
    mean = sum(pair[0] for pair in later) / len(later), sum(pair[1] for pair in later) / len(later)
    month, year = MONTH_DAYS / every_days, YEAR_DAYS / every_days
    return Side(
        round(calls, 3),
        cost,
        month_calls=mean[0] * month,
        month_usd=mean[1] * month,
        year_calls=first[0] + mean[0] * year,
        year_usd=first[1] + mean[1] * year,
    )
