"""What a report says, as plain frozen values: made by `gather`, drawn by `page`, printed by `--json`.

What stays true: counts add up (the parts of a pass and of a field are the rows of the table); everything here is small
whatever the table's size, since values are counted and long texts are cut; nothing here is markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# The parts of a field's or a pass's rows, in the order in which they are drawn.
VALUE, NULL, FAILED, WAITING, NOT_SELECTED = "value", "null", "failed", "waiting", "not_selected"
PARTS = (VALUE, NULL, FAILED, WAITING, NOT_SELECTED)

LOCAL = "lexical"  # the provider whose models run in this process

_PART_OF = {
    "invalid": FAILED,
    "failed": FAILED,
    "skipped": FAILED,
    "partial": FAILED,
    "pending": WAITING,
    "in_flight": WAITING,
    "input_changed": WAITING,
    "not_asked": WAITING,
    "not_selected": NOT_SELECTED,
}


def part_of(null_reason: str) -> str:
    """Which of PARTS a missing value belongs to; a reason that the model gave (`not_stated` …) is an answered null."""
    return _PART_OF.get(null_reason, NULL)


def is_local(model: str) -> bool:
    """Whether a model (`provider:name`) runs inside this process and matches words instead of understanding them."""
    return model.partition(":")[0] == LOCAL


@dataclass(frozen=True, slots=True)
class Bar:
    """One value (cut) and how often it stands in the table; a bin of a histogram has `low` and `high`."""

    text: str
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the values of a field (or a part of it) are spread.

    `kind` is values (the most frequent first), numbers, moments or lengths (bins in order, of equal width but for
    calendar months and years). `counted` values were counted, `distinct` of them different; `others` of them are in no
    bar. `low`, `mean` and `high` are of numbers and lengths; `first` and `last` of moments, in ISO 8601.
    """

    label: str
    kind: str
    counted: int
    distinct: int
    bars: tuple[Bar, ...]
    others: int = 0
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class Confidence:
    """What the model says of its own certainty: ten bins of 0.1 over the values that have one, and their mean."""

    bins: tuple[int, ...]
    counted: int
    mean: float


@dataclass(frozen=True, slots=True)
class Field:
    """One field over all rows. `parts` (by PARTS) and `reasons` (by null reason) count rows; `sources` count values."""

    name: str
    column: str
    type: str
    description: str
    parts: Mapping[str, int]
    reasons: Mapping[str, int]
    sources: Mapping[str, int]
    distributions: tuple[Distribution, ...]
    confidence: Confidence | None
    evidence_found: int
    evidence_missed: int


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over all rows. `states` count rows by the state of their cell and add up to the rows of the table.

    `models` counts rows by the model that answers in them; `model` is what a run would ask now, and `priced` says
    whether its price is known. `stale` of the done cells were answered under an earlier prompt, fields or model.
    """

    name: str
    model: str
    priced: bool
    models: Mapping[str, int]
    states: Mapping[str, int]
    stale: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Cells of one pass that ended the same way. `examples` are (key, message)."""

    pass_name: str
    state: str
    kind: str
    count: int
    remedy: str
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run and what the ledger says of it. Times are seconds since the epoch (UTC); figures may be absent (None)."""

    run_id: int
    started_at: float
    ended_at: float | None
    outcome: str
    rows: int | None
    calls: int
    answered: int | None
    reused: int | None
    failed: int | None
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What one pass has paid to one model, over all runs. `calls` are requests: a shared one counts in parts."""

    pass_name: str
    model: str
    calls: float
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What was not paid, as an estimate at list prices; `calls` that were not made (None: it saves none). Negative
    dollars: it cost more than it gave."""

    by: str
    calls: float | None
    usd: float


@dataclass(frozen=True, slots=True)
class Change:
    """A value that the last run changed. Values are texts, cut; an empty reason means there was a value."""

    key: str
    pass_name: str
    field: str
    before: str
    before_reason: str
    after: str
    after_reason: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What the newest run that answered anything did to the table.

    `cells` were answered by it; `looked_at` of them were compared with the answer before: `new` had none, `changed`
    have another value, `same` have the same values. `fields` counts changed values by column; `examples` are some.
    `idle_runs` came after it and asked nothing.
    """

    run_id: int
    at: float
    idle_runs: int
    cells: int
    looked_at: int
    new: int
    changed: int
    same: int
    failed: int
    fields: Mapping[str, int]
    examples: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a record's text. `marks` are the numbers of the quotes that it is part of, `begins` of those that
    begin with it; `gap`: text left out."""

    text: str
    marks: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()
    gap: bool = False


@dataclass(frozen=True, slots=True)
class SampleText:
    """One source column of a sample row, cut around its evidence. `characters` is the length of the whole text."""

    column: str
    pieces: tuple[Piece, ...]
    characters: int


@dataclass(frozen=True, slots=True)
class SampleValue:
    """One field of a sample row. `value` is JSON-shaped and cut; `mark` is the number of its quote in the text."""

    pass_name: str
    field: str
    value: Any
    null_reason: str
    confidence: float | None
    evidence: str | None
    verified: bool | None
    source: str
    mark: int | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A row to look at. `why` says what it was chosen for; `errors` are (pass, kind, message)."""

    key: str
    why: tuple[str, ...]
    texts: tuple[SampleText, ...]
    values: tuple[SampleValue, ...]
    errors: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of the whole table. Cells and fields are of selected rows; money and tokens are over all runs.

    `answered_fields` have a value or a reason for having none, `value_fields` a value. `priced` is False where tokens
    were used that nobody knows the price of.
    """

    rows: int
    selected_rows: int
    cells: int
    done_cells: int
    failed_cells: int
    fields: int
    answered_fields: int
    value_fields: int
    evidence_found: int
    evidence_missed: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    priced: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole report. `made_at` is seconds since the epoch (UTC); `version` is Inlay's, not the declaration's."""

    enrichment: str
    enrichment_version: str
    source: str
    made_at: float
    version: str
    totals: Totals
    passes: tuple[Pass, ...]
    failures: tuple[Failure, ...]
    runs: tuple[Run, ...]
    more_runs: bool
    changes: Changes | None
    samples: tuple[Sample, ...]
    costs: tuple[Cost, ...] = ()
    savings: tuple[Saving, ...] = ()

    @property
    def local(self) -> bool:
        """Whether what was answered was answered by models inside this process, which are no language models."""
        return all(is_local(model) for part in self.passes for model in part.models)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return asdict(self)
