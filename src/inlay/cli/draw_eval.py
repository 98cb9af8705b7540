"""Evaluations on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from inlay.cli import draw_plan as plans
from inlay.cli import screen, words
from inlay.cli.sheet import sheet
from inlay.quality.sections import Section, of_disagreements, of_history, sampled

if TYPE_CHECKING:
    from inlay.project.evaluation import EvalPlan, EvalReport
    from inlay.quality.facts import Disagreements, Remembered


def draw(out: screen.Page, report: EvalReport) -> None:
    """The whole report."""
    _draw(out, report.sections())
    out.line()
    for note in report.run.notes:
        out.line(f"note: {note}")
    out.line("these answers are kept, not published; `inlay eval --history` lists what was measured")


def draw_plan(out: screen.Page, found: EvalPlan) -> None:
    """What would be asked."""
    out.line(sampled(found.sample))
    for target in found.targets:
        out.line(f"{target.pass_name}.{target.field} is held against {target.column}")
    for line in plans.short_lines(found.plan, None):
        out.line(line)
    for note in found.plan.notes:
        out.line(f"note: {note}")


def draw_disagreements(out: screen.Page, found: Sequence[Disagreements]) -> None:
    """Where answers and source differ."""
    _draw(out, of_disagreements(found))


def draw_history(out: screen.Page, found: Sequence[Remembered]) -> None:
    """What was measured, and when."""
    _draw(out, [of_history(found)])


def _draw(out: screen.Page, sections: Iterable[Section]) -> None:
    for each in sections:
        if each.title:
            out.title(each.title)
        for line in each.lines:
            out.line(line)
        if each.table is not None:
            rows = [[words.escaped(cell) for cell in row] for row in each.table.rows]
            out.table(sheet(list(each.table.columns), rows, text=list(each.table.text)))
