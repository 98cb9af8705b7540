"""`inlay export`: the wide table, to a file or to standard output, or once more to where the declaration says."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("-o", "--output", metavar="FILE", help="Write here; the ending says the format. - is standard output.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    help="The format, whatever the ending says; without -o, the table goes to standard output.",
)
@options.as_json
@options.quiet
def export(declaration: str, output: str | None, form: str | None, as_json: bool, quiet: bool) -> None:
    """Write the table with its answers to a file or a pipe, or publish it again.

    Each answer stands beside its confidence, its evidence, and the reason where there is none. No model is asked. A
    file appears whole or not at all. Parquet is written to files only.

    Without -o and --format it is published where the declaration says, as a run would: a table of a database that was
    dropped, emptied or reloaded is built again from the store.

    \b
    Examples:
      inlay export
      inlay export -o answers.parquet
      inlay export reviews.yaml --format csv | head
      inlay export --format jsonl | jq -c '{id, sentiment}'
    """
    from inlay import project
    from inlay.cli import screen, words

    if output is None and form is None:
        _again(declaration, as_json, quiet)
        return
    to_stdout = output in (None, "-")
    if to_stdout and form is None:
        raise click.UsageError("say how: --format csv (or jsonl) for standard output, or -o FILE")
    if to_stdout and form == "parquet":
        raise click.UsageError("Parquet is written to a file: -o FILE.parquet")
    if to_stdout and as_json:
        raise click.UsageError("--json tells what was written to a file: -o FILE")
    rows = project.export(declaration, output or "-", format=form)
    if as_json:
        screen.print_json({"written": output, "rows": rows})
    elif not to_stdout and not quiet:
        click.echo(f"wrote {words.escaped(output or '')}: {words.counted(rows, 'row')}", err=True)


def _again(declaration: str, as_json: bool, quiet: bool) -> None:
    """Publish where the declaration says."""
    from dataclasses import asdict

    from inlay import project
    from inlay.cli import draw_report, screen, words

    done = project.republish(declaration)
    if as_json:
        screen.print_json(asdict(done))
    elif quiet:
        return
    elif done.new is not None:
        click.echo(draw_report.published_line(done), err=True)
    else:
        click.echo(f"wrote {words.escaped(done.place)}: {words.counted(done.rows, 'row')}", err=True)
