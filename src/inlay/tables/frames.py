"""Frames as a source: what a program holds in memory, as one Arrow table that DuckDB reads where it lies.

pandas, polars, Arrow, lists of dicts, and whatever offers `__arrow_c_stream__`. What stays true: neither pandas nor
polars is imported here; rows keep their order; what is not understood is a SourceError that names the column.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_ident
from inlay.spec.model import SourceSpec
from inlay.tables.relation import check_names

if TYPE_CHECKING:
    import duckdb

# What the declaration of a frame has in place of files.
TITLE = "the frame"
_VIEW = "__inlay_frame"
_REMEDIES = {
    "polars.LazyFrame": "collect it first: frame.collect()",
    "polars.Series": "make it a table first: series.to_frame()",
    "pandas.Series": "make it a table first: series.to_frame()",
}


class FrameSource:
    """The rows of an Arrow table; fulfils `contracts.Source`."""

    def __init__(self, table: pa.Table, spec: SourceSpec) -> None:
        """Nothing is copied, save columns whose type DuckDB does not read."""
        if not table.num_columns:
            raise SourceError(f"{TITLE} has no columns", remedy="give a table with at least one column of text")
        self._table = _readable(table)
        self._spec = spec
        check_names(self._table.column_names, TITLE)

    @property
    def title(self) -> str:
        """What messages call it."""
        return TITLE

    def columns(self) -> dict[str, str]:
        """Column name to DuckDB type, in order."""
        return dict(self._read[0])

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """Register the table on this connection; what to select FROM."""
        con.register(_VIEW, self._table)
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[str, str], str]:
        import duckdb

        from inlay.tables.sql import connect, translate

        con = connect()
        try:
            con.register(_VIEW, self._table)
            relation = quote_ident(_VIEW)
            columns = {row[0]: row[1] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
            if self._spec.content_key:
                from inlay.tables.content_key import with_content_key

                return with_content_key(con, relation, columns, TITLE)
            return columns, relation
        except duckdb.Error as error:
            raise translate(error, TITLE) from None
        finally:
            con.close()


def arrow_table(data: Any) -> pa.Table:
    """A frame of any known kind as an Arrow table, rows in order. Raises SourceError."""
    if isinstance(data, pa.Table):
        return _unique(data)
    if isinstance(data, pa.RecordBatch):
        return _unique(pa.Table.from_batches([data]))
    kind = frame_kind(data)
    name = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}".removeprefix("builtins.")
    if name in _REMEDIES:
        raise SourceError(f"{name} is no table", remedy=_REMEDIES[name])
    try:
        if kind == "rows":
            return _from_rows(data)
        if kind == "pandas":
            return _from_pandas(data)
        if kind == "polars":
            return _unique(data.to_arrow())
        if hasattr(data, "__arrow_c_stream__"):
            return _unique(pa.table(data))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{TITLE} cannot be read: {reason}", remedy="give every column values of one type") from None
    raise SourceError(
        f"{name} is no table", remedy="give a pandas, polars or Arrow table, a list of dicts, or the path of a file"
    )


def frame_kind(data: Any) -> str:
    """pandas, polars, batch, rows or arrow (anything else)."""
    if isinstance(data, pa.RecordBatch):
        return "batch"
    root = type(data).__module__.partition(".")[0]
    if type(data).__name__ == "DataFrame" and root in ("pandas", "polars"):
        return root
    if isinstance(data, list | tuple) and all(isinstance(row, Mapping) for row in data):
        return "rows"
    return "arrow"


def _from_rows(rows: Any) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pa.Array] = {}
    for name in names:
        try:
            columns[str(name)] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise _mixed(str(name), error) from None
    return _unique(pa.table(columns))


def _from_pandas(frame: Any) -> pa.Table:
    names = [str(name) for name in frame.columns]
    _refuse_twins(names)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for place, name in enumerate(names):
        try:
            columns[name] = pa.array(frame.iloc[:, place], from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise _mixed(name, error) from None
    return pa.table(columns)


def _mixed(name: str, error: Exception) -> SourceError:
    reason = " ".join(str(error).split())[:160]
    return SourceError(
        f"{TITLE}: column {name!r} cannot be read: {reason}",
        remedy="give the column values of one type, or leave it out",
    )


def _unique(table: pa.Table) -> pa.Table:
    _refuse_twins(table.column_names)
    return table


def _refuse_twins(names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise SourceError(f"{TITLE} has several columns {twins[0]!r}", remedy="give every column a name of its own")


def _readable(table: pa.Table) -> pa.Table:
    """The table with the types that DuckDB does not take from Arrow, or takes for something else, made plain."""
    for place, column in enumerate(table.schema):
        wanted = _plain_type(column.type)
        if wanted != column.type:
            try:
                array = table.column(place)
                if isinstance(column.type, pa.BaseExtensionType):
                    array = pa.chunked_array([chunk.storage for chunk in array.chunks], column.type.storage_type)
                    wanted = _plain_type(column.type.storage_type)
                array = array.cast(wanted)
            except pa.ArrowException as error:
                raise _mixed(column.name, error) from None
            table = table.set_column(place, column.name, array)
    return table


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_decimal256(kind):
        return pa.float64()
    return kind
