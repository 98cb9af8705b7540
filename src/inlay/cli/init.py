"""`inlay init`: a first declaration, from a look at a file and a few questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.spec.fields import FieldSpec
    from inlay.tables.looking import Look

_ASKED = """\
What do you want to know of each row? One line a field, an empty line at the end. For example:
  mood: positive|neutral|negative
  stars: integer, 1..5 - how satisfied the writer is
  topics: list[string], at most 5
Nothing at all begins with a summary and topics."""


@click.command(context_settings=options.CONTEXT)
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--yes", is_flag=True, help="Ask nothing: take what is found, and begin with a summary and topics.")
@click.option(
    "-o",
    "--output",
    default=options.DEFAULT_FILE,
    show_default=True,
    metavar="FILE",
    help="Write the declaration here.",
)
def init(file: str | None, yes: bool, output: str) -> None:
    """Write a first declaration that runs as it is.

    It looks at a file (Parquet, CSV or JSONL; without one, at those in this folder), shows its columns, and asks for
    the key and for what you want to know. The declaration that it writes is commented, with a small limit and a small
    budget. A file that is there is never overwritten. No model is asked.

    \b
    Examples:
      inlay init
      inlay init reviews.csv
      inlay init reviews.csv --yes && inlay run
    """
    from inlay.cli.words import escaped
    from inlay.errors import SpecError
    from inlay.project.declaring import begin, look_at, put
    from inlay.spec.quick import in_words_of

    place = Path(output)
    if place.exists():
        raise SpecError(f"{output} is there already", key="-o", remedy="give another name: -o other.yaml")
    if not yes and not options.on_terminal():
        raise SpecError(
            "`inlay init` asks a few questions, and there is no terminal to ask on",
            key="--yes",
            remedy="add --yes to take what it finds",
        )
    with in_words_of({"source.files": "FILE", "source.key": "key", "name": "FILE"}):
        chosen = file or _file(yes)
        found = look_at(chosen)
        if not yes:
            _draw(chosen, found)
        key = None if yes else _key(found)
        fields = None if yes else _fields()
        beginning = begin(chosen, found, key=key, fields=fields, place=place)
        put(place, beginning.text)
    rows = beginning.enrichment.select.limit
    click.echo(f"wrote {escaped(output)}: {escaped(chosen)}, {', '.join(beginning.enrichment.passes[0].fields)}")
    click.echo(f"next: {options.command_line('plan', output)} (the price), {options.command_line('run', output)}")
    click.echo(f"a run takes up {rows} rows until you take out `limit`")


def _file(yes: bool) -> str:
    """The file of this folder that is meant."""
    from inlay.cli.words import escaped
    from inlay.errors import SpecError
    from inlay.project.declaring import candidates

    names = candidates(Path.cwd())
    if not names:
        raise SpecError(
            "there is no Parquet, CSV or JSONL file in this folder",
            key="FILE",
            remedy="name one: inlay init path/to/rows.csv",
        )
    if len(names) == 1:
        return names[0]
    if yes:
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise SpecError(f"there are {len(names)} files to choose from", key="FILE", remedy=f"name one: {listed}")
    for number, name in enumerate(names, start=1):
        click.echo(f"  {number}  {escaped(name)}")
    number = click.prompt("Which file", type=click.IntRange(1, len(names)), default=1)
    return names[number - 1]


def _draw(file: str, found: Look) -> None:
    """The columns, so that the questions can be answered."""
    from inlay.cli import screen, words
    from inlay.cli.sheet import sheet

    out = screen.Page()
    out.line(f"{file}: {words.counted(found.rows, 'row')}")
    rows = [
        [
            column.name,
            column.type.lower(),
            words.percent(column.filled, found.rows),
            "unique" if column.name in found.keys else f"about {words.count(column.distinct)}",
            ", ".join(" ".join(text.split())[:24] for text in column.examples[:2]),
        ]
        for column in found.columns
    ]
    out.table(sheet(["column", "type", "filled", "values", "such as"], rows, text=["column", "type", "such as"]))


def _key(found: Look) -> tuple[str, ...]:
    """The key columns, as given or as found."""
    known = [column.name for column in found.columns]
    while True:
        text = click.prompt(
            'Which column tells the rows apart (several with commas, "*" for the whole row)',
            default=found.keys[0] if found.keys else "*",
        ).strip()
        key = (text,) if text in known else tuple(part.strip() for part in text.split(","))
        wrong = [part for part in key if part not in known and key != ("*",)]
        if not wrong:
            return key
        click.echo(f"there is no column {', '.join(wrong)}; there are: {', '.join(known)}", err=True)


def _fields() -> dict[str, FieldSpec] | None:
    """The fields, line by line; None where nothing was given."""
    from inlay.cli.words import escaped
    from inlay.errors import SpecError
    from inlay.spec.field_lines import read_lines

    click.echo(_ASKED)
    fields: dict[str, FieldSpec] = {}
    while True:
        line = click.prompt("field", default="", show_default=False).strip()
        if not line:
            return fields or None
        try:
            fields |= read_lines([line], key="field")
        except SpecError as error:
            click.echo("\n".join(escaped(part) for part in str(error).splitlines()), err=True)
