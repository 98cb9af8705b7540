"""A plan on the screen: the rows, the reasons, the price, and what to do next. All sums add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def draw(out: screen.Page, plan: Plan, file: str | None, *, refreshed: bool) -> None:
    """The whole plan."""
    out.line(rows_line(plan))
    if plan.missing:
        out.line(_missing_line(plan))
    out.line()
    out.table(_reasons_table(plan))
    out.line()
    out.table(_price_table(plan))
    out.line()
    if plan.minutes is not None:
        out.line(f"about {words.duration(plan.minutes * 60)} at the configured limits")
    if plan.calls and plan.seen and plan.low_usd is not None:
        calls = words.counted(plan.seen, "call")
        out.line(f"expected {words.dollars(plan.low_usd)} to {words.dollars(plan.high_usd)}, from {calls} so far")
    for line in _remarks(plan, file, refreshed):
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
            yield f"{', '.join(names[:-1])} and {names[-1]} read the same inputs and go out as one call a row"
    for part in plan.passes:
        if part.pack > 1 and part.calls:
            yield f"{part.name}: about {part.pack} records in a call"


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
    """asked = given by rules + answered already + same input as another + to answer."""
    parts = [part for part in ("by rules", "in store", "same input", "to answer") if part != "by rules" or _ruled(plan)]
    split = [f"{'+' if place else '='} {part}" for place, part in enumerate(parts)]
    names = ["pass", "model", "asked", *split, "calls", "tokens in", "tokens out", "US dollars"]
    rows = [[part.name, part.model, *_figures(plan, [part]), _price(part)] for part in plan.passes]
    total = ["total", "", *_figures(plan, plan.passes), words.price_range(plan.cost_usd, plan.worst_usd)]
    total[-4] = words.count(plan.calls)  # those of fused passes are the same ones
    return sheet(names, rows, text=["pass", "model"], total=total)


def _ruled(plan: Plan) -> bool:
    return any(part.ruled for part in plan.passes)


def _figures(plan: Plan, parts: Sequence[PassPlan]) -> list[str]:
    columns = [
        (part.asked, *([part.ruled] if _ruled(plan) else []), part.reused,
         part.asked - part.ruled - part.reused - part.distinct, part.distinct, part.calls,
         part.input_tokens, part.output_tokens)
        for part in parts
    ]  # fmt: skip
    return [words.count(sum(column)) for column in zip(*columns, strict=True)]


def _price(part: PassPlan) -> str:
    return words.price_range(part.cost_usd, part.worst_usd) if part.calls else words.dollars(0)


def _remarks(plan: Plan, file: str | None, refreshed: bool) -> Iterator[str]:
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
    if any(part.calls and part.cost_usd is None for part in plan.passes):
        yield "the price of a model is not known: give its pass `prices: {input_per_million: …, output_per_million: …}`"
    if plan.nothing_to_do:
        yield "nothing to do" + (": the limit is 0" if plan.rows_to_do else ": every selected row is taken care of")
    else:
        more = ["--refresh", "stale"] if refreshed else []
        more += [] if plan.limit is None else ["--limit", str(plan.limit)]
        yield f"next: {command_line('run', file, *more)}"
