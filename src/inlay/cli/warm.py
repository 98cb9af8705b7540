"""`inlay store warm`: take answers over that somebody has already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.project.warming import Warmed


@click.command(context_settings=options.CONTEXT)
@click.argument("file", required=False)
@click.option("--declaration", default=options.DEFAULT_FILE, show_default=True, help="The declaration.")
@click.option("--table", metavar="TABLE", help="In place of a file: a table of the declaration's database.")
@click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help="A field and its column; repeatable.")
@click.option(
    "--confidence",
    "confidences",
    multiple=True,
    metavar="NAME=COLUMN",
    help="A field and the column of its confidence.",
)
@click.option("--pass", "pass_name", metavar="NAME", help="The pass, where several have fields of these names.")
@click.option(
    "--model-version", "named", metavar="NAME", help="What is published as source, behind warm:.  [default: the file]"
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken over; write nothing.")
@options.as_json
@options.quiet
def warm(
    file: str | None,
    declaration: str,
    table: str | None,
    fields: tuple[str, ...],
    confidences: tuple[str, ...],
    pass_name: str | None,
    named: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Take answers over that you have already.

    From a CSV, JSONL or Parquet file, or a table: each line names a row by the key's columns, and its values become the
    answers for what the row says now. Cells that have an answer are left alone. Nothing is sent, nothing is paid; a run
    does not ask what was taken over, and asks the other fields of a row that was not given whole.

    \b
    Examples:
      inlay store warm predictions.csv --field nationality=llm_nationality --dry-run
      inlay store warm --table staging.old_cache --field nationality=value --confidence nationality=confidence
    """
    from pathlib import Path

    from inlay import project
    from inlay.cli import screen
    from inlay.project.warming import Warmth

    if (file is None) == (table is None):
        raise click.UsageError("name a FILE, or --table TABLE")
    given = Warmth(
        fields=_pairs(fields, "--field"),
        file=None if file is None else Path(file),
        table=table,
        confidences=_pairs(confidences, "--confidence"),
        pass_name=pass_name,
        named=named,
    )
    found = project.warm(options.load(declaration), given, dry_run=dry_run)
    if as_json:
        screen.print_json(found.to_json())
    elif not quiet:
        for line in _warmed_lines(found):
            click.echo(line)


def _pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for text in given:
        name, mark, column = text.partition("=")
        if not name or not mark or not column:
            raise click.UsageError(f"{option} {text!r} is not NAME=COLUMN")
        out[name] = column
    return out


def _warmed_lines(found: Warmed) -> Iterator[str]:
    """What was taken over, and what was not and why."""
    from inlay.cli import words

    verb = "would take over" if found.dry_run else "took over"
    lines = words.counted(found.rows, "line")
    yield f"{verb} {words.counted(found.warmed, 'answer')} of {lines}"
    if found.partial:
        yield f"{words.counted(found.partial, 'answer')} not in every field: a run asks the others"
    parts = [
        f"{words.count(count)} {what}"
        for count, what in (
            (found.answered, "answered already"),
            (found.empty, "without a value"),
            (found.unfit, "with a value that does not fit"),
            (found.absent, "not among the lines"),
        )
        if count
    ]
    if parts:
        yield f"left as they are: {', '.join(parts)}"
    for example in found.examples:
        yield f"  {words.escaped(example, 160)}"
