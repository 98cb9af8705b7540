"""The shape of a published table: which columns it has, and how they are made, widened and held against what is there.

What stays true: names and types depend on the declaration and on the types of the source's key alone; nothing is ever
dropped or narrowed; a table that is not Inlay's own is refused before anything is written to it; no text of a record
or of an answer comes near a statement of this file.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from inlay.databases.connection import Connection
from inlay.databases.dialect import Column, quoted_table
from inlay.errors import TargetError
from inlay.publish.wide import WideTable
from inlay.spec.columns import stamped
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment, PassSpec

TEXT, MOMENT = pa.string(), pa.timestamp("us", tz="UTC")
HASH, CONFIDENCE = "CHAR(64)", "DECIMAL(5,4)"
CONTENT_HASH, CREATED, UPDATED = "content_hash", "created_at", "updated_at"
SHORT, WORD = 191, 32  # characters; what indexes of every MySQL can hold, and the words that Inlay itself writes
_KEY_CHARACTERS = 700  # of all the texts of a key together: InnoDB's 3,072 bytes, with room for other columns
_ROW_BYTES = 40_000  # of all short texts of a row, as MySQL counts them: its own limit is 65,535


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column to be. `kind` is what its values are, `longest` bounds a text, `exact` is its SQL type word for word."""

    name: str
    kind: pa.DataType
    longest: int = 0
    exact: str = ""

    def sql(self, con: Connection, *, key: bool = False) -> str:
        """Its type for DDL."""
        return self.exact or con.dialect.column_type(self.kind, key=key, longest=self.longest)


