"""`inlay prices`: what models cost."""

from __future__ import annotations

import click

from inlay.cli import completing, options


@click.command(context_settings=options.CONTEXT)
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option(
    "-f",
    "--file",
    "declaration",
    default=options.DEFAULT_FILE,
    show_default=True,
    help="Declaration whose models to show where none is named.",
    shell_complete=completing.declarations,
)
@options.as_json
def prices(models: tuple[str, ...], declaration: str, as_json: bool) -> None:
    """Show what models cost: rates, tiers, batches, and where the figures are from.

    In US dollars per million tokens. With names (provider:name), the built-in table; without, the models of the
    declaration at the prices that a run would reckon with: its own, prices.yaml's, or the table's. Nothing is sent.

    \b
    Examples:
      inlay prices openai:gpt-6-luna anthropic:claude-haiku-5-5
      inlay prices
      inlay prices --json | jq '.[].lines'
    """
    from inlay import project
    from inlay.cli import draw_costs, screen

    found = project.prices(models) if models else project.prices(declaration=declaration)
    if as_json:
        screen.print_json([price.to_json() for price in found])
        return
    draw_costs.draw_prices(screen.Page(), found)
