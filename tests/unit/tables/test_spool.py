"""Rows laid down beside DuckDB: in their order and whole, however many lists they come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from inlay.tables import spool
from inlay.tables.spool import Misfit, Reading, Rows, lay_down

READINGS = (
    Reading("id", "id", pa.int64(), "{}", "BIGINT"),
    Reading("name", "name", pa.string(), "{}", "VARCHAR"),
    Reading("born", "born", pa.string(), "TRY_CAST({} AS DATE)", "DATE"),
)


def lists(rows: int, size: int) -> Iterator[Rows]:
    """Rows in lists, one value of another type than its column's in the midst of them."""
    for start in range(0, rows, size):
        yield [
            (n, 77 if n == rows // 2 else None if n % 7 == 0 else f"氏名 {n}", "2001-02-03" if n % 2 else None)
            for n in range(start, min(rows, start + size))
        ]


@pytest.mark.parametrize(("rows", "size"), [(1, 1000), (999, 1000), (8_192, 1000), (25_001, 1000), (20_000, 9_000)])
def test_every_row_is_there_in_its_order(tmp_path: Path, rows: int, size: int) -> None:
    path = tmp_path / "rows.parquet"
    assert lay_down(path, READINGS, lists(rows, size), place="place") == rows
    found = duckdb.sql(f"SELECT id, name, born::VARCHAR, place FROM {spool.relation(path)}").fetchall()
    said = [row for some in lists(rows, size) for row in some]
    assert found == [
        (n, None if name is None else str(name), born, at) for at, (n, name, born) in enumerate(said, start=1)
    ]


def test_wide_rows_are_not_gathered(tmp_path: Path) -> None:
    seen: list[int] = []

    def wide() -> Iterator[Rows]:
        for n in range(6):
            seen.append(n)
            yield [(n, "x" * 2_000_000, None)]

    path = tmp_path / "rows.parquet"
    batches = spool._Batches(wide(), READINGS, pa.schema([(f"c{n}", part.raw) for n, part in enumerate(READINGS)]))
    assert (next(batches).num_rows, seen) == (1, [0])
    assert lay_down(path, READINGS, wide()) == 6


def test_what_does_not_fit_is_named_wherever_it_stands(tmp_path: Path) -> None:
    def broken() -> Iterator[Rows]:
        yield from lists(20_000, 1000)
        yield [(1, "a", "yesterday")]

    with pytest.raises(Misfit) as error:
        lay_down(tmp_path / "rows.parquet", READINGS, broken())
    assert (error.value.column, error.value.value) == ("born", "yesterday")
    assert not (tmp_path / "rows.parquet").exists()


@pytest.mark.parametrize("rows", [[(1, 2), (2, 1.5)], [(1, "x"), (2, 1.5)]])
def test_a_part_of_a_number_is_never_cut_off(tmp_path: Path, rows: Rows) -> None:
    readings = [Reading("id", "id", pa.int64(), "{}", "BIGINT"), Reading("n", "n", pa.int64(), "{}", "BIGINT")]
    with pytest.raises(Misfit):
        lay_down(tmp_path / "rows.parquet", readings, iter([rows]))
