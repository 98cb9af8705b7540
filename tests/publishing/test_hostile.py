"""Names and values that mean harm: forty names in every database, data as bound values alone, whatever it holds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from inlay import project
from inlay.databases.connection import Connection
from inlay.databases.errors import DatabaseError
from inlay.errors import SpecError, TargetError
from inlay.project.corrected import Fix

NAMES = [
    "select", "ORDER", "two words", "semi;colon", "drop table x; --", "quote'single", 'quote"double', "back`tick",
    "back\\slash", "per%cent", "%s", "%(x)s", "%%", "question?mark", "dollar$1", ":colon", "@at", "#hash", "-- comment",
    "/* comment */", "new\nline", "tab\tname", " leading", "日本語の列", "عمود", "колонка", "é", "e\u0301", "ß", "İ",
    "{rows}", "{0}", "[bracket]", "(paren)", "a,b", "a.b", "null", "VALUES (%s)", "ON DUPLICATE KEY", "x" * 60,
]  # fmt: skip


def test_forty_names_of_keys_and_tables(tables):
    """The key's column has each name in turn, and so has the table; pass and field names cannot be hostile."""
    assert len(NAMES) >= 40
    kind = tables.database.address.kind
    dialect = tables.database.dialect
    for number, name in enumerate(NAMES):
        if kind == "duckdb" and number % 4:  # every fourth does for a database that is quoted as SQLite is
            continue
        table = NAMES[-1 - number][:40]
        try:
            dialect.quote(name), dialect.quote(table)
        except DatabaseError:
            continue
        with tables.database.connect() as con:
            publish_by_hand(con, table, name)


def publish_by_hand(con: Connection, table: str, key: str) -> None:
    """Make a table with such names, upsert twice, look up, update, and drop it."""
    import pyarrow as pa

    from inlay.publish.shape import Shape, TargetColumn
    from inlay.publish.tables import known_hashes

    columns = (
        TargetColumn(key, pa.string(), longest=50),
        TargetColumn("v", pa.string()),
        TargetColumn("content_hash", pa.string()),
    )
    shape = Shape((table,), columns, (key,), "v" if con.dialect.name != "mysql" else None, shown=table)
    for statement in shape.statements(con, None):
        con.run(statement)
    assert shape.missing(con) == []
    quote = con.dialect.quote
    names = [quote(name) for name in shape.names]
    for value in ("one", "two"):
        rows = [("k1", value, value), ("k2", "'); DROP TABLE x; --", value)]
        con.dialect.upsert_rows(con, shape.sql(con), names, names[:1], names[1:], rows, shape.schema)
    assert known_hashes(con, shape, [("k1",), ("k2",)], "content_hash") == ["two", "two"]
    schema = pa.schema([shape.schema.field(1), shape.schema.field(0)])
    con.dialect.update_rows(con, shape.sql(con), names[1:2], names[:1], [("three", "k1")], schema)
    found = dict(con.execute(f"SELECT {names[0]}, v FROM {shape.sql(con)}").fetchall())
    assert found == {"k1": "three", "k2": "'); DROP TABLE x; --"}
    con.run(f"DROP TABLE {shape.sql(con)}")


VALUES = [
    "emoji 👩‍🚀", "nul \0 inside", "'; DROP TABLE answers; --", '"quoted" \\ back', "%s %(x)s %%", "?", "日本語",
    "مرحبا", "line\nbreak\r\n", "\u2028", "x" * 1_000_000, "${HOME} {{ jinja }}", "\ufeffbom", "\\x00", "NULL",
]  # fmt: skip


