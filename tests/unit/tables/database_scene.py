"""What the tests of databases as sources share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from inlay.contracts import Source
from inlay.databases.address import parse
from inlay.databases.connection import Connection, Database
from inlay.spec.model import SelectSpec, SourceSpec
from inlay.tables.databases import DatabaseSource

TEXT = {"mysql": "VARCHAR(191)", "postgresql": "TEXT", "sqlite": "TEXT", "duckdb": "VARCHAR"}


def open_(url: str) -> Connection:
    """A connection to a database of a test."""
    return Database(parse(url, Path("/"))).connect()


def filled(url: str, ddl: str, rows: Sequence[Sequence[Any]], table: str = "t") -> None:
    """Make a table with these rows."""
    with open_(url) as con:
        con.run(ddl)
        if rows:
            con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def source_of(
    url: str, table: str | None = "t", *, key: Any = "id", select: SelectSpec | None = None, **more: Any
) -> DatabaseSource:
    """A table as a source."""
    spec = SourceSpec.model_validate({"connection": "${X}", "table": table, "key": key, **more})
    return DatabaseSource(spec, parse(url, Path("/")), select)


def read(source: Source, con: duckdb.DuckDBPyConnection, columns: str = "*") -> list[tuple[Any, ...]]:
    """Every row of a source."""
    return con.execute(f"SELECT {columns} FROM {source.attach(con)}").fetchall()
