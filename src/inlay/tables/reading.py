"""How each column of a database is read: what is asked for, how it travels, and the type it has in DuckDB.

MySQL and PostgreSQL hand over every value as they write it, SQLite as Python's own, DuckDB as it is. What stays true:
a type that DuckDB does not have is text, as the database writes it; `0000-00-00`, MySQL's date that is none, is null;
`source.types` decides over both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from inlay.databases.address import DUCKDB, MYSQL, SQLITE
from inlay.databases.connection import Connection
from inlay.databases.dialect import Column
from inlay.errors import PlanError
from inlay.fingerprint_sql import quote_ident
from inlay.tables.spool import Reading, cast_sql, fails
from inlay.tables.typed import DUCKDB_TYPES, misfit_sql, text_sql, typed_sql

_RAW = "inlay_raw"
# DuckDB's own types that a Parquet file brings back as they were; all others are read as text.
_PLAIN = re.compile(
    r"(BOOLEAN|TINYINT|SMALLINT|INTEGER|BIGINT|UTINYINT|USMALLINT|UINTEGER|UBIGINT|FLOAT|DOUBLE|VARCHAR|BLOB|DATE|TIME"
    r"|TIMESTAMP|TIMESTAMP WITH TIME ZONE|DECIMAL\(\d+,\d+\))(\[\d*\])*"
)


def readings_of(con: Connection, columns: Sequence[Column], types: Mapping[str, str], title: str) -> dict[str, Reading]:
    """The columns of a source by name, in order. PlanError where `types` names one that is not there."""
    names = [column.name for column in columns]
    for name in types:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise PlanError(
                f"source.types names {name!r}, which is no column of {title}",
                remedy=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(names)}",
            )
    kind = con.address.kind
    make = {DUCKDB: _from_duckdb, SQLITE: _from_sqlite}.get(kind, _from_server)
    return {
        column.name: make(kind, con.quote(column.name), column, types.get(column.name), number)
        for number, column in enumerate(columns)
    }


def where_reading(kind: str, where: str, name: str) -> Reading:
    """Whether a condition of the declaration takes a row."""
    asked = f"CASE WHEN {where} THEN 1 ELSE 0 END"
    if kind == DUCKDB:
        return Reading(name, asked, pa.bool_(), f"({asked} = 1)", "BOOLEAN")
    raw = pa.int64() if kind == SQLITE else pa.string()
    return Reading(name, asked, raw, "(CAST({} AS INTEGER) = 1)", "BOOLEAN")


def _from_server(kind: str, quoted: str, column: Column, wanted: str | None, number: int) -> Reading:
    """MySQL and PostgreSQL: text, and MySQL's bytes."""
    del number
    name, type_ = column.name, column.type
    if kind == MYSQL and column.native.partition("(")[0] in ("bit", "16"):  # 16: its number in the protocol
        quoted, type_ = f"({quoted} + 0)", "UBIGINT"
    raw = pa.binary() if kind == MYSQL and type_ == "BLOB" else pa.string()
    native = cast_sql(type_)
    if type_ == "BLOB":
        native = "{}" if kind == MYSQL else "unhex(substr({}, 3))"
    dated = kind == MYSQL and type_.startswith(("DATE", "TIMESTAMP"))
    absent = "(substr({}, 6, 2) = '00' OR substr({}, 9, 2) = '00')" if dated else ""
    if wanted == "text":
        as_written = "TRY(decode({}))" if pa.types.is_binary(raw) else "{}"
        return Reading(name, quoted, raw, as_written, "VARCHAR")
    if wanted is not None:
        return Reading(name, quoted, raw, _wanted(type_, wanted, native), DUCKDB_TYPES[wanted], absent)
    return Reading(name, quoted, raw, native, type_, absent)


def _from_sqlite(kind: str, quoted: str, column: Column, wanted: str | None, number: int) -> Reading:
    """SQLite: Python's own values, of the declared type mostly."""
    del kind, number
    if wanted is not None:
        return Reading(column.name, quoted, pa.string(), _wanted("VARCHAR", wanted, "{}"), DUCKDB_TYPES[wanted])
    raw = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.int64(), "BLOB": pa.binary()}.get(column.type)
    sql = cast_sql(column.type) if raw is None else "{}"
    if column.type == "BOOLEAN":
        sql = "CASE WHEN {} IN (0, 1) THEN {} = 1 END"
    return Reading(column.name, quoted, raw or pa.string(), sql, column.type)


def _from_duckdb(kind: str, quoted: str, column: Column, wanted: str | None, number: int) -> Reading:
    """DuckDB: an expression over the column itself, since nothing travels."""
    del kind
    name, type_ = column.name, column.type
    if wanted is not None:
        typed, text = typed_sql(name, type_, wanted), f"CAST({quoted} AS VARCHAR)"
        sql = f"CASE WHEN {misfit_sql(name, type_, wanted)} THEN {fails(number, text)} ELSE {typed} END"
        return Reading(name, quoted, pa.string(), sql, DUCKDB_TYPES[wanted])
    if _PLAIN.fullmatch(type_):
        return Reading(name, quoted, pa.string(), quoted, type_)
    nested = type_.endswith("]") or type_.startswith(("STRUCT(", "MAP(", "UNION("))
    text = f"CAST(to_json({quoted}) AS VARCHAR)" if nested else text_sql(name, type_)
    return Reading(name, quoted, pa.string(), text, "VARCHAR")


def _wanted(type_: str, wanted: str, native: str) -> str:
    """The type that the declaration gives a column, over `{}`."""
    return typed_sql(_RAW, type_, wanted).replace(quote_ident(_RAW), native)
