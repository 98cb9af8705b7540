"""Files as a source: what is read is what is written, and every unfit file is refused in a sentence."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.contracts import Source
from inlay.errors import InlayError, PlanError, SourceError
from inlay.spec.model import SourceSpec
from inlay.tables.files import FileSource
from inlay.tables.select import check_keys
from inlay.tables.sql import connect, translate


def source(folder: Path, files: str | tuple[str, ...], **rest: Any) -> FileSource:
    return FileSource(SourceSpec.model_validate({"files": files, "key": "id", **rest}), folder)


def rows(files: FileSource) -> list[tuple[Any, ...]]:
    con = connect(threads=2)
    try:
        return con.execute(f"SELECT * FROM {files.attach(con)}").fetchall()
    finally:
        con.close()


def refusal(files: FileSource) -> InlayError:
    """The error of reading it all, whenever it shows."""
    import duckdb

    try:
        found = rows(files)
    except InlayError as error:
        return error
    except duckdb.Error as error:
        return translate(error, files.title)
    raise AssertionError(f"nothing was refused: {found}")


def put(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_it_fulfils_the_contract(tmp_path):
    files: Source = source(tmp_path, "a.csv")
    assert files.title == "a.csv"  # and no file was touched


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_is_text_as_written(tmp_path):
    put(tmp_path, "a.csv", 'id,name,note\n007,田中 太郎,\n1e3,"""x"",\nمرحبا",""\n2024-01-01,👩‍🚀,true\n')
    files = source(tmp_path, "a.csv")
    assert files.columns() == {"id": "VARCHAR", "name": "VARCHAR", "note": "VARCHAR"}
    assert rows(files) == [
        ("007", "田中 太郎", None),
        ("1e3", '"x",\nمرحبا', ""),
        ("2024-01-01", "👩‍🚀", "true"),
    ]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_dialects(tmp_path, delimiter, line_end, mark):
    text = line_end.join(delimiter.join(row) for row in [('"id"', "name, first;x"[:4]), ("1", "é"), ("2", '"a\nb"')])
    put(tmp_path, "a.csv", mark + text + line_end)
    assert rows(source(tmp_path, "a.csv")) == [("1", "é"), ("2", "a\nb")]


def test_a_header_of_one_column_and_texts_with_commas(tmp_path):
    put(tmp_path, "a.csv", 'id\n"one, two; three"\n"four, five; six"\n')
    assert rows(source(tmp_path, "a.csv")) == [("one, two; three",), ("four, five; six",)]
    put(tmp_path, "b.csv", 'id;text\n1;"a, b, c"\n2;a, b, c\n')
    assert rows(source(tmp_path, "b.csv")) == [("1", "a, b, c"), ("2", "a, b, c")]


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(CELLS, CELLS), max_size=12), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
)
def test_csv_round_trip(tmp_path, table, quoting):
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting, lineterminator="\n")
    writer.writerow(["id", "text"])
    writer.writerows(table)
    put(tmp_path, "a.csv", out.getvalue())

    def cell(text: str) -> str | None:
        return None if text == "" and quoting == csv.QUOTE_MINIMAL else text

    assert rows(source(tmp_path, "a.csv")) == [(cell(a), cell(b)) for a, b in table]


def test_csv_cells_of_a_megabyte_and_lines_across_buffers(tmp_path):
    # More than one read buffer (32 MB), with quoted line breaks that look like records.
    trap = '\n1,"x"\n"2","y' * 40
    cell = '"' + ("é" * 1000 + trap).replace('"', '""') * 12 + '"'
    number = 40_000_000 // len(cell.encode())
    put(tmp_path, "a.csv", "id,text\n" + "".join(f"{n},{cell}\n" for n in range(number)) + f"last,{'x' * 3_000_000}\n")
    con = connect(threads=2)
    files = source(tmp_path, "a.csv")
    found = con.execute(f"SELECT count(*), count(DISTINCT id), max(strlen(text)) FROM {files.attach(con)}").fetchone()
    assert found == (number + 1, number + 1, 3_000_000)
    con.close()


def test_compressed_csv_and_jsonl(tmp_path):
    put(tmp_path, "a.csv.gz", gzip.compress("id,v\n1,日\n".encode()))
    put(tmp_path, "b.jsonl.gz", gzip.compress('{"id": 1, "v": "日"}\n'.encode()))
    for name, text in (("a.csv.zst", "id,v\n1,日\n"), ("b.jsonl.zst", '{"id": 1, "v": "日"}\n')):
        with pa.output_stream(str(tmp_path / name), compression="zstd") as stream:
            stream.write(text.encode())
    assert rows(source(tmp_path, "a.csv.gz")) == rows(source(tmp_path, "a.csv.zst")) == [("1", "日")]
    assert rows(source(tmp_path, "b.jsonl.gz")) == rows(source(tmp_path, "b.jsonl.zst")) == [(1, "日")]
    assert rows(source(tmp_path, ("b.jsonl.zst", "b.jsonl.gz"))) == [(1, "日"), (1, "日")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,name\n1,x\n2,y,z\n", "line 3"),
        ("id,name\n1,x\n2\n", "line 3"),
        ('id,name\n1,x\n2,"y\n', "line 3"),
        ('id,name\n1,"y" z\n', "line 2"),
        (b"id,name\n1,\x83\x5c\n", "utf-8"),
        (b"id,n\x83\x5c\n1,x\n", "line 1: not UTF-8"),
        ("id,name\n".encode("utf-16"), "UTF-16"),
        ("id,Name,NAME\n", "'Name' and 'NAME' differ only by case"),
        ("id,a,a\n", "names 'a' twice"),
    ],
)
def test_csv_that_is_none_is_refused(tmp_path, text, said):
    put(tmp_path, "a.csv", text)
    error = refusal(source(tmp_path, "a.csv"))
    assert isinstance(error, SourceError)
    assert said.lower() in error.message.lower()
    assert "a.csv" in error.message
    assert error.remedy
    assert "strict_mode" not in str(error)


