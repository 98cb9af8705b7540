"""`inlay store …`: the care of the answers that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from inlay.cli import options
from inlay.cli.warm import warm

if TYPE_CHECKING:
    from inlay.spec.model import Enrichment

DAMAGED = 1


@click.group(cls=options.InOrder, context_settings=options.CONTEXT)
def store() -> None:
    """Look after the answers that are kept.

    \b
    Examples:
      inlay store stats
      inlay store verify
      inlay store prune --older-than 90d --dry-run
      inlay store warm predictions.csv --field nationality=llm_nationality
    """


@store.command(context_settings=options.CONTEXT)
@options.declaration
@options.as_json
def stats(declaration: str, as_json: bool) -> None:
    """Show how much the store holds.

    Rows of each kind, bytes on disk, the oldest and the newest answer.

    \b
    Examples:
      inlay store stats
      inlay store stats reviews.yaml --json
    """
    from inlay import project
    from inlay.cli import screen
    from inlay.cli.sheet import sheet

    found = project.stats(options.load(declaration))
    if as_json:
        screen.print_json(found)
        return
    rows = [[name.replace("_", " "), _amount(name, found[name])] for name in found]
    screen.Page().table(sheet(["what", "how much"], rows, text=["what", "how much"]))


@store.command(context_settings=options.CONTEXT)
@options.declaration
@options.as_json
@options.quiet
@click.pass_context
def verify(ctx: click.Context, declaration: str, as_json: bool, quiet: bool) -> None:
    """Recompute every fingerprint and checksum.

    Names what does not match. Exit code 1 when something is damaged. Damaged answers are never served: they are asked
    again.

    \b
    Examples:
      inlay store verify
      inlay store verify reviews.yaml --json
    """
    from inlay import project
    from inlay.cli import screen, words

    wrong = project.verify(options.load(declaration))
    if as_json:
        screen.print_json({"damaged": len(wrong), "problems": wrong})
    elif quiet:
        pass  # the exit code says it
    elif wrong:
        for sentence in wrong:
            click.echo(words.escaped(sentence))
        click.echo(f"{words.counted(len(wrong), 'problem')} found")
    else:
        click.echo("every fingerprint and checksum matches")
    ctx.exit(DAMAGED if wrong else 0)


@store.command(context_settings=options.CONTEXT)
@options.declaration
@click.option(
    "--older-than",
    "days",
    type=options.Days(),
    metavar="TIME",
    help="Only answers given longer ago than this: 12h, 90d, 4w.  [default: any age]",
)
@click.option("--orphans", is_flag=True, help="In place of those: rows that are gone from the source.")
@click.option("--dry-run", is_flag=True, help="Say what would go; delete nothing.")
@options.yes
@options.as_json
@options.quiet
def prune(
    declaration: str, days: float | None, orphans: bool, dry_run: bool, yes: bool, as_json: bool, quiet: bool
) -> None:
    """Delete answers that no row refers to any more.

    They were given for earlier prompts or texts. What is deleted has to be paid again should a row ever return to it.
    Present answers and sums of money stay. Asks on a terminal, and needs --yes elsewhere.

    With --orphans, rows that the source has no more: their answers, their history, and their rows in the published
    table; corrections stay. A source that is empty or has lost more than half of its rows looks like a load that
    failed: then nothing is deleted without --yes.

    \b
    Examples:
      inlay store prune --dry-run
      inlay store prune --older-than 90d --yes
      inlay store prune --orphans --dry-run
    """
    from inlay import project

    enrichment = options.load(declaration)
    if orphans:
        if days is not None:
            raise click.UsageError("--older-than and --orphans are two different things: one at a time")
        _prune_orphans(enrichment, dry_run=dry_run, yes=yes, as_json=as_json, quiet=quiet)
        return
    doomed = project.prune(enrichment, keep_days=days or 0.0, dry_run=True)
    if not dry_run and any(doomed.values()):
        options.sure(f"Delete {_listed(doomed)}?", yes=yes)
        doomed = project.prune(enrichment, keep_days=days or 0.0)
    _say_gone(doomed, would=dry_run, as_json=as_json, quiet=quiet)


@store.command(context_settings=options.CONTEXT)
@options.declaration
@options.pass_name
@options.keys
@click.option("--all", "everything", is_flag=True, help="All cells of the declaration.")
@click.option(
    "--below", type=float, metavar="CONFIDENCE", help="Cells with an answer that is less sure than this, such as 0.7."
)
@click.option("--field", "fields", multiple=True, metavar="NAME", help="With --below: only this field; repeatable.")
@options.yes
@options.as_json
@options.quiet
def clear(
    declaration: str,
    passes: tuple[str, ...],
    keys: tuple[str, ...],
    everything: bool,
    below: float | None,
    fields: tuple[str, ...],
    yes: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Forget cells, so that they are asked anew.

    Their answers go too, and the next run pays for them again. Say which: --pass, --key, both, --below, or --all. Asks
    on a terminal, and needs --yes elsewhere.

    \b
    Examples:
      inlay store clear --key 4711
      inlay store clear reviews.yaml --pass read --yes
      inlay store clear --below 0.7 --field nationality
      inlay store clear --all
    """
    from inlay import project

    if fields and below is None:
        raise click.UsageError("--field says which confidence --below is about: give both")
    if below is not None:
        if everything or keys:
            raise click.UsageError("--below chooses the cells: leave out --key and --all")
        _clear_unsure(options.load(declaration), below, passes, fields, yes=yes, as_json=as_json, quiet=quiet)
        return
    if everything == bool(passes or keys):
        raise click.UsageError("say which cells: --pass NAME, --key KEY, --below CONFIDENCE, or --all for every one")
    enrichment = options.load(declaration)
    wanted = options.stored_keys(enrichment, keys)
    options.sure(_clear_question(enrichment, passes, wanted), yes=yes)
    _say_gone(project.clear(enrichment, passes=passes, keys=wanted), would=False, as_json=as_json, quiet=quiet)


