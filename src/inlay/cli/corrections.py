"""`inlay corrections`: what people said in place of the model."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("--history", is_flag=True, help="All that were ever made, those taken back included.")
@options.as_json
def corrections(declaration: str, history: bool, as_json: bool) -> None:
    """List the values that people put in place of the model's.

    Each beside what the model says now, with its note, its author and its time. One that no longer fits (its row, field
    or pass is gone, or its value is not allowed any more) says so; it is kept until it is taken back.

    \b
    Examples:
      inlay corrections
      inlay corrections reviews.yaml --history
      inlay corrections --json | jq '.corrections[] | {key, field, value}'
    """
    from inlay import project
    from inlay.cli import draw_corrections, screen

    found = project.corrections(options.load(declaration), history=history)
    if as_json:
        screen.print_json(found.to_json())
        return
    draw_corrections.draw(screen.Page(), found, history=history)
