"""`inlay correct`: human values in place of the model's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.project.corrected import Fix
    from inlay.spec.model import Enrichment

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*=", re.DOTALL)


@click.command(context_settings=options.CONTEXT)
@click.argument("words", nargs=-1, metavar="[KEY] [DECLARATION] [FIELD=VALUE]...")
@click.option("--file", "file", metavar="FIXES", help="Correct what this CSV, JSONL or Parquet file says.")
@click.option("--undo", multiple=True, metavar="FIELD", help="Take the correction of this field back; may be repeated.")
@click.option("--note", default="", metavar="TEXT", help="Why; it is kept with the correction.")
@click.option("--by", metavar="NAME", help="Who says so.  [default: your login name]")
@click.option(
    "--null-reason",
    type=click.Choice(["not_stated", "ambiguous", "not_applicable"]),
    help="Why there is no value, where VALUE is empty or null.  [default: not_stated]",
)
@options.as_json
@click.option("--quiet", is_flag=True, help="Do not say what was kept: only errors.")
def correct(
    words: tuple[str, ...],
    file: str | None,
    undo: tuple[str, ...],
    note: str,
    by: str | None,
    null_reason: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Put your value in place of the model's.

    It is published from now on, whatever is asked later: it outlives edited prompts, other models and a new source
    file. FIELD is a field, pass.field, or a column of the table. VALUE is read as an answer is, and checked: lists and
    objects are JSON, and an empty one or null says that there is none. All is kept, or nothing.

    A file of fixes has the key's columns and either field and value, or one column a field, where an empty cell leaves
    the field alone; note and by may stand beside them.

    \b
    Examples:
      inlay correct 4711 sentiment=negative stars=2 --note "read it twice"
      inlay correct 4711 reviews.yaml 'topics=["spa", "gym"]'
      inlay correct 4711 stars= --null-reason ambiguous
      inlay correct 4711 --undo stars
      inlay correct --file fixes.csv
    """
    from inlay import project
    from inlay.cli import draw_corrections, screen

    author = _login() if by is None else by
    if file is not None:
        if undo or null_reason:
            raise click.UsageError("--undo and --null-reason belong to one KEY; the file has columns of its own")
        declaration, assignments = _split(words)
        if assignments:
            raise click.UsageError("give --file, or KEY and FIELD=VALUE, not both")
        enrichment = options.load(declaration)
        from inlay.project.fixes import read_fixes

        fixes: Iterable[Fix] = read_fixes(enrichment, file, note=note, author=author)
    else:
        if not words:
            raise click.UsageError("say which row and what: KEY FIELD=VALUE, or --file FIXES")
        declaration, assignments = _split(words[1:])
        if not assignments and not undo:
            raise click.UsageError("say what to correct: FIELD=VALUE, or --undo FIELD")
        enrichment = options.load(declaration)
        fixes = _fixes(enrichment, words[0], assignments, undo, null_reason, note, author)
    kept = project.correct(enrichment, fixes)
    if as_json:
        screen.print_json(kept.to_json())
        return
    if not quiet:
        draw_corrections.draw_kept(screen.Page(), kept, enrichment, declaration)


def _split(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """The declaration, if one is named, and the assignments."""
    files = [word for word in words if not _ASSIGNMENT.match(word)]
    for word in files:
        if len(files) > 1 or not (Path(word).suffix.lower() in (".yaml", ".yml") or Path(word).exists()):
            raise click.UsageError(f"{word!r} is neither FIELD=VALUE nor a declaration")
    return (files[0] if files else options.DEFAULT_FILE), [word for word in words if _ASSIGNMENT.match(word)]


def _fixes(
    enrichment: Enrichment,
    key: str,
    assignments: list[str],
    undo: tuple[str, ...],
    null_reason: str | None,
    note: str,
    author: str,
) -> list[Fix]:
    from inlay.project.corrected import Fix
    from inlay.project.keys import parsed_parts

    row = parsed_parts(enrichment, key)
    out = []
    for word in assignments:
        field, _, value = word.partition("=")
        out.append(Fix(row, field, value, null_reason, note, author))
    return [*out, *(Fix(row, field, note=note, author=author, withdrawn=True) for field in undo)]


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return ""