def _clear_unsure(
    enrichment: Enrichment,
    below: float,
    passes: tuple[str, ...],
    fields: tuple[str, ...],
    *,
    yes: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from inlay import project
    from inlay.cli import words

    found = project.unsure(enrichment, below, passes=passes, fields=fields)
    gone: dict[str, int] = {}
    if found.cells:
        price = f" Asking them again may cost about {words.dollars(found.cost_usd)}, as before."
        cells = words.counted(found.cells, "cell")
        options.sure(f"Forget {cells} of {enrichment.name} with a confidence below {below:g}?{price}", yes=yes)
        gone = project.clear_unsure(enrichment, found)
    _say_gone(gone, would=False, as_json=as_json, quiet=quiet)


def _prune_orphans(enrichment: Enrichment, *, dry_run: bool, yes: bool, as_json: bool, quiet: bool) -> None:
    from inlay import project
    from inlay.cli import words

    found = project.orphans(enrichment)
    gone: dict[str, int] = {"rows": len(found.keys)} if dry_run and found.keys else {}
    if found.keys and not dry_run:
        if not found.many or yes:
            rows = f"{words.count(len(found.keys))} of {words.counted(found.known, 'row')}"
            options.sure(f"Delete {rows} that the source of {enrichment.name} has no more?", yes=yes)
        gone = project.prune_orphans(enrichment, found, even_many=yes)
    elif found.many and not as_json and not quiet:
        click.echo(f"note: the source has {words.counted(found.rows, 'row')} now: has it been loaded well?", err=True)
    _say_gone(gone, would=dry_run, as_json=as_json, quiet=quiet)


def _clear_question(enrichment: Enrichment, passes: tuple[str, ...], keys: list[str]) -> str:
    """What will be forgotten, and what it cost: the best guess at what asking again will cost."""
    from inlay import project
    from inlay.cli import words

    cells = cost = 0.0
    for part in project.status(enrichment).passes:
        if passes and part.name not in passes:
            continue
        held = sum(part.states.values())
        share = min(1.0, len(keys) / held) if keys and held else 1.0
        cells += min(len(keys), held) if keys else held
        cost += part.cost_usd * share
    price = f" Asking them again may cost about {words.dollars(cost)}, as before." if cost else ""
    at_most = "at most " if keys else ""
    return f"Forget {at_most}{words.counted(int(cells), 'cell')} of {enrichment.name}?{price}"


def _listed(counts: dict[str, int]) -> str:
    from inlay.cli import words

    return ", ".join(f"{words.count(number)} {name.replace('_', ' ')}" for name, number in counts.items())


def _say_gone(counts: dict[str, int], *, would: bool, as_json: bool, quiet: bool) -> None:
    from inlay.cli import screen

    if as_json:
        screen.print_json({"dry_run": would, "deleted": counts})
    elif quiet:
        pass
    elif not any(counts.values()):
        click.echo("nothing to delete")
    else:
        click.echo(f"{'would delete' if would else 'deleted'}: {_listed(counts)}")


def _amount(name: str, value: Any) -> str:
    from inlay.cli import words

    if value is None:
        return "–"
    if name.endswith("bytes"):
        return words.size(value)
    if name.endswith("_answer"):
        return words.when(value)
    return words.count(value) if isinstance(value, int) else str(value)


store.add_command(warm)