def test_hostile_answers_arrive_whole_and_as_bound_values(tables, monkeypatch):
    """Every answer of these is published as it is; no text of a statement holds any of it."""
    statements: list[str] = []
    for name in ("execute", "executemany", "run"):
        original = getattr(Connection, name)

        def recorded(self: Connection, sql: str, *rest: Any, original: Any = original) -> Any:
            statements.append(sql)
            return original(self, sql, *rest)

        monkeypatch.setattr(Connection, name, recorded)
    tables.rows([{"id": f"k{n}", "text": f"t{n} SECRETDATA", "other": ""} for n in range(len(VALUES))])
    tables.declare(
        passes=[tables.one_pass(fields={"note": "text", "stars": "integer"})],
        output={"table": "answers", "connection": tables.url, "inputs": True},
    )
    project_correct(tables, [(f"k{n}", value) for n, value in enumerate(VALUES)])
    tables.run()
    rows = tables.rows_of()
    # What is kept: reading an answer takes control characters and outer blanks away already.
    kept = {one.key: one.value for one in project.corrections(tables.file).corrections}
    assert len(kept) == len(VALUES)
    assert {key: row["note"] for key, row in rows.items()} == kept
    assert rows["k0"]["note_source"] == "human"
    assert rows["k0"]["input_text"] == "t0 SECRETDATA"
    assert statements
    assert not any("SECRETDATA" in sql or "emoji" in sql or "jinja" in sql for sql in statements)
    assert tables.run().publication.unchanged == len(VALUES)


def test_a_nul_of_a_key_or_an_input(tables):
    """PostgreSQL has no NUL in text: U+FFFD stands in for it there, and everywhere else it stays."""
    tables.declare(
        source={"files": "rows.jsonl", "key": "id"},
        passes=[tables.one_pass(prompt="{{ text }}", fields={"stars": "integer"})],
        output={"table": "answers", "connection": tables.url, "inputs": True},
    )
    (tables.folder / "rows.jsonl").write_text('{"id": "a", "text": "one\\u0000two"}\n', encoding="utf-8")
    tables.run()
    nul = "\ufffd" if tables.database.address.kind == "postgresql" else "\0"
    assert tables.rows_of()["a"]["input_text"] == f"one{nul}two"
    assert tables.run().publication.unchanged == 1


def project_correct(tables: Any, values: list[tuple[str, str]]) -> None:
    project.correct(tables.file, [Fix(key, "note", value) for key, value in values])


def test_days_at_the_ends_of_time(tables):
    tables.rows([{"id": f"k{n}", "text": str(n), "other": ""} for n in range(3)])
    tables.declare(
        passes=[tables.one_pass(fields={"day": "date", "moment": "datetime"})],
        output={"table": "answers", "connection": tables.url},
    )
    days = ["0001-01-01", "9999-12-31", "2024-02-29"]
    fixes = [Fix(f"k{n}", "day", day) for n, day in enumerate(days)]
    fixes += [Fix(f"k{n}", "moment", f"{day}T00:00:00Z") for n, day in enumerate(days)]
    project.correct(tables.file, fixes)
    tables.run()
    rows = tables.rows_of()
    shown = [rows[f"k{n}"]["day"] for n in range(3)]
    assert [day.isoformat() if isinstance(day, dt.date) else day for day in shown] == days
    assert tables.run().publication.unchanged == 3


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_name_that_the_database_cannot_hold_is_refused_before_anything_is_paid(tables_in, sim, kind):
    tables = tables_in(kind)
    long = "f" * 60
    tables.begin(passes=[tables.one_pass(fields={long: {"type": "integer", "confidence": True}})])
    before = len(sim.ledger)
    with pytest.raises(SpecError, match="longer than 6"):
        tables.run()
    assert len(sim.ledger) == before


def test_a_table_that_is_somebody_elses_is_refused(tables, sim):
    tables.begin()
    tables.do("CREATE TABLE answers (id VARCHAR(20) NOT NULL PRIMARY KEY, mine INTEGER)")
    before = len(sim.ledger)
    with pytest.raises(TargetError, match="not one that Inlay made"):
        tables.run()
    assert len(sim.ledger) == before
    assert tables.ask("SELECT count(*) FROM answers") == [(0,)]


def test_a_column_whose_type_no_longer_fits_is_named(tables_in):
    tables = tables_in("postgresql")
    tables.begin(passes=[tables.one_pass(fields={"stars": "integer"})])
    tables.run()
    tables.declare(passes=[tables.one_pass(fields={"stars": "text"})])
    with pytest.raises(TargetError, match="the column llm_stars of answers is bigint"):
        tables.run()
