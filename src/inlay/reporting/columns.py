"""One batch of the wide table, read by field: what is counted of it, and what each of its rows is like.

What stays true: only columns that the table really has are read, so that a table with more of them (or fewer) works.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute

from inlay.fingerprint import key_parts
from inlay.reporting.choosing import Traits
from inlay.reporting.facts import NOT_SELECTED, WAITING, part_of
from inlay.reporting.tallies import Counter, Tallies
from inlay.spec.fields import FieldSpec
from inlay.spec.model import PassSpec
from inlay.types import CellState

pc: Any = pyarrow.compute  # its functions are made when it is imported: no type checker sees them
ERRORS = "enrichment_errors"
Error = dict[str, Any]


@dataclass(slots=True)
class FieldColumns:
    """The columns of one field."""

    pass_name: str
    name: str
    spec: FieldSpec
    column: str
    counter: Counter
    tallies: Tallies

    @property
    def slot(self) -> tuple[str, str]:
        """What its counts are filed under."""
        return (self.pass_name, self.name)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch."""
        values = batch.column(self.column)
        self.counter.add(values)
        there = values.is_valid()
        if (reasons := read(batch, f"{self.column}_null_reason")) is not None:
            self.tallies.add_texts(self.tallies.slot("reason", *self.slot), reasons.filter(pc.invert(there)))
        if (sure := read(batch, f"{self.column}_confidence")) is not None:
            self.tallies.add_numbers(self.tallies.slot("confidence", *self.slot), sure.filter(self.told(batch, there)))
        if (found := read(batch, f"{self.column}_evidence_verified")) is not None:
            self.tallies.add_texts(self.tallies.slot("verified", *self.slot), found)
        source = read(batch, f"{self.column}_source")
        if source is None:  # a model's answers alone
            source = pc.binary_join_element_wise("model", batch.column(f"{self.pass_name}_model"), ":")
        self.tallies.add_texts(self.tallies.slot("source", *self.slot), source.filter(there))

    def told(self, batch: pa.RecordBatch, there: pa.Array) -> pa.Array:
        """Where a value is the answer's own: a default stands in the place of a null that may have had a confidence."""
        source = read(batch, f"{self.column}_source")
        return there if source is None else pc.and_(there, pc.fill_null(pc.not_equal(source, "default"), True))


@dataclass(slots=True)
class PassColumns:
    """The columns of one pass, and how many rows are in which state."""

    spec: PassSpec
    fields: list[FieldColumns]
    tallies: Tallies
    states: dict[str, int] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, errors: dict[int, list[Error]]) -> None:
        """Count a batch; `errors` by row, as `errors_of` reads them."""
        for part in self.fields:
            part.add(batch)
        models = batch.column(f"{self.spec.name}_model")
        self.tallies.add_texts(self.tallies.slot("model", self.spec.name), models.filter(self._by_model(batch)))
        done = batch.column(f"{self.spec.name}_success")
        whole = pc.sum(done).as_py() or 0
        self._count(CellState.DONE.value, whole)
        if whole == batch.num_rows:
            return
        reasons = [read(batch, f"{part.column}_null_reason") for part in self.fields]
        for row, is_done in enumerate(done.to_pylist()):
            if is_done:
                continue
            state = next((e["state"] for e in errors.get(row, ()) if e["pass"] == self.spec.name), None)
            if state is None:
                told = (column[row].as_py() for column in reasons if column is not None)
                state = next((word for word in told if word and part_of(word) in (WAITING, NOT_SELECTED)), "pending")
            self._count(state, 1)

    def _by_model(self, batch: pa.RecordBatch) -> pa.Array:
        """Rows in which a model answered something; in the others rules or people gave it all."""
        sources = [read(batch, f"{part.column}_source") for part in self.fields]
        known = [pc.fill_null(pc.starts_with(one, "model:"), False) for one in sources if one is not None]
        return reduce(pc.or_, known) if known else pa.repeat(pa.scalar(True), batch.num_rows)

    def _count(self, state: str, count: int) -> None:
        if count:
            self.states[state] = self.states.get(state, 0) + count


def shown_key(key: str, parts: int) -> str:
    """A row key as people write it: one of several columns is a JSON list, as `--key` takes it."""
    if parts == 1:
        return key
    try:
        return json.dumps(key_parts(key, parts), ensure_ascii=False)
    except ValueError:  # the declaration's key has changed since
        return key


def read(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """A column, or None where the table has none of that name."""
    at = batch.schema.get_field_index(name)
    return None if at < 0 else batch.column(at)


def errors_of(batch: pa.RecordBatch) -> dict[int, list[Error]]:
    """Row number to what went wrong in it; rows without errors are left out."""
    column = batch.column(ERRORS)
    if column.null_count == len(column):
        return {}
    return {row: orjson.loads(text) for row, text in enumerate(column.to_pylist()) if text}


def traits_of(batch: pa.RecordBatch, passes: list[PassColumns], errors: dict[int, list[Error]]) -> Iterator[Traits]:
    """What each row is like."""
    zero, no = pa.scalar(0, pa.int64()), pa.scalar(False)
    filled = pa.repeat(zero, batch.num_rows)
    missed = human = pa.repeat(no, batch.num_rows)
    sure: list[pa.Array] = []
    for part in (part for one in passes for part in one.fields):
        there = batch.column(part.column).is_valid()
        filled = pc.add(filled, there.cast(pa.int64()))
        if (confidence := read(batch, f"{part.column}_confidence")) is not None:
            sure.append(pc.if_else(part.told(batch, there), confidence, pa.scalar(None, pa.float64())))
        if (verified := read(batch, f"{part.column}_evidence_verified")) is not None:
            missed = pc.or_(missed, pc.fill_null(pc.invert(verified), False))
        if (source := read(batch, f"{part.column}_source")) is not None:
            human = pc.or_(human, pc.fill_null(pc.equal(source, "human"), False))
    lowest: list[float | None] = [None] * batch.num_rows
    means = lowest
    if sure:
        lowest = pc.min_element_wise(*sure).to_pylist()
        total, number = pa.repeat(pa.scalar(0.0), batch.num_rows), pa.repeat(pa.scalar(0.0), batch.num_rows)
        for one in sure:
            total = pc.add(total, pc.fill_null(one, 0.0))
            number = pc.add(number, one.is_valid().cast(pa.float64()))
        means = pc.divide(total, pc.max_element_wise(number, 1.0)).to_pylist()
    for row, (low, mean, miss, by_hand, count) in enumerate(
        zip(lowest, means, missed.to_pylist(), human.to_pylist(), filled.to_pylist(), strict=True)
    ):
        yield Traits(row in errors, low, mean, miss, by_hand, count)
