"""The state of an enrichment on the screen: coverage, failures, costs, runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inlay.cli import draw_batches, screen, words
from inlay.cli.options import command_line, shown_key
from inlay.cli.sheet import Sheet, sheet

if TYPE_CHECKING:
    from inlay.project.rates import Day, HitRate
    from inlay.project.report import PassStatus, Status
    from inlay.spec.model import Enrichment

STATES = ("done", "partial", "failed", "skipped", "in_flight", "pending")
_NANO = 1_000_000_000
_MESSAGE = 160
_KEY = 60


def draw(out: screen.Page, status: Status, enrichment: Enrichment, file: str) -> None:
    """The whole status."""
    out.line(f"{status.enrichment}, answers in {status.store}")
    for note in status.notes:
        out.line(f"note: {note}")
    if not any(part.states for part in status.passes):
        out.line(f"no run has reached a row yet; next: {command_line('plan', file)}")
    else:
        _section(out, "Cells that runs have reached", _cells_table(status.passes))
        for part in status.passes:
            if part.below is not None:
                least = enrichment.get_pass(part.name).accept_above
                values = words.counted(part.below, "value")
                out.line(f"{part.name}: {values} kept, but below accept_above {least:g} and not published")
        _failures(out, status, enrichment, file)
        if any(line["attempts"] for line in status.ledger):
            _section(out, "Cost", _cost_table(status))
    if status.targets is not None:
        _section(out, "Present targets", _targets_table(status.targets))
    if len(status.days) > 1:
        _section(out, "Answers a day", _days_table(status.days))
    if status.batches:
        _section(out, "Open batches", draw_batches.table(status.batches))
        out.line(f"next: {command_line('run', file)} collects what has ended")
    if status.runs:
        _section(out, "Last runs", _runs_table(status.runs))


def _section(out: screen.Page, title: str, content: Sheet) -> None:
    out.title(title)
    out.table(content)


def _cells_table(passes: tuple[PassStatus, ...]) -> Sheet:
    """cells = done + partial + failed + skipped (+ what is under way); stale cells are done under an earlier recipe."""
    present = [name for name in STATES if name in STATES[:4] or any(part.states.get(name) for part in passes)]
    columns = [
        "pass",
        "model",
        "coverage",
        "share",
        "cells",
        *(f"{'+ ' if n else '= '}{_title(s)}" for n, s in enumerate(present)),
    ]
    rows = []
    for part in passes:
        cells, done = sum(part.states.values()), part.states.get("done", 0)
        rows.append(
            [
                part.name,
                part.model,
                screen.bar(done / cells if cells else 0.0, 10),
                words.percent(done, cells),
                words.count(cells),
                *(words.count(part.states.get(name, 0)) for name in present),
                words.count(part.stale),
            ]
        )
    return sheet([*columns, "of done: stale"], rows, text=["pass", "model"])


def _targets_table(targets: tuple[HitRate, ...]) -> Sheet:
    """hit rate = targets that are answered for what they say now, among all that `select` takes."""
    rows = [
        [
            one.name,
            words.count(one.targets),
            words.count(one.hits),
            words.count(one.targets - one.hits),
            "–" if one.percent is None else f"{one.percent:.2f}%",
        ]
        for one in targets
    ]
    return sheet(["pass", "targets", "need no call", "to ask", "hit rate"], rows, text=["pass"])


def _days_table(days: tuple[Day, ...]) -> Sheet:
    rows = [[one.day, words.count(one.answers), f"{one.calls:,.0f}", words.dollars(one.cost_usd)] for one in days]
    return sheet(["day", "answers", "calls", "US dollars"], rows, text=["day"])


def _title(state: str) -> str:
    return state.replace("_", " ")


def _failures(out: screen.Page, status: Status, enrichment: Enrichment, file: str) -> None:
    if not any(part.kinds for part in status.passes):
        return
    out.title("Not answered")
    for part in status.passes:
        if part.kinds:
            out.line(f"{part.name}: {words.kinds(dict(part.kinds))}")
        for key, kind, message in part.examples:
            shown = words.escaped(shown_key(enrichment, key), _KEY)
            out.line(f"  {shown}: {kind}: {words.escaped(message, _MESSAGE)}")
    more = (
        f"next: {command_line('run', file)} asks again what may still succeed; {command_line('retry', file)} all of it"
    )
    out.line(more)


def _cost_table(status: Status) -> Sheet:
    sums: dict[tuple[str, str], list[int]] = {}
    for line in status.ledger:
        into = sums.setdefault((str(line["pass"]), str(line["model"])), [0, 0, 0, 0])
        for index, name in enumerate(("attempts", "input_tokens", "output_tokens", "cost_nusd")):
            into[index] += line[name] or 0
    unpriced = {part.name for part in status.passes if not part.priced}
    rows = [[name, model, *_figures(figures, name in unpriced)] for (name, model), figures in sorted(sums.items())]
    total = [sum(column) for column in zip(*sums.values(), strict=True)]
    columns = ["pass", "model", "attempts", "tokens in", "tokens out", "US dollars"]
    return sheet(columns, rows, text=["pass", "model"], total=["total", "", *_figures(total, bool(unpriced))])


def _figures(figures: list[int], unpriced: bool) -> list[str]:
    """Attempts, tokens and dollars; tokens without a price are not free, so no dollars are claimed for them."""
    unknown = unpriced and not figures[3] and bool(figures[1])
    return [*map(words.count, figures[:3]), "price unknown" if unknown else words.dollars(figures[3] / _NANO)]


def _runs_table(runs: tuple[Mapping[str, Any], ...]) -> Sheet:
    columns = ["run", "began", "outcome", "rows", "calls", "US dollars", "took"]
    return sheet(columns, [list(_run(record)) for record in runs], text=["began", "outcome"])


def _run(record: Mapping[str, Any]) -> Iterator[str]:
    summary, ended = record["summary"], record["ended_at"]
    yield str(record["run_id"])
    yield words.when(record["started_at"])
    yield record["outcome"] or "not ended"
    yield words.count(summary["rows_done"]) if "rows_done" in summary else "–"
    yield words.count(summary["calls"]) if "calls" in summary else "–"
    yield words.dollars(summary["cost_usd"]) if "cost_usd" in summary else "–"
    yield words.duration(ended - record["started_at"]) if ended is not None else "–"
