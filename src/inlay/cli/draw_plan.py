"""A plan on the screen: the rows, the reasons, the price, and what to do next. All sums add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inlay.cli import screen, words
from inlay.cli.options import command_line
from inlay.cli.sheet import Sheet, sheet
from inlay.types import Reason

if TYPE_CHECKING:
    from inlay.planning.plan import PassPlan, Plan

_REASONS = {
    Reason.NEW: "new",
    Reason.INPUT_CHANGED: "input changed",
    Reason.RETRY: "retry",
    Reason.STALE: "stale",
    Reason.EXPIRED: "expired",
    Reason.CACHED: "cached",
    Reason.GIVEN_UP: "given up",
    Reason.UPSTREAM: "upstream",
}


# Where asked cells go, and the columns after those.
_SPLIT = ("by rules", "in store", "same input", "to answer")
_CALLS = ("calls", "tokens in", "tokens out", "US dollars", "at most")


def draw(out: screen.Page, plan: Plan, file: str | None, *, refreshed: bool, mode: str | None = None) -> None:
    """The whole plan; `refreshed` and `mode` are the options that it was made with."""
    out.line(rows_line(plan))
    if plan.missing:
        out.line(_missing_line(plan))
    out.line()
    out.table(_reasons_table(plan))
    out.line()
    if any(part.asked for part in plan.passes):
        out.table(_price_table(plan))
        out.line()
    if plan.calls and plan.low_usd is not None:
        out.line(_expected(plan))
    if plan.minutes is not None:
        out.line(f"about {words.duration(plan.minutes * 60)} at the configured limits")
    for line in _remarks(plan, file, refreshed, mode):
        out.line(line)


def rows_line(plan: Plan) -> str:
    """Source, selected, to do and taken, from the many to the few."""
    taken = f"{words.count(plan.rows_taken)} taken"
    if plan.limit is not None:
        taken += f" (limit {words.count(plan.limit)})"
    return (
        f"{plan.enrichment}: {words.counted(plan.rows_source, 'row')} in {plan.source}, "
        f"{words.count(plan.rows_selected)} selected, {words.count(plan.rows_to_do)} to do, {taken}"
    )


def short_lines(plan: Plan, budget_usd: float | None, per: str = "run") -> list[str]:
    """The plan in two lines, before a run."""
    asked = sum(part.asked for part in plan.passes)
    models = ", ".join(dict.fromkeys(part.model for part in plan.passes))
    calls = f"{words.counted(plan.calls, 'call')} to {models}" if plan.calls else f"no call, {models}"
    price = f"estimated {words.price_range(plan.cost_usd, plan.worst_usd)}"
    if plan.minutes is not None:
        price += f", about {words.duration(plan.minutes * 60)}"
    budget = "no budget" if budget_usd is None else f"budget {words.dollars(budget_usd)} per {per}"
    return [rows_line(plan), f"{words.counted(asked, 'cell')} to ask: {calls}; {price}; {budget}"]


def sharing_lines(plan: Plan) -> Iterator[str]:
    """Which passes go out together, and how many records in a call."""
    groups: dict[int, list[str]] = {}
    for part in plan.passes:
        if part.fused is not None and part.calls:
            groups.setdefault(part.fused, []).append(part.name)
    for names in groups.values():
        if len(names) > 1:
            yield (
                f"fused: {', '.join(names[:-1])} and {names[-1]} read the same inputs, so one call a row answers them "
                "(counted with each, once in the total)"
            )
    for part in plan.passes:
        if part.pack > 1 and part.calls:
            yield f"packed: about {part.pack} records of {part.name} in a call"


def _expected(plan: Plan) -> str:
    """The range that the price should fall into, what says so, and the worst case."""
    calls = sum(part.seen for part in plan.passes if part.calls)
    seen = f"{'' if plan.seen else 'partly '}from {words.counted(calls, 'call')} so far" if calls else "from the texts"
    expected = f"{words.dollars(plan.low_usd)} to {words.dollars(plan.high_usd)}"
    return f"expected {expected} ({seen}); at most {words.dollars(plan.worst_usd)}"


def _missing_line(plan: Plan) -> str:
    def share(number: int) -> str:
        return f"{words.count(number)} ({words.percent(number, plan.rows_source)})"

    parts = [f"{name} {share(number)}" for name, number in sorted(plan.missing.items(), key=lambda item: -item[1])]
    return f"missing, of all rows: {', '.join(parts)}; together {share(sum(plan.missing.values()))}"


def _reasons_table(plan: Plan) -> Sheet:
    present = [reason for reason in _REASONS if any(part.reasons.get(reason) for part in plan.passes)]
    rows = [
        [part.name, *(words.count(part.reasons.get(reason, 0)) for reason in present), _selected(part)]
        for part in plan.passes
    ]
    return sheet(["pass", *(_REASONS[reason] for reason in present), "= selected rows"], rows, text=["pass"])


def _selected(part: PassPlan) -> str:
    return words.count(sum(part.reasons.values()))


def _price_table(plan: Plan) -> Sheet:
    """asked = given by rules + answered already + same input as another + to answer; what is nowhere is left out."""
    splits = [_split(part) for part in plan.passes]
    shown = [at for at, name in enumerate(_SPLIT) if name == "to answer" or any(split[at] for split in splits)]
    names = ["pass", "model", "asked", *(f"{'+' if n else '='} {_SPLIT[at]}" for n, at in enumerate(shown)), *_CALLS]
    counts = [
        [part.asked, *(split[at] for at in shown), part.calls, part.input_tokens, part.output_tokens]
        for part, split in zip(plan.passes, splits, strict=True)
    ]
    rows = [
        [part.name, part.model, *map(words.count, row), *_price(part.calls, part.cost_usd, part.worst_usd)]
        for part, row in zip(plan.passes, counts, strict=True)
    ]
    sums = [sum(column) for column in zip(*counts, strict=True)]
    sums[-3] = plan.calls  # those of fused passes are the same ones
    total = ["total", "", *map(words.count, sums), *_price(plan.calls, plan.cost_usd, plan.worst_usd)]
    return sheet(names, rows, text=["pass", "model"], total=total if len(rows) > 1 else None)


def _split(part: PassPlan) -> tuple[int, ...]:
    same = part.asked - part.ruled - part.reused - part.distinct
    return part.ruled, part.reused, same, part.distinct


def _price(calls: int, estimate: float | None, worst: float | None) -> list[str]:
    return [words.dollars(estimate), words.dollars(worst)] if calls else [words.dollars(0)] * 2


def _remarks(plan: Plan, file: str | None, refreshed: bool, mode: str | None) -> Iterator[str]:
    for note in plan.notes:
        yield f"note: {note}"
    yield from sharing_lines(plan)
    stale = sum(part.reasons.get(Reason.STALE, 0) for part in plan.passes)
    if stale and not refreshed:
        yield (
            f"{words.counted(stale, 'cell')} answered under an earlier prompt or model: kept as they are, and not in "
            f"the price above; `{command_line('plan', file, '--refresh', 'stale')}` prices asking them again"
        )
    given_up = sum(part.reasons.get(Reason.GIVEN_UP, 0) for part in plan.passes)
    if given_up:
        yield (
            f"{words.counted(given_up, 'cell')} failed for good and will not be asked; "
            f"`{command_line('status', file)}` says why, `{command_line('retry', file)}` asks again"
        )
    unpriced = list(dict.fromkeys(part.model for part in plan.passes if part.calls and part.cost_usd is None))
    if unpriced:
        yield (
            f"the price of {', '.join(unpriced)} is not known, so a run with a budget is refused: give the pass "
            "`prices: {input_per_million: …, output_per_million: …}` or `priced_as: …`"
        )
    if plan.nothing_to_do:
        yield "nothing to do" + (": the limit is 0" if plan.rows_to_do else ": every selected row is taken care of")
    else:
        more = ["--refresh", "stale"] if refreshed else []
        more += [] if plan.limit is None else ["--limit", str(plan.limit)]
        more += [] if mode is None else ["--mode", mode]
        yield f"next: {command_line('run', file, *more)}"
