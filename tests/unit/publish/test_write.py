"""Writing a table: exact copies in three formats, whole or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay._version import __version__
from inlay.errors import SpecError, TargetError
from inlay.publish.write import write
from inlay.spec.model import SourceSpec
from inlay.tables.files import FileSource
from inlay.tables.sql import connect

ROWS = [
    {
        "id": "007",
        "t": "田中, 太郎",
        "n": 1,
        "f": 0.1,
        "b": True,
        "d": dt.date(2024, 1, 1),
        "l": ["é", None],
        "s": {"a": "ب"},
    },
    {"id": "", "t": '=HYPERLINK("x")\n👩‍🚀', "n": None, "f": 1e300, "b": False, "d": None, "l": [], "s": None},
    {"id": None, "t": " x ", "n": -(2**63), "f": None, "b": None, "d": None, "l": None, "s": {"a": None}},
]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("t", pa.string()),
        ("n", pa.int64()),
        ("f", pa.float64()),
        ("b", pa.bool_()),
        ("d", pa.date32()),
        ("l", pa.list_(pa.string())),
        ("s", pa.struct([("a", pa.string())])),
    ]
)


def batches():
    return [pa.RecordBatch.from_pylist(ROWS[:2], SCHEMA), pa.RecordBatch.from_pylist(ROWS[2:], SCHEMA)]


def test_parquet_round_trip(tmp_path):
    assert write(tmp_path / "new" / "folder" / "out.parquet", SCHEMA, batches()) == 3
    table = pq.read_table(tmp_path / "new" / "folder" / "out.parquet")
    assert table.to_pylist() == ROWS
    assert table.schema.metadata[b"inlay"] == __version__.encode()
    assert os.listdir(tmp_path / "new" / "folder") == ["out.parquet"]  # noqa: PTH208


def test_parquet_row_groups(tmp_path):
    batch = pa.RecordBatch.from_pydict({"n": list(range(2000))})
    write(tmp_path / "out.parquet", batch.schema, [batch] * 70)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [66_000, 66_000, 8_000]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_jsonl_round_trip(tmp_path):
    assert write(tmp_path / "out.jsonl", SCHEMA, batches()) == 3
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert found == [{**row, "d": row["d"] and row["d"].isoformat()} for row in ROWS]


def test_csv_keeps_cells_exactly_and_tells_empty_from_null(tmp_path):
    assert write(tmp_path / "out.csv", SCHEMA, batches()) == 3
    text = (tmp_path / "out.csv").read_bytes().decode()
    assert text.startswith("id,t,n,f,b,d,l,s\r\n")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        records = list(csv.reader(stream))
    assert records[1] == ["007", "田中, 太郎", "1", "0.1", "true", "2024-01-01", '["é",null]', '{"a":"ب"}']
    assert records[2] == ["", '=HYPERLINK("x")\n👩‍🚀', "", "1e+300", "false", "", "[]", ""]
    source = FileSource(SourceSpec(files=("out.csv",), key=("id",)), tmp_path)
    con = connect(threads=1)
    assert [row[0] for row in con.execute(f"SELECT id FROM {source.attach(con)}").fetchall()] == ["007", "", None]
    con.close()


CELLS = st.none() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=10),
    names=st.sampled_from(["a b", 'q"', "é,;", "\ufeffx"]),
)
def test_what_is_written_as_csv_is_read_back(tmp_path, rows, names):
    table = pa.table({"id": pa.array([row[0] for row in rows], pa.string()), names: [row[1] for row in rows]})
    write(tmp_path / "out.csv", table.schema, table.to_batches())
    source = FileSource(SourceSpec(files=("out.csv",), key=("id",)), tmp_path)
    con = connect(threads=1)
    assert list(source.columns()) == ["id", names]
    assert con.execute(f"SELECT * FROM {source.attach(con)}").fetchall() == rows
    con.close()


def test_every_scalar_type_has_a_text(tmp_path):
    table = pa.table(
        {
            "x": [b"\xff\x00"],
            "m": [decimal.Decimal("1.50")],
            "t": [dt.time(12, 30)],
            "z": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
            "ns": pa.array([1], pa.timestamp("ns")),
            "far": pa.array([4_000_000], pa.date32()),
            "kv": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    write(tmp_path / "out.csv", table.schema, table.to_batches())
    line = (tmp_path / "out.csv").read_text().splitlines()[1]
    expected = 'ff00,1.50,12:30:00,2024-01-01T00:00:00+00:00,1970-01-01 00:00:00.000000001,12921-08-18,"[[""k"",1]]"'
    assert line == expected
    write(tmp_path / "out.jsonl", table.schema, table.to_batches())
    assert orjson.loads((tmp_path / "out.jsonl").read_bytes())["z"] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_no_rows_is_a_table(tmp_path, ending):
    assert write(tmp_path / f"out.{ending}", SCHEMA, []) == 0
    assert (tmp_path / f"out.{ending}").exists()
    if ending == "parquet":
        assert pq.read_schema(tmp_path / "out.parquet").names == SCHEMA.names


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_break_leaves_the_old_table_and_nothing_else(tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    write(target, SCHEMA, batches()[:1])
    before = target.read_bytes()

    def breaking():
        yield batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(target, SCHEMA, breaking())
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_the_target_keeps_its_mode_and_its_link(tmp_path):
    real = tmp_path / "real.csv"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.csv").symlink_to("real.csv")
    write(tmp_path / "link.csv", SCHEMA, batches())
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_text().startswith("id,t")
    assert real.stat().st_mode & 0o777 == 0o640


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "file").write_text("x")
    for path, said in [
        (tmp_path / "dir.csv", "is a folder"),
        (tmp_path / "file" / "out.csv", "cannot write"),
        (tmp_path / ("x" * 300 + ".csv"), "cannot write"),
        (Path("/proc/nowhere/out.csv"), "cannot write"),
    ]:
        with pytest.raises(TargetError, match=said) as caught:
            write(path, SCHEMA, batches())
        assert caught.value.remedy
    with pytest.raises(SpecError, match="format"):
        write(tmp_path / "out.xlsx", SCHEMA, batches())
    with pytest.raises(SpecError, match="stdout"):
        write("-", SCHEMA, batches(), format="parquet")


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, ending):
    # A limit on the size of files stands for the full disk: write() fails the same way, part way through.
    script = """
import resource, signal, sys
import pyarrow as pa
from inlay.errors import TargetError
from inlay.publish.write import write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
batch = pa.RecordBatch.from_pydict({"n": [str(hash(str(n))) * 9 for n in range(20_000)]})
try:
    write(sys.argv[1], batch.schema, [batch] * 9)
except TargetError as error:
    print(error.remedy)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / f"out.{ending}")], capture_output=True, text=True, check=False
    )
    assert "every answer is safe in the store" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stdout(tmp_path, capfdbinary):
    assert write("-", SCHEMA, batches(), format="jsonl") == 3
    sys.stdout.flush()
    lines = capfdbinary.readouterr().out.splitlines()
    assert [orjson.loads(line)["t"] for line in lines] == [row["t"] for row in ROWS]
    assert list(tmp_path.iterdir()) == []
