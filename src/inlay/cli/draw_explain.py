"""One row's story on the screen, in lines that fit a window of 80 columns.

What stays true: all text of records, keys and answers is escaped line by line; long texts are cut where they are alike
and shown where they differ; nothing here decides anything.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inlay.cli import words
from inlay.cli.options import command_line
from inlay.cli.sheet import sheet
from inlay.cli.wrapping import cut, say, shown_value
from inlay.project.explanation import plain_value
from inlay.reporting.remedies import remedy
from inlay.types import CellState, Reason

if TYPE_CHECKING:
    from inlay.cli.screen import Page
    from inlay.project.explanation import Change, Explanation, FieldStory, PassStory, Quote, Request

_VALUE, _INPUT, _RAW = 400, 240, 1200  # characters shown of a value, an input, a raw answer
_AROUND = 30  # characters on each side of what differs
_DIFFERENCE = 120
_DIFF_LINES = 24
_ATTEMPTS, _EARLIER = 10, 5
OPEN, CLOSE = "⟦", "⟧"

_REASONS = {
    Reason.NEW: "it has no answer yet",
    Reason.INPUT_CHANGED: "what it reads has changed since the answer",
    Reason.RETRY: "it failed, and is worth another try",
    Reason.STALE: "it was answered under an earlier recipe",
    Reason.EXPIRED: "its answer is older than the pass's ttl",
    Reason.CACHED: "the answer is there",
    Reason.GIVEN_UP: "it failed for good, or is out of tries",
    Reason.UPSTREAM: "an earlier pass may change what it reads",
}


def draw(out: Page, told: Explanation, file: str) -> None:
    """The whole story. `file` is the declaration, for the commands that it suggests."""
    say(out, f"{told.enrichment}, row {words.escaped(told.key, 120)} of {words.escaped(told.source, 120)}")
    for note in told.notes:
        say(out, f"note: {note}")
    if not told.in_source:
        say(out, "the source has no such row any more: what follows is what the store still knows of it")
    elif not told.selected:
        part = "where" if told.left_out == "where" else "missing"
        say(out, f"not selected: it does not match select.{part}, so no run asks for it")
    for name, text in told.row.items():
        say(out, "null" if text is None else cut(text, _INPUT) or '""', f"  {words.escaped(name, 40)}: ")
    for part in told.passes:
        _pass(out, part, told, file)


def _pass(out: Page, part: PassStory, told: Explanation, file: str) -> None:
    out.title(f"{part.name} ({part.model})")
    for line in _standing(part, told, file):
        say(out, line, "  ")
    if part.answer is not None:
        say(out, _answered(part), "  ")
    if hidden := _unpublished(part, told):
        say(out, f"not published: {hidden}", "  ")
    for number, story in enumerate(part.fields):
        if number == 0:
            out.line()
        _field(out, story, part)
        _instead(out, story, told)
    if part.inputs_changed or part.recipe_changed:
        out.line()
        out.line("  changed since that answer")
        for change in (*part.inputs_changed, *part.recipe_changed):
            _change(out, change)
    if part.raw is not None and part.state is not CellState.DONE:
        out.line("  the model's raw answer")
        for line in _cut_lines(part.raw, _RAW):
            say(out, line, "    | ")
    _attempts(out, part)
    _earlier(out, part)
    if part.unsendable:
        say(out, f"no request: {part.unsendable}", "  ")
    if part.request is not None:
        _request(out, part.request)


# --- how it stands, and what comes next


def _standing(part: PassStory, told: Explanation, file: str) -> Iterator[str]:
    state = part.state.value.replace("_", " ")
    if part.reason is None:
        yield state
    else:
        reason = part.reason.value.replace("_", " ")
        why = _REASONS[part.reason]
        if part.reason is Reason.CACHED and all(story.source == "human" for story in part.fields if story.declared):
            why = "every field is corrected by hand"
        yield f"{state}; {reason}: {why}"
    if part.kind and part.state is not CellState.DONE:
        tries = f" (run {part.tries} in a row)" if part.tries > 1 else ""
        yield f"{part.kind}{tries}: {words.escaped(part.message, _VALUE)}"
    elif part.kind:
        yield f"asked again since, which failed: {part.kind}: {words.escaped(part.message, _VALUE)}"
    if part.reason is not None and part.reason is not Reason.CACHED:
        yield "next: " + _next(part, told, file)
    if part.kind and part.state is not CellState.DONE:
        yield f"hint: {remedy(part.kind)}"


def _next(part: PassStory, told: Explanation, file: str) -> str:
    if part.reason is Reason.STALE:
        return f"left alone; {command_line('run', file, '--refresh', 'stale')} asks it again"
    if part.reason is Reason.GIVEN_UP:
        return f"left alone; {command_line('retry', file, '--key', told.key, '--run')} asks it again"
    run = command_line("run", file)
    if part.reason is Reason.UPSTREAM:
        first = ", ".join(part.waits_for) or "what earlier passes say now"
        return f"{run} decides it after {first}: it is asked where what it reads has changed"
    if part.ruled:
        return f"{run} takes every field from rules: it costs nothing"
    if part.reused:
        return f"{run} finds the answer to an equal input: it costs nothing"
    price = words.price_range(part.cost_usd, part.worst_usd)
    return f"{run} asks it, for about {price}" if part.cost_usd else f"{run} asks it"


def _answered(part: PassStory) -> str:
    answer = part.answer
    assert answer is not None
    named = ("", answer.model, answer.model.partition(":")[2])
    served = "" if answer.served_model in named else f", served as {answer.served_model}"
    price = words.dollars(answer.cost_usd)
    return f"answered {words.when(answer.given_at)} in run {answer.run_id} by {answer.model}{served}, for {price}"


# --- fields


def _unpublished(part: PassStory, told: Explanation) -> str:
    """Why values that are there are not in the table."""
    for story in part.fields:
        if story.value is not None and story.column in told.published and told.published[story.column] is None:
            reason = told.published.get(f"{story.column}_null_reason")
            return f"{reason or 'the answer does not belong to the present row'}".replace("_", " ")
    return ""


def _field(out: Page, story: FieldStory, part: PassStory) -> None:
    about: list[str] = []
    if story.source == "human":
        about.append(_corrected(story))
    elif story.source == "rule":
        about.append("by a rule")  # any other value is the model's, which is named above
    if not story.declared:
        about.append("no longer a field")
    if story.confidence is not None:
        about.append(f"confidence {story.confidence:.2f}")
    shown = shown_value(story.value, story.null_reason) if story.source else "no answer"
    say(out, shown + (f"  ({', '.join(about)})" if about else ""), f"  {story.name}: ")
    if story.source == "human" and part.answer is not None:
        say(out, f"the model said {shown_value(story.given, story.given_null_reason)}", "    ")
    if story.note:
        say(out, f"note: {words.escaped(story.note, _VALUE)}", "    ")
    if story.problem:
        say(out, f"invalid: {words.escaped(story.problem, _VALUE)}", "    ")
    if story.evidence is not None:
        _quote(out, story.evidence)


def _instead(out: Page, story: FieldStory, told: Explanation) -> None:
    """The value of the table where it is not the answer's: the source's own, or the default."""
    kind = told.published.get(f"{story.column}_source")
    words_of = {"original": "the source's own value", "default": "the field's default"}
    if kind in words_of:
        value = plain_value(told.published.get(story.column))
        say(out, f"published instead: {shown_value(value)} ({words_of[kind]})", "    ")


def _corrected(story: FieldStory) -> str:
    by = f" by {words.escaped(story.author, 60)}" if story.author else ""
    when = "" if story.corrected_at is None else f", {words.when(story.corrected_at)}"
    return f"corrected{by}{when}"


def _quote(out: Page, quote: Quote) -> None:
    if not quote.verified:
        say(out, f"quote not found in the text: {cut(quote.quote, _INPUT)}", "    ")
        return
    inside = cut(quote.quote, _INPUT)
    say(out, f"{quote.before}{OPEN}{inside}{CLOSE}{quote.after}", f"    in {words.escaped(quote.source or '', 40)}: ")


# --- changes


def _change(out: Page, change: Change) -> None:
    name = words.escaped(change.what, 60)
    if change.kind != "changed":
        side = change.after if change.kind == "added" else change.before
        say(out, f"{change.kind}: {shown_value(side, None)}", f"    {name}: ")
        return
    before, after = _side(change.before), _side(change.after)
    out.line(f"    {name}:")
    if change.what == "prompt":
        for line in _diff(before, after):
            say(out, line[1:], f"      {line[0]} ")
        return
    was, now = differing(before, after)
    say(out, was, "      - ")
    say(out, now, "      + ")


def _side(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differing(before: str, after: str) -> tuple[str, str]:
    """Two texts cut to where they differ, with a little of what is around it."""
    start = 0
    most = min(len(before), len(after))
    while start < most and before[start] == after[start]:
        start += 1
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return tuple(_window(text, start, len(text) - end) for text in (before, after))  # type: ignore[return-value]


def _window(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(text), end + _AROUND)
    middle = text[start:end]
    if len(middle) > _DIFFERENCE:
        half = _DIFFERENCE // 2
        middle = f"{middle[:half]}…{middle[-half:]}"
    shown = f"{'…' if first else ''}{text[first:start]}{middle}{text[end:last]}{'…' if last < len(text) else ''}"
    return shown or '""'


def _diff(before: str, after: str) -> list[str]:
    """The lines of a prompt that went and came, each with its sign."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    kept = [line for number, line in enumerate(lines) if number > 1 and not line.startswith("@@")]
    shown = [line[0] + words.escaped(line[1:], _INPUT) for line in kept[:_DIFF_LINES]]
    return shown + ([f" and {len(kept) - _DIFF_LINES} more lines"] if len(kept) > _DIFF_LINES else [])


