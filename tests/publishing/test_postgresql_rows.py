"""Rows that travel to PostgreSQL as one document: every type arrives as itself, and nothing is cut to fit."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from inlay.databases import postgresql as dialect
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.databases.errors import DatabaseError

DDL = """CREATE TABLE "a.""b" (id BIGINT PRIMARY KEY, "per%cent?" VARCHAR(3), fixed CHAR(4), price NUMERIC(7,4),
    ratio DOUBLE PRECISION, yes BOOLEAN, day DATE, moment TIMESTAMPTZ, data BYTEA, gone INT)"""
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "per%cent?", "fixed", "price", "ratio", "yes", "day", "moment", "data")]
)
MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, dt.UTC)


@pytest.fixture
def con(new_database, tmp_path):
    """A connection to a table that was altered by hand."""
    with Database(parse(new_database("postgresql"), tmp_path)).connect() as con:
        con.run(DDL)
        con.run('ALTER TABLE "a.""b" DROP COLUMN gone')
        yield con


def upsert(con, rows):
    names = [con.quote(name) for name in SCHEMA.names]
    con.dialect.upsert_rows(con, '"a.""b"', names, names[:1], names[1:], rows, SCHEMA)


def row(number, text="日本語", ratio=0.1):
    return (number, text, "ab", "12.3456", ratio, True, dt.date(2026, 1, 2), MOMENT, "\\x00ff")


def test_every_type_arrives_as_itself(con):
    ratios = [0.1, 1e-300, 1.7976931348623157e308, 5e-324, -1.5, None]
    upsert(con, [row(number, ratio=ratio) for number, ratio in enumerate(ratios)])
    found = con.execute('SELECT * FROM "a.""b" ORDER BY id').fetchall()
    assert [line[4] for line in found] == ratios
    assert found[0][:4] == (0, "日本語", "ab  ", Decimal("12.3456"))
    assert found[0][5:8] == (True, dt.date(2026, 1, 2), MOMENT)
    assert bytes(found[0][8]) == b"\x00\xff"


def test_a_text_that_is_too_long_is_refused_and_not_cut(con):
    with pytest.raises(DatabaseError, match="too long"), con.transaction():
        upsert(con, [row(1), row(2, "日本語x")])
    assert con.execute('SELECT count(*) FROM "a.""b"').fetchone() == (0,)


def test_many_rows_are_split_into_documents(con, monkeypatch):
    monkeypatch.setattr(dialect, "_DOCUMENT", 1_000)
    assert len(list(dialect._documents([row(number) for number in range(100)]))) > 10
    upsert(con, [row(number) for number in range(100)])
    assert con.execute('SELECT count(*), sum(id) FROM "a.""b"').fetchone() == (100, 4950)
    assert list(dialect._documents([])) == []
