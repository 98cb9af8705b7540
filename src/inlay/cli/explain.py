"""`inlay explain`: one row's whole story."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@click.argument("key")
@options.declaration
@click.option("--prompt", is_flag=True, help="Show the exact request that would be sent, for each pass.")
@options.as_json
def explain(key: str, declaration: str, prompt: bool, as_json: bool) -> None:
    """Tell one row's whole story.

    For each pass: its state, what the next run would do and why, what changed since the last answer, the values with
    their evidence in its text, the calls and what they cost, earlier answers. A key of several columns is a JSON list.
    Nothing is sent and nothing is written.

    \b
    Examples:
      inlay explain 4711
      inlay explain 4711 reviews.yaml --prompt
      inlay explain '["JP", 7]' --json | jq '.passes[].reason'
    """
    from inlay import project
    from inlay.cli import draw_explain, screen
    from inlay.project.keys import parsed_parts

    enrichment = options.load(declaration)
    told = project.explain(enrichment, parsed_parts(enrichment, key), prompt=prompt)
    if as_json:
        screen.print_json(told.to_json())
        return
    draw_explain.draw(screen.Page(), told, declaration)
