"""CSV, and which files a source is made of: read as written, and every unfit file refused in a sentence."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.contracts import Source
from inlay.errors import SourceError
from inlay.tables.sql import connect


def test_it_fulfils_the_contract(tmp_path, source):
    files: Source = source(tmp_path, "a.csv")
    assert files.title == "a.csv"  # and no file was touched


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_csv_is_text_as_written(tmp_path, put, source, rows):
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
def test_csv_dialects(tmp_path, delimiter, line_end, mark, put, source, rows):
    text = line_end.join(delimiter.join(row) for row in [('"id"', "name, first;x"[:4]), ("1", "é"), ("2", '"a\nb"')])
    put(tmp_path, "a.csv", mark + text + line_end)
    assert rows(source(tmp_path, "a.csv")) == [("1", "é"), ("2", "a\nb")]


def test_a_header_of_one_column_and_texts_with_commas(tmp_path, put, source, rows):
    put(tmp_path, "a.csv", 'id\n"one, two; three"\n"four, five; six"\n')
    assert rows(source(tmp_path, "a.csv")) == [("one, two; three",), ("four, five; six",)]
    put(tmp_path, "b.csv", 'id;text\n1;"a, b, c"\n2;a, b, c\n')
    assert rows(source(tmp_path, "b.csv")) == [("1", "a, b, c"), ("2", "a, b, c")]


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(CELLS, CELLS), max_size=12), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
)
def test_csv_round_trip(tmp_path, table, quoting, put, source, rows):
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting, lineterminator="\n")
    writer.writerow(["id", "text"])
    writer.writerows(table)
    put(tmp_path, "a.csv", out.getvalue())

    def cell(text: str) -> str | None:
        return None if text == "" and quoting == csv.QUOTE_MINIMAL else text

    assert rows(source(tmp_path, "a.csv")) == [(cell(a), cell(b)) for a, b in table]


def test_csv_cells_of_a_megabyte_and_lines_across_buffers(tmp_path, put, source):
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


def test_compressed_csv_and_jsonl(tmp_path, put, source, rows):
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
def test_csv_that_is_none_is_refused(tmp_path, text, said, put, source, refusal):
    put(tmp_path, "a.csv", text)
    error = refusal(source(tmp_path, "a.csv"))
    assert isinstance(error, SourceError)
    assert said.lower() in error.message.lower()
    assert "a.csv" in error.message
    assert error.remedy
    assert "strict_mode" not in str(error)


def test_damaged_compression_is_refused(tmp_path, put, source, refusal):
    put(tmp_path, "a.csv.gz", gzip.compress(b"id,v\n" + b"1,2\n" * 1000)[:-20])
    put(tmp_path, "b.csv.gz", b"id,v\n1,2\n")
    put(tmp_path, "c.jsonl.gz", b"not gzip")
    put(tmp_path, "d.csv.zst", b"not zstd")
    with pa.output_stream(str(tmp_path / "e.jsonl.zst"), compression="zstd") as stream:
        stream.write(b'{"id": 1}\n{"id":\n')
    assert "e.jsonl.zst, line 2" in refusal(source(tmp_path, "e.jsonl.zst")).message
    for name in ("a.csv.gz", "b.csv.gz", "c.jsonl.gz", "d.csv.zst"):
        error = refusal(source(tmp_path, name))
        assert isinstance(error, SourceError)
        assert name in str(error)


def test_empty_files(tmp_path, put, source, rows):
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
def test_weird_column_names(tmp_path, kind, put, source, rows):
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


def test_column_names_that_cannot_be(tmp_path, put, source, refusal):
    pq.write_table(pa.table({"id": [1], "": [2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [1], "s": [{"b": 1, "B": 2}], "S": [3]}), tmp_path / "b.parquet")
    put(tmp_path, "c.jsonl", '{"id": 1, "a\\u0000b": 2}\n')
    put(tmp_path, "d.jsonl", '{"id": 1, "v": 1}\n{"id": 2, "V": 1}\n')
    assert "no usable name" in refusal(source(tmp_path, "a.parquet")).message
    assert "'s' and 'S'" in refusal(source(tmp_path, "b.parquet")).message
    assert "no usable name" in refusal(source(tmp_path, "c.jsonl")).message
    assert "'v' and 'V'" in refusal(source(tmp_path, "d.jsonl")).message


# --- which files ------------------------------------------------------------------------------------------------------


def test_globs_order_and_missing_columns(tmp_path, put, source, rows):
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
def test_paths_are_taken_literally_where_they_exist(tmp_path, name, put, source, rows):
    put(tmp_path, "d1.csv", "id\nwrong\n")
    put(tmp_path, "dx.csv", "id\nwrong\n")
    put(tmp_path, name, "id\nright\n")
    assert rows(source(tmp_path, name)) == [("right",)]


def test_nothing_matches(tmp_path, put, source, refusal):
    put(tmp_path, "reviews.csv", "id\n1\n")
    error = refusal(source(tmp_path, "review.csv"))
    assert isinstance(error, SourceError)
    assert str(tmp_path) in error.message
    assert "reviews.csv" in error.remedy
    assert "'gone/*.csv'" in refusal(source(tmp_path, "gone/*.csv")).message
    assert "reviews.csv" in refusal(source(tmp_path, "gone/*.csv")).remedy


def test_unfit_paths_are_refused(tmp_path, put, source, rows, refusal):
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
