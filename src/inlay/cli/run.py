"""`inlay run`: ask what needs an answer, keep it, publish the table."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.engine.events import Event
    from inlay.planning.plan import Plan
    from inlay.project.report import Report
    from inlay.project.running import Gauges, RunOptions
    from inlay.spec.model import Enrichment

Ended = TypeVar("Ended")


@click.command(context_settings=options.CONTEXT)
@options.declaration
@options.limit
@options.refresh
@options.budget
@click.option(
    "--fresh-budget",
    is_flag=True,
    help="Count the budget from zero. Otherwise a run after one that stopped early has only what that one left.",
)
@options.mode
@click.option(
    "--if-running",
    type=click.Choice(["join", "wait", "exit"]),
    help="While another run of this enrichment is going: share its work, wait for its end and then begin, or exit "
    "with code 0.  [default: INLAY_IF_RUNNING, else join]",
)
@click.option(
    "--wait-for",
    "wait_days",
    type=options.Days(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="How long --if-running wait waits: 90s, 10m, 2h.",
)
@click.option("--no-wait", is_flag=True, help="Return once the batches are ordered; any later run collects them.")
@click.option("--yes", is_flag=True, help="Do not ask, even when it may cost more than 1 US dollar without a budget.")
@click.option(
    "--load", "load_first", is_flag=True, help="First load the dump that the declaration names, as inlay load."
)
@click.option("--dry-run", is_flag=True, help="Show the plan; send nothing, write nothing.")
@click.option("--no-publish", is_flag=True, help="Keep the answers in the store; leave the output file alone.")
@options.as_json
@click.option("--quiet", is_flag=True, help="Show no plan, no progress and no summary: only errors.")
@options.log_format
@click.pass_context
def run(
    ctx: click.Context,
    declaration: str,
    limit: int | None,
    refresh: str | None,
    budget: float | None,
    fresh_budget: bool,
    mode: str | None,
    if_running: str | None,
    wait_days: float,
    no_wait: bool,
    yes: bool,
    load_first: bool,
    dry_run: bool,
    no_publish: bool,
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Ask what needs an answer, keep it, write the table.

    It pays for what is new, changed or failed before, and for nothing else; typed again, it goes on where it stopped.
    Without a budget, a run estimated above 1 US dollar asks first, and refuses where there is no terminal. Ctrl-C
    once finishes the calls in flight and saves; twice stops at once.

    \b
    Examples:
      inlay run --dry-run
      inlay run --limit 100
      inlay run reviews.yaml --budget 2.50
      inlay run --refresh stale --yes
      inlay run --mode batch --no-wait
      inlay run --load --yes
      inlay run --json --quiet | jq .cost_usd
      inlay run --yes --log-format json 2>> inlay.log
      inlay run --yes --if-running wait --wait-for 30m
    """
    from inlay.project.switches import Switches

    switched = Switches.of(os.environ)
    if switched.skip:
        ctx.exit(skip(declaration, as_json=as_json, quiet=quiet))
    if load_first and dry_run:
        raise click.UsageError("--dry-run changes nothing, so it cannot --load first; see inlay load --dry-run")
    if load_first and not switched.dry_run:
        _load_first(declaration, quiet=quiet, log_format=log_format)
    if dry_run or switched.dry_run:
        dry(declaration, declaration, limit, refresh, mode, as_json=as_json)
        return
    order = Order(
        declaration,
        limit,
        refresh,
        budget,
        fresh_budget,
        yes,
        not no_publish,
        as_json,
        quiet,
        log_format,
        mode,
        not no_wait,
        if_running,
        wait_days * 86_400,
    )
    ctx.exit(carry_out(order, options.load(declaration)))


