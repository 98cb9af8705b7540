"""Corrections on the screen: what was kept just now, and all that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inlay.cli import words
from inlay.cli.options import command_line
from inlay.cli.wrapping import cut, say, shown_value

if TYPE_CHECKING:
    from inlay.cli.screen import Page
    from inlay.project.corrected import Corrected, Corrections
    from inlay.spec.model import Enrichment

_KEY, _NOTE = 60, 300
_KEPT = 20  # lines shown of what was kept just now


def draw_kept(out: Page, kept: Corrections, enrichment: Enrichment, file: str) -> None:
    """What `correct` has kept, and how it gets into the table."""
    for one in kept.corrections[:_KEPT]:
        was = f"  (was {_given(one)})" if one.given_by else ""
        if one.withdrawn:
            say(out, f"correction taken back; the model's value counts again: {_given(one)}", _head(one))
        else:
            same = "" if one.new else ", as it was corrected already"
            say(out, shown_value(one.value, one.null_reason) + same + was, _head(one))
    if len(kept.corrections) > _KEPT:
        out.line(f"and {len(kept.corrections) - _KEPT:,} more")
    new = sum(one.new for one in kept.corrections)
    if not new:
        out.line("nothing new: all of it was there already")
        return
    out.line(f"{words.counted(new, 'correction')} kept")
    target = enrichment.output.files
    say(out, f"next: {command_line('export', file, '-o', target or 'FILE')} publishes it, without asking a model")
    readers = dict.fromkeys(name for one in kept.corrections if one.new for name in one.read_by)
    if readers:
        say(out, f"{', '.join(readers)} reads what was corrected: the next run asks it again where that has changed")


def draw(out: Page, found: Corrections, *, history: bool) -> None:
    """Every correction beside what the model says."""
    if not found.corrections:
        out.line(f"{found.enrichment}: no corrections{' were ever made' if history else ''}")
        out.line("inlay correct KEY FIELD=VALUE makes one")
        return
    out.line(f"{found.enrichment}: {words.counted(len(found.corrections), 'correction')}")
    for one in found.corrections:
        what = "taken back" if one.withdrawn else shown_value(one.value, one.null_reason)
        say(out, f"{what}  (the model says {_given(one)})" if one.given_by else f"{what}  (no answer)", _head(one))
        by = f"by {cut(one.author, _KEY)}, " if one.author else ""
        note = f": {cut(one.note, _NOTE)}" if one.note else ""
        say(out, f"{by}{words.when(one.at)}{note}", "    ")
        if one.problem:
            say(out, f"does not fit any more: {one.problem}", "    ")
    unfit = sum(bool(one.problem) for one in found.corrections)
    if unfit:
        say(out, f"{words.counted(unfit, 'correction')} to look at; inlay correct KEY --undo FIELD takes one back")


def _head(one: Corrected) -> str:
    return f"{words.escaped(one.key, _KEY)}  {one.column}: "


def _given(one: Corrected) -> str:
    said = shown_value(one.given, one.given_null_reason)
    return said if one.given_by != "rule" else f"{said}, by a rule"
