"""Rows of a database, read once and laid down beside DuckDB: a Parquet file in a folder of the system's own.

    lists of rows ──► Arrow, as the database writes them ──► DuckDB: types, misfits, wanted keys ──► Parquet

What stays true: memory is bounded by a few thousand rows, however many there are; the file appears whole or not at
all, in a folder that only this user can read and that goes with its `Folder`; nothing is bent to fit a type: a value
that does not is a Misfit, which says which column and value it is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from inlay.fingerprint import WHITE_SPACE_CHARACTERS, plain
from inlay.fingerprint_sql import key_sql, quote_ident, quote_text
from inlay.tables.sql import connect

if TYPE_CHECKING:
    import duckdb

Rows = list[tuple[Any, ...]]

# How many rows a list of them holds; and a row group of the file, which DuckDB keeps in memory while it is written.
LIST_ROWS = 1_000
# Lists are put together up to so many rows or bytes.
_BATCH_ROWS, _BATCH_BYTES = 8_192, 1_000_000
_GROUP_BYTES, _GROUP_ROWS = 48_000_000, (2_048, 122_880)
_MARK = "inlay-misfit"
_FOUND = re.compile(rf"{_MARK}:(\d+):([0-9A-F]*)")
_SHOWN = 80


class Misfit(Exception):
    """A value that does not fit the type of its column. Never leaves this room."""

    def __init__(self, column: str, value: str) -> None:
        super().__init__(column, value)
        self.column = column
        self.value = value


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read: `asked` is what the database is asked for, `raw` the Arrow type that its driver's values
    come as, `sql` an expression over `{}` (the raw column, in DuckDB), `type` the DuckDB type that this has. `absent`
    is true (over `{}`, too) for values that stand for null."""

    name: str
    asked: str
    raw: pa.DataType
    sql: str
    type: str
    absent: str = ""


class Folder:
    """A place for spools that is gone when this is, or with the process. `new` never gives a path twice."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def new(self) -> Path:
        """A path for one file."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix=f"inlay-rows-{os.getpid()}-"))  # readable by this user alone
            self._gone = weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        return self._path / f"{secrets.token_hex(8)}.parquet"

    def close(self) -> None:
        """Remove it with all that is in it. Idempotent."""
        if self._path is not None:
            self._gone()
            self._path = None


def lay_down(
    path: Path,
    readings: Sequence[Reading],
    rows: Iterator[Rows],
    *,
    place: str | None = None,
    key: Sequence[str] = (),
    keys: Sequence[str] | None = None,
) -> int:
    """Write the rows to a Parquet file; how many. `place` names a column that numbers them; with `keys` only rows
    whose `key` is among these are kept. Raises Misfit, and whatever reading the rows raises."""
    import duckdb

    schema = pa.schema([(f"c{number}", reading.raw) for number, reading in enumerate(readings)])
    batches = _Batches(rows, readings, schema)
    con = connect(memory_limit="512MB", threads=2)
    try:
        con.register("__inlay_rows", pa.RecordBatchReader.from_batches(schema, batches))
        shown = ", ".join(f"{_typed(number, reading)} AS {_name(reading)}" for number, reading in enumerate(readings))
        return write(con, path, f"SELECT {shown} FROM __inlay_rows", readings, place, key, keys, batches.width)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if batches.failed is not None:
            raise batches.failed from None
        raise misfit(error, readings) or error from None
    finally:
        con.close()


