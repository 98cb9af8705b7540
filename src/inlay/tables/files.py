"""Files as a source: Parquet, CSV and JSONL, one or thousands, read by DuckDB where they lie.

What stays true: finding and checking happens once, on first use, and costs no more than the footers (Parquet), the
first lines (CSV) or one reading (JSONL, and `types`); afterwards the source is one query text that any connection can
run; rows come in the order of the files and of their lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from inlay.errors import PlanError, SourceError
from inlay.fingerprint_sql import quote_ident
from inlay.spec.model import SourceSpec
from inlay.tables.paths import SourceFile, find_files

if TYPE_CHECKING:
    import duckdb

    from inlay.tables.relation import Part


class FileSource:
    """The rows of files; fulfils `contracts.Source`. Every mistake is a SourceError or PlanError with a remedy."""

    def __init__(self, spec: SourceSpec, folder: Path) -> None:
        """Touches no file; relative paths start in `folder`."""
        self._spec = spec
        self._folder = folder

    @property
    def title(self) -> str:
        """The files as the declaration names them."""
        return ", ".join(self._spec.files)

    def columns(self) -> dict[str, str]:
        """Column name to DuckDB type, in the order of the first file; columns that only later files have come last."""
        return dict(self._read[0])

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """The rows as a parenthesised query; nothing is created on the connection."""
        return self._read[1]

    def paths(self) -> list[Path]:
        """The files as they are now, absolute; a target must be none of them."""
        return [file.path for file in self._find()]

    @property
    def empty(self) -> bool:
        """Whether there is no byte in any of the files, so that nothing is known of their columns."""
        return not any(file.size for file in self._find())

    def _find(self) -> list[SourceFile]:
        return find_files(self._spec.files, self._folder, self._spec.format)

    @cached_property
    def _read(self) -> tuple[dict[str, str], str]:
        """(columns, query)"""
        from inlay.tables.sql import connect

        con = connect()
        try:
            columns, query = self._plan(self._find(), con)
            if self._spec.content_key:
                from inlay.tables.content_key import with_content_key

                return with_content_key(con, query, columns, self.title)
            return columns, query
        finally:
            con.close()

    def _plan(self, files: list[SourceFile], con: duckdb.DuckDBPyConnection) -> tuple[dict[str, str], str]:
        from inlay.tables.relation import combined_sql, merged_columns
        from inlay.tables.typed import DUCKDB_TYPES, text_sql, typed_sql

        parts = _parts(files, con)
        types = self._spec.types
        if not parts:
            return self._nothing()
        own = merged_columns(parts, free=types)
        for name in types:
            if name not in own:
                near = difflib.get_close_matches(name, own, n=1)
                raise PlanError(
                    f"source.types names {name!r}, which is no column of {self.title}",
                    remedy=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(own)}",
                )
        self._check_types(parts, con)
        columns: dict[str, str] = {}
        expressions: dict[str, dict[str, str]] = {}
        for name, kind in own.items():
            wanted = types.get(name)
            kinds = {part.columns[name] for part in parts if name in part.columns}
            if wanted is not None:
                columns[name] = DUCKDB_TYPES[wanted]
                expressions[name] = {each: typed_sql(name, each, wanted) for each in kinds}
            elif kind == "JSON":
                columns[name] = "VARCHAR"
                expressions[name] = {kind: text_sql(name, kind)}
            else:
                columns[name] = kind
        return columns, combined_sql(parts, columns, expressions)

    def _nothing(self) -> tuple[dict[str, str], str]:
        """Files without a byte hold no row and name no column; the key must be there all the same."""
        key = () if self._spec.content_key else self._spec.key
        columns = dict.fromkeys((*key, *self._spec.types), "VARCHAR")
        if not columns:
            raise SourceError(
                f"{self.title}: not a byte, so there are no columns", remedy="name a file with a header line"
            )
        selected = ", ".join(f"CAST(NULL AS {kind}) AS {quote_ident(name)}" for name, kind in columns.items())
        return columns, f"(SELECT {selected} WHERE false)"

    def _check_types(self, parts: Sequence[Part], con: duckdb.DuckDBPyConnection) -> None:
        """Read the typed columns once and refuse values that do not fit; the first that do not are shown."""
        for part in parts:
            typed = {name: kind for name, kind in self._spec.types.items() if kind != "text" and name in part.columns}
            if typed:
                _check_part(part, typed, con)


def _parts(files: list[SourceFile], con: duckdb.DuckDBPyConnection) -> list[Part]:
    if files[0].format == "parquet":
        from inlay.tables.parquet import parquet_parts

        return parquet_parts(files, con)
    if files[0].format == "csv":
        from inlay.tables.delimited import csv_parts

        return csv_parts(files)
    from inlay.tables.jsonl import jsonl_parts

    return jsonl_parts(files, con)


def _check_part(part: Part, typed: Mapping[str, str], con: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    from inlay.tables.sql import translate
    from inlay.tables.typed import misfit_sql, text_sql

    misfits = {name: misfit_sql(name, part.columns[name], kind) for name, kind in typed.items()}
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in misfits.values())
    try:
        row = con.execute(f"SELECT {counts} FROM {part.relation()}").fetchall()[0]
        for (name, condition), count in zip(misfits.items(), row, strict=True):
            if not count:
                continue
            text = text_sql(name, part.columns[name])
            for file in part.files:
                found = con.execute(
                    f"SELECT {text} FROM {part.relation(files=[file])} WHERE {condition} LIMIT 1"
                ).fetchall()
                if found:
                    values = "1 value does" if count == 1 else f"{count} values do"
                    raise SourceError(
                        f"{file.path.name}: column {name!r}: {values} not fit type {typed[name]}, "
                        f"for example {found[0][0]!r}",
                        remedy=f"mend the values, or read the column as it is: take {name!r} out of source.types",
                    )
    except duckdb.Error as error:
        raise translate(error, part.files[0].path.name) from None
