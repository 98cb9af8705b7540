"""`inlay export`: the wide table, to a file or to standard output."""

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
    """Write the table with its answers to a file or a pipe.

    Each answer stands beside its confidence, its evidence, and the reason where there is none. No model is asked. A
    file appears whole or not at all. Parquet is written to files only.

    \b
    Examples:
      inlay export -o answers.parquet
      inlay export reviews.yaml --format csv | head
      inlay export --format jsonl | jq -c '{id, sentiment}'
    """
    from inlay import project
    from inlay.cli import screen, words

    to_stdout = output in (None, "-")
    if to_stdout and form is None:
        raise click.UsageError("say where: -o FILE, or --format csv (or jsonl) for standard output")
    if to_stdout and form == "parquet":
        raise click.UsageError("Parquet is written to a file: -o FILE.parquet")
    if to_stdout and as_json:
        raise click.UsageError("--json tells what was written to a file: -o FILE")
    rows = project.export(declaration, output or "-", format=form)
    if as_json:
        screen.print_json({"written": output, "rows": rows})
    elif not to_stdout and not quiet:
        click.echo(f"wrote {words.escaped(output or '')}: {words.counted(rows, 'row')}", err=True)
