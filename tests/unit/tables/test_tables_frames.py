"""Frames of every kind as a source: order, nulls and names as they are; what cannot be read is named."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from inlay.errors import SourceError
from inlay.spec.model import CONTENT_KEY, SourceSpec
from inlay.tables.frames import TITLE, FrameSource, arrow_table, frame_kind
from inlay.tables.sql import connect

ROWS = [
    {"id": 1, "テキスト": "今日は晴れ", 'say "it"': None, "day": dt.date(2024, 1, 2)},
    {"id": 2, "テキスト": None, 'say "it"': "x", "day": None},
    {"id": 3, "テキスト": "مرحبا 😀", 'say "it"': "", "day": dt.date(2024, 1, 4)},
]
FRAMES: dict[str, Any] = {
    "rows": ROWS,
    "pandas": pd.DataFrame(ROWS, index=["x", "y", "z"]),
    "polars": pl.DataFrame(ROWS),
    "arrow": pa.Table.from_pylist(ROWS),
    "batch": pa.RecordBatch.from_pylist(ROWS),
}


def source(table: pa.Table, key: str = "id") -> FrameSource:
    return FrameSource(table, SourceSpec.model_validate({"files": TITLE, "key": key}))


def rows(frame: FrameSource) -> list[tuple[Any, ...]]:
    con = connect(threads=2)
    try:
        return con.execute(f"SELECT * FROM {frame.attach(con)}").fetchall()
    finally:
        con.close()


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_gives_the_same_rows(kind: str) -> None:
    assert frame_kind(FRAMES[kind]) == kind
    assert rows(source(arrow_table(FRAMES[kind]))) == [tuple(row.values()) for row in ROWS]


def test_whatever_offers_the_arrow_stream_is_read() -> None:
    class Offers:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.Table.from_pylist(ROWS).__arrow_c_stream__(requested_schema)

    reader = pa.Table.from_pylist(ROWS).to_reader()
    for frame in (Offers(), reader):
        assert frame_kind(frame) == "arrow"
        assert arrow_table(frame).to_pylist() == ROWS


def test_rows_may_lack_columns() -> None:
    assert arrow_table([{"a": 1}, {"b": "x"}]).to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_order_is_kept_over_many_batches() -> None:
    numbers = list(range(300_000))
    table = pa.concat_tables([pa.table({"id": numbers[at : at + 1000]}) for at in range(0, 300_000, 1000)])
    assert [row[0] for row in rows(source(table))] == numbers
    assert [row[0] for row in rows(source(table, "*"))] == numbers


def test_types_that_duckdb_does_not_read_are_made_plain() -> None:
    table = pa.table(
        {
            "nothing": pa.nulls(2),
            "words": pa.array(["a", "b"]).dictionary_encode(),
            "half": pa.array([0.5, None], pa.float16()),
            "view": pa.array(["x", None], pa.string_view()),
            "exact": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)),
            "uuid": pa.array([b"0123456789abcdef", None], pa.uuid()),
        }
    )
    found = source(table, "words")
    assert found.columns()["nothing"] == found.columns()["words"] == "VARCHAR"
    assert rows(found) == [
        (None, "a", 0.5, "x", decimal.Decimal("1.50"), b"0123456789abcdef"),
        (None, "b", None, None, None, None),
    ]


def test_a_frame_may_be_known_by_its_content() -> None:
    found = source(pa.table({"a": ["x", "y", "x"]}), "*")
    assert found.columns() == {"a": "VARCHAR", CONTENT_KEY: "VARCHAR"}
    keys = [row[1] for row in rows(found)]
    assert keys[2] == f"{keys[0]}-2"
    assert keys == [row[1] for row in rows(source(pa.table({"a": ["x", "y", "x"]}), "*"))]


def test_column_names_of_pandas_become_texts() -> None:
    assert arrow_table(pd.DataFrame({0: ["a"], ("b", 1): ["c"]})).column_names == ["0", "('b', 1)"]


WRONG: dict[str, tuple[Any, str, str]] = {
    "a number": (5, "int is no table", "a list of dicts"),
    "nothing": (None, "NoneType is no table", "a list of dicts"),
    "a list of numbers": ([1], "list is no table", "a list of dicts"),
    "a lazy frame": (pl.LazyFrame(ROWS), "polars.LazyFrame is no table", "collect"),
    "a series": (pd.Series(["a"], name="a"), "pandas.Series is no table", "to_frame"),
    "a mixed column": (pd.DataFrame({"a": [1, "x"]}), "column 'a' cannot be read", "one type"),
    "mixed rows": ([{"a": 1}, {"a": "x"}], "column 'a' cannot be read", "one type"),
    "twins": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns 'a'", "a name of its own"),
    "case twins": ([{"a": 1, "A": 2}], "differ only by case", "rename"),
    "no columns": ([], "no columns", "at least one column"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_table_is_refused_in_a_sentence(case: str) -> None:
    data, message, remedy = WRONG[case]
    with pytest.raises(SourceError) as caught:
        source(arrow_table(data))
    assert message in caught.value.message
    assert remedy in caught.value.remedy
