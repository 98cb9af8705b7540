"""`inlay batch …`: what waits at a provider's batch API."""

from __future__ import annotations

import click

from inlay.cli import options


@click.group(cls=options.InOrder, context_settings=options.CONTEXT)
def batch() -> None:
    """Look at batches, and cancel one.

    Batches are ordered by `inlay run --mode batch`, and collected by any later run, or by `inlay status`.

    \b
    Examples:
      inlay batch list
      inlay batch cancel 3f2a90bc
    """


@batch.command("list", context_settings=options.CONTEXT)
@options.declaration
@click.option("--all", "closed", is_flag=True, help="Those that are over, too.")
@options.as_json
def list_(declaration: str, closed: bool, as_json: bool) -> None:
    """Show the open batches.

    It reads the store alone; `inlay status` asks the provider first.

    \b
    Examples:
      inlay batch list
      inlay batch list reviews.yaml --all --json
    """
    from inlay import project
    from inlay.cli import draw_batches, screen

    found = project.batches(options.load(declaration), closed=closed)
    if as_json:
        screen.print_json([each.to_json() for each in found])
    elif found:
        screen.Page().table(draw_batches.table(found))
    else:
        click.echo("no batch is open" if not closed else "there was no batch yet")


@batch.command(context_settings=options.CONTEXT)
@click.argument("name", metavar="BATCH")
@options.declaration
@options.as_json
@options.quiet
def cancel(name: str, declaration: str, as_json: bool, quiet: bool) -> None:
    """Cancel a batch.

    BATCH is its name in `inlay batch list`. What has run by then is paid, and kept; the rest is asked again by the next
    run.

    \b
    Examples:
      inlay batch cancel 3f2a90bc
      inlay batch cancel 3f2a90bc reviews.yaml
    """
    from inlay import project
    from inlay.cli import screen, words

    found = project.cancel_batch(options.load(declaration), name)
    if as_json:
        screen.print_json(found.to_json())
    elif quiet:
        return
    elif found.is_open:
        state = words.escaped(found.remote_state, 40) or found.state.value
        click.echo(
            f"batch {found.submission}: {state}; {options.command_line('run', declaration)} collects what has run"
        )
    else:
        click.echo(f"batch {found.submission} is over; what did not run is asked again by the next run")
