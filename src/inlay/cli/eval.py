"""`inlay eval`: how good the answers are, held against what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.cli.run import Order
    from inlay.project.evaluation import EvalOptions


class Pairs(click.ParamType):
    """FIELD=COLUMN."""

    name = "field=column"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Text to a pair, or a usage error."""
        if isinstance(value, tuple):
            return value
        name, mark, column = value.partition("=")
        if not (mark and name.strip() and column.strip()):
            self.fail(f"{value!r} is not like nationality=country", param, ctx)
        return name.strip(), column.strip()


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("--shadow", type=options.Rows(), metavar="ROWS", help="Ask so many rows whose value the source holds.")
@click.option(
    "--golden", type=click.Path(), metavar="FILE", help="Ask the rows of a file of labels: .csv, .jsonl or .parquet."
)
@click.option("--disagreements", is_flag=True, help="Only compare what is in the store with the source; ask nothing.")
@click.option("--history", is_flag=True, help="Only list earlier evaluations: day, model, rows, accuracy.")
@click.option(
    "--field",
    "fields",
    type=Pairs(),
    multiple=True,
    metavar="FIELD=COLUMN",
    help="Which column holds what a field is to be; may be repeated.  "
    "[default: `original`, `select.missing`, or the column of that name]",
)
@click.option(
    "--sample",
    type=click.Choice(["stratified", "proportional"]),
    default="stratified",
    show_default=True,
    help="With --shadow: rare values more often than they are, reckoned back; or as they come.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --shadow: another number, other rows.")
@click.option("--where", metavar="SQL", help="With --shadow: in place of select.where.")
@click.option("--synonyms", type=click.Path(), metavar="FILE", help="A CSV file: texts in one line mean the same.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="NUMBER",
    help="How far a number may be off.  [default: 0]",
)
@click.option("--wrong", type=options.Rows(), default="10", show_default=True, help="How many wrong rows to show.")
@click.option(
    "--out",
    type=click.Path(),
    metavar="FILE",
    help="Write the report to a .md, .html or .json file, or every row to a .csv file.",
)
@options.budget
@options.mode
@click.option("--yes", is_flag=True, help="Do not ask, even when it may cost more than 1 US dollar without a budget.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked and its price; send nothing, write nothing.")
@options.as_json
@click.option("--quiet", is_flag=True, help="Show no plan, no progress and no report: only errors.")
@options.log_format
@click.pass_context
def eval(
    ctx: click.Context,
    declaration: str,
    shadow: int | None,
    golden: str | None,
    disagreements: bool,
    history: bool,
    fields: tuple[tuple[str, str], ...],
    sample: str,
    seed: int,
    where: str | None,
    synonyms: str | None,
    tolerance: float,
    wrong: int,
    out: str | None,
    budget: float | None,
    mode: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    log_format: str,
) -> None:
    """Measure how good the answers are.

    --shadow asks rows whose value is known already, --golden rows that people have labelled. The answers are judged and
    never published; rows that were asked before cost nothing again, whichever command asked them. It is a run like any
    other: planned, priced, within the budget, and typed again it goes on where it stopped.

    \b
    Examples:
      inlay eval --shadow 500 --dry-run
      inlay eval --shadow 500 --budget 1 --out accuracy.md
      inlay eval --golden labels.csv --synonyms countries.csv
      inlay eval --shadow 500 --field nationality=country --json | jq .fields[0].accuracy
      inlay eval --disagreements
      inlay eval --history
    """
    from inlay.project.evaluation import EvalOptions

    ways = sum((shadow is not None, golden is not None, disagreements, history))
    if ways != 1:
        raise click.UsageError("Choose one of --shadow ROWS, --golden FILE, --disagreements and --history.", ctx)
    asked = EvalOptions(
        shadow=shadow,
        golden=golden,
        fields=dict(fields),
        sample=sample,
        seed=seed,
        where=where,
        synonyms=synonyms,
        tolerance=tolerance,
        wrong=wrong,
    )
    if disagreements or history:
        _look(declaration, asked, history=history, as_json=as_json)
    elif dry_run:
        _dry(declaration, asked, mode, as_json=as_json)
    else:
        from inlay.cli.run import Order

        order = Order(declaration, None, None, budget, False, yes, False, as_json, quiet, log_format, mode)
        ctx.exit(_carry_out(order, asked, out))


def _carry_out(order: Order, asked: EvalOptions, out: str | None) -> int:
    from inlay import project
    from inlay.cli import draw_eval, draw_report, screen
    from inlay.cli.run import Display, tell, watched
    from inlay.project.evaluation import check_out

    if out is not None:
        check_out(out)
    assert order.file is not None
    enrichment = options.load(order.file)
    display = Display(order, enrichment)
    report = watched(display, lambda choices: project.evaluate(enrichment, asked, run=choices), "eval")
    if out is not None:
        report.write(out)

    def draw() -> None:
        display.show_plan(report.run.plan)
        if order.as_json:
            screen.print_json(report.to_json())
        elif not order.quiet:
            draw_eval.draw(screen.Page(), report)
            if out is not None:
                screen.Page().line(f"written: {out}")
        if report.run.stopped is not None and display.log is None:
            click.echo(draw_report.stopped_line(report.run), err=True)

    tell(draw)
    return report.exit_code


def _dry(declaration: str, asked: EvalOptions, mode: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from inlay import project
    from inlay.cli import draw_eval, screen

    found = project.plan_evaluation(declaration, asked, mode=mode)
    if as_json:
        screen.print_json(
            {
                "sample": asdict(found.sample),
                "fields": [asdict(target) for target in found.targets],
                "plan": found.plan.to_json(),
            }
        )
        return
    out = screen.Page()
    draw_eval.draw_plan(out, found)
    out.line("dry run: nothing was sent, nothing was written")


def _look(declaration: str, asked: EvalOptions, *, history: bool, as_json: bool) -> None:
    from inlay import project
    from inlay.cli import draw_eval, screen

    if history:
        past = project.evaluations(declaration)
        if as_json:
            screen.print_json([each.to_json() for each in past])
        else:
            draw_eval.draw_history(screen.Page(), past)
        return
    found = project.disagreements(declaration, asked)
    if as_json:
        screen.print_json([each.to_json() for each in found])
    else:
        draw_eval.draw_disagreements(screen.Page(), found)
