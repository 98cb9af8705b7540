"""Answers in a table of every kind of database: created, upserted by content, widened, rebuilt, protected."""

from __future__ import annotations

from typing import Any

from durable_scene import texts

from inlay import project
from inlay.project.publishing import republish
from inlay.project.session import Session

GRADE = {"type": "enum", "values": ["a", "b", "c"], "confidence": True}


def counts(report: Any) -> tuple[int, int, int]:
    done = report.publication
    return done.new, done.changed, done.unchanged


def test_a_row_a_key_and_an_unchanged_night_writes_nothing(tables):
    tables.begin(passes=[tables.one_pass(fields={"grade": GRADE, "stars": "integer", "topics": "list[string]"})])
    report = tables.run()
    assert counts(report) == (12, 0, 0)
    first = tables.rows_of()
    assert len(first) == 12
    row = first["k00003"]
    assert set(row) == {
        "id", "llm_grade", "llm_grade_confidence", "llm_grade_null_reason", "llm_grade_source", "llm_stars",
        "llm_stars_null_reason", "llm_stars_source", "llm_topics", "llm_topics_null_reason", "llm_topics_source",
        "input_hash", "enriched_at", "model_version", "enrichment_version", "enrichment_state", "enrichment_errors",
        "enrichment_cost_usd", "content_hash", "created_at", "updated_at",
    }  # fmt: skip
    assert row["model_version"] == "compatible:sim"
    assert row["enrichment_state"] == "done"
    assert len(row["input_hash"]) == len(row["content_hash"]) == 64

    again = tables.run()
    assert again.summary["calls"] == 0
    assert counts(again) == (0, 0, 12)
    assert tables.rows_of() == first

    changed = [*texts(12)]
    changed[3]["text"] = "別の文"
    tables.rows([*changed, {"id": "new", "text": "new one", "other": ""}])
    third = tables.run()
    assert counts(third) == (1, 1, 11)
    after = tables.rows_of()
    assert after["k00003"]["created_at"] == first["k00003"]["created_at"]
    assert after["k00003"]["updated_at"] > first["k00003"]["updated_at"]
    assert {key: row for key, row in after.items() if key not in ("k00003", "new")} == {
        key: row for key, row in first.items() if key != "k00003"
    }


def test_it_is_dropped_and_rebuilt_from_the_store(tables):
    tables.begin()
    tables.run()
    first = tables.rows_of()
    history = tables.ask("SELECT count(*), max(seq) FROM answers_history")
    assert history[0][0] == 36  # three fields a row
    tables.do("DROP TABLE answers")
    tables.do("DROP TABLE answers_history")
    with Session(tables.file) as session:
        done = republish(session)
    assert (done.rows, done.new, done.history) == (12, 12, 36)
    again = tables.rows_of()
    for rows in (first, again):
        for row in rows.values():
            assert row.pop("created_at") <= row.pop("updated_at")
    assert again == first
    assert tables.ask("SELECT count(*), max(seq) FROM answers_history") == history


def test_a_new_field_widens_it(tables):
    tables.begin(passes=[tables.one_pass(fields={"stars": "integer"})])
    tables.run()
    tables.declare(passes=[tables.one_pass(fields={"stars": "integer", "grade": GRADE, "day": "date"})])
    report = tables.run(refresh=["stale"])
    assert counts(report) == (0, 12, 0)
    row = tables.rows_of()["k00001"]
    assert {"llm_grade", "llm_grade_confidence", "llm_day", "llm_stars"} <= set(row)


def test_what_changed_is_not_served(tables):
    tables.begin()
    tables.run()
    rows = texts(12)
    rows[0]["text"] = "changed"
    tables.rows(rows)
    project.run(tables.file, limit=0)
    row = tables.rows_of()["k00000"]
    assert row["llm_sentiment"] is None
    assert row["llm_sentiment_null_reason"] == "input_changed"
    assert row["input_hash"] is None
    assert row["enrichment_state"] == "pending"
    assert tables.rows_of()["k00001"]["enrichment_state"] == "done"


def test_from_a_table_into_another_table(tables):
    """The staging table is reloaded every night; the answers beside it survive, and cost nothing the second day."""

    def load(people):
        tables.do("DROP TABLE IF EXISTS tenants")
        tables.do(
            "CREATE TABLE tenants (id INTEGER NOT NULL PRIMARY KEY, full_name VARCHAR(191), nationality VARCHAR(191))"
        )
        with tables.database.connect() as con:
            con.executemany("INSERT INTO tenants (id, full_name, nationality) VALUES (?, ?, ?)", people)

    people = [
        (n, f"{name} {n}", "" if n % 2 else "日本") for n, name in enumerate(["田中 太郎", "李 明", "محمد", "👩‍🚀"] * 5)
    ]
    load(people)
    tables.declare(
        source={"connection": tables.url, "table": "tenants", "key": "id"},
        select={"missing": "nationality", "placeholders": ["レソト"]},
        passes=[tables.one_pass(prompt="Where is {{ full_name }} from?", fields={"nationality": GRADE})],
        output={"table": "llm_cache", "prefix": "llm_", "inputs": True},
    )
    report = tables.run()
    assert report.summary["calls"] == 10
    assert counts(report) == (10, 0, 0)
    first = tables.rows_of("llm_cache")
    assert sorted(first) == [n for n in range(20) if n % 2]
    assert first[1]["input_full_name"] == "李 明 1"
    load([*people, (100, "New One", None)])
    report = tables.run()
    assert report.summary["calls"] == 1
    assert counts(report) == (1, 0, 10)
    load(people[:2])  # rows that the source has lost stay
    report = tables.run()
    assert (report.summary["calls"], counts(report)) == (0, (0, 0, 1))
    assert len(tables.rows_of("llm_cache")) == 11
