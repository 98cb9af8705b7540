"""The columns of one pass in the wide table: their Arrow types, and how cells become their values.

    a human's value  ›  the original of the source  ›  a rule's or the model's  ›  the default

What stays true: the types depend on the declaration alone; an answer's value is there only if it was given for the
row's present input, and where the pass has `accept_above` only with that confidence; a null always has its reason
beside it (unless `output.null_reasons` is off), and a value who gave it (unless `output.sources` is off).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from inlay.payload import decode_fields
from inlay.spec.fields import FieldSpec
from inlay.spec.model import OutputSpec, PassSpec
from inlay.types import CellState, FieldAnswer, NullReason, StoredCell

_SCALARS: dict[str, pa.DataType] = {
    "string": pa.string(),
    "text": pa.string(),
    "enum": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


def arrow_type(spec: FieldSpec) -> pa.DataType:
    """The Arrow type of a field's values."""
    if spec.type == "list":
        return pa.list_(arrow_type(spec.item))
    if spec.type == "object":
        return pa.struct([(name, arrow_type(part)) for name, part in spec.fields.items()])
    return _SCALARS[spec.type]


def converter(spec: FieldSpec) -> Callable[[Any], Any]:
    """Compile a field: the result turns a stored value (JSON-shaped) into what Arrow wants.

    An answer of an older recipe may have another shape; what does not fit the present type is given back as None.
    """
    if spec.type == "list":
        item = converter(spec.item)
        return lambda value: [item(part) for part in value] if isinstance(value, list) else None
    if spec.type == "object":
        parts = [(name, converter(part)) for name, part in spec.fields.items()]
        return lambda value: {name: part(value.get(name)) for name, part in parts} if isinstance(value, dict) else None
    return _CONVERTERS.get(spec.type, _text)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)  # Arrow refuses a whole number that a double does not hold exactly
    except OverflowError:
        return None


def _date(value: Any) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _datetime(value: Any) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(value)
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (TypeError, ValueError, OverflowError):
        return None


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "date": _date,
    "datetime": _datetime,
}


HUMAN, ORIGINAL, RULE, DEFAULT = "human", "original", "rule", "default"
BELOW_THRESHOLD = "below_threshold"
_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class RowNotes:
    """What the passes tell about one row: its errors, the newest answer, and what its answers cost."""

    errors: list[dict[str, Any]] = field(default_factory=list)
    enriched_at: float | None = None
    cost_nusd: int = 0


@dataclass(frozen=True, slots=True)
class Filled:
    """A batch of one pass as Python's own lists: one a column of its fields, then each row's state and model, and how
    many answers of the batch were below what the declaration accepts."""

    fields: list[list[Any]]
    answers: list[Mapping[str, FieldAnswer]]
    states: list[str]
    models: list[str | None]
    below: int = 0


