"""`inlay report`: one web page about an enrichment, to look at and to show."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("-o", "--output", metavar="FILE", help="Write here.  [default: report.html beside the declaration]")
@click.option("--open", "show", is_flag=True, help="Open it in the web browser.")
@click.option(
    "--limit-samples",
    "samples",
    type=click.IntRange(0, 50),
    default=12,
    show_default=True,
    help="How many rows to show with their text.",
)
@options.as_json
@click.option("--quiet", is_flag=True, help="Do not say where it is: only errors.")
def report(declaration: str, output: str | None, show: bool, samples: int, as_json: bool, quiet: bool) -> None:
    """Write a web page about it: coverage, values, cost, rows.

    One file that needs no network and runs no script: how much is answered, how values and confidence are spread,
    where values come from, what failed and what to do, what the last run changed, what it cost, and a few rows with
    the evidence marked in their text. No model is asked. With --json the same facts are printed and no file is
    written.

    \b
    Examples:
      inlay report --open
      inlay report reviews.yaml -o reviews.html
      inlay report --json | jq .totals
    """
    from inlay import project
    from inlay.cli import screen, words

    if as_json:
        if output is not None or show:
            raise click.UsageError("--json prints the facts and writes no file: leave out -o and --open")
        screen.print_json(project.report_facts(declaration, samples=samples).to_json())
        return
    path = project.write_report(declaration, output, samples=samples)
    if not quiet:
        click.echo(f"wrote {words.escaped(str(path))}")
    if show:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            click.echo("no web browser could be opened here", err=True)
