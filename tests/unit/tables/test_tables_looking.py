"""A first look says what is there, and names a key only where it holds."""

from __future__ import annotations

from typing import Any

import pytest

from inlay.tables.looking import Look, look, named_like_id
from inlay.tables.sql import connect


def seen(**columns: list[Any]) -> Look:
    import pyarrow as pa

    con = connect(threads=2)
    try:
        con.register("t", pa.table(columns))
        types = {row[0]: row[1] for row in con.execute("DESCRIBE SELECT * FROM t").fetchall()}
        return look(con, "t", types, "the table")
    finally:
        con.close()


def test_columns_with_their_figures() -> None:
    found = seen(id=[1, 2, 3], text=["駅から遠い", "", None], tags=[["a"], None, []])
    assert found.rows == 3
    numbers, text, _ = found.columns
    assert (numbers.name, numbers.type, numbers.filled, numbers.examples) == ("id", "BIGINT", 3, ("1", "2", "3"))
    assert (text.filled, text.longest, text.examples, text.spaced) == (1, 5, ("駅から遠い",), False)


def test_no_rows() -> None:
    import pyarrow as pa

    found = seen(a=pa.array([], pa.string()))
    assert (found.rows, found.keys, found.columns[0].examples) == (0, (), ())


@pytest.mark.parametrize("count", [3, 100, 5000])
def test_a_unique_id_is_found_whatever_else_is_unique(count: int) -> None:
    found = seen(
        serial=list(range(count)),
        review_id=[f"r{number}" for number in range(count)],
        text=[f"text number {number}" for number in range(count)],
        score=[number / 7 for number in range(count)],
    )
    assert found.keys == ("review_id", "serial")


@pytest.mark.parametrize(
    "ids", [["a", "b", "b"], ["a", "b", None], ["a b", "c d", "e f"]], ids=["repeated", "null", "words"]
)
def test_what_does_not_tell_rows_apart_or_is_prose_is_no_key(ids: list[Any]) -> None:
    assert seen(title=ids, text=["x", "y", "y"]).keys == ()


def test_named_like_an_id() -> None:
    assert all(map(named_like_id, ["id", "ID", "review_id", "reviewId", "order no", "uuid", "sku"]))
    assert not any(map(named_like_id, ["text", "valid", "paid", "title", "kidney"]))