# --- calls, earlier answers, the request


def _attempts(out: Page, part: PassStory) -> None:
    if not part.attempts:
        return
    shown = part.attempts[-_ATTEMPTS:]
    more = f" (the last {len(shown)} of {len(part.attempts)})" if len(shown) < len(part.attempts) else ""
    out.line()
    out.line(f"  calls{more}")
    columns = ["when", "run", "outcome", "in", "out", "US dollars", "took"]
    out.table(sheet(columns, [_attempt(call) for call in shown], text=["when", "outcome"]))


def _attempt(call: Mapping[str, Any]) -> list[str]:
    took = call["latency_ms"]
    return [
        words.when(call["at"]).removesuffix(" UTC"),
        str(call["run_id"]),
        call["outcome"],
        words.count(call["input_tokens"]),
        words.count(call["output_tokens"]),
        words.dollars(call["cost_usd"]) + (" at most" if call["estimated"] else ""),
        "–" if took is None else words.duration(took / 1000),
    ]


def _earlier(out: Page, part: PassStory) -> None:
    if not part.earlier:
        return
    out.line()
    out.line("  earlier answers, where they differ")
    for answer in part.earlier[:_EARLIER]:
        say(out, f"{words.when(answer.given_at)}, run {answer.run_id}, {answer.model}", "    ")
        for name, (value, reason) in answer.fields.items():
            say(out, shown_value(value, reason), f"      {words.escaped(name, 60)}: ")
    if len(part.earlier) > _EARLIER:
        out.line(f"    and {len(part.earlier) - _EARLIER} more (--json)")


def _request(out: Page, request: Request) -> None:
    out.line()
    shared = f", in one call with the passes {', '.join(request.together)}" if request.together else ""
    out.line(f"  the request for {', '.join(request.fields)}{shared}")
    for title, text in (("system", request.system), ("user", request.user)):
        out.line(f"    {title}")
        for line in text.splitlines() or [""]:
            out.line(f"      {words.escaped(line)}")
    if request.body is None:
        out.line("    answer schema")
        _document(out, request.schema)
        return
    out.line(f"    POST {request.url}")
    _document(out, request.body)


def _document(out: Page, document: Any) -> None:
    for line in words.json_escaped(json.dumps(document, ensure_ascii=False, indent=2)).splitlines():
        out.line(f"      {line}")


def _cut_lines(text: str, most: int) -> list[str]:
    return cut(text, most).splitlines()[:_DIFF_LINES]
