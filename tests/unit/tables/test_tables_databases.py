"""A database as a source: what counts as missing there is what counts as missing in a file; types, keys and mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from inlay.contracts import Source
from inlay.databases.address import parse
from inlay.databases.connection import Connection, Database
from inlay.errors import PlanError, SourceError
from inlay.spec.model import SelectSpec, SourceSpec
from inlay.tables.choosing import ChoosingSource
from inlay.tables.databases import DatabaseSource
from inlay.tables.frames import FrameSource
from inlay.tables.keys import OfKeys, missing_keys, nearest_keys
from inlay.tables.select import condition_sql, missing_reasons, select_sql
from inlay.tables.sql import connect


def open_(url: str) -> Connection:
    return Database(parse(url, Path("/"))).connect()


def filled(url: str, ddl: str, rows: Sequence[Sequence[Any]], table: str = "t") -> None:
    with open_(url) as con:
        con.run(ddl)
        if rows:
            con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def source_of(url: str, table: str | None = "t", *, key: Any = "id", select: SelectSpec | None = None, **more: Any):
    spec = SourceSpec.model_validate({"connection": "${X}", "table": table, "key": key, **more})
    return DatabaseSource(spec, parse(url, Path("/")), select)


def read(source: Source, con: duckdb.DuckDBPyConnection, columns: str = "*") -> list[tuple[Any, ...]]:
    return con.execute(f"SELECT {columns} FROM {source.attach(con)}").fetchall()


@pytest.fixture
def con():
    connection = connect(threads=1)
    yield connection
    connection.close()


TEXT = {"mysql": "VARCHAR(191)", "postgresql": "TEXT", "sqlite": "TEXT", "duckdb": "VARCHAR"}
NATIONS = [
    "日本", None, "", " \t\u3000", "レソト", " レソト\u3000", "レソト ", "ガーナ", "カ\u3099ーナ", "\u00a0カ\u3099ーナ", "x'y", "N/A",
    "n/a", "N/A ", "ｎ/ａ", "\uf967明", "不明", "不明だ", "ｶﾞｰﾅ", "\u2003", "é", "e\u0301", "E\u0301", "日本 ", " ", "🍎",
]  # fmt: skip


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("words", [(), ("レソト", "ガーナ", "n/a", "不明", "é", "x'y"), ("\u1ec7",)])
def test_what_is_missing_in_a_database_is_what_is_missing_in_a_file(
    database_kind: str, database_url: str, words: tuple[str, ...], known: bool, con: duckdb.DuckDBPyConnection
) -> None:
    ddl = f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, nation {TEXT[database_kind]}, other INTEGER)"
    filled(database_url, ddl, [(number, text, number % 3) for number, text in enumerate(NATIONS)])
    select = SelectSpec(missing="nation", placeholders=words, known=known, where="other < 2")
    source = source_of(database_url)
    chosen = source.choose(con, select, ["id", "nation"])
    own = con.execute(select_sql(chosen.relation, chosen.select, chosen.columns)).fetchall()
    frame = FrameSource(
        pa.table({"id": range(len(NATIONS)), "nation": NATIONS, "other": [n % 3 for n in range(len(NATIONS))]}),
        SourceSpec(files=("x",), key=("id",)),
    )
    relation = frame.attach(con)
    expected = con.execute(f"SELECT id, nation FROM ({select_sql(relation, select, frame.columns())})").fetchall()
    assert sorted(own) == sorted(expected)
    assert chosen.rows == len(NATIONS)
    if not known:
        unwhered = select.model_copy(update={"where": None})
        whole = f"(SELECT * FROM {relation} WHERE other < 2)"
        assert missing_reasons(con, chosen.relation, chosen.select, chosen.columns) == missing_reasons(
            con, whole, unwhered, frame.columns()
        )
    # Of the rows that are not missing, few are read.
    assert (
        known or len(words) == 1 or con.execute(f"SELECT count(*) FROM {chosen.relation}").fetchone()[0] < len(own) + 6
    )
    source.close()


def test_rows_come_in_the_order_of_the_database_with_only_the_columns_asked(
    database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection
) -> None:
    ddl = f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, status INTEGER, name {TEXT[database_kind]})"
    filled(database_url, ddl, [(n, n % 20, f"名{n}") for n in range(1000)])
    source = source_of(database_url)
    assert isinstance(source, ChoosingSource)
    select = SelectSpec(
        order_by="CASE WHEN status IN (9, 11) THEN 0 ELSE 1 END, id DESC -- first", where="id >= 10 -- x"
    )
    chosen = source.choose(con, select, ["id", "status"])
    assert dict(chosen.columns).keys() == {"id", "status"}
    assert chosen.rows == 1000
    found = con.execute(f"SELECT id FROM {chosen.relation} ORDER BY {chosen.select.order_by} LIMIT 3").fetchall()
    assert found == [(991,), (989,), (971,)]
    assert con.execute(f"SELECT count(*) FROM {chosen.relation}").fetchone() == (990,)
    other = connect()
    assert source.choose(other, select, ["status", "id"]).relation == chosen.relation  # read once
    other.close()
    source.close()
    source.close()


def test_rows_by_key(database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection) -> None:
    ddl = (
        f"CREATE TABLE t (id INTEGER NOT NULL, land {'VARCHAR(20)' if database_kind == 'mysql' else 'TEXT'} NOT NULL, "
        f"name {TEXT[database_kind]}, PRIMARY KEY (land, id))"
    )
    rows = [(n, land, f"{land}{n} %s ?") for n in range(50) for land in ("日本", "jp", "カ\u3099")]
    filled(database_url, ddl, rows)
    with_where = SelectSpec(where="name LIKE '日本%' AND name LIKE '%?'")
    source = source_of(database_url, key=["land", "id"], select=with_where)
    keys = ["6:日本2:17", "2:jp1:3", "2:JP1:4", "6:ガ1:1", "2:jp3:x y", "broken", "2:jp99:" + "9" * 99]
    found = source.of_keys(keys, ["name"])
    assert list(found.columns()) == ["id", "land", "name"]
    assert sorted(read(found, con, "land, id, name")) == [("jp", 3, "jp3 %s ?"), ("日本", 17, "日本17 %s ?")]
    local = found.local(with_where)
    taken = con.execute(
        f"SELECT name FROM {found.attach(con)} WHERE {condition_sql(local, found.columns())}"
    ).fetchall()
    assert taken == [("日本17 %s ?",)]
    assert missing_keys(con, source, ["land", "id"], keys) == {*keys} - {"6:日本2:17", "2:jp1:3"}
    assert nearest_keys(con, source, ["land", "id"], ["2:jp2:3x"])["2:jp2:3x"]
    assert read(OfKeys(source, ["land", "id"], keys[:1]), con, "id") == [(17,)]
    assert len(read(source, con)) == 150
    assert read(source.of_keys([]), con) == []
    source.close()


def test_of_keys_of_any_source(con: duckdb.DuckDBPyConnection) -> None:
    frame = FrameSource(
        pa.table({"id": range(10), "v": [str(n) for n in range(10)]}), SourceSpec(files=("x",), key=("id",))
    )
    some = OfKeys(frame, ["id"], ["3", "4", "44", "3"])
    assert read(some, con) == [(3, "3"), (4, "4")]
    assert some.attach(con) == some.attach(con)
    assert read(OfKeys(frame, ["id"], ["5"]), con) == [(5, "5")]
