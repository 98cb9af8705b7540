"""The canonical form: what it is, and that Python and DuckDB give the same bytes for the same values."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import itertools
import json
import unicodedata
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.fingerprint import (
    WHITE_SPACE_CHARACTERS,
    address,
    canonical,
    key_parts,
    key_text,
    normalize_text,
    plain,
    short_hash,
    show,
    upstream_hash,
)
from inlay.fingerprint_sql import canonical_row_sql, canonical_sql, hash_sql, key_sql, quote_ident, value_sql
from inlay.tables import nfkc
from inlay.tables.sql import connect, prepare

STEPS: list[tuple[str, ...]] = [
    combination
    for count in range(4)
    for combination in itertools.combinations(("nfkc", "trim", "collapse_space"), count)
]


@pytest.fixture(scope="module")
def con():
    connection = connect(threads=1)
    prepare(connection)
    prepare(connection)  # twice is once
    yield connection
    connection.close()


def both(con: Any, table: pa.Table, duckdb_type: str, steps: Sequence[str] = ()) -> tuple[list[bytes], list[bytes]]:
    """Canonical bytes of column `c` cast to `duckdb_type`: (by DuckDB, by Python over what value_sql reads)."""
    con.register("t", table)
    relation = f'(SELECT CAST(c AS {duckdb_type}) AS "c" FROM t)'
    rows = con.execute(
        f"SELECT {canonical_sql('c', duckdb_type, steps)} AS s, {value_sql('c', duckdb_type)} AS v FROM {relation}"
    ).to_arrow_table()
    in_python = [
        canonical([normalize_text(value, steps) if isinstance(value, str) else value])
        for value in rows["v"].to_pylist()
    ]
    return [text.encode() for text in rows["s"].to_pylist()], in_python


# Unassigned code points are left out: DuckDB and Python know different versions of Unicode.
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=12)
SPACED = st.text(
    st.sampled_from(
        WHITE_SPACE_CHARACTERS
        + "\x00\x1c\x1f\u200b\ufeffaé"
        + "e\u0301\u0323ガか\u3099ﷺشﬁ\uff21Å한\u1112\u1161\u11ab👩\u200d🚀\U0001f600"
    ),
    max_size=10,
)
CHECK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@CHECK
@given(values=st.lists(st.none() | ANY_TEXT | SPACED, min_size=1, max_size=30), steps=st.sampled_from(STEPS))
def test_text_is_the_same_in_both(con, values, steps):
    in_sql, in_python = both(con, pa.table({"c": pa.array(values, pa.string())}), "VARCHAR", steps)
    assert in_sql == in_python
    direct = [canonical([None if v is None else normalize_text(v, steps)]) for v in values]
    assert in_sql == direct


FLOATS = st.floats() | st.sampled_from([-0.0, 0.0, 1e15, -1e15, 999999999999999.0, 1e16, 1e-5, 1e-4, 123456.789, 0.1])
SCALARS: list[tuple[str, pa.DataType, Any]] = [
    ("DOUBLE", pa.float64(), FLOATS),
    ("FLOAT", pa.float32(), st.floats(width=32)),
    ("BOOLEAN", pa.bool_(), st.booleans()),
    ("TINYINT", pa.int8(), st.integers(-128, 127)),
    ("SMALLINT", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    ("INTEGER", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    ("BIGINT", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ("UTINYINT", pa.uint8(), st.integers(0, 255)),
    ("USMALLINT", pa.uint16(), st.integers(0, 2**16 - 1)),
    ("UINTEGER", pa.uint32(), st.integers(0, 2**32 - 1)),
    ("UBIGINT", pa.uint64(), st.integers(0, 2**64 - 1)),
    ("HUGEINT", pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(decimal.Decimal)),
    ("DECIMAL(18,3)", pa.decimal128(18, 3), st.decimals(-(10**14), 10**14, places=3)),
    ("DECIMAL(4,4)", pa.decimal128(4, 4), st.decimals("-0.9999", "0.9999", places=4)),
    ("DECIMAL(9,0)", pa.decimal128(9, 0), st.decimals(-(10**8), 10**8, places=0)),
    ("DATE", pa.date32(), st.dates()),
    ("TIMESTAMP", pa.timestamp("us"), st.datetimes()),
    ("TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    ("TIME", pa.time64("us"), st.times()),
    ("BLOB", pa.binary(), st.binary(max_size=20)),
]


@pytest.mark.parametrize(("duckdb_type", "arrow_type", "strategy"), SCALARS, ids=[case[0] for case in SCALARS])
def test_scalars_are_the_same_in_both(con, duckdb_type, arrow_type, strategy):
    @settings(CHECK, max_examples=40)
    @given(values=st.lists(st.none() | strategy, min_size=1, max_size=30))
    def check(values):
        in_sql, in_python = both(con, pa.table({"c": pa.array(values, arrow_type)}), duckdb_type, ("trim",))
        assert in_sql == in_python
        if duckdb_type != "FLOAT":  # a 32-bit float is another number than the double that it was made of
            assert in_sql == [canonical([value]) for value in values]

    check()


@pytest.mark.parametrize("duckdb_type", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"])
def test_timestamps_of_every_width_are_the_same(con, duckdb_type):
    moments = [dt.datetime(1970, 1, 1), dt.datetime(2024, 2, 29, 23, 59, 59), dt.datetime(1969, 12, 31, 0, 0, 1), None]
    table = pa.table({"c": pa.array(moments, pa.timestamp("us"))})
    in_sql, in_python = both(con, table, duckdb_type)
    assert in_sql == in_python == [canonical([moment]) for moment in moments]


def test_uuid_interval_enum_and_json_are_text(con):
    one = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
    in_sql, in_python = both(con, pa.table({"c": [str(one).upper(), None]}), "UUID")
    assert in_sql == in_python == [canonical([one]), b"_;"]
    in_sql, in_python = both(con, pa.table({"c": ["1 year 2 days"]}), "INTERVAL")
    assert in_sql == in_python == [b"s13:1 year 2 days;"]
    in_sql, in_python = both(con, pa.table({"c": ["レソト", "e\u0301", None]}), "ENUM('レソト', 'e\u0301')")
    assert in_sql == in_python == [canonical(["レソト"]), canonical(["é"]), b"_;"]
    in_sql, in_python = both(con, pa.table({"c": ['{"a": [1,  2]}']}), "JSON")
    assert in_sql == in_python == [canonical(['{"a": [1,  2]}'])]


JSONISH = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | ANY_TEXT | st.booleans(), lambda inner: st.lists(inner, max_size=3)
)


@CHECK
@given(values=st.lists(st.none() | st.lists(st.none() | ANY_TEXT, max_size=4), min_size=1, max_size=10))
def test_lists_of_text_are_the_same_in_both(con, values):
    in_sql, in_python = both(con, pa.table({"c": pa.array(values, pa.list_(pa.string()))}), "VARCHAR[]")
    assert in_sql == in_python
    # \x7f aside, a Python list has the same form as the column that DuckDB prints
    assert in_sql == [canonical([value]) for value in values]


@pytest.mark.parametrize(
    "expression",
    [
        "{'a': 1, 'b': ['x', NULL], 'c': {'d': true}}",
        "map {'ключ': 1.5, 'é': 2.0}",
        "[1.0, 1e20, 'nan'::DOUBLE]",
        "[DATE '2024-01-01']",
        "['e' || chr(769)]",
        "array_value(1, 2, 3)",
    ],
)
def test_nested_values_are_json_text(con, expression):
    relation = f"(SELECT {expression} AS c)"
    duckdb_type = con.execute(f"SELECT typeof(c) FROM {relation}").fetchone()[0]
    text, value = con.execute(
        f"SELECT {canonical_sql('c', duckdb_type)}, {value_sql('c', duckdb_type)} FROM {relation}"
    ).fetchone()
    assert isinstance(value, str)
    assert text.encode() == canonical([value])


def test_a_nul_does_not_end_a_text(con):
    texts = ["é\0one", "é\0two", "\0", "e\u0301\0e\u0301", "क़\0ab"]
    for steps in STEPS:
        in_sql, in_python = both(con, pa.table({"c": texts}), "VARCHAR", steps)
        assert in_sql == in_python
        assert len(set(in_sql)) == (len(texts))


@pytest.mark.parametrize(("before", "after"), [("", ""), ("a\u0323", "\u0301"), ("\u0301\0", "ｶﾞ")])
def test_nfkc_is_the_same_for_every_character(con, before, after):
    spans = [
        (0x1, 0x4000),
        (0xA000, 0xB000),
        (0xD7A0, 0xD800),
        (0xF900, 0x18000),
        (0x1B000, 0x1FC00),
        (0x2F7F0, 0x2FB00),
    ]
    codes = [code for low, high in spans for code in range(low, high)]
    texts = [f"{before}{chr(code)}{after}" for code in codes if unicodedata.category(chr(code)) != "Cn"]
    con.register("t", pa.table({"c": texts}))
    found = con.execute("SELECT inlay_nfkc(c) AS c FROM t").to_arrow_table()["c"].to_pylist()
    expected = [unicodedata.normalize("NFKC", text) for text in texts]
    assert [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]] == []


def test_no_character_with_a_decomposition_is_left_out():
    everywhere = {code for code in range(0x110000) if unicodedata.decomposition(chr(code)).startswith("<")}
    assert everywhere <= {*nfkc._decompositions(), 0xA0} | {code for code in everywhere if code < 0x80}


def test_one_number_has_one_form():
    assert {canonical([value]) for value in (5, 5.0, decimal.Decimal("5.00"), decimal.Decimal("5"))} == {b"n1:5;"}
    assert canonical([-0.0]) == canonical([0]) == canonical([decimal.Decimal("-0.00")])
    assert plain(0.1) == plain(decimal.Decimal("0.10")) == "0.1"


def test_forms_are_frozen():
    # These are written into stores: a change needs a new tag.
    values = ["été", "e\u0301", None, True, 7, 2.5, dt.date(2024, 2, 29), dt.datetime(2024, 1, 2, 3, 4, 5, 60), b"\xff"]
    assert canonical(values) == (
        "s5:été;s2:é;_;b4:true;n1:7;n3:2.5;d10:2024-02-29;t26:2024-01-02 03:04:05.000060;x2:ff;".encode()
    )
    assert canonical([dt.time(12, 30, 0, 500_000), [1, "é"], {"a": None}]) == (
        's10:12:30:00.5;s8:[1,"é"];s10:{"a":null};'.encode()
    )
    assert show(address(b"\0" * 32, b"s1:a;")) == (
        "inlay1:" + hashlib.sha256(b"inlay1:" + b"\0" * 32 + b"s1:a;").hexdigest()
    )


@CHECK
@given(
    left=st.lists(st.none() | ANY_TEXT | st.integers(), max_size=4), right=st.lists(st.none() | ANY_TEXT, max_size=4)
)
def test_no_two_inputs_share_a_form(left, right):
    def comparable(values):
        return [unicodedata.normalize("NFC", value) if isinstance(value, str) else value for value in values]

    assert (canonical(left) == canonical(right)) == (comparable(left) == comparable(right))


def test_rows_go_by_column_name_and_hash_like_python(con):
    con.register("t", pa.table({"b": ["ひ", None], 'a"; --': [1, 2], "a": [dt.date(2024, 1, 1), None]}))
    types = {"b": "VARCHAR", 'a"; --': "BIGINT", "a": "DATE"}
    rows = con.execute(f"SELECT {canonical_row_sql(types)}, {hash_sql(canonical_row_sql(types))} FROM t").fetchall()
    expected = [canonical([dt.date(2024, 1, 1), 1, "ひ"]), canonical([None, 2, None])]
    assert [row[0].encode() for row in rows] == expected
    assert [row[1] for row in rows] == [short_hash(data).hex() for data in expected]
    assert con.execute(f"SELECT {canonical_row_sql({})}").fetchone() == ("",)


def test_a_name_with_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        quote_ident("a\0b")


# --- keys -------------------------------------------------------------------------------------------------------------


@CHECK
@given(rows=st.lists(st.tuples(st.none() | SPACED, st.none() | st.integers(-5, 5), st.none() | ANY_TEXT), min_size=1))
def test_keys_are_the_same_in_both_and_come_apart(con, rows):
    columns = list(zip(*rows, strict=True))
    con.register(
        "t", pa.table({"a": pa.array(columns[0], pa.string()), "b": pa.array(columns[1], pa.int64()),
                       "c": pa.array(columns[2], pa.string())})
    )  # fmt: skip
    types = {"a": "VARCHAR", "b": "BIGINT", "c": "VARCHAR"}
    in_sql = con.execute(f"SELECT {key_sql(['a', 'b', 'c'], types)}, {key_sql(['a'], types)} FROM t").fetchall()
    assert [row[0] for row in in_sql] == [key_text(row) for row in rows]
    assert [row[1] for row in in_sql] == [row[0] for row in rows]
    for row in rows:
        text = key_text(row)
        assert (text is None) == (None in row)
        if text is not None:
            assert key_parts(text, 3) == (row[0], str(row[1]), row[2])


@CHECK
@given(left=st.tuples(ANY_TEXT, ANY_TEXT), right=st.tuples(ANY_TEXT, ANY_TEXT))
def test_no_two_keys_share_a_text(left, right):
    assert (key_text(left) == key_text(right)) == (left == right)


def test_keys_in_nfc_and_nfd_are_two_keys():
    assert key_text(["é"]) != key_text(["e\u0301"])
    assert key_text([7]) == "7"
    assert key_parts("7", 1) == ("7",)


@pytest.mark.parametrize("text", ["", "1:a", "1:a1:b1:c", "9:a1:b", "x:a1:b", "1a1:b", ":a"])
def test_a_text_that_is_no_key_is_refused(text):
    with pytest.raises(ValueError, match="not a row key"):
        key_parts(text, 2)


def test_upstream_hash_depends_on_order():
    one, two = short_hash(b"1"), short_hash(b"2")
    assert upstream_hash([one, two]) == short_hash((one.hex() + two.hex()).encode())
    assert upstream_hash([one, two]) != upstream_hash([two, one])
    assert json.dumps(upstream_hash([one]).hex())
