"""`inlay status`: how far an enrichment is, what failed and what it has cost."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("--targets", is_flag=True, help="Look at the source too: how many of its present targets need no call.")
@options.as_json
def status(declaration: str, targets: bool, as_json: bool) -> None:
    """Show how far it is, what failed, what it cost.

    Coverage of each pass, the newest failures, costs by pass and model, what was answered on the last thirty days, and
    the last runs. It reads the store alone, so rows that no run has reached are not in it: `inlay plan` counts those,
    and --targets tells the hit rate over them.

    \b
    Examples:
      inlay status
      inlay status --targets
      inlay status reviews.yaml --json | jq '.passes[].states'
    """
    from inlay import project
    from inlay.cli import draw_status, screen

    enrichment = options.load(declaration)
    found = project.status(enrichment, targets=targets)
    if as_json:
        screen.print_json(found.to_json())
        return
    draw_status.draw(screen.Page(), found, enrichment, declaration)
