"""Answers as frames: Arrow, pandas, polars or plain rows, beside the columns that were given.

pandas and polars are imported when they are asked for. What stays true: as many rows as were given, in their order,
pandas with its own index; the user's columns are the user's own, never converted there and back; a null stays a null
(whole numbers and truth values come to pandas as Int64 and boolean).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from inlay.errors import SpecError
from inlay.project.publishing import as_arrow
from inlay.project.report import Report
from inlay.project.session import Session

KINDS = ("arrow", "pandas", "polars")


def check_kind(into: str | None) -> None:
    """Refuse a kind of frame that there is not, or whose package is not installed. Raises SpecError."""
    if into is None:
        return
    if into not in KINDS:
        raise SpecError(f"there is no frame {into!r}", key="into", remedy=f"one of: {', '.join(KINDS)}")
    if into != "arrow":
        _package(into)


def reported(report: Report) -> pa.Table:
    """The table of a run: what it answered for a frame, what it published as Parquet, or the store's wide table."""
    if report.table is not None:
        return report.table
    in_file = report.publication is None or report.publication.new is None
    if report.published is not None and in_file and Path(report.published).suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        # `memory_map` would break under a file that is replaced by the next run.
        return pq.ParquetFile(report.published).read()
    assert report.declaration is not None
    with Session(report.declaration) as session:
        name, _ = session.store_place
        if name == "memory":
            raise SpecError(
                "the answers went with the memory store, and no Parquet was published",
                key="store",
                remedy="publish to a .parquet file, or use a store on disk",
            )
        return as_arrow(session, session.refs())


def converted(table: pa.Table, kind: str) -> Any:
    """An Arrow table as a frame of this kind. Raises SpecError where the package is missing."""
    if kind == "pandas":
        pandas = _package("pandas")
        return pandas.DataFrame({name: pandas_column(table.column(name)) for name in table.column_names})
    if kind == "polars":
        return _package("polars").from_arrow(table)
    return table.to_pylist() if kind == "rows" else table


def beside(data: Any, kind: str, answers: pa.Table) -> Any:
    """A copy of the user's frame with the answers as further columns; its rows, order, index and types stay."""
    if kind == "pandas":
        out = data.copy(deep=False)
        for name in answers.column_names:
            column = pandas_column(answers.column(name))
            column.index = out.index
            out[name] = column
        return out
    if kind == "polars":
        return data.with_columns(_package("polars").from_arrow(answers).get_columns())
    if kind == "rows":
        return [{**row, **more} for row, more in zip(data, answers.to_pylist(), strict=True)]
    table = data if isinstance(data, pa.Table) else pa.table(data)
    for name in answers.column_names:
        column = (answers.schema.field(name), answers.column(name))
        place = table.schema.get_field_index(name)  # of an earlier enrichment
        table = table.append_column(*column) if place < 0 else table.set_column(place, *column)
    return table


def pandas_column(column: pa.ChunkedArray) -> Any:
    """A pandas Series: whole numbers and truth values with nulls of their own, lists and objects as Python's."""
    pandas = _package("pandas")
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_date(kind):
        return pandas.Series(column.to_pylist(), dtype=object)
    if pa.types.is_integer(kind):
        return column.to_pandas(types_mapper=lambda _: getattr(pandas, _nullable(kind))())
    if pa.types.is_boolean(kind):
        return column.to_pandas(types_mapper=lambda _: pandas.BooleanDtype())
    return column.to_pandas()


def _nullable(kind: pa.DataType) -> str:
    name = str(kind)  # int64, uint8 …
    return f"UInt{name[4:]}Dtype" if name.startswith("u") else f"Int{name[3:]}Dtype"


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SpecError(f"{name} is not installed", key="into", remedy=f"pip install {name}") from None
