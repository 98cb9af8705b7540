"""Parquet: types as they are in the files, shapes compared before anything is read.

What stays true: one look at all footers tells the shapes; a file whose shape differs makes a Part of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import duckdb

from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_text
from inlay.tables.paths import SourceFile
from inlay.tables.relation import Part, check_names

if TYPE_CHECKING:
    from collections.abc import Iterator

READER = "read_parquet({files}, hive_partitioning=false{more})"


def parquet_parts(files: Sequence[SourceFile], con: duckdb.DuckDBPyConnection) -> list[Part]:
    """One Part for each run of files with the same columns and types. Raises SourceError for a damaged file."""
    shapes = _shapes(files, con)
    parts: list[Part] = []
    for _, group in groupby(zip(files, shapes, strict=True), key=lambda pair: pair[1]):
        run = tuple(file for file, _ in group)
        part = Part(run, {}, READER)
        described = con.execute(f"DESCRIBE SELECT * FROM {part.relation(files=run[:1])}").fetchall()
        parts.append(Part(run, {row[0]: row[1] for row in described}, READER))
    return parts


def _shapes(files: Sequence[SourceFile], con: duckdb.DuckDBPyConnection) -> list[tuple[tuple[object, ...], ...]]:
    """For each file everything that its footer says of its columns."""
    paths = ", ".join(quote_text(file.duckdb_path) for file in files)
    try:
        rows = con.execute(
            "SELECT file_name, name, num_children, type, type_length, repetition_type, converted_type, scale, "
            f"precision, logical_type FROM parquet_schema([{paths}])"
        ).fetchall()
    except duckdb.Error:
        raise _damaged(files, con) from None
    found = {name: [tuple(row[1:]) for row in group] for name, group in groupby(rows, key=lambda row: row[0])}
    shapes: list[tuple[tuple[object, ...], ...]] = []
    for file in files:
        shape = tuple(found[str(file.path)])
        check_names(_top_level(shape), file.path.name)
        shapes.append(shape)
    return shapes


def _top_level(shape: Sequence[tuple[object, ...]]) -> Iterator[str]:
    """Names of the columns: the children of the root, in a list that goes depth first."""
    at = 1
    while at < len(shape):
        yield str(shape[at][0])
        open_children = 1
        while open_children:
            children = shape[at][1]
            open_children += (children if isinstance(children, int) else 0) - 1
            at += 1


def _damaged(files: Sequence[SourceFile], con: duckdb.DuckDBPyConnection) -> SourceError:
    """Which of the files it is, looked at one by one."""
    for file in files:
        try:
            con.execute(f"SELECT count(*) FROM parquet_schema({quote_text(file.duckdb_path)})").fetchall()
        except duckdb.Error as error:
            reason = str(error).split("\n", 1)[0].split(": ", 1)[-1]
            return SourceError(
                f"{file.path} is not a whole Parquet file: {reason}",
                remedy="write it again; it may have been cut off or still be in writing",
            )
    return SourceError("the Parquet files changed while they were read", remedy="try again once they are whole")