class PassColumns:
    """Builds the columns of one pass, a batch at a time.

    With `own_only`, neither the source's original nor the field's default stands in for an answer.
    """

    def __init__(self, spec: PassSpec, output: OutputSpec, *, own_only: bool = False) -> None:
        self.spec = spec
        self._output = output
        self._own_only = own_only
        self._fields = [(name, part, arrow_type(part), converter(part)) for name, part in spec.fields.items()]
        self._field_schema = list(self._schema_of_fields())

    def field_schema(self) -> list[pa.Field]:
        """The columns of the fields alone, in the order of `Filled.fields`."""
        return list(self._field_schema)

    def schema(self) -> list[pa.Field]:
        """The columns, in the order in which `arrays` gives them."""
        name = self.spec.name
        return [
            *self._field_schema,
            pa.field(f"{name}_success", pa.bool_()),
            pa.field(f"avg_confidence_{name}", pa.float64()),
            pa.field(f"{name}_model", pa.string()),
        ]

    def _schema_of_fields(self) -> Iterator[pa.Field]:
        output = self._output
        for name, part, kind, _ in self._fields:
            column = self.spec.column(name)
            yield pa.field(column, kind)
            if part.confidence and output.confidence:
                yield pa.field(f"{column}_confidence", pa.float64())
            if part.evidence and output.evidence:
                yield pa.field(f"{column}_evidence", pa.string())
                yield pa.field(f"{column}_evidence_verified", pa.bool_())
            if output.null_reasons:
                yield pa.field(f"{column}_null_reason", pa.string())
            if output.sources:
                yield pa.field(f"{column}_source", pa.string())

    def arrays(self, filled: Filled) -> list[pa.Array]:
        """One array a column of `schema`."""
        columns = [
            pa.array(values, type=column.type) for values, column in zip(filled.fields, self._field_schema, strict=True)
        ]
        return [
            *columns,
            pa.array([state == CellState.DONE for state in filled.states], type=pa.bool_()),
            pa.array([_mean(answers) for answers in filled.answers], type=pa.float64()),
            pa.array(filled.models, type=pa.string()),
        ]

    def fill(
        self,
        cells: Sequence[StoredCell | str],
        models: Mapping[int, str],
        notes: Sequence[RowNotes],
        human: Sequence[Mapping[str, FieldAnswer]] | None = None,
        originals: Mapping[str, Sequence[Any]] = _NOTHING,
    ) -> Filled:
        """The values of a batch. A cell is a StoredCell whose answer belongs to the row, or a word that says why not.

        `models` names the model of each recipe number; `notes` (one a row) collects errors, times and costs; `human`
        (one a row, None: nobody said anything) is what people say; `originals` are the source's own values by field.
        """
        known: dict[bytes, Mapping[str, FieldAnswer]] = {}
        rows = [self._row(cell, note, known) for cell, note in zip(cells, notes, strict=True)]
        if human is not None:
            rows = [self._corrected(row, said) if said else row for row, said in zip(rows, human, strict=True)]
        served = [
            None if isinstance(cell, str) or cell.answer is None else models.get(cell.answer.recipe_id)
            for cell in cells
        ]
        out: list[list[Any]] = []
        below = 0
        for name, part, _, convert in self._fields:
            lists, refused = self._field(name, part, convert, rows, served, originals)
            out += lists
            below += refused
        return Filled(out, [row[0] for row in rows], [row[1] for row in rows], served, below)

    def _field(
        self,
        name: str,
        part: FieldSpec,
        convert: Callable[[Any], Any],
        rows: Sequence[tuple[Mapping[str, FieldAnswer], str]],
        served: Sequence[str | None],
        originals: Mapping[str, Sequence[Any]],
    ) -> tuple[list[list[Any]], int]:
        """The lists of one field, in the order of its columns, and how many of its answers are not accepted."""
        output = self._output
        answers = [row[0].get(name) for row in rows]
        values = [None if answer is None else convert(answer.value) for answer in answers]
        named = {model: f"model:{model}" if model else None for model in set(served)}
        sources = [None if a is None else a.source or named[model] for a, model in zip(answers, served, strict=True)]
        refused = self._refuse(part, answers, values)
        if not self._own_only:
            _stand_in(originals.get(name), part, convert, answers, values, sources)
        out: list[list[Any]] = [values]
        if part.confidence and output.confidence:
            out.append([None if a is None else a.confidence for a in answers])
        if part.evidence and output.evidence:
            quotes = [None if a is None else a.evidence for a in answers]
            out.append([None if q is None else q.quote for q in quotes])
            out.append([None if q is None else q.verified for q in quotes])
        if output.null_reasons:
            reasons = [
                None if value is not None else _reason(answer, row[1])
                for value, answer, row in zip(values, answers, rows, strict=True)
            ]
            for place in refused:
                if values[place] is None:
                    reasons[place] = BELOW_THRESHOLD
            out.append(reasons)
        if output.sources:
            out.append(sources)
        return out, len(refused)

    def _refuse(self, part: FieldSpec, answers: Sequence[FieldAnswer | None], values: list[Any]) -> list[int]:
        """Take away the values whose confidence is below what the pass accepts; their places."""
        least = self.spec.accept_above
        if least is None or not part.confidence:
            return []
        refused = [place for place, answer in enumerate(answers) if answer is not None and not accepted(answer, least)]
        for place in refused:
            values[place] = None
        return refused

    def _corrected(
        self, row: tuple[Mapping[str, FieldAnswer], str], said: Mapping[str, FieldAnswer]
    ) -> tuple[Mapping[str, FieldAnswer], str]:
        """What people say over what was answered; where they say it all, the pass has succeeded."""
        whole = all(name in said for name in self.spec.fields)
        return {**row[0], **said}, CellState.DONE if whole else row[1]

    def _row(
        self, cell: StoredCell | str, note: RowNotes, known: dict[bytes, Mapping[str, FieldAnswer]]
    ) -> tuple[Mapping[str, FieldAnswer], str]:
        """The fields of one cell and its state, with what it has to tell noted down. `known` are the payloads that
        were decoded in this batch: the same short answers come again and again, and each takes 4 µs."""
        if isinstance(cell, str):
            return _NOTHING, cell
        answer = cell.answer
        fields: Mapping[str, FieldAnswer] = _NOTHING
        if answer is not None:
            found = known.get(answer.payload)
            if found is None:
                found = known[answer.payload] = decode_fields(answer.payload)
            fields = found
            note.cost_nusd += answer.cost_nusd
            if fields and (note.enriched_at is None or answer.created_at > note.enriched_at):
                note.enriched_at = answer.created_at
        if cell.state != CellState.DONE:
            bad = [name for name, each in fields.items() if each.null_reason is NullReason.INVALID]
            error = {"pass": self.spec.name, "state": cell.state.value, "kind": cell.reason, "message": cell.message}
            note.errors.append({**error, "fields": bad} if bad else error)
        return fields, cell.state.value