def _load_first(declaration: str, *, quiet: bool, log_format: str) -> None:
    """Load the declaration's dump; one line about it on standard error."""
    from inlay import project
    from inlay.cli import words
    from inlay.cli.load import Watching, summary

    watching = Watching(quiet=quiet or log_format == "json")
    try:
        report = project.load_dump(declaration, watch=watching.see)
    finally:
        watching.close()
    if not quiet and log_format != "json":
        click.echo(words.escaped(summary(report)), err=True)


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asked of a run."""

    file: str | None  # None: made on the command line
    limit: int | None = None
    refresh: str | None = None
    budget_usd: float | None = None
    fresh_budget: bool = False
    yes: bool = False
    publish: bool = True
    as_json: bool = False
    quiet: bool = False
    log_format: str = "text"
    mode: str | None = None
    wait: bool = True
    if_running: str | None = None
    wait_for_s: float = 600.0


def skip(declaration: str | Enrichment, *, as_json: bool, quiet: bool) -> int:
    """Do nothing, since INLAY_SKIP is set, and say so; the exit code."""
    from inlay import project
    from inlay.cli import draw_report, screen

    report = project.run(declaration)
    if as_json:
        screen.print_json(report.to_json())
    elif not quiet:
        draw_report.draw_briefly(screen.Page(), report)
    return report.exit_code


def carry_out(order: Order, enrichment: Enrichment) -> int:
    """Run, show it while it goes, sum it up; the exit code. Costs money."""
    from inlay import project

    display = Display(order, enrichment)
    report = watched(display, lambda choices: project.run(enrichment, choices))
    tell(lambda: _sum_up(report, order, enrichment, display))
    return report.exit_code


def watched(display: Display, work: Callable[[RunOptions], Ended], verb: str = "run") -> Ended:
    """Do what a run does with the choices of its order, shown while it goes. `verb` is the command that goes on where
    this one was interrupted."""
    from inlay import project
    from inlay.errors import InlayError, Interrupted
    from inlay.project.running import RunOptions

    order, log = display.order, display.log
    choices = RunOptions(
        limit=order.limit,
        refresh=project.refreshing(options.refreshing(order.refresh)),
        budget_usd=order.budget_usd,
        fresh_budget=order.fresh_budget,
        yes=order.yes,
        confirm=display.confirm if log is None and options.on_terminal() else None,
        listener=display.listen,
        watch=display.watch,
        interrupts=True,
        publish=order.publish,
        mode=order.mode,
        wait=order.wait,
        if_running=order.if_running,
        wait_for_s=order.wait_for_s,
    )
    try:
        return work(choices)
    except (KeyboardInterrupt, RuntimeError) as error:
        if not (display.watching and options.is_interrupt(error)):
            raise
        display.progress.close(unfinished=True)
        raise Interrupted(
            "stopped at once: what was answered is saved, calls in flight are counted as paid",
            remedy=f"{options.command_line(verb, order.file)} goes on",
        ) from None
    except InlayError:
        display.progress.close(unfinished=True)
        raise
    finally:
        display.progress.close()
        if log is not None:
            log.close()


def tell(draw: Callable[[], None]) -> None:
    """Show how a run went. It is over and kept, whoever still reads: its exit code must say how it went."""
    from inlay.cli import screen

    try:
        draw()
        sys.stdout.flush()
    except BrokenPipeError:
        screen.let_go()


class Display:
    """What a run says while it is going."""

    def __init__(self, order: Order, enrichment: Enrichment) -> None:
        from inlay.cli.progress import Progress
        from inlay.project.logs import RunLog

        self.order = order
        self.enrichment = enrichment
        self.log = RunLog(sys.stderr, enrichment.name) if order.log_format == "json" else None
        self.progress = Progress(quiet=order.quiet or self.log is not None)
        self.watching = False
        self._planned = False

    def show_plan(self, plan: Plan) -> None:
        """The plan in two lines, once."""
        from inlay.cli import draw_plan

        if self._planned:
            return
        self._planned = True
        declared = self.enrichment.budget
        usd = self.order.budget_usd if self.order.budget_usd is not None else declared and declared.usd
        for line in draw_plan.short_lines(plan, usd, declared.per if declared is not None else "run"):
            self.progress.say(line)

    def confirm(self, plan: Plan) -> bool:
        """Ask whether it may cost this much. Only on a terminal."""
        self.show_plan(plan)
        return click.confirm("No budget is set. Run it?", err=True)

    def watch(self, gauges: Gauges) -> None:
        """The run begins: from here on Ctrl-C is the run's own business."""
        self.watching = True
        if self.log is not None:
            self.log.watch(gauges)
        self.show_plan(gauges.plan)
        self.progress.watch(gauges)

    def listen(self, event: Event) -> None:
        """Rare news from the engine."""
        from inlay.cli import words
        from inlay.engine.events import BatchMoved, BudgetWarning, RunWaiting, Stopping

        if self.log is not None:
            self.log.listen(event)
        if isinstance(event, Stopping):
            calls = words.counted(self.progress.in_flight, "call")
            if event.kind == "interrupted":
                self.progress.say(f"finishing {calls} in flight, saving…; press Ctrl-C again to stop now")
            else:
                self.progress.say(f"stopping ({event.kind}): finishing {calls} in flight, saving…")
        elif isinstance(event, RunWaiting):
            longest = words.duration(event.longest_s)
            self.progress.say(f"{words.escaped(event.who)} is going; waiting for its end, at most {longest}")
        elif isinstance(event, BatchMoved):
            from inlay.cli.draw_batches import moved_line

            if line := moved_line(event):
                self.progress.say(line)
        elif isinstance(event, BudgetWarning):
            spent, cap = words.dollars(event.spent_usd), words.dollars(event.cap_usd)
            self.progress.say(f"four fifths of the budget are spent: {spent} of {cap}")


def dry(
    declaration: str | Enrichment,
    file: str | None,
    limit: int | None,
    refresh: str | None,
    mode: str | None = None,
    *,
    as_json: bool,
) -> None:
    """Show the plan of a run and send nothing; `file` names the declaration in what is suggested next."""
    from inlay import project
    from inlay.cli import draw_plan, screen

    plan = project.plan(declaration, limit=limit, refresh=options.refreshing(refresh), mode=mode)
    if as_json:
        screen.print_json(plan.to_json())
        return
    out = screen.Page()
    draw_plan.draw(out, plan, file, refreshed=refresh is not None)
    out.line("dry run: nothing was sent, nothing was written")


def _sum_up(report: Report, order: Order, enrichment: Enrichment, display: Display) -> None:
    from inlay.cli import draw_report, screen

    if not report.skipped and not report.dry_run:
        display.show_plan(report.plan)
    if order.as_json:
        screen.print_json(report.to_json())
    elif not order.quiet:
        draw_report.draw(screen.Page(), report, enrichment, order.file)
    if report.stopped is not None and display.log is None:
        click.echo(draw_report.stopped_line(report), err=True)
