"""`inlay show`: the first rows with their answers, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.spec.model import Enrichment

CELL_WIDTH = 28


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many rows.")
@click.option("--columns", metavar="A,B,…", help="These columns, whatever fits; without it, the key and the answers.")
@options.as_json
def show(declaration: str, limit: int, columns: str | None, as_json: bool) -> None:
    """Look at the first rows with their answers.

    A value that is missing shows its reason in its place. What does not fit into the window is named below the table.
    No model is asked.

    \b
    Examples:
      inlay show
      inlay show --limit 3 --columns id,sentiment,sentiment_evidence
    """
    from inlay import load, project
    from inlay.cli import screen
    from inlay.errors import SpecError

    enrichment = load(declaration)
    rows = project.show(enrichment, limit=limit)
    if as_json:
        screen.print_json(rows)
        return
    known = list(rows[0]) if rows else []
    wanted = [name.strip() for name in columns.split(",")] if columns else answers(enrichment, known)
    unknown = [name for name in wanted if name not in known]
    if rows and unknown:
        raise SpecError(f"the table has no column {', '.join(unknown)}", remedy=f"it has: {', '.join(known)}")
    draw(rows, wanted, everything=columns is not None)


def answers(enrichment: Enrichment, known: list[str]) -> list[str]:
    """The key, a source column to recognise a row by, and the fields of every pass."""
    key = [name for name in enrichment.source.key if name in known]
    fields = [part.column(name) for part in enrichment.passes for name in part.fields]
    named = next((name for name in known if name not in key and name.lower() in ("title", "name", "full_name")), None)
    if enrichment.source.content_key:  # which says nothing to anybody
        read = [name for name in known if name in enrichment.passes[0].inputs]
        return [*([named] if named else read[:1]), *fields]
    return [*key, *([named] if named else []), *fields]


def draw(rows: list[dict[str, Any]], wanted: list[str], *, everything: bool) -> None:
    """Rows as a table that fits the window; what does not is named below it."""
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from inlay.cli import screen
    from inlay.cli.words import escaped

    console = screen.console()
    cells = [[_cell(row, name) for name in wanted] for row in rows]
    widths = (
        [
            max(cell_len(escaped(name)), *(cell_len(text) for text, _ in column))
            for name, column in zip(wanted, zip(*cells, strict=True), strict=True)
        ]
        if rows
        else []
    )
    fitting = _fitting(widths, console.width, everything=everything)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for name in wanted[:fitting]:
        table.add_column(escaped(name), no_wrap=True)
    for row in cells:
        table.add_row(*(Text(text, style="" if there else "dim italic") for text, there in row[:fitting]))
    console.print(table)
    if fitting < len(wanted):
        left = ", ".join(escaped(name) for name in wanted[fitting:])
        console.print(Text(f"and {len(wanted) - fitting} more (--columns): {left}", style="dim"))


def _fitting(widths: list[int], room: int, *, everything: bool) -> int:
    """How many columns fit beside each other."""
    if everything:
        return len(widths)
    used = 0
    for number, width in enumerate(widths):
        used += width + 3
        if used > room + 3:
            return max(1, number)
    return len(widths)


def _cell(row: dict[str, Any], name: str) -> tuple[str, bool]:
    """A value in one line, or the reason why there is none."""
    from rich.cells import cell_len, set_cell_size

    from inlay.cli.words import escaped

    value = row.get(name)
    if value is None:
        reason = row.get(f"{name}_null_reason")
        return (str(reason).replace("_", " ") if reason else "–"), False
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    if isinstance(value, list):
        value = ", ".join(str(part) for part in value) or "none"
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {part}" for key, part in value.items())
    text = escaped(" ".join(str(value).split()))
    return (text if cell_len(text) <= CELL_WIDTH else set_cell_size(text, CELL_WIDTH - 1) + "…"), True
