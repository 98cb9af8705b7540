"""Batches in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inlay.cli import words
from inlay.cli.sheet import Sheet, sheet

if TYPE_CHECKING:
    from inlay.batches import Batch
    from inlay.engine.events import BatchMoved

SHORT = 8  # digits of a submission that tell it from others
_MESSAGE = 120


def moved_line(event: BatchMoved) -> str:
    """What is said when a batch has come further; "" where that is of no interest."""
    name = f"batch {event.submission[:SHORT]}"
    calls = words.counted(event.requests, "call")
    if event.state == "submitted":
        state = words.escaped(event.provider_state, 40) or "ordered"
        if event.done or event.errors:
            return f"{name}: {state}, {words.count(event.done + event.errors)} of {words.count(event.requests)}"
        return f"{name}: {state}, {calls} at {event.provider}"
    said = words.escaped(event.message, _MESSAGE)
    if event.state == "ended":
        return f"{name}: {words.escaped(event.provider_state, 40)}, fetching its answers"
    if event.state == "applied":
        return f"{name}: its answers are in the store" + (f"; {said}" if said else "")
    if event.state in ("failed", "absent"):
        return f"{name}: nothing of it was run" + (f": {said}" if said else "")
    return ""


def table(batches: Sequence[Batch]) -> Sheet:
    """One line a batch."""
    rows = [
        [
            batch.submission[:SHORT],
            batch.provider,
            batch.model,
            words.count(batch.requests),
            batch.state.value,
            words.escaped(batch.remote_state, 40) or "–",
            words.count(batch.done + batch.errors),
            words.when(batch.made_at),
        ]
        for batch in batches
    ]
    columns = ["batch", "provider", "model", "calls", "state", "there", "through", "made"]
    return sheet(columns, rows, text=["batch", "provider", "model", "state", "there", "made"])
