"""Answers as columns of the source's own table: never a row more, and back again after a reload."""

from __future__ import annotations

import pytest

from inlay.errors import SpecError

GRADE = {"type": "enum", "values": ["a", "b", "c"], "confidence": True}


def load(tables, kind="VARCHAR(20)", rows=None):
    tables.do("DROP TABLE IF EXISTS tenants")
    tables.do(f"CREATE TABLE tenants (id {kind} NOT NULL PRIMARY KEY, full_name VARCHAR(191), llm VARCHAR(9))")
    rows = rows or [(f"k{n}", f"田中 {n}", None) for n in range(6)]
    with tables.database.connect() as con:
        con.executemany("INSERT INTO tenants (id, full_name, llm) VALUES (?, ?, ?)", rows)


def declare(tables, **output):
    tables.declare(
        source={"connection": tables.url, "table": "tenants", "key": "id"},
        passes=[tables.one_pass(prompt="Where is {{ full_name }} from?", fields={"nation": GRADE})],
        output={"table": "tenants", "mode": "column", **output},
    )


def test_columns_are_added_and_written_again_after_a_reload(tables):
    load(tables)
    declare(tables, prefix="llm_")
    report = tables.run()
    assert report.summary["calls"] == 6
    done = report.publication
    assert (done.new, done.changed, done.unchanged) == (6, 0, 0)
    first = tables.rows_of("tenants")
    assert len(first) == 6
    assert set(first["k1"]) == {
        "id", "full_name", "llm", "llm_nation", "llm_nation_confidence", "llm_nation_null_reason", "llm_nation_source",
        "llm_enriched_at", "llm_model_version", "llm_input_hash", "llm_content_hash",
    }  # fmt: skip
    done = tables.run().publication
    assert (done.new, done.changed, done.unchanged) == (0, 0, 6)
    load(tables)  # the nightly reload takes the columns away
    report = tables.run()
    assert report.summary["calls"] == 0
    assert report.publication.new == 6
    assert tables.rows_of("tenants") == first


def test_without_a_prefix_only_where_nothing_collides(tables_in):
    tables = tables_in("sqlite")
    load(tables)
    declare(tables)
    tables.run()
    assert "nation" in tables.rows_of("tenants")["k1"]
    assert tables.run().publication.unchanged == 6
    tables.do("DROP TABLE tenants")
    tables.do("CREATE TABLE tenants (id TEXT NOT NULL PRIMARY KEY, full_name TEXT, Nation TEXT)")
    with pytest.raises(SpecError, match="publishes `nation`, which is the name of the source's column `Nation`"):
        tables.run()


def test_keys_that_a_collation_takes_for_one(tables_in):
    """`a` and `A` are one key for the server's collation, but two for the source: each gets its own answer."""
    tables = tables_in("mysql")
    tables.do("CREATE TABLE tenants (id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL, full_name TEXT)")
    with tables.database.connect() as con:
        con.executemany("INSERT INTO tenants VALUES (?, ?)", [("a", "one"), ("A", "two")])
    declare(tables, prefix="llm_")
    tables.run()
    hashes = [row["llm_input_hash"] for row in tables.rows_of("tenants").values()]
    assert len(set(hashes)) == 2
    assert None not in hashes


def test_another_table_than_the_source_is_refused(tables_in):
    tables = tables_in("sqlite")
    load(tables)
    tables.declare(
        source={"connection": tables.url, "table": "tenants", "key": "id"},
        passes=[tables.one_pass(prompt="{{ full_name }}", fields={"nation": GRADE})],
        output={"table": "other", "mode": "column"},
    )
    with pytest.raises(SpecError, match="writes into the source's own table"):
        tables.run()
    tables.declare(output={"table": "tenants"})
    with pytest.raises(SpecError, match="the table that the rows come from"):
        tables.run()
