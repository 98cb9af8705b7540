"""An evaluation in words: sections of lines and small tables, drawn alike on a terminal, in Markdown and as a page.

What stays true: every figure says how many rows it rests on; the texts of records stand in cells as they are, and
whoever draws them makes them harmless.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inlay.quality.facts import Disagreements, FieldReport, Pair, Predicted, Remembered, Sample
from inlay.quality.statistics import Share
from inlay.reporting.excerpt import cut
from inlay.reporting.words import count, counted, dollars, percent

_CLASSES = 20
_CELL = 60
# Below this a difference between two models is more than chance would often give.
_TELLING = 0.05


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows of cells; columns in `text` hold texts, the others figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A title (maybe none), lines, and maybe a table."""

    title: str
    lines: tuple[str, ...] = ()
    table: Table | None = None


def sampled(sample: Sample) -> str:
    """Which rows were asked."""
    if sample.kind == "golden":
        skipped = f", {counted(sample.skipped, 'line')} without a label or a row" if sample.skipped else ""
        return f"golden: {counted(sample.taken, 'row')} of {sample.file}{skipped}"
    how = f"{sample.method}, seed {sample.seed}"
    if sample.strata > 1:
        how += f", {count(sample.strata)} strata of {counted(sample.labels, 'value')}"
    return f"shadow: {count(sample.taken)} of {counted(sample.known, 'row')} with a known value ({how})"


def share_words(share: Share | None) -> str:
    """`82.4%, between 78.9% and 85.5%`."""
    if share is None:
        return "–"
    return f"{percent(share.value, 1)} (95%: {share.low * 100:.1f} to {share.high * 100:.1f}%)"


def of_field(each: FieldReport, *, weighted: bool) -> Iterator[Section]:
    """Everything about one field, the most important first."""
    target = each.target
    yield Section(f"{target.pass_name}.{target.field}, held against {target.column}", tuple(_main(each, weighted)))
    if each.classes:
        yield _classes(each)
    if each.confusion:
        yield Section("Original and predicted, where they differ", table=_pairs(each.confusion))
    if each.thresholds:
        rows = tuple(
            (f"{one.accept_above:g}", percent(one.coverage, 1), share_words(one.accuracy), _n(one.accuracy))
            for one in each.thresholds
        )
        yield Section(
            "What accept_above would give",
            table=Table(("accept_above", "rows with a value", "of these right", "rows seen"), rows),
        )
    if each.calibration is not None:
        yield _calibration(each)
    if len(each.models) > 1:
        yield _models(each)
    if each.predictions:
        yield Section("Values given", table=_values(each.predictions, sum(one.count for one in each.predictions)))
    if each.wrong:
        yield _wrong(each)


def _main(each: FieldReport, weighted: bool) -> Iterator[str]:
    if each.accuracy is None:
        yield "no row has been answered"
    else:
        note = ", reckoned back to all known rows" if weighted else ""
        yield f"right: {share_words(each.accuracy)}{note}; {count(each.accuracy.right)} of {count(each.judged)} seen"
        given = each.accuracy_given
        if given is not None and given.n < each.judged:
            nulls = ", ".join(f"{name} {count(n)}" for name, n in _by_count(each.nulls.items()))
            yield f"with a value: {share_words(each.coverage)}; without: {nulls}"
            yield f"right where there is a value: {share_words(given)}; {count(given.right)} of {count(given.n)} seen"
    if each.baseline is not None:
        yield f"always saying {cut(each.baseline[0], _CELL)!r} would be right in {percent(each.baseline[1], 1)}"
    if each.balanced is not None and len(each.classes) > 1:
        yield f"mean recall of {counted(sum(one.recall is not None for one in each.classes), 'value')}: " + percent(
            each.balanced, 1
        )
    if each.mean_score is not None:
        yield f"mean F1 of a row's items: {each.mean_score:.3f}"
    if each.mean_error is not None:
        yield f"mean distance: {each.mean_error:g}"
    for reason, n in _by_count(each.unanswered.items()):
        yield f"not answered, {reason}: {counted(n, 'row')}"
    if each.unreadable:
        yield f"left out: {counted(each.unreadable, 'known value')} that can be no {each.type}"
    if each.unreachable:
        n = sum(each.unreachable.values())
        shown = ", ".join(cut(name, _CELL) for name in list(each.unreachable)[:5])
        yield f"{counted(n, 'row')} can never be right, since no label of the field is their known value: {shown}"
        yield "  (a synonym file maps one spelling to another)"
    price = f"{each.model}: {dollars(each.cost_usd)}"
    if each.cost_usd and each.cost_per_row_usd is not None:
        right = each.cost_per_right_usd
        price += f", {dollars(each.cost_per_row_usd)} a row" + (f", {dollars(right)} a right one" if right else "")
    yield price


