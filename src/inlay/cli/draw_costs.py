"""Costs and prices on the screen. All sums add up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from inlay.cli import screen, words
from inlay.cli.options import shown_key
from inlay.cli.sheet import sheet

if TYPE_CHECKING:
    from inlay.project.account import CostLine, Costs
    from inlay.project.pricing import ModelPrice, PriceLine
    from inlay.project.rates import Comparison
    from inlay.spec.model import Enrichment

_NAME = 60
_TOKENS = ("tokens in", "cached", "written", "tokens out", "reasoning")
_ALWAYS = ("tokens in", "tokens out")


def draw(out: screen.Page, costs: Costs, enrichment: Enrichment) -> None:
    """The whole account."""
    if not costs.total.attempts:
        out.line(f"{costs.enrichment}: no call has been paid yet")
        return
    if costs.by == "record":
        rows = [
            [words.escaped(shown_key(enrichment, line.name), _NAME), words.dollars(line.cost_usd)]
            for line in costs.lines
        ]
        out.table(sheet(["record", "US dollars"], rows, text=["record"]))
        out.line("an answer that several records share is shown with each of them")
    else:
        said = [at for at, name in enumerate(_TOKENS) if name in _ALWAYS or _tokens(costs.total)[at]]
        columns = [costs.by, "calls", *(_TOKENS[at] for at in said), "US dollars"]
        rows = [[words.escaped(line.name, _NAME), *_figures(line, said)] for line in costs.lines]
        total = ["total", *_figures(costs.total, said)] if len(rows) > 1 else None
        out.table(sheet(columns, rows, text=[costs.by], total=total))
        if any(_parts(line.calls) for line in costs.lines):
            out.line("a call that several passes shared is counted in parts")
    for line in _remarks(costs):
        out.line(line)
    if costs.models:
        out.title("On other models" + (f", {words.counted(costs.project, 'row')}" if costs.project is not None else ""))
        rows = [[words.escaped(one.model), _price(one.live_usd), _price(one.batch_usd)] for one in costs.models]
        out.table(sheet(["model", "live", "in batch"], rows, text=["model"]))
        out.line("the same tokens at list prices, without the other model's cache")


def draw_comparison(out: screen.Page, found: Comparison) -> None:
    """With the store and without it, so far and as it goes on."""
    if not found.runs:
        out.line("no run has noted its targets yet")
        return
    ours, theirs = found.paid, found.without
    rows = [
        [what, f"{calls:,.0f}", words.dollars(cost or 0.0), f"{other:,.0f}", words.dollars(price or 0.0)]
        for what, calls, cost, other, price in (
            ("so far", ours.calls, ours.cost_usd, theirs.calls, theirs.cost_usd),
            ("a month", ours.month_calls, ours.month_usd, theirs.month_calls, theirs.month_usd),
            ("a year", ours.year_calls, ours.year_usd, theirs.year_calls, theirs.year_usd),
        )
        if calls is not None and other is not None
    ]
    columns = ["with the store", "calls", "US dollars", "without: calls", "without: US dollars"]
    out.table(sheet(columns, rows, text=columns[:1]))
    runs = words.counted(found.runs, "run")
    share = "" if found.saved_percent is None else f", {found.saved_percent:.1f}% of it"
    out.line(f"{runs} so far; not paid, since answers were kept: {words.dollars(found.saved_usd)}{share}")
    if found.paid.month_calls is None:
        out.line("a month and a year are reckoned from the second run on")
    else:
        out.line(f"a month is 30 days and a year 365, of a run every {words.duration(found.every_days * 86_400)}")
    if found.unknown:
        out.line(f"not reckoned: {words.counted(found.unknown, 'older run')} whose targets were not noted")


def _figures(line: CostLine, said: Sequence[int]) -> list[str]:
    calls = f"{line.calls:,.1f}" if _parts(line.calls) else words.count(round(line.calls))
    return [calls, *(words.count(_tokens(line)[at]) for at in said), words.dollars(line.cost_usd)]


def _parts(calls: float) -> bool:
    return abs(calls - round(calls)) >= 0.01


def _tokens(line: CostLine) -> tuple[int, ...]:
    """In the order of _TOKENS."""
    return (
        line.input_tokens,
        line.cached_tokens,
        line.cache_write_tokens,
        line.output_tokens,
        line.reasoning_tokens,
    )


def _remarks(costs: Costs) -> Iterator[str]:
    saved = costs.saved
    parts = []
    if saved.reuse_calls:
        calls = words.counted(saved.reuse_calls, "call")
        parts.append(f"equal inputs {calls}, {words.dollars(saved.reuse_usd)}")
    if saved.shared_calls:
        parts.append(f"shared requests {saved.shared_calls:,.0f} calls, {words.dollars(saved.shared_usd)}")
    if saved.batch_usd:
        parts.append(f"batches {words.dollars(saved.batch_usd)}")
    if saved.cache_usd > 0:
        parts.append(f"the provider's cache {words.dollars(saved.cache_usd)}")
    if parts:
        yield f"saved, estimated: {'; '.join(parts)}"
    if saved.cache_usd < 0:
        yield f"writing the provider's cache cost {words.dollars(-saved.cache_usd)} more than reading it saved"
    if costs.unpriced:
        yield f"the price of {', '.join(costs.unpriced)} is not known: its tokens are counted, no dollars are"
    if costs.project is not None:
        what = words.counted(costs.project, "row")
        if costs.projected_usd is None:
            yield f"what {what} would cost is not known"
        else:
            price = words.dollars(costs.projected_usd)
            yield f"{what} like the {words.count(costs.rows)} so far would cost about {price}"


def _price(value: float | None) -> str:
    return "price unknown" if value is None else words.dollars(value)


def draw_prices(out: screen.Page, prices: Sequence[ModelPrice]) -> None:
    """Rates of each model, where they are from, and what to do where there are none."""
    rows = [
        [
            words.escaped(price.model, _NAME),
            line.service,
            _sizes(price, line),
            *(f"{rate:g}" for rate in (line.input, line.cached_input, line.cache_write, line.output)),
        ]
        for price in prices
        for line in price.lines
    ]
    columns = ["model", "service", "prompt", "input", "cached", "written", "output"]
    if rows:
        out.line("US dollars per million tokens")
        out.table(sheet(columns, rows, text=["model", "service", "prompt"]))
    for price in prices:
        if price.lines:
            used = f", for {', '.join(price.passes)}" if price.passes else ""
            out.line(f"{price.model}: {price.source}{used}")
        else:
            near = f"; known: {', '.join(price.nearest)}" if price.nearest else ""
            remedy = "give the pass `prices: {input_per_million: …, output_per_million: …}` or `priced_as: …`"
            out.line(f"{price.model}: the price is not known{near}; {remedy}")


def _sizes(price: ModelPrice, line: PriceLine) -> str:
    """Which prompts a line is for."""
    above = [other.above for other in price.lines if other.service == line.service and other.above > line.above]
    if line.above:
        return f"above {words.count(line.above)}"
    return f"up to {words.count(min(above))}" if above else "any size"
