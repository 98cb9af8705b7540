"""`inlay plan`: what a run would do, why, and at what price."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@options.limit
@options.refresh
@options.mode
@options.as_json
def plan(declaration: str, limit: int | None, refresh: str | None, mode: str | None, as_json: bool) -> None:
    """Show what a run would do, why, and at what price.

    Nothing is sent and nothing is written. Every selected row is counted under one reason for each pass; the price is
    an estimate and, after it, the most that the calls can cost.

    \b
    Examples:
      inlay plan
      inlay plan reviews.yaml --limit 100
      inlay plan --refresh stale      # price what an edited prompt made stale
      inlay plan --mode batch         # what half the price would be
      inlay plan --json | jq .cost_usd
    """
    from inlay import project
    from inlay.cli import draw_plan, screen

    found = project.plan(declaration, limit=limit, refresh=options.refreshing(refresh), mode=mode)
    if as_json:
        screen.print_json(found.to_json())
        return
    draw_plan.draw(screen.Page(), found, declaration, refreshed=refresh is not None, mode=mode)
