"""The columns of one pass in the wide table: their Arrow types, and how cells become their values.

    a human's value  ›  the original of the source  ›  a rule's or the model's  ›  the default

What stays true: the types depend on the declaration alone; an answer's value is there only if it was given for the
row's present input; a null always has its reason beside it (unless `output.null_reasons` is off), and a value who gave
it (unless `output.sources` is off).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
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
_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class RowNotes:
    """What the passes tell about one row: its errors, the newest answer, and what its answers cost."""

    errors: list[dict[str, Any]] = field(default_factory=list)
    enriched_at: float | None = None
    cost_nusd: int = 0


class PassColumns:
    """Builds the columns of one pass, a batch at a time."""

    def __init__(self, spec: PassSpec, output: OutputSpec) -> None:
        self.spec = spec
        self._output = output
        self._fields = [(name, part, arrow_type(part), converter(part)) for name, part in spec.fields.items()]

    def schema(self) -> list[pa.Field]:
        """The columns, in the order in which `arrays` gives them."""
        output, out = self._output, []
        for name, part, kind, _ in self._fields:
            column = f"{self.spec.prefix}{name}"
            out.append(pa.field(column, kind))
            if part.confidence and output.confidence:
                out.append(pa.field(f"{column}_confidence", pa.float64()))
            if part.evidence and output.evidence:
                out.append(pa.field(f"{column}_evidence", pa.string()))
                out.append(pa.field(f"{column}_evidence_verified", pa.bool_()))
            if output.null_reasons:
                out.append(pa.field(f"{column}_null_reason", pa.string()))
            if output.sources:
                out.append(pa.field(f"{column}_source", pa.string()))
        name = self.spec.name
        out.append(pa.field(f"{name}_success", pa.bool_()))
        out.append(pa.field(f"avg_confidence_{name}", pa.float64()))
        out.append(pa.field(f"{name}_model", pa.string()))
        return out

    def arrays(
        self,
        cells: Sequence[StoredCell | str],
        models: Mapping[int, str],
        notes: Sequence[RowNotes],
        human: Sequence[Mapping[str, FieldAnswer]] | None = None,
        originals: Mapping[str, Sequence[Any]] = _NOTHING,
    ) -> list[pa.Array]:
        """One array a column. A cell is a StoredCell whose answer belongs to the row, or a word that says why not.

        `models` names the model of each recipe number; `notes` (one a row) collects errors, times and costs; `human`
        (one a row, None: nobody said anything) is what people say; `originals` are the source's own values by field.
        """
        rows = [self._row(cell, note) for cell, note in zip(cells, notes, strict=True)]
        if human is not None:
            rows = [self._corrected(row, said) if said else row for row, said in zip(rows, human, strict=True)]
        served = [
            models.get(cell.answer.recipe_id) if isinstance(cell, StoredCell) and cell.answer is not None else None
            for cell in cells
        ]
        out: list[pa.Array] = []
        output = self._output
        for name, part, kind, convert in self._fields:
            answers = [row[0].get(name) for row in rows]
            values = [None if answer is None else convert(answer.value) for answer in answers]
            sources = [_source(answer, model) for answer, model in zip(answers, served, strict=True)]
            if name in originals:
                for place, original in enumerate(originals[name]):
                    if original is not None and sources[place] != HUMAN:
                        values[place], sources[place], answers[place] = original, ORIGINAL, None
            if part.default is not None:
                default = convert(part.default)
                for place, value in enumerate(values):
                    if value is None and sources[place] not in (HUMAN, RULE):  # their null is meant
                        values[place], sources[place] = default, DEFAULT
            out.append(pa.array(values, type=kind))
            if part.confidence and output.confidence:
                out.append(pa.array([None if a is None else a.confidence for a in answers], type=pa.float64()))
            if part.evidence and output.evidence:
                quotes = [None if a is None else a.evidence for a in answers]
                out.append(pa.array([None if q is None else q.quote for q in quotes], type=pa.string()))
                out.append(pa.array([None if q is None else q.verified for q in quotes], type=pa.bool_()))
            if output.null_reasons:
                reasons = [
                    None if value is not None else _reason(answer, row[1])
                    for value, answer, row in zip(values, answers, rows, strict=True)
                ]
                out.append(pa.array(reasons, type=pa.string()))
            if output.sources:
                out.append(pa.array(sources, type=pa.string()))
        out.append(pa.array([row[1] == CellState.DONE for row in rows], type=pa.bool_()))
        out.append(pa.array([_mean(row[0]) for row in rows], type=pa.float64()))
        out.append(pa.array(served, type=pa.string()))
        return out

    def _corrected(
        self, row: tuple[Mapping[str, FieldAnswer], str], said: Mapping[str, FieldAnswer]
    ) -> tuple[Mapping[str, FieldAnswer], str]:
        """What people say over what was answered; where they say it all, the pass has succeeded."""
        whole = all(name in said for name in self.spec.fields)
        return {**row[0], **said}, CellState.DONE if whole else row[1]

    def _row(self, cell: StoredCell | str, note: RowNotes) -> tuple[Mapping[str, FieldAnswer], str]:
        """The fields of one cell and its state, with what it has to tell noted down."""
        if isinstance(cell, str):
            return _NOTHING, cell
        answer = cell.answer
        fields: Mapping[str, FieldAnswer] = _NOTHING
        if answer is not None:
            fields = decode_fields(answer.payload)
            note.cost_nusd += answer.cost_nusd
            if fields and (note.enriched_at is None or answer.created_at > note.enriched_at):
                note.enriched_at = answer.created_at
        if cell.state != CellState.DONE:
            bad = [name for name, found in fields.items() if found.null_reason is NullReason.INVALID]
            error = {"pass": self.spec.name, "state": cell.state.value, "kind": cell.reason, "message": cell.message}
            note.errors.append({**error, "fields": bad} if bad else error)
        return fields, cell.state.value


def _source(answer: FieldAnswer | None, model: str | None) -> str | None:
    """Who gave a value, or the null in its place."""
    if answer is None:
        return None
    return answer.source or (f"model:{model}" if model else None)


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
