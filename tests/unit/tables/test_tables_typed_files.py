"""Parquet, JSONL, `types` and keys: types are what is written, nothing is bent, and what does not fit is shown."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inlay.errors import PlanError, SourceError
from inlay.tables.select import check_keys
from inlay.tables.sql import connect

# --- Parquet ----------------------------------------------------------------------------------------------------------


def test_parquet_keeps_its_types(tmp_path, source):
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.uint64()),
            "d": pa.array([dt.date(2024, 1, 1), None]),
            "l": pa.array([["é", None], []], pa.list_(pa.string())),
            "s": pa.array([{"a": 1}, None], pa.struct([("a", pa.int32())])),
            "t": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    files = source(tmp_path, "a.parquet")
    assert files.columns() == {
        "id": "UBIGINT",
        "d": "DATE",
        "l": "VARCHAR[]",
        "s": "STRUCT(a INTEGER)",
        "t": "TIMESTAMP WITH TIME ZONE",
    }
    con = connect()
    found = con.execute(f"SELECT * FROM {files.attach(con)}").to_arrow_table()
    assert found.to_pylist() == table.to_pylist()
    con.close()


def test_parquet_files_that_differ(tmp_path, source, rows, refusal):
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "v": ["x"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"w": [True], "id": pa.array([2], pa.int32())}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"id": ["3"]}), tmp_path / "c.parquet")
    assert rows(source(tmp_path, "[ab].parquet")) == [(1, "x", None), (2, None, True)]
    message = refusal(source(tmp_path, "*.parquet")).message
    assert message == "column 'id' is INTEGER in a.parquet and VARCHAR in c.parquet"
    assert rows(source(tmp_path, "*.parquet", types={"id": "integer"})) == [
        (1, "x", None),
        (2, None, True),
        (3, None, None),
    ]


def test_a_folder_name_with_equals_adds_no_column(tmp_path, source):
    (tmp_path / "day=2024-01-01").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "day=2024-01-01" / "a.parquet")
    assert source(tmp_path, "**/*.parquet").columns() == {"id": "BIGINT"}


# --- JSONL ------------------------------------------------------------------------------------------------------------


def test_jsonl_types_are_what_is_written(tmp_path, put, source, rows):
    lines = [
        {
            "id": "007",
            "n": 1,
            "f": 1,
            "b": True,
            "day": "2024-01-01",
            "l": ["x"],
            "s": {"a": 1},
            "mixed": 1,
            "nil": None,
        },
        {"id": "٧", "n": -2, "f": 2.5, "b": None, "day": "x", "l": [], "s": {"b": "é"}, "mixed": "one", "late": 5},
        {"id": "3", "mixed": {"k": "é"}, "day": "12:00:00"},
        {"id": "4", "mixed": None},
    ]
    put(tmp_path, "a.jsonl", "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    files = source(tmp_path, "a.jsonl")
    assert files.columns() == {
        "id": "VARCHAR",
        "n": "BIGINT",
        "f": "DOUBLE",
        "b": "BOOLEAN",
        "day": "VARCHAR",
        "l": "VARCHAR[]",
        "s": "VARCHAR",
        "mixed": "VARCHAR",
        "nil": "VARCHAR",
        "late": "BIGINT",
    }
    assert rows(files) == [
        ("007", 1, 1.0, True, "2024-01-01", ["x"], '{"a":1}', "1", None, None),
        ("٧", -2, 2.5, None, "x", [], '{"b":"é"}', "one", None, 5),
        ("3", None, None, None, "12:00:00", None, None, '{"k":"é"}', None, None),
        ("4", None, None, None, None, None, None, None, None, None),
    ]


def test_a_new_key_in_one_line_changes_no_other_row(tmp_path, put, source, rows):
    first = '{"id": 1, "s": {"a": 1}, "l": [1, 2], "o": [{"x": 1}]}\n'
    put(tmp_path, "a.jsonl", first)
    [before] = rows(source(tmp_path, "a.jsonl"))
    put(tmp_path, "a.jsonl", first + '{"id": 2, "s": {"b": 2}, "l": [2.5], "o": [{"y": []}]}\n')
    after = rows(source(tmp_path, "a.jsonl"))
    assert after[0] == before == (1, '{"a":1}', "[1,2]", '[{"x":1}]')
    assert after[1] == (2, '{"b":2}', "[2.5]", '[{"y":[]}]')


def test_jsonl_columns_come_in_the_order_of_the_lines(tmp_path, put, source):
    lines = [{f"k{n // 20_000}": n, "id": n} for n in range(200_000)]
    put(tmp_path, "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    expected = ["k0", "id", *(f"k{n}" for n in range(1, 10))]
    assert list(source(tmp_path, "a.jsonl").columns()) == expected


def test_jsonl_whole_numbers_of_any_length(tmp_path, put, source, rows):
    put(
        tmp_path,
        "a.jsonl",
        '{"id": 1, "u": 18446744073709551615, "big": 123456789012345678901234567890, "l": [12345678901234567890]}\n'
        '{"id": 2, "u": 5, "big": -1, "l": []}\n',
    )
    files = source(tmp_path, "a.jsonl")
    assert files.columns() == {"id": "BIGINT", "u": "UBIGINT", "big": "VARCHAR", "l": "VARCHAR"}
    assert rows(files) == [
        (1, 18446744073709551615, "123456789012345678901234567890", "[12345678901234567890]"),
        (2, 5, "-1", "[]"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": 1}\n{"id":\n', "line 2: not valid JSON"),
        ('{"id": 1}\n\n[{"id": 2}]\n', "line 3: a JSON array"),
        ('{"id": 1}\n5\n', "line 2: not a JSON object"),
        ('[{"id": 1}]\n', "line 1: a JSON array"),
        ('{\n"id": 1\n}\n', "line 1: not valid JSON"),
        ('\ufeff{"id": 1}\n', "line 1: the file begins with a byte order mark"),
        (b'{"id": "\xff"}\n', "line 1: not UTF-8"),
        ('{"id": "\\ud800"}\n', "line 1: not valid JSON"),
        ('{"id": 1} {"id": 2}\n', "line 1: not valid JSON"),
        ('{"id": 1, "id": 2}\n', "duplicate key"),
        ('{"id": 1}\n{"id": NaN}\n', "line 2: not valid JSON"),
    ],
)
def test_jsonl_that_is_none_is_refused(tmp_path, text, said, put, source, refusal):
    put(tmp_path, "a.jsonl", text)
    error = refusal(source(tmp_path, "a.jsonl"))
    assert isinstance(error, SourceError)
    assert said in error.message
    assert "a.jsonl" in error.message


# --- types ------------------------------------------------------------------------------------------------------------


def test_types_bend_nothing(tmp_path, put, source, rows):
    put(
        tmp_path,
        "a.csv",
        "id,i,n,b,d,t\n1,+007,1e3,yes,2024-2-29,2024-01-01T00:00:00+09:00\n2, 5 ,.5,FALSE,2024-01-01,2024-01-01 10:00\n"
        '3,,"",,　,\n',
    )
    kinds = {"i": "integer", "n": "number", "b": "boolean", "d": "date", "t": "datetime"}
    files = source(tmp_path, "a.csv", types=kinds)
    assert files.columns() == {
        "id": "VARCHAR", "i": "BIGINT", "n": "DOUBLE", "b": "BOOLEAN", "d": "DATE", "t": "TIMESTAMP",
    }  # fmt: skip
    assert rows(files) == [
        ("1", 7, 1000.0, True, dt.date(2024, 2, 29), dt.datetime(2023, 12, 31, 15)),
        ("2", 5, 0.5, False, dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 10)),
        ("3", None, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "1.5"),
        ("integer", "1e3"),
        ("integer", "99999999999999999999"),
        ("number", "1,5"),
        ("boolean", "vielleicht"),
        ("date", "2024-02-30"),
        ("date", "2024-01-01 10:00"),
        ("date", "01/02/2024"),
        ("datetime", "gestern"),
    ],
)
def test_a_value_that_does_not_fit_is_shown(tmp_path, kind, value, put, source, refusal):
    put(tmp_path, "a.csv", "id,v\n1,\n")
    put(tmp_path, "b.csv", f'id,v\n2,"{value}"\n3,"{value}"\n')
    error = refusal(source(tmp_path, "*.csv", types={"v": kind}))
    assert error.message == f"b.csv: column 'v': 2 values do not fit type {kind}, for example {value!r}"


def test_types_of_an_unknown_column(tmp_path, put, source, refusal):
    put(tmp_path, "a.csv", "id,value\n1,2\n")
    error = refusal(source(tmp_path, "a.csv", types={"valeu": "integer"}))
    assert isinstance(error, PlanError)
    assert "did you mean 'value'?" in error.remedy


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_null_repeated_and_twins(tmp_path, put, source):
    put(tmp_path, "a.csv", "id,r\né,1\ne\u0301,1\n,2\n")
    put(tmp_path, "b.csv", "id,r\n" + "".join(f"{n % 7},{n % 2}\n" for n in range(100)))
    con = connect()
    twins, many = source(tmp_path, "a.csv"), source(tmp_path, "b.csv")
    with pytest.raises(PlanError, match=r"\(id\) is null in 1 of 3 rows"):
        check_keys(con, twins.attach(con), ["id"], twins.columns(), "a.csv")
    no_null = f"(SELECT * FROM {twins.attach(con)} WHERE id IS NOT NULL)"
    assert check_keys(con, no_null, ["id"], twins.columns()) == 2  # NFC and NFD are two keys
    with pytest.raises(PlanError) as caught:
        check_keys(con, many.attach(con), ["id", "r"], many.columns(), "b.csv")
    assert "'0' + '0' (8 rows)" in caught.value.message
    assert caught.value.message.count("rows)") == 5
    assert caught.value.message.endswith("; and more")
    con.close()