def accepted(answer: FieldAnswer, least: float) -> bool:
    """Whether an answer may be published where `accept_above` is `least` and the field asks for a confidence.

    What rules and people gave is; so is a null, which claims nothing. An answer without the confidence that was asked
    for is not, as it does not suffice in a cascade."""
    if answer.source is not None or answer.value is None:
        return True
    return answer.confidence is not None and answer.confidence >= least


def _stand_in(
    originals: Sequence[Any] | None,
    part: FieldSpec,
    convert: Callable[[Any], Any],
    answers: list[FieldAnswer | None],
    values: list[Any],
    sources: list[str | None],
) -> None:
    """Put the source's own values over what was answered, and the default where there is neither. In place."""
    for place, original in enumerate(originals or ()):
        if original is not None and sources[place] != HUMAN:
            values[place], sources[place], answers[place] = original, ORIGINAL, None
    if part.default is not None:
        default = convert(part.default)
        for place, value in enumerate(values):
            if value is None and sources[place] not in (HUMAN, RULE):  # their null is meant
                values[place], sources[place] = default, DEFAULT


def _reason(answer: FieldAnswer | None, state: str) -> str:
    """Why there is no value: the answer's own reason, or that there is no such answer."""
    if answer is None:
        return "not_asked" if state == CellState.DONE else state
    if answer.null_reason is not None:
        return answer.null_reason.value
    return NullReason.INVALID.value


def _mean(fields: Mapping[str, FieldAnswer]) -> float | None:
    total, count = 0.0, 0
    for answer in fields.values():
        if answer.confidence is not None and answer.value is not None:
            total += answer.confidence
            count += 1
    return total / count if count else None


def row_columns(notes: Sequence[RowNotes], version: str) -> list[pa.Array]:
    """enrichment_errors, enriched_at, enrichment_version, enrichment_cost_usd."""
    stamps = [
        None if note.enriched_at is None else dt.datetime.fromtimestamp(note.enriched_at, dt.UTC) for note in notes
    ]
    return [
        pa.array([orjson.dumps(note.errors).decode() if note.errors else None for note in notes], type=pa.string()),
        pa.array(stamps, type=pa.timestamp("us", tz="UTC")),
        pa.array([version] * len(notes), type=pa.string()),
        pa.array([note.cost_nusd / 1e9 for note in notes], type=pa.float64()),
    ]


ROW_FIELDS = (
    pa.field("enrichment_errors", pa.string()),
    pa.field("enriched_at", pa.timestamp("us", tz="UTC")),
    pa.field("enrichment_version", pa.string()),
    pa.field("enrichment_cost_usd", pa.float64()),
)
