"""What `explain` gives back: the story of one row as plain values, pass by pass.

What stays true: everything here is data; texts are whole (whoever draws them cuts them); money is in US dollars, times
are seconds since the epoch (UTC); `to_json` has stable keys.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inlay.types import CellState, NullReason, Reason


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between what an answer was given for and what is there now.

    `what` is an input (`text`, `read.stars`) or a part of the recipe (`prompt`, `fields.stars`, `model`). `kind` is
    "changed", "added" or "removed"; the side that is not there is None.
    """

    what: str
    kind: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Quote:
    """A field's evidence where it stands: the sentence of the text that was sent is before + quote + after.

    An unverified quote was not found in the text: it has no source, and nothing around it.
    """

    quote: str
    verified: bool
    source: str | None
    start: int | None
    end: int | None
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class FieldStory:
    """One field: its value, where the value comes from, and what the model said where a human said otherwise.

    `source` is "human", "rule", "model:" and its full name, or "" where there is no answer. `given` and
    `given_null_reason` are the answer's own; `declared` is False for a field that is no longer in the pass; note,
    author and time are the correction's.
    """

    name: str
    column: str
    value: Any
    null_reason: NullReason | None
    source: str
    declared: bool = True
    confidence: float | None = None
    evidence: Quote | None = None
    problem: str | None = None
    given: Any = None
    given_null_reason: NullReason | None = None
    note: str = ""
    author: str = ""
    corrected_at: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerStory:
    """The answer that a cell holds: when, by which model (declared and served), in which run, at what price."""

    given_at: float
    model: str
    served_model: str
    run_id: int
    state: CellState
    cost_usd: float


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """An answer that the cell once had: its fields whose values differ from the present ones, as (value, reason)."""

    given_at: float
    model: str
    run_id: int
    state: CellState
    fields: Mapping[str, tuple[Any, NullReason | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """What would be sent for this row. `body` is the request's JSON; url and body are None for a model in this process.

    `fields` are those asked: after a partial answer only the missing ones. No header is here, since they hold keys.
    `together` names the passes that share the call, where several do; records that may be packed are shown alone.
    """

    fields: tuple[str, ...]
    system: str
    user: str
    schema: Mapping[str, Any]
    url: str | None
    body: Any
    together: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassStory:
    """One pass for this row.

    `reason` is the plan's for the next run (None: the row is not in the source, or not selected) and `asked` whether
    that run would ask the cell; `reused`: an equal input was answered before, `ruled`: rules give every field, so that
    it costs nothing. `waits_for`
    names the earlier passes that are asked first. `kind` and `message` tell of a failure; `raw` is what the model
    said then, as far as it was kept. `request` is there where it was wanted and can be made, else `unsendable` says
    why not.
    """

    name: str
    model: str
    state: CellState
    reason: Reason | None
    asked: bool
    reused: bool
    ruled: bool
    cost_usd: float | None
    worst_usd: float | None
    waits_for: tuple[str, ...]
    kind: str
    message: str
    tries: int
    updated_at: float | None
    answer: AnswerStory | None
    fields: tuple[FieldStory, ...]
    inputs_changed: tuple[Change, ...]
    recipe_changed: tuple[Change, ...]
    attempts: tuple[Mapping[str, Any], ...]
    earlier: tuple[EarlierAnswer, ...]
    history: tuple[Mapping[str, Any], ...]
    raw: str | None
    request: Request | None
    unsendable: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row's whole story. `key` is written as commands take it.

    `in_source` is False for a row that is gone but still known to the store. `left_out` says why a row is not
    selected: "where" or "missing", "" if it is. `row` holds the columns that passes read, as their prompts print
    them; `published` the enrichment's columns of the row's table line, {} where it has none.
    """

    enrichment: str
    source: str
    key: str
    in_source: bool
    selected: bool
    left_out: str
    row: Mapping[str, str | None]
    published: Mapping[str, Any]
    passes: tuple[PassStory, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {**asdict(self), "published": {name: plain_value(value) for name, value in self.published.items()}}


def plain_value(value: Any) -> Any:
    """A value of the published table as JSON has it: dates and times as ISO 8601 text."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list):
        return [plain_value(part) for part in value]
    if isinstance(value, dict):
        return {name: plain_value(part) for name, part in value.items()}
    return value