def _classes(each: FieldReport) -> Section:
    rows = tuple(
        (
            cut(one.label, _CELL),
            count(one.support),
            count(one.predicted),
            _rate(one.precision),
            _rate(one.recall),
            _rate(one.f1),
        )
        for one in each.classes[:_CLASSES]
    )
    rest = len(each.classes) - len(rows)
    lines = (f"the {_CLASSES} most frequent; {count(rest)} more are in the JSON report",) if rest > 0 else ()
    columns = ("value", "known", "predicted", "precision", "recall", "F1")
    return Section("By value", lines, Table(columns, rows, ("value",)))


def _calibration(each: FieldReport) -> Section:
    found = each.calibration
    assert found is not None
    rows = tuple(
        (f"{one.low:.1f} to {one.high:.1f}", count(one.n), f"{one.confidence:.3f}", percent(one.accuracy, 1))
        for one in found.bins
    )
    lines = (f"expected calibration error {found.ece:.3f}, Brier score {found.brier:.3f} (0 is best)",)
    return Section("Can confidence be believed?", lines, Table(("confidence", "rows", "mean", "right"), rows))


def _models(each: FieldReport) -> Section:
    rows = []
    for one in each.models:
        against = "the present one" if one.present else f"{count(one.better)} better, {count(one.worse)} worse"
        if not one.present and one.better + one.worse:
            against += f", p = {one.p_value:.3f}" + (" *" if one.p_value < _TELLING else "")
        rows.append(
            (
                f"{one.model} · {one.recipe}",
                _day(one.asked_last),
                count(one.answered),
                share_words(one.accuracy),
                against,
                dollars(one.cost_usd),
            )
        )
    columns = ("model · prompt", "asked", "rows", "right", "against the present one", "US dollars")
    lines = ("rows that each has answered; better and worse are counted where both have",)
    return Section("Every model that has answered these rows", lines, Table(columns, tuple(rows), (columns[0],)))


def _wrong(each: FieldReport) -> Section:
    names = list(dict.fromkeys(name for row in each.wrong for name in row.inputs))
    rows = tuple(
        (
            cut(row.key, _CELL),
            *(cut(row.inputs.get(name, ""), _CELL) for name in names),
            cut(row.original, _CELL),
            cut(row.predicted, _CELL),
            _rate(row.confidence),
        )
        for row in each.wrong
    )
    columns = ("row", *names, "original", "predicted", "confidence")
    return Section("Wrong rows, the surest first", table=Table(columns, rows, columns[:-1]))


def _pairs(pairs: Sequence[Pair]) -> Table:
    rows = tuple(
        (cut(one.original, _CELL), cut(one.predicted, _CELL), count(one.count), _rate(one.confidence)) for one in pairs
    )
    return Table(("original", "predicted", "rows", "confidence"), rows, ("original", "predicted"))


def _values(values: Sequence[Predicted], total: int) -> Table:
    rows = tuple(
        (cut(one.value, _CELL), count(one.count), percent(one.count, total), _rate(one.confidence)) for one in values
    )
    return Table(("value", "rows", "share", "confidence"), rows, ("value",))