def test_damaged_compression_is_refused(tmp_path):
    put(tmp_path, "a.csv.gz", gzip.compress(b"id,v\n" + b"1,2\n" * 1000)[:-20])
    put(tmp_path, "b.csv.gz", b"id,v\n1,2\n")
    put(tmp_path, "c.jsonl.gz", b"not gzip")
    put(tmp_path, "d.csv.zst", b"not zstd")
    for name in ("a.csv.gz", "b.csv.gz", "c.jsonl.gz", "d.csv.zst"):
        error = refusal(source(tmp_path, name))
        assert isinstance(error, SourceError)
        assert name in str(error)


def test_empty_files(tmp_path):
    put(tmp_path, "a.csv", "")
    put(tmp_path, "b.csv", "id,v\n")
    put(tmp_path, "c.jsonl", "")
    put(tmp_path, "d.jsonl", "\n\n")
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "e.parquet")
    for name, columns in [
        ("a.csv", {"id": "VARCHAR"}),
        ("b.csv", {"id": "VARCHAR", "v": "VARCHAR"}),
        ("c.jsonl", {"id": "VARCHAR"}),
        ("d.jsonl", {"id": "VARCHAR"}),
        ("e.parquet", {"id": "BIGINT"}),
    ]:
        files = source(tmp_path, name)
        assert files.columns() == columns
        assert rows(files) == []


WEIRD = [
    "a b",
    'qu"ote',
    "it's",
    "x;--",
    'a"; DROP TABLE t; --',
    "名前",
    "👩‍🚀",
    "select",
    "{files}",
    "{more}",
    "n" * 200,
]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_weird_column_names(tmp_path, kind):
    record = {"id": "1", **{name: f"<{name}>" for name in WEIRD}}
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([record]), path)
    elif kind == "jsonl":
        put(tmp_path, path.name, json.dumps(record, ensure_ascii=False) + "\n")
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(record)
            writer.writerow(record.values())
    files = source(tmp_path, path.name)
    assert list(files.columns()) == list(record)
    assert rows(files) == [tuple(record.values())]


def test_column_names_that_cannot_be(tmp_path):
    pq.write_table(pa.table({"id": [1], "": [2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [1], "s": [{"b": 1, "B": 2}], "S": [3]}), tmp_path / "b.parquet")
    put(tmp_path, "c.jsonl", '{"id": 1, "a\\u0000b": 2}\n')
    put(tmp_path, "d.jsonl", '{"id": 1, "v": 1}\n{"id": 2, "V": 1}\n')
    assert "no usable name" in refusal(source(tmp_path, "a.parquet")).message
    assert "'s' and 'S'" in refusal(source(tmp_path, "b.parquet")).message
    assert "no usable name" in refusal(source(tmp_path, "c.jsonl")).message
    assert "'v' and 'V'" in refusal(source(tmp_path, "d.jsonl")).message


# --- which files ------------------------------------------------------------------------------------------------------


def test_globs_order_and_missing_columns(tmp_path):
    put(tmp_path, "in/b/2.csv", "v,id\ny,2\n")
    put(tmp_path, "in/a/1.csv", "id,v\n1,x\n")
    put(tmp_path, "in/c/3.csv", "id,w\n3,z\n")
    files = source(tmp_path, "in/**/*.csv")
    assert list(files.columns()) == ["id", "v", "w"]
    assert rows(files) == [("1", "x", None), ("2", "y", None), ("3", None, "z")]
    again = source(tmp_path, ("in/c/3.csv", "in/*/*.csv"))
    assert [row[0] for row in rows(again)] == ["3", "1", "2"]


@pytest.mark.parametrize(
    "name", ["d[1].csv", "d*.csv", "d?.csv", "it's.csv", "b\\s.csv", "{a,b}.csv", "日本.csv", " s.csv"]
)
def test_paths_are_taken_literally_where_they_exist(tmp_path, name):
    put(tmp_path, "d1.csv", "id\nwrong\n")
    put(tmp_path, "dx.csv", "id\nwrong\n")
    put(tmp_path, name, "id\nright\n")
    assert rows(source(tmp_path, name)) == [("right",)]


def test_nothing_matches(tmp_path):
    put(tmp_path, "reviews.csv", "id\n1\n")
    error = refusal(source(tmp_path, "review.csv"))
    assert isinstance(error, SourceError)
    assert str(tmp_path) in error.message
    assert "reviews.csv" in error.remedy
    assert "'gone/*.csv'" in refusal(source(tmp_path, "gone/*.csv")).message
    assert "reviews.csv" in refusal(source(tmp_path, "gone/*.csv")).remedy


def test_unfit_paths_are_refused(tmp_path):
    put(tmp_path, "a.csv", "id\n1\n")
    put(tmp_path, "a.txt", "id\n1\n")
    put(tmp_path, "a.parquet", "no parquet at all")
    put(tmp_path, "b.parquet", b"PAR1 but no end")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "c.parquet")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for files, said in [
        ("s3://lake/a.parquet", "s3://"),
        (".", "is a folder"),
        ("a.txt", "ending of a.txt"),
        ("a.parquet", "does not begin with PAR1"),
        ("b.parquet", "b.parquet is not a whole Parquet file"),
        (("a.csv", "c.parquet"), "mixes formats"),
        ("loop.csv", "cannot be read"),
        ("a\0.csv", "NUL"),
        ("x" * 300 + ".csv", "nothing matches"),
    ]:
        error = refusal(source(tmp_path, files))
        assert isinstance(error, SourceError)
        assert said in error.message
    assert rows(source(tmp_path, "a.txt", format="csv")) == [("1",)]