def key_columns(fields: Sequence[pa.Field]) -> list[TargetColumn]:
    """The columns of the source's key, with the source's types."""
    texts = sum(pa.types.is_string(field.type) for field in fields) or 1
    return [
        TargetColumn(field.name, field.type, longest=min(512, _KEY_CHARACTERS // texts) if is_text(field.type) else 0)
        for field in fields
    ]


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are kept as text: what no database has a type of its own for is, too."""
    return not any(
        test(kind)
        for test in (
            pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_date,
            pa.types.is_timestamp, pa.types.is_binary, pa.types.is_large_binary,
        )
    )  # fmt: skip


def field_columns(wide: WideTable, index: int, spec: PassSpec) -> list[TargetColumn]:
    """The columns of a pass's fields, in the order of `Filled.fields`."""
    own = {spec.column(name): part for name, part in spec.fields.items()}
    return [_field_column(column, own.get(column.name)) for column in wide.field_schema(index)]


def _field_column(column: pa.Field, spec: FieldSpec | None) -> TargetColumn:
    if spec is None:
        if pa.types.is_floating(column.type):
            return TargetColumn(column.name, column.type, exact=CONFIDENCE)
        longest = WORD if column.name.endswith("_null_reason") else SHORT if column.name.endswith("_source") else 0
        return TargetColumn(column.name, column.type, longest=longest)
    if spec.type in ("list", "object"):
        return TargetColumn(column.name, TEXT)
    if spec.type == "enum":
        return TargetColumn(column.name, TEXT, longest=max(SHORT, *map(len, spec.values)))
    if spec.type == "string":
        return TargetColumn(column.name, TEXT, longest=max(SHORT, spec.max_length or 0))
    return TargetColumn(column.name, column.type)


def pass_columns(spec: PassSpec) -> list[TargetColumn]:
    """What a table of several passes says of each of them."""
    hashed, model, moment, state = stamped(spec.name)
    return [
        TargetColumn(hashed, TEXT, exact=HASH),
        TargetColumn(model, TEXT, longest=SHORT),
        TargetColumn(moment, MOMENT),
        TargetColumn(state, TEXT, longest=WORD),
    ]


def row_columns() -> list[TargetColumn]:
    """What every published table says of a row."""
    return [
        TargetColumn("input_hash", TEXT, exact=HASH),
        TargetColumn("enriched_at", MOMENT),
        TargetColumn("model_version", TEXT, longest=SHORT),
        TargetColumn("enrichment_version", TEXT, longest=SHORT),
        TargetColumn("enrichment_state", TEXT, longest=WORD),
        TargetColumn("enrichment_errors", TEXT),
        TargetColumn("enrichment_cost_usd", pa.float64()),
    ]


def history_columns(key: Sequence[TargetColumn]) -> list[TargetColumn]:
    """The columns of the table of all answers there ever were."""
    return [
        *key,
        TargetColumn("enrichment", TEXT, longest=64),
        TargetColumn("pass", TEXT, longest=64),
        TargetColumn("field", TEXT, longest=64),
        TargetColumn("seq", pa.int64()),
        TargetColumn("answered_at", MOMENT),
        TargetColumn("state", TEXT, longest=WORD),
        TargetColumn("reason", TEXT, longest=SHORT),
        TargetColumn("value", TEXT),
        TargetColumn("confidence", pa.float64(), exact=CONFIDENCE),
        TargetColumn("null_reason", TEXT, longest=WORD),
        TargetColumn("source", TEXT, longest=SHORT),
        TargetColumn("model_version", TEXT, longest=SHORT),
        TargetColumn("input_hash", TEXT, exact=HASH),
        TargetColumn("run_id", pa.int64()),
    ]


@dataclass(frozen=True)
class Shape:
    """A table to be: its place, its columns, its key, the column to index, and those by which Inlay knows its own."""

    table: tuple[str, ...]
    columns: tuple[TargetColumn, ...]
    key: tuple[str, ...]
    index: str | None = None
    marks: tuple[str, ...] = (CONTENT_HASH,)
    shown: str = ""
    inside: bool = False  # whether the columns go into a table that is not Inlay's own, which then has to be there

    @property
    def names(self) -> tuple[str, ...]:
        """The columns by name."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """What its values are."""
        return pa.schema([(column.name, TEXT if is_text(column.kind) else column.kind) for column in self.columns])

    def sql(self, con: Connection) -> str:
        """Its name, quoted."""
        return quoted_table(con.dialect, self.table)

    # --- what is there

    def missing(self, con: Connection) -> list[TargetColumn] | None:
        """The columns that a table which is there lacks; None where there is no such table. Writes nothing.

        Raises TargetError for a table that is not Inlay's own, or a column whose type does not fit."""
        there = con.dialect.table_columns(con, self.table)
        found = {column.name.casefold(): column for column in there}
        if self.inside:
            if not there:
                raise TargetError(f"there is no table {self.shown}", remedy="check `output.table`; it has to be there")
        elif not there:
            return None
        else:
            self._check_own(con, found)
        for column in self.columns:
            own = found.get(column.name.casefold())
            if own is not None and column.name not in self.borrowed and not fits(column, own, con.dialect.name):
                raise TargetError(
                    f"the column {own.name} of {self.shown} is {own.native}, which does not hold what is to be "
                    f"published there ({self._native(con, column)})",
                    remedy="rename the field or give it another prefix, or drop the "
                    + ("column" if self.inside else "table")
                    + ": it is built again from the store, for free",
                )
        return [column for column in self.columns if column.name.casefold() not in found]

    @property
    def borrowed(self) -> tuple[str, ...]:
        """The columns that are somebody else's."""
        return self.key if self.inside else ()

    def _check_own(self, con: Connection, found: Mapping[str, Column]) -> None:
        """Refuse a table that Inlay did not make."""
        absent = [name for name in (*self.key, *self.marks) if name.casefold() not in found]
        if absent:
            raise TargetError(
                f"the table {self.shown} is there and is not one that Inlay made: it has no column {absent[0]}",
                remedy="name another table in `output.table`; Inlay writes to no table of anybody else's",
            )
        key = con.dialect.primary_key(con, self.table)
        if {name.casefold() for name in key} != {name.casefold() for name in self.key}:
            raise TargetError(
                f"the table {self.shown} has the primary key ({', '.join(key) or 'none'}), not ({', '.join(self.key)})",
                remedy="name another table, or drop this one: it is built again from the store, for free",
            )

    def _native(self, con: Connection, column: TargetColumn) -> str:
        return column.sql(con, key=column.name in self.key).partition(" CHARACTER")[0]

    # --- what is made

    def statements(self, con: Connection, missing: Sequence[TargetColumn] | None) -> Iterator[str]:
        """The DDL that makes or widens it."""
        quote = con.dialect.quote
        if missing is None:
            columns = [(quote(column.name), kind) for column, kind in self._types(con, self.columns)]
            digest = hashlib.sha256(".".join(self.table).encode()).hexdigest()[:12]
            index = None if self.index is None else (quote(f"inlay_{digest}"), quote(self.index))
            yield from con.dialect.create_table(self.sql(con), columns, [quote(name) for name in self.key], index)
            return
        for column, kind in self._types(con, missing):
            yield f"ALTER TABLE {self.sql(con)} ADD COLUMN {quote(column.name)} {kind}"

    def _types(self, con: Connection, columns: Sequence[TargetColumn]) -> Iterator[tuple[TargetColumn, str]]:
        """Columns with their SQL types; short texts only as far as a row of MySQL has room for them."""
        room = _ROW_BYTES
        for column in columns:
            key = column.name in self.key
            room -= 4 * column.longest
            wide = column if room > 0 or key or not column.longest else TargetColumn(column.name, column.kind)
            yield column, wide.sql(con, key=key)

    def limits(self, con: Connection) -> dict[int, int]:
        """Place of a column to the most characters that it holds now, for the texts that are bounded at all."""
        if con.dialect.name == "sqlite":  # which keeps any text, whatever the column says
            return {}
        found = {column.name.casefold(): column.native for column in con.dialect.table_columns(con, self.table)}
        out = {}
        for place, column in enumerate(self.columns):
            bound = _BOUND.match(found.get(column.name.casefold(), ""))
            if bound is not None and column.exact != HASH:
                out[place] = int(bound[1])
        return out

    def widen(self, con: Connection, place: int) -> None:
        """Let a text column hold any text. Raises TargetError for a part of the key."""
        column = self.columns[place]
        if column.name in self.key:
            raise TargetError(
                f"a key of {self.shown} is longer than its column {column.name} can hold",
                remedy="give the source a shorter key; the rest of the table is unchanged",
            )
        con.run(
            con.dialect.retype(
                self.sql(con), con.dialect.quote(column.name), con.dialect.column_type(TEXT, key=False, longest=0)
            )
        )


_BOUND = re.compile(r"(?:var|n)?char(?:acter)?(?: varying)?\((\d+)\)", re.IGNORECASE)
_CLASSES = (
    ("number", re.compile(r"DOUBLE|FLOAT|REAL|DECIMAL")),
    ("integer", re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT|INTEGER")),
    ("boolean", re.compile(r"BOOL")),
    ("moment", re.compile(r"TIMESTAMP|DATETIME")),
    ("date", re.compile(r"DATE$")),
    ("bytes", re.compile(r"BLOB")),
)
# Class of the values to the classes of columns that hold them all.
_HOLDS = {
    "text": {"text"},
    "integer": {"integer", "number"},
    "number": {"number"},
    "boolean": {"boolean", "integer"},
    "date": {"date"},
    "moment": {"moment"},
    "bytes": {"bytes"},
}


def fits(column: TargetColumn, there: Column, database: str) -> bool:
    """Whether a column that is there holds the values of one that is to be."""
    if database == "sqlite":  # a column of SQLite holds anything
        return True
    found = next((name for name, words in _CLASSES if words.match(there.type)), "text")
    return found in _HOLDS[_class(column.kind)]


def _class(kind: pa.DataType) -> str:
    tests = {
        "boolean": pa.types.is_boolean,
        "integer": pa.types.is_integer,
        "number": lambda found: pa.types.is_floating(found) or pa.types.is_decimal(found),
        "date": pa.types.is_date,
        "moment": pa.types.is_timestamp,
        "bytes": lambda found: pa.types.is_binary(found) or pa.types.is_large_binary(found),
    }
    return next((name for name, test in tests.items() if test(kind)), "text")


def read_inputs(enrichment: Enrichment) -> list[str]:
    """The columns that the passes read, each once, in the order of the declaration."""
    return list(dict.fromkeys(name for spec in enrichment.passes for name in spec.inputs))


def key_reader(kind: pa.DataType) -> Callable[[str], Any]:
    """From a part of a key as the store writes it (see `fingerprint.plain`) to a value of its column."""
    if pa.types.is_integer(kind):
        return int
    if pa.types.is_floating(kind):
        return float
    if pa.types.is_decimal(kind):
        return decimal.Decimal
    if pa.types.is_boolean(kind):
        return lambda text: text == "true"
    if pa.types.is_date(kind):
        return dt.date.fromisoformat
    if pa.types.is_timestamp(kind):
        return lambda text: dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC if kind.tz else None)
    return str if is_text(kind) else bytes.fromhex
