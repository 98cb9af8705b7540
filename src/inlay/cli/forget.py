"""`inlay forget`: erase rows for good, a person's for example."""

from __future__ import annotations

import click

from inlay.cli import options

# What a store and the published tables call what went, as one and as many.
_NAMED = {
    "cells": ("cell", "cells"),
    "answers": ("answer", "answers"),
    "history": ("line of history", "lines of history"),
    "attempts": ("attempt", "attempts"),
    "corrections": ("correction", "corrections"),
    "batch_lines": ("line of a batch", "lines of batches"),
    "published": ("published row", "published rows"),
    "published_history": ("published line of history", "published lines of history"),
}


@click.command(context_settings=options.CONTEXT)
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@click.option("--declaration", default=options.DEFAULT_FILE, show_default=True, help="The declaration.")
@options.yes
@options.as_json
@options.quiet
def forget(keys: tuple[str, ...], declaration: str, yes: bool, as_json: bool, quiet: bool) -> None:
    """Erase rows for good, a person's for example.

    What was sent for them, every answer with its evidence, their history and corrections, and their rows in the
    published table. It works for rows that the source has no more; a row that it still has is asked again by the next
    run, unless it is deleted or left out there. A key of several columns is a JSON list: '["JP", 7]'. Sums of money
    stay. Asks on a terminal, and needs --yes elsewhere.

    \b
    Examples:
      inlay forget 12345
      inlay forget 12345 67890 --declaration tenants.yaml --yes
    """
    from inlay import project
    from inlay.cli import screen, words
    from inlay.project.keys import parsed_parts

    enrichment = options.load(declaration)
    options.stored_keys(enrichment, keys)  # one that does not fit is refused before anybody is asked
    rows = words.counted(len(set(keys)), "row")
    options.sure(f"Erase {rows} of {enrichment.name} for good? There is no way back.", yes=yes)
    gone = project.forget(enrichment, [parsed_parts(enrichment, key) for key in keys])
    if as_json:
        screen.print_json(gone.to_json())
    elif not quiet:
        counts = {name: count for name, count in gone.deleted.items() if count}
        listed = ", ".join(words.counted(count, *_NAMED.get(name, (name, name))) for name, count in counts.items())
        click.echo(f"erased: {listed}" if listed else "nothing was kept of them")
        for note in gone.notes:
            click.echo(f"note: {words.escaped(note)}")
