"""`inlay costs`: what an enrichment has cost, what was saved, and what more would cost."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option(
    "--by",
    type=click.Choice(["run", "pass", "model", "day", "record"]),
    default="pass",
    show_default=True,
    help="What to sum by; record: the dearest rows.",
)
@click.option("--top", type=options.Rows(), default="20", show_default=True, help="How many rows --by record shows.")
@click.option("--project", "projected", type=options.Rows(), help="What so many rows like these would cost.")
@click.option("--on", multiple=True, metavar="MODEL", help="What the same tokens cost on another model; repeatable.")
@click.option("--without-store", is_flag=True, help="Compare with asking every target again in every run.")
@click.option(
    "--every",
    type=options.Days(),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="With --without-store: how often it runs, for the figures of a month and a year.",
)
@options.as_json
def costs(
    declaration: str,
    by: str,
    top: int,
    projected: int | None,
    on: tuple[str, ...],
    without_store: bool,
    every: float,
    as_json: bool,
) -> None:
    """Show what it cost, what was saved, and what more would cost.

    Every attempt that was ever paid is in it. Savings are estimates at list prices: the provider's cache, requests that
    several cells shared, batches, and answers that rows with equal inputs share. Nothing is sent.

    With --without-store: what was paid beside what it would have been, had every run asked every target anew, at the
    mean price of an answer that was paid; so far, and for a month and a year.

    \b
    Examples:
      inlay costs --by day
      inlay costs --by record --top 5
      inlay costs --project 1000000 --on openai:gpt-6-luna --on anthropic:claude-haiku-5-5
      inlay costs --without-store
      inlay costs --json | jq .saved
    """
    from inlay import project
    from inlay.cli import draw_costs, screen

    if without_store:
        compared = project.compare_costs(declaration, every_days=every)
        if as_json:
            screen.print_json(compared.to_json())
        else:
            draw_costs.draw_comparison(screen.Page(), compared)
        return
    found = project.costs(declaration, by=by, project=projected, on=on, records=top)
    if as_json:
        screen.print_json(found.to_json())
        return
    draw_costs.draw(screen.Page(), found, options.load(declaration))
