"""What `correct` takes and what `correct` and `corrections` give back, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inlay.types import NullReason


@dataclass(frozen=True, slots=True)
class Fix:
    """A wish to correct one field of one row, as somebody writes it.

    `key` is the value of the key column, or a list of values, one a key column. `field` is a field's name,
    `pass.field`, or a column of the published table. `value` is text, read as an answer is, or JSON-shaped; lists and
    objects as text are JSON; None, "" and "null" are a null, for `null_reason` (default not_stated). `withdrawn` takes
    the correction of this field back. `line` is where it stands in `file`, for messages.
    """

    key: Any
    field: str
    value: Any = None
    null_reason: str | None = None
    note: str = ""
    author: str = ""
    withdrawn: bool = False
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """One correction beside the answer that it stands in for.

    `key` is written as commands take it; `given` and `given_null_reason` are the answer's own value, from `given_by`
    ("model:" and its full name, or "rule"; "" where there is no answer). `new` is False where the very same correction
    was in force already. `problem` says why it no longer fits; it is kept. `at` is in seconds since the epoch (UTC),
    0 for one that was only just made.
    """

    key: str
    pass_name: str
    field: str
    column: str
    value: Any
    null_reason: NullReason | None
    note: str
    author: str
    withdrawn: bool
    at: float
    given: Any
    given_null_reason: NullReason | None
    given_by: str
    new: bool = False
    problem: str = ""
    read_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Corrections:
    """Corrections of one enrichment, in the order in which they were made (or given)."""

    enrichment: str
    corrections: Sequence[Corrected]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {"enrichment": self.enrichment, "corrections": [asdict(one) for one in self.corrections]}
