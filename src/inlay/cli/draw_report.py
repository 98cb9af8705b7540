"""How a run ended, on the screen: where every cell went, what it cost, what to do next. All sums add up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.cli import screen, words
from inlay.cli.options import command_line
from inlay.cli.sheet import Sheet, sheet

if TYPE_CHECKING:
    from inlay.project.publishing import Published
    from inlay.project.report import Report
    from inlay.spec.model import Enrichment

COLUMNS = ("done", "ruled", "reused", "unchanged", "partial", "failed", "skipped", "pending")
_ALWAYS = ("done", "failed")


# Words that DuckDB does not take as a column's name without quotes.
_RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create "  # noqa: SIM905
    "default deferrable desc describe distinct do else end except false fetch for foreign from group having in "
    "initially intersect into lambda lateral leading limit not null offset on only or order pivot placing primary "
    "qualify references returning select show some summarize symmetric table then to trailing true union unique "
    "unpivot using variadic when where window with".split()
)


def draw(out: screen.Page, report: Report, enrichment: Enrichment, file: str | None) -> None:
    """The whole summary."""
    if report.skipped or report.dry_run:
        draw_briefly(out, report)
        return
    summary = report.summary
    if report.plan.nothing_to_do:
        why = "the limit is 0" if report.plan.rows_to_do else "every selected row is taken care of"
        out.line(f"{report.enrichment}: nothing to do: {why}")
    else:
        rows = f"{words.count(summary['rows_done'])} of {words.counted(summary['rows'], 'row')}"
        out.line(f"{report.enrichment}: {rows} in {words.duration(report.seconds)}")
        out.line()
        out.table(_cells_table(summary["passes"]))
        out.line()
    for line in (*_trouble(summary), *_money(report), *_published(report, enrichment)):
        out.line(line)
    for note in report.notes:
        out.line(f"note: {note}")
    for line in _next(report, file):
        out.line(line)


def draw_briefly(out: screen.Page, report: Report) -> None:
    """A run that did nothing: why, and what there is to say of it."""
    for line in (report.line, *(f"note: {note}" for note in report.notes)):
        out.line(words.escaped(line))


def stopped_line(report: Report) -> str:
    """Why a run ended early, and what to do."""
    assert report.stopped is not None
    text = f"stopped: {words.escaped(report.stopped.message)}"
    return f"{text}\n  → {words.escaped(report.stopped.remedy)}" if report.stopped.remedy else text


def cell_counts(part: Mapping[str, Any]) -> list[int]:
    """A pass's cells, then how they ended, in the order of COLUMNS; the first is the sum of the others."""
    return [part["cells"], *(_number(part.get(name, 0)) for name in COLUMNS)]


def _number(value: Any) -> int:
    return sum(value.values()) if isinstance(value, Mapping) else int(value)


def _cells_table(passes: list[Mapping[str, Any]]) -> Sheet:
    """cells = how they ended; done and failed always, the others where there are any."""
    counts = [cell_counts(part) for part in passes]
    shown = [at for at, name in enumerate(COLUMNS) if name in _ALWAYS or any(row[1 + at] for row in counts)]
    columns = ["pass", "cells", *(f"{'+ ' if n else '= '}{COLUMNS[at]}" for n, at in enumerate(shown))]
    counts = [[row[0], *(row[1 + at] for at in shown)] for row in counts]
    rows = [[part["pass"], *map(words.count, row)] for part, row in zip(passes, counts, strict=True)]
    sums = [sum(column) for column in zip(*counts, strict=True)]
    total = ["total", *map(words.count, sums)] if len(rows) > 1 else None
    return sheet(columns, rows, text=["pass"], total=total)


def _trouble(summary: Mapping[str, Any]) -> Iterator[str]:
    for name in ("failed", "skipped"):
        found: dict[str, int] = {}
        for part in summary["passes"]:
            for kind, number in part[name].items():
                found[kind] = found.get(kind, 0) + number
        if found:
            yield f"{name}: {words.kinds(found)}"
    if summary["retries"]:
        yield f"asked again within the run: {words.kinds(summary['retries'])}"


def _money(report: Report) -> Iterator[str]:
    summary = report.summary
    if not summary["calls"]:
        yield "no call, $0"
        return
    cached = f" ({words.count(summary['cached_tokens'])} from the provider's cache)" if summary["cached_tokens"] else ""
    yield (
        f"{words.counted(summary['calls'], 'call')}, {words.count(summary['input_tokens'])} tokens in{cached}, "
        f"{words.count(summary['output_tokens'])} out"
    )
    if summary.get("calls_saved"):
        yield f"{words.counted(summary['calls_saved'], 'call')} saved: fused or packed into others"
    if escalated := sum(part.get("escalated", 0) for part in summary["passes"]):
        yield f"{words.counted(escalated, 'cell')} went on to the next model of a cascade: the answer did not suffice"
    plan, spent = report.plan, summary["cost_usd"]
    if plan.cost_usd is None:
        yield "cost not known: the price of a model is not known"
        return
    line = f"cost {words.dollars(spent)}, estimated {words.price_range(plan.cost_usd, plan.worst_usd)}"
    if any(part["pending"] for part in summary["passes"]):
        line += " for all of it"
    if summary["cost_estimated_usd"]:
        line += (
            f"; {words.dollars(summary['cost_estimated_usd'])} of it booked at its worst case, the truth is not known"
        )
    yield line


def _published(report: Report, enrichment: Enrichment) -> Iterator[str]:
    if report.published is None:
        return
    done = report.publication
    if done is not None and done.new is not None:
        yield published_line(done)
        return
    path = _from_here(report.published)
    yield f"wrote {path}: {words.counted(report.published_rows, 'row')}"
    yield f"look: duckdb -c {_shell_quoted(example_select(path, enrichment))}"


def published_line(done: Published) -> str:
    """What became of the rows of a table of a database."""
    parts = ", ".join(
        f"{words.count(number or 0)} {word}"
        for word, number in (("new", done.new), ("changed", done.changed), ("unchanged", done.unchanged))
    )
    more = f"; {words.counted(done.history, 'line')} of history" if done.history else ""
    if done.below:
        more += f"; {words.counted(done.below, 'value')} held back: below accept_above"
    return f"published {words.escaped(done.place)}: {words.counted(done.rows, 'row')} ({parts}){more}"


def example_select(path: str, enrichment: Enrichment) -> str:
    """SQL that shows the first rows of the published table: the key and the first few answers."""
    columns = list(enrichment.source.key)
    for spec in enrichment.passes:
        columns += [spec.column(name) for name in spec.fields]
    names = ", ".join(_identifier(name) for name in columns[:6])
    place = path.replace("'", "''")
    return f"SELECT {names} FROM '{place}' LIMIT 10"  # noqa: S608 (text to be shown, quoted all the same)


def _from_here(path: str) -> str:
    """Relative where it is below the present folder, as it would be typed."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _shell_quoted(text: str) -> str:
    # Double quotes read better around SQL, where nothing in them means something to the shell.
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _identifier(name: str) -> str:
    simple = name.isidentifier() and name.isascii() and name.lower() not in _RESERVED
    return name if simple else '"' + name.replace('"', '""') + '"'


def _next(report: Report, file: str | None) -> Iterator[str]:
    if report.failed:
        status, retry = command_line("status", file), command_line("retry", file)
        yield f"next: {status} shows why cells failed; {retry} makes them worth asking again"
    elif report.stopped is None and report.plan.rows_to_do > report.plan.rows_taken:
        left = words.counted(report.plan.rows_to_do - report.plan.rows_taken, "row")
        yield f"next: {left} more to do: {command_line('run', file)}"
