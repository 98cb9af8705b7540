"""The wide table: every source row with the answers to its present input beside it, streamed in source order.

    source row + key + input hashes   ──►   cells of each pass by key   ──►   Arrow batches

What stays true: rows in = rows out; the schema depends on the declaration and the source alone; an answer that was
given for another input than the row's present one is not published (`input_changed`); memory is bounded by the batch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from inlay.contracts import Source, Store
from inlay.fingerprint import upstream_hash
from inlay.fingerprint_sql import canonical_row_sql, key_sql, plain_sql, quote_ident
from inlay.payload import by_cell, decode_fields, values_hash
from inlay.publish.columns import ROW_FIELDS, Filled, PassColumns, RowNotes, row_columns
from inlay.spec.model import Enrichment, PassSpec
from inlay.tables.choosing import local_select
from inlay.tables.rules import given_suffix, rules_of
from inlay.tables.select import absence_sql, condition_sql
from inlay.tables.sql import prepare, translate
from inlay.types import FieldAnswer, PassRef, StoredCell

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 2_000
PENDING, NOT_SELECTED, CHANGED = "pending", "not_selected", "input_changed"


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a recipe reads: enough to hash a row's present input as that recipe would, and to compare upstream."""

    hash_column: str | None  # None: a column that it read is gone, so nothing can be compared
    upstream: tuple[str, ...]
    model: str


@dataclass(frozen=True, slots=True)
class Block:
    """A batch of judged rows. `batch` holds the source's columns first; lists are by pass, in topological order.

    `inputs` are the values of the columns that the passes read, as text, where they were asked for.
    """

    batch: pa.RecordBatch
    keys: list[str]
    cells: list[list[StoredCell | str]]
    filled: list[Filled]
    notes: list[RowNotes]
    hashes: Mapping[str, list[str]]
    inputs: Mapping[str, list[str | None]]


_NOBODY: Mapping[str, FieldAnswer] = {}
# How a source's own value is read for a field; as text where the field is text.
_ORIGINAL_TYPES = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP WITH TIME ZONE",
}


def _values_hash(cell: StoredCell | str, said: Mapping[str, FieldAnswer] | None) -> bytes:
    """The hash of what a later pass reads of a cell: what people say lies over what was answered."""
    answer = cell.answer if isinstance(cell, StoredCell) else None
    if said:
        return values_hash({**(decode_fields(answer.payload) if answer is not None else {}), **said})
    return answer.values_hash if answer is not None else b""


def _shown(name: str, duckdb_type: str) -> str:
    """A source column as it is published: as it is, but as text where Parquet has no such type."""
    column = quote_ident(name)
    if re.match(r"(INTERVAL|BIT|BIGNUM|UUID|JSON|TIME WITH TIME ZONE|ENUM\(.*\))$", duckdb_type, re.DOTALL):
        return f"CAST({column} AS VARCHAR) AS {column}"
    if re.search(r"\b(INTERVAL|UNION|BIGNUM)\b", duckdb_type):
        return f"CAST(to_json({column}) AS VARCHAR) AS {column}"
    return column