def write(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    query: str,
    readings: Sequence[Reading],
    place: str | None,
    key: Sequence[str],
    keys: Sequence[str] | None,
    width: int = 0,
) -> int:
    """Write a query of this connection to a Parquet file; the number of rows. See `lay_down`."""
    if keys is not None:
        con.register("__inlay_wanted", pa.table({"k": pa.array(list(keys), pa.string())}))
        text = key_sql(key, {reading.name: reading.type for reading in readings})
        query = f"SELECT * FROM ({query}) WHERE {text} IN (SELECT k FROM __inlay_wanted)"
    if place is not None:
        query = f"SELECT *, row_number() OVER () AS {place} FROM ({query})"
    least, most = _GROUP_ROWS
    group = max(least, min(most, _GROUP_BYTES // max(1, width)))
    part = path.with_suffix(".part")
    found = con.execute(
        f"COPY ({query}) TO {quote_text(str(part))} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {group})"
    ).fetchone()
    part.rename(path)
    assert found is not None
    return int(found[0])


def relation(path: Path) -> str:
    """What to select FROM on any connection."""
    return f"read_parquet({quote_text(str(path))}, hive_partitioning=false)"


def misfit(error: BaseException, readings: Sequence[Reading]) -> Misfit | None:
    """The value that did not fit, where it was that which DuckDB failed of."""
    found = _FOUND.search(str(error))
    if found is None:
        return None
    return Misfit(readings[int(found[1])].name, bytes.fromhex(found[2]).decode("utf-8", "replace"))


def cast_sql(kind: str) -> str:
    """An expression over `{}`, a text, that is it in this DuckDB type, or NULL where it does not fit."""
    return "{}" if kind == "VARCHAR" else f"TRY_CAST({{}} AS {kind})"


def _name(reading: Reading) -> str:
    return quote_ident(reading.name)


def _typed(number: int, reading: Reading) -> str:
    """The column in its type, or an error that says what does not fit."""
    raw = f"c{number}"
    if reading.sql == "{}":
        return raw
    value = reading.sql.replace("{}", raw)
    there = f" AND trim({raw}, {quote_text(WHITE_SPACE_CHARACTERS)}) <> ''" if pa.types.is_string(reading.raw) else ""
    absent = f" OR {reading.absent.replace('{}', raw)}" if reading.absent else ""
    return (
        f"CASE WHEN {raw} IS NULL{absent} THEN NULL WHEN ({value}) IS NULL{there} THEN {fails(number, raw)} "
        f"ELSE {value} END"
    )


def fails(number: int, value: str) -> str:
    """An expression that ends the query over a value (an expression) that does not fit its column."""
    return f"error('{_MARK}:{number}:' || hex(left(CAST({value} AS VARCHAR), {_SHOWN})))"


class _Batches:
    """Lists of rows as Arrow batches; what fails while they are read is kept, since DuckDB would hide it."""

    def __init__(self, rows: Iterator[Rows], readings: Sequence[Reading], schema: pa.Schema) -> None:
        self.failed: BaseException | None = None
        self._rows = rows
        self._readings = readings
        self._schema = schema
        self._struct = pa.struct(list(schema))
        self._whole = [place for place, reading in enumerate(readings) if pa.types.is_integer(reading.raw)]
        self._first = self._next()  # before DuckDB is asked for anything, so that most errors come plainly
        self.width = 0 if self._first is None else self._first.nbytes // max(1, self._first.num_rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        batch, self._first = self._first, None
        try:
            batch = batch or self._next()
        except BaseException as error:
            self.failed = error
            raise
        if batch is None:
            raise StopIteration
        return batch

    def _next(self) -> pa.RecordBatch | None:
        """Some lists as one batch: DuckDB works on 2,048 rows at a time, and is slower with fewer."""
        parts: list[pa.RecordBatch] = []
        rows = size = 0
        while rows < _BATCH_ROWS and size < _BATCH_BYTES:
            found = next(self._rows, None)
            if found is None:
                break
            parts.append(self._batch(found))
            rows += parts[-1].num_rows
            size += parts[-1].nbytes
        if len(parts) > 1:
            return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        return parts[0] if parts else None

    def _batch(self, rows: Rows) -> pa.RecordBatch:
        try:
            if any(isinstance(row[place], float) for place in self._whole for row in rows):
                raise TypeError  # Arrow would cut 1.5 down to 1
            # Row by row in one go: turning rows into columns first costs as much again.
            return pa.RecordBatch.from_struct_array(pa.array(rows, self._struct))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns = zip(*rows, strict=True)
            arrays = [_array(reading, values) for reading, values in zip(self._readings, columns, strict=True)]
            return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _array(reading: Reading, values: Sequence[Any]) -> pa.Array:
    try:
        if pa.types.is_integer(reading.raw) and any(isinstance(value, float) for value in values):
            raise TypeError  # as above
        return pa.array(values, reading.raw)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # SQLite's columns hold what was put into them, whatever they were declared as.
        return pa.array([_fitted(reading, value) for value in values], reading.raw)


def _fitted(reading: Reading, value: Any) -> Any:
    """A value of another type than its column's, as that: text is text, a blank text in any other column is null."""
    if value is None:
        return None
    if pa.types.is_string(reading.raw):
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise Misfit(reading.name, f"x'{value[:_SHOWN].hex()}'") from None
        return value if isinstance(value, str) else plain(value)
    if isinstance(value, str) and not value.strip(WHITE_SPACE_CHARACTERS):
        return None
    if pa.types.is_binary(reading.raw) and isinstance(value, bytes | str):
        return value if isinstance(value, bytes) else value.encode()
    if pa.types.is_integer(reading.raw) and isinstance(value, int):
        return value
    if pa.types.is_floating(reading.raw) and isinstance(value, int | float):
        return float(value)
    raise Misfit(reading.name, str(value)[:_SHOWN])