def test_identity_follows_the_files(tmp_path):
    path = put(tmp_path, "a.csv", "id\n1\n")
    before = source(tmp_path, "*.csv").identity()
    assert source(tmp_path, "*.csv").identity() == before
    assert source(tmp_path, "*.csv", types={"id": "integer"}).identity() != before
    put(tmp_path, "b.csv", "id\n2\n")
    assert source(tmp_path, "*.csv").identity() != before
    (tmp_path / "b.csv").unlink()
    path.write_text("id\n1\n2\n")
    assert source(tmp_path, "*.csv").identity() != before


# --- Parquet ----------------------------------------------------------------------------------------------------------


def test_parquet_keeps_its_types(tmp_path):
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


def test_parquet_files_that_differ(tmp_path):
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


def test_a_folder_name_with_equals_adds_no_column(tmp_path):
    (tmp_path / "day=2024-01-01").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "day=2024-01-01" / "a.parquet")
    assert source(tmp_path, "**/*.parquet").columns() == {"id": "BIGINT"}


# --- JSONL ------------------------------------------------------------------------------------------------------------


def test_jsonl_types_are_what_is_written(tmp_path):
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
    columns = files.columns()
    assert columns.pop("s") == 'STRUCT("a" BIGINT, "b" VARCHAR)'
    assert columns == {
        "id": "VARCHAR",
        "n": "BIGINT",
        "f": "DOUBLE",
        "b": "BOOLEAN",
        "day": "VARCHAR",
        "l": "VARCHAR[]",
        "mixed": "VARCHAR",
        "nil": "VARCHAR",
        "late": "BIGINT",
    }
    assert rows(files) == [
        ("007", 1, 1.0, True, "2024-01-01", ["x"], {"a": 1, "b": None}, "1", None, None),
        ("٧", -2, 2.5, None, "x", [], {"a": None, "b": "é"}, "one", None, 5),
        ("3", None, None, None, "12:00:00", None, None, '{"k":"é"}', None, None),
        ("4", None, None, None, None, None, None, None, None, None),
    ]


def test_jsonl_whole_numbers_of_any_length(tmp_path):
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
        (b'{"id": "\xff"}\n', "line 1: not valid JSON"),
        ('{"id": "\\ud800"}\n', "line 1: not valid JSON"),
        ('{"id": 1} {"id": 2}\n', "line 1: not valid JSON"),
        ('{"id": 1, "id": 2}\n', "duplicate key"),
    ],
)
def test_jsonl_that_is_none_is_refused(tmp_path, text, said):
    put(tmp_path, "a.jsonl", text)
    error = refusal(source(tmp_path, "a.jsonl"))
    assert isinstance(error, SourceError)
    assert said in error.message
    assert "a.jsonl" in error.message


# --- types ------------------------------------------------------------------------------------------------------------


def test_types_bend_nothing(tmp_path):
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
def test_a_value_that_does_not_fit_is_shown(tmp_path, kind, value):
    put(tmp_path, "a.csv", "id,v\n1,\n")
    put(tmp_path, "b.csv", f'id,v\n2,"{value}"\n3,"{value}"\n')
    error = refusal(source(tmp_path, "*.csv", types={"v": kind}))
    assert error.message == f"b.csv: column 'v': 2 values do not fit type {kind}, for example {value!r}"


def test_types_of_an_unknown_column(tmp_path):
    put(tmp_path, "a.csv", "id,value\n1,2\n")
    error = refusal(source(tmp_path, "a.csv", types={"valeu": "integer"}))
    assert isinstance(error, PlanError)
    assert "did you mean 'value'?" in error.remedy


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_null_repeated_and_twins(tmp_path):
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
