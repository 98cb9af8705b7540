"""The scene of the published tables: rows in a file, answers from the simulator, a table in every kind of database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.testing import Simulator

sys.path.insert(0, str(Path(__file__).parents[1] / "durability"))  # where the scene is

from durable_scene import Scene, texts


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(null_share=0.1) as running:
        yield running


class Tables(Scene):
    """A scene whose output is a table."""

    def __init__(self, folder: Path, sim: Simulator, url: str) -> None:
        super().__init__(folder, sim)
        self.url = url
        self.database = Database(parse(url, folder))

    def begin(self, number: int = 12, **changes: Any) -> None:
        """Write rows and a declaration that publishes into `answers`."""
        self.rows(texts(number))
        self.declare(output={"table": "answers", "connection": self.url, "prefix": "llm_"}, **changes)

    def ask(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with self.database.connect() as con:
            return [tuple(row) for row in con.execute(sql, params).fetchall()]

    def do(self, sql: str) -> None:
        with self.database.connect() as con:
            con.run(sql)

    def rows_of(self, table: str = "answers") -> dict[Any, dict[str, Any]]:
        """The published rows by their first column."""
        with self.database.connect() as con:
            names = [column.name for column in con.dialect.table_columns(con, (table,))]
            cursor = con.execute(f"SELECT * FROM {con.quote(table)}")
            if con.dialect.name == "duckdb":  # whose Python values of moments need pytz
                return {row[names[0]]: row for row in cursor.to_arrow_table().to_pylist()}
            found = cursor.fetchall()
        return {row[0]: dict(zip(names, row, strict=True)) for row in found}


@pytest.fixture
def tables(tmp_path: Path, sim: Simulator, database_url: str) -> Tables:
    """The scene in each kind of database."""
    return Tables(tmp_path, sim, database_url)


@pytest.fixture
def tables_in(tmp_path: Path, sim: Simulator, new_database: Callable[[str], str]) -> Callable[[str], Tables]:
    """The scene in a database of a kind of one's choice."""
    return lambda kind: Tables(tmp_path, sim, new_database(kind))