class WideTable:
    """The wide table of a declaration. `passes` in topological order with their numbers in the store.

    A pass that the store has never seen (pass_id < 0) has pending cells only.
    """

    def __init__(
        self,
        enrichment: Enrichment,
        source: Source,
        store: Store,
        passes: Sequence[tuple[PassSpec, PassRef]],
        con: duckdb.DuckDBPyConnection,
        *,
        own_only: bool = False,
        inputs: Sequence[str] = (),
    ) -> None:
        """With `own_only` neither originals nor defaults stand in for answers; `inputs` are read along as text."""
        self._enrichment = enrichment
        self._store = store
        self._con = con
        self._passes = [
            (spec, ref, PassColumns(spec, enrichment.output, own_only=own_only), self._shown_first(spec))
            for spec, ref in passes
        ]
        self._inputs = tuple(inputs)
        # Published in the order of the declaration, judged in topological order.
        self._order = sorted(range(len(self._passes)), key=lambda index: self._passes[index][3])
        self._types = dict(source.columns())
        self._from = source.attach(con)
        self._select = local_select(source, enrichment.select)
        self._title = source.title
        chosen = enrichment.output.columns
        self._columns = list(self._types) if chosen is None else list(chosen)
        self._rules = [rules_of(enrichment, spec, self._types, self._from, con) for spec, _ in passes]
        self._originals = {} if own_only else self._original_columns()
        self._readings, self._hashes = self._read_recipes()
        self._reader = self._open()
        self.schema = pa.schema(
            [
                *(self._reader.schema.field(number) for number in range(len(self._columns))),
                *(column for index in self._order for column in self._passes[index][2].schema()),
                *ROW_FIELDS,
            ]
        )

    def _shown_first(self, spec: PassSpec) -> int:
        return [other.name for other in self._enrichment.passes].index(spec.name)

    def _read_recipes(self) -> tuple[list[dict[int, _Reading]], dict[str, str]]:
        """For each pass, what each of its recipes reads; and the hash expressions that this needs, by column name."""
        readings: list[dict[int, _Reading]] = []
        hashes: dict[str, str] = {}
        names: dict[str, str] = {}
        steps: set[str] = set()
        for index, (_, ref, _, _) in enumerate(self._passes):
            by_recipe: dict[int, _Reading] = {}
            recipes = self._store.recipes(ref.pass_id) if ref.pass_id >= 0 else {}
            for number, text in recipes.items():
                recipe = orjson.loads(text)
                # In the order of `upstream_passes`: by pass, then field; the joined names may sort otherwise ("a-b.x").
                pairs = sorted(tuple(name.split(".", 1)) for name in recipe["upstream"])
                upstream = tuple(dict.fromkeys(pair[0] for pair in pairs))
                column = None
                if all(name in self._types for name in recipe["inputs"]):
                    inputs = {name: self._types[name] for name in recipe["inputs"]}
                    canonical = canonical_row_sql(inputs, recipe["normalize"])
                    if self._rules[index] is not None:
                        canonical += f" || {given_suffix(f'__inlay_g{index}')}"
                    expression = f"sha256({canonical})"
                    steps.update(recipe["normalize"])
                    column = names.setdefault(expression, f"__inlay_h{len(names)}")
                    hashes[column] = expression
                by_recipe[number] = _Reading(column, upstream, recipe["model"])
            readings.append(by_recipe)
        prepare(self._con, steps)
        return readings, hashes

    def _original_columns(self) -> dict[tuple[int, str], tuple[str, str]]:
        """(pass, field) to the name and the expression of the source's own value, NULL where it is missing."""
        out: dict[tuple[int, str], tuple[str, str]] = {}
        placeholders = self._enrichment.select.placeholders
        for index, (spec, _, _, _) in enumerate(self._passes):
            for name, field in spec.fields.items():
                if field.original is not None:
                    kind = _ORIGINAL_TYPES.get(field.type)
                    text = plain_sql(field.original, self._types[field.original])
                    value = f"TRY_CAST({text} AS {kind})" if kind else text
                    absent = absence_sql(field.original, placeholders, self._types)
                    column = f"__inlay_o{len(out)}"
                    out[index, name] = column, f"CASE WHEN ({absent}) IS NULL THEN {value} END"
        return out

    def _open(self) -> pa.RecordBatchReader:
        import duckdb

        spec = self._enrichment
        condition = condition_sql(self._select, self._types)
        parts = [_shown(name, self._types[name]) for name in self._columns]
        parts.append(f"{key_sql(spec.source.key, self._types)} AS __inlay_k")
        parts.append(f"coalesce(({condition}), false) AS __inlay_s")
        parts += [f"{expression} AS {name}" for name, expression in self._hashes.items()]
        parts += [f"{expression} AS {name}" for name, expression in self._originals.values()]
        parts += [f"{plain_sql(name, self._types[name])} AS __inlay_i{at}" for at, name in enumerate(self._inputs)]
        given = "".join(
            f", {rules.sql} AS __inlay_g{index}" for index, rules in enumerate(self._rules) if rules is not None
        )
        rows = f"(SELECT *{given} FROM {self._from})" if given else self._from
        where = f" WHERE ({condition})" if spec.output.rows == "selected" else ""
        try:
            return self._con.execute(f"SELECT {', '.join(parts)} FROM {rows}{where}").to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise translate(error, self._title) from error

    def _rows(self) -> Iterator[pa.RecordBatch]:
        """The rows of the source. Arrow passes DuckDB's errors on as OSError, which here is never one of the target."""
        try:
            yield from self._reader
        except (OSError, pa.ArrowException) as error:
            raise translate(error, self._title) from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The table, in source order. May be read once."""
        number = len(self._columns)
        for block in self.blocks():
            arrays = [part[2].arrays(filled) for part, filled in zip(self._passes, block.filled, strict=True)]
            shown = [array for index in self._order for array in arrays[index]]
            source = [block.batch.column(index) for index in range(number)]
            yield pa.RecordBatch.from_arrays(
                [*source, *shown, *row_columns(block.notes, self._enrichment.version)], schema=self.schema
            )

    def blocks(self) -> Iterator[Block]:
        """The judged rows with their values, in source order; `batches` is made of them. May be read once."""
        number = len(self._columns)
        for batch in self._rows():
            if batch.num_rows == 0:
                continue
            keys: list[str] = batch.column(number).to_pylist()
            selected: list[bool] = batch.column(number + 1).to_pylist()
            texts = {name: batch.column(number + 2 + index).to_pylist() for index, name in enumerate(self._hashes)}
            hashes = {name: [bytes.fromhex(text[:32]) for text in column] for name, column in texts.items()}
            notes = [RowNotes() for _ in keys]
            said = self._said(keys)
            first = number + 2 + len(self._hashes)
            originals = {place: batch.column(first + at).to_pylist() for at, place in enumerate(self._originals)}
            first += len(self._originals)
            inputs = {name: batch.column(first + at).to_pylist() for at, name in enumerate(self._inputs)}
            filled: list[Filled] = []
            judged: dict[str, list[StoredCell | str]] = {}
            for index, (spec, ref, columns, _) in enumerate(self._passes):
                cells = self._store.read_cells(ref.pass_id, keys) if ref.pass_id >= 0 else {}
                judged[spec.name] = [
                    self._judge(index, cells.get(key), row, key, hashes, judged, selected[row], said)
                    for row, key in enumerate(keys)
                ]
                models = {recipe: reading.model for recipe, reading in self._readings[index].items()}
                human = [said.get((spec.name, key), _NOBODY) for key in keys] if said else None
                own = {name: values for (place, name), values in originals.items() if place == index}
                filled.append(columns.fill(judged[spec.name], models, notes, human, own))
            yield Block(batch, keys, list(judged.values()), filled, notes, texts, inputs)

    def field_schema(self, index: int) -> list[pa.Field]:
        """The columns of the fields of a pass, by its number in topological order."""
        return self._passes[index][2].field_schema()

    def input_hashes(self, block: Block, index: int) -> list[str | None]:
        """SHA-256 of the input that each cell's answer was given for, as 64 hex digits; None where it has none.

        Of a pass that reads no earlier one it is that of the canonical input; otherwise of `ROW|UPSTREAM`, the hash of
        the row's own part and that of what was read of earlier passes, in hex.
        """
        texts = {
            recipe: block.hashes.get(reading.hash_column or "") for recipe, reading in self._readings[index].items()
        }
        out: list[str | None] = []
        for row, cell in enumerate(block.cells[index]):
            if isinstance(cell, str):
                out.append(None)
                continue
            column = texts[cell.recipe_id]
            text = column[row] if column is not None else ""
            if cell.upstream_hash:
                text = hashlib.sha256(f"{text}|{cell.upstream_hash.hex()}".encode()).hexdigest()
            out.append(text)
        return out

    def _said(self, keys: Sequence[str]) -> dict[tuple[str, str], dict[str, FieldAnswer]]:
        """What people say of these rows, by pass and key; only fields that there still are."""
        fields = {spec.name: spec.fields for spec, _, _, _ in self._passes}
        out: dict[tuple[str, str], dict[str, FieldAnswer]] = {}
        for place, answers in by_cell(self._store.corrections(self._enrichment.name, keys=keys)).items():
            known = {name: answer for name, answer in answers.items() if name in fields.get(place[0], ())}
            if known:
                out[place] = known
        return out

    def _judge(
        self,
        index: int,
        cell: StoredCell | None,
        row: int,
        key: str,
        hashes: Mapping[str, list[bytes]],
        judged: Mapping[str, list[StoredCell | str]],
        selected: bool,
        said: Mapping[tuple[str, str], Mapping[str, FieldAnswer]],
    ) -> StoredCell | str:
        """The cell, if what it holds belongs to the row as it is now; otherwise why there is nothing."""
        if cell is None:
            return PENDING if selected else NOT_SELECTED
        reading = self._readings[index].get(cell.recipe_id)
        if reading is None or reading.hash_column is None or hashes[reading.hash_column][row] != cell.source_hash:
            return CHANGED
        if reading.upstream:
            found = [
                _values_hash(judged[name][row], said.get((name, key))) for name in reading.upstream if name in judged
            ]
            if upstream_hash(found) != cell.upstream_hash:
                return CHANGED
        return cell
