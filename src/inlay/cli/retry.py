"""`inlay retry`: make failed cells worth asking again."""

from __future__ import annotations

import sys

import click

from inlay.cli import completing, options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@options.pass_name
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    shell_complete=completing.kinds,
    help="Only this kind of failure (see `inlay status`); may be repeated.",
)
@options.keys
@click.option("--run", "run_now", is_flag=True, help="Run right away.")
@options.budget
@click.option("--yes", is_flag=True, help="With --run: do not ask, even when it may cost more than 1 US dollar.")
@options.as_json
@options.quiet
@options.log_format
@click.pass_context
def retry(
    ctx: click.Context,
    declaration: str,
    passes: tuple[str, ...],
    kinds: tuple[str, ...],
    keys: tuple[str, ...],
    run_now: bool,
    budget: float | None,
    yes: bool,
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Make failed cells worth asking again.

    Partial ones and those that were given up are among them. It only marks them, which costs nothing; the next run
    asks them. What was answered is left alone.

    \b
    Examples:
      inlay retry
      inlay retry --kind timeout --kind truncated
      inlay retry reviews.yaml --key 4711 --run
    """
    from inlay import project
    from inlay.cli import run, screen, words

    if (budget is not None or yes) and not run_now:
        raise click.UsageError("--budget and --yes belong to --run: marking cells costs nothing")
    enrichment = options.load(declaration)
    marked = project.retry(enrichment, passes=passes, kinds=kinds, keys=options.stored_keys(enrichment, keys))
    if not run_now and as_json:
        screen.print_json({"enrichment": enrichment.name, "marked": marked})
        return
    total = sum(marked.values())
    parts = ", ".join(f"{words.escaped(name)} {words.count(number)}" for name, number in marked.items())
    said = f"{words.counted(total, 'cell')} will be asked again" + (f": {parts}" if total else "")
    if run_now and log_format == "json":
        from inlay.project.logs import RunLog

        RunLog(sys.stderr, enrichment.name).write("cells_marked", {"marked": marked})
    elif not quiet:
        click.echo(said, err=run_now)
    if run_now:
        order = run.Order(declaration, budget_usd=budget, yes=yes, as_json=as_json, quiet=quiet, log_format=log_format)
        ctx.exit(run.carry_out(order, enrichment))
    if total and not quiet:
        click.echo(f"next: {words.escaped(options.command_line('run', declaration))}")