def of_disagreements(found: Sequence[Disagreements]) -> Iterator[Section]:
    """Pairs and values of each field, of the real table first."""
    if not found:
        yield Section("", ("nothing has been answered yet",))
    for each in found:
        where = "shadow rows" if each.shadow else "the table"
        lines = [f"{counted(each.rows, 'row')} with a value"]
        if not each.rows:
            lines = ["no row has been given a value"]
        elif each.target is not None and each.compared:
            same = percent(each.agreed, each.compared)
            lines.append(f"{count(each.compared)} also have {each.target.column}: {same} agree")
        elif each.target is not None:
            lines.append(f"none of them has a known {each.target.column}: `inlay eval --shadow 500` asks some that do")
        title = f"{each.pass_name}.{each.field}, {where}"
        yield Section(title, tuple(lines), _values(each.predictions, each.rows) if each.predictions else None)
        if each.pairs:
            yield Section("Original and predicted, where they differ", table=_pairs(each.pairs))


def of_history(found: Sequence[Remembered]) -> Section:
    """Evaluations, the newest first."""
    if not found:
        return Section("", ("nothing has been evaluated yet: inlay eval --shadow 500",))
    rows = tuple(
        (
            _day(one.at),
            one.field,
            f"{one.kind}: {one.sample}",
            f"{one.model} · {one.recipe}",
            count(one.judged),
            "–" if one.accuracy is None else percent(one.accuracy, 1),
            "–" if one.low is None or one.high is None else f"{one.low * 100:.1f} to {one.high * 100:.1f}%",
            "–" if one.coverage is None else percent(one.coverage, 1),
            dollars(one.cost_usd),
        )
        for one in found
    )
    columns = ("day", "field", "rows of", "model · prompt", "rows", "right", "95%", "with a value", "US dollars")
    return Section("", table=Table(columns, rows, ("day", "field", "rows of", "model · prompt")))


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _n(share: Share | None) -> str:
    return "0" if share is None else count(share.n)


def _day(at: float) -> str:
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d}" if at else "–"


def _by_count(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: (-item[1], item[0]))


# --- in files


def markdown(title: str, sections: Iterable[Section]) -> str:
    """The sections as a Markdown page."""
    out = [f"# {_md(title)}"]
    for each in sections:
        if each.title:
            out += ["", f"## {_md(each.title)}"]
        if each.lines:
            out += ["", *(f"- {_md(line)}" for line in each.lines)]
        if each.table is not None:
            marks = [":--" if name in each.table.text else "--:" for name in each.table.columns]
            rows = [each.table.columns, tuple(marks), *each.table.rows]
            out += ["", *(f"| {' | '.join(cell if row is rows[1] else _md(cell) for cell in row)} |" for row in rows)]
    return "\n".join(out) + "\n"


def _md(text: str) -> str:
    """Text that stays text in Markdown: no markup, no HTML, no second line."""
    out = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\`*_[]|#":
        out = out.replace(mark, f"\\{mark}")
    return out


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .7rem;border-bottom:1px solid #ccc}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
)


def page(title: str, sections: Iterable[Section]) -> str:
    """The sections as one web page that loads nothing and runs no script."""
    out = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
    ]
    for each in sections:
        if each.title:
            out.append(f"<h2>{html.escape(each.title)}</h2>")
        out += [f"<p>{html.escape(line)}</p>" for line in each.lines]
        if each.table is not None:
            names = each.table.columns
            marks = ["" if name in each.table.text else ' class="n"' for name in names]
            heads = "".join(f"<th{mark}>{html.escape(name)}</th>" for name, mark in zip(names, marks, strict=True))
            body = "".join(
                "<tr>"
                + "".join(
                    f'<td{mark} dir="auto">{html.escape(cell)}</td>' for cell, mark in zip(row, marks, strict=True)
                )
                + "</tr>"
                for row in each.table.rows
            )
            out.append(f"<table><tr>{heads}</tr>{body}</table>")
    return "\n".join(out) + "\n"
