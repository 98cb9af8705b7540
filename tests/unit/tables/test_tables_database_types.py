"""What each type of each database is in DuckDB, and what happens to values that do not fit theirs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from database_scene import open_, read, source_of

from inlay.errors import PlanError, SourceError
from inlay.fingerprint_sql import key_sql, value_sql
from inlay.tables.sql import connect

# (type, a value as SQL, the DuckDB type, the value there)
MYSQL: list[tuple[str, str, str, Any]] = [
    ("TINYINT", "-7", "BIGINT", -7),
    ("BIGINT UNSIGNED", "18446744073709551615", "UBIGINT", 2**64 - 1),
    ("DECIMAL(20,6)", "-12345678901234.5", "DECIMAL(20,6)", Decimal("-12345678901234.500000")),
    ("DECIMAL(65,30)", "1.5", "VARCHAR", "1.500000000000000000000000000000"),
    ("DOUBLE", "0.1", "DOUBLE", 0.1),
    ("DATE", "'2026-02-28'", "DATE", dt.date(2026, 2, 28)),
    ("DATE", "'0000-00-00'", "DATE", None),
    ("DATETIME(6)", "'2026-02-28 01:02:03.000004'", "TIMESTAMP", dt.datetime(2026, 2, 28, 1, 2, 3, 4)),
    ("DATETIME", "'2026-00-00 00:00:00'", "TIMESTAMP", None),
    ("TIMESTAMP NULL", "'2026-02-28 01:02:03'", "TIMESTAMP WITH TIME ZONE", dt.datetime(2026, 2, 28, 1, 2, 3)),
    ("TIME", "'-838:59:59'", "VARCHAR", "-838:59:59"),
    ("YEAR", "2026", "BIGINT", 2026),
    ("BIT(1)", "b'1'", "UBIGINT", 1),
    ("BIT(64)", "b'101'", "UBIGINT", 5),
    ("BLOB", "X'00FF'", "BLOB", b"\x00\xff"),
    ("JSON", '\'{"a": "日本"}\'', "VARCHAR", '{"a": "日本"}'),
    ("ENUM('a','名')", "'名'", "VARCHAR", "名"),
    ("SET('a','b')", "'a,b'", "VARCHAR", "a,b"),
    ("TEXT CHARACTER SET latin1", "'é'", "VARCHAR", "é"),
    ("VARCHAR(20)", "'🍎 %s ? ''\\\\'", "VARCHAR", "🍎 %s ? '\\"),
    ("VARCHAR(20)", "NULL", "VARCHAR", None),
]
POSTGRESQL: list[tuple[str, str, str, Any]] = [
    ("SMALLINT", "-7", "BIGINT", -7),
    ("NUMERIC(20,6)", "-12345678901234.5", "DECIMAL(20,6)", Decimal("-12345678901234.500000")),
    ("NUMERIC", "1e50", "VARCHAR", "1" + "0" * 50),
    ("NUMERIC", "'NaN'", "VARCHAR", "NaN"),
    ("REAL", "0.5", "DOUBLE", 0.5),
    ("BOOLEAN", "true", "BOOLEAN", True),
    ("DATE", "'2026-02-28'", "DATE", dt.date(2026, 2, 28)),
    ("TIMESTAMP", "'2026-02-28 01:02:03.000004'", "TIMESTAMP", dt.datetime(2026, 2, 28, 1, 2, 3, 4)),
    ("TIMESTAMPTZ", "'2026-02-28 01:02:03+02'", "TIMESTAMP WITH TIME ZONE", dt.datetime(2026, 2, 27, 23, 2, 3)),
    ("TIME", "'01:02:03'", "VARCHAR", "01:02:03"),
    ("INTERVAL", "'1 day'", "VARCHAR", "1 day"),
    ("UUID", "'6f2b1c1e-0000-4000-8000-000000000001'", "VARCHAR", "6f2b1c1e-0000-4000-8000-000000000001"),
    ("BYTEA", "'\\x00ff'", "BLOB", b"\x00\xff"),
    ("JSONB", '\'{"a": "日本"}\'', "VARCHAR", '{"a": "日本"}'),
    ("TEXT[]", "ARRAY['a','名']", "VARCHAR", "{a,名}"),
    ("CHAR(3)", "'a'", "VARCHAR", "a  "),
    ("TEXT", "'🍎 %s ? '''", "VARCHAR", "🍎 %s ? '"),
    ("TEXT", "NULL", "VARCHAR", None),
]
SQLITE: list[tuple[str, str, str, Any]] = [
    ("INTEGER", "9223372036854775807", "BIGINT", 2**63 - 1),
    ("INTEGER", "''", "BIGINT", None),
    ("REAL", "0.1", "DOUBLE", 0.1),
    ("REAL", "3", "DOUBLE", 3.0),
    ("DECIMAL(10,2)", "12.5", "VARCHAR", "12.5"),
    ("", "7", "VARCHAR", "7"),
    ("TEXT", "x'e697a5'", "VARCHAR", "日"),
    ("BOOLEAN", "1", "BOOLEAN", True),
    ("DATE", "'2026-02-28'", "DATE", dt.date(2026, 2, 28)),
    ("DATETIME", "'2026-02-28T01:02:03'", "TIMESTAMP", dt.datetime(2026, 2, 28, 1, 2, 3)),
    ("BLOB", "x'00ff'", "BLOB", b"\x00\xff"),
    ("TEXT", "NULL", "VARCHAR", None),
]
DUCKDB: list[tuple[str, str, str, Any]] = [
    ("UTINYINT", "7", "UTINYINT", 7),
    ("HUGEINT", "170141183460469231731687303715884105727", "VARCHAR", str(2**127 - 1)),
    ("DECIMAL(20,6)", "1.5", "DECIMAL(20,6)", Decimal("1.500000")),
    ("TIMESTAMPTZ", "'2026-02-28 01:02:03+02'", "TIMESTAMP WITH TIME ZONE", dt.datetime(2026, 2, 27, 23, 2, 3)),
    ("VARCHAR[]", "['a', '名']", "VARCHAR[]", ["a", "名"]),
    ("STRUCT(a INTEGER)", "{'a': 1}", "VARCHAR", '{"a":1}'),
    ("ENUM('a', '名')", "'名'", "VARCHAR", "名"),
    ("UUID", "'6f2b1c1e-0000-4000-8000-000000000001'", "VARCHAR", "6f2b1c1e-0000-4000-8000-000000000001"),
    ("BLOB", "'\\x00\\xFF'::BLOB", "BLOB", b"\x00\xff"),
    ("VARCHAR", "NULL", "VARCHAR", None),
]
TYPES = {"mysql": MYSQL, "postgresql": POSTGRESQL, "sqlite": SQLITE, "duckdb": DUCKDB}


@pytest.fixture
def con():
    connection = connect(threads=1)
    yield connection
    connection.close()


def test_types(database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection) -> None:
    cases = TYPES[database_kind]
    with open_(database_url) as raw:
        listed = ", ".join(f"c{number} {case[0]}" for number, case in enumerate(cases))
        raw.run(f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, {listed})")
        if database_kind == "mysql":
            raw.run("SET sql_mode = ''")
        raw.run(f"INSERT INTO t VALUES (1, {', '.join(case[1] for case in cases)})")
    for query in (None, "SELECT * FROM t -- all of it"):
        source = source_of(database_url, None if query else "t", query=query)
        assert list(source.columns().values())[1:] == [case[2] for case in cases]
        plain = [value_sql(name, kind) if "TIME ZONE" in kind else name for name, kind in source.columns().items()]
        [row] = read(source, con, ", ".join(plain))
        assert list(row[1:]) == [case[3] for case in cases]
        # Whatever the type, a row is found by it as its key: bound where it can be, by reading all otherwise.
        for number, case in enumerate(cases):
            if case[3] is not None and not case[1].startswith("x'e6"):  # a blob among texts equals none of them
                by_it = source_of(database_url, None if query else "t", key=f"c{number}", query=query)
                key = con.execute(
                    f"SELECT {key_sql([f'c{number}'], by_it.columns())} FROM {source.attach(con)}"
                ).fetchone()
                assert read(by_it.of_keys([key[0], "no such key"], []), con, "count(*)") == [(1,)], case
                by_it.close()
        source.close()


def test_text_is_whatever_the_database_writes(
    database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection
) -> None:
    with open_(database_url) as raw:
        raw.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, day DATE, note VARCHAR(20), n INTEGER)")
        raw.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (1, "2026-02-28", " 12 ", 7))
        raw.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (2, None, " ", None))
    types = {"day": "text", "note": "integer", "n": "number"}
    source = source_of(database_url, types=types)
    assert list(source.columns().values())[1:] == ["VARCHAR", "BIGINT", "DOUBLE"]
    assert sorted(read(source, con)) == [(1, "2026-02-28", 12, 7.0), (2, None, None, None)]
    with pytest.raises(PlanError, match="did you mean 'note'"):
        source_of(database_url, types={"not": "text"}).columns()


def test_a_value_that_does_not_fit_names_column_value_and_remedy(database_kind: str, database_url: str) -> None:
    with open_(database_url) as raw:
        raw.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, note VARCHAR(20))")
        raw.executemany("INSERT INTO t VALUES (?, ?)", [(number, "7") for number in range(3000)])
        raw.execute("INSERT INTO t VALUES (?, ?)", (9000, "七:x'"))
    with pytest.raises(SourceError) as caught:
        source_of(database_url, types={"note": "integer"}).attach(connect())
    assert "column 'note'" in caught.value.message
    assert "七:x'" in caught.value.message
    assert "source.types: {note: text}" in caught.value.remedy


@pytest.mark.parametrize(
    ("declared", "value"),
    [("INTEGER", "'a lot'"), ("DATE", "'yesterday'"), ("BOOLEAN", "2"), ("TEXT", "x'ff'"), ("REAL", "'?'")],
)
def test_sqlite_holds_what_was_put_into_it(
    new_database: Callable[[str], str], declared: str, value: str, con: duckdb.DuckDBPyConnection
) -> None:
    url = new_database("sqlite")
    with open_(url) as raw:
        raw.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, odd {declared})")
        raw.run(f"INSERT INTO t VALUES (1, {value})")
    with pytest.raises(SourceError, match=r"column 'odd'.*does not fit"):
        read(source_of(url), con)
    if declared != "TEXT":
        assert read(source_of(url, types={"odd": "text"}), con) == [(1, value.strip("'"))]


@pytest.mark.postgresql
def test_a_date_without_end_is_text_or_an_error(
    new_database: Callable[[str], str], con: duckdb.DuckDBPyConnection
) -> None:
    url = new_database("postgresql")
    with open_(url) as raw:
        raw.run("CREATE TABLE t (id INTEGER PRIMARY KEY, until DATE, share NUMERIC(5,2))")
        raw.run("INSERT INTO t VALUES (1, '0044-03-15 BC', 'NaN')")
    with pytest.raises(SourceError, match="does not fit"):
        read(source_of(url), con)
    source = source_of(url, types={"until": "text", "share": "text"})
    assert read(source, con) == [(1, "0044-03-15 BC", "NaN")]
