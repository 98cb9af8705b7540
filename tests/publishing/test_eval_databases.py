"""Evaluations of tables in databases: sampled in the database's own SQL, judged as of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inlay import project
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.errors import PlanError

ROWS = [(n, f"tenant {n} {'spa' if n % 3 else 'プール'}", "spa" if n % 3 else "プール", n % 7) for n in range(1, 201)]


@pytest.fixture
def declared(database_kind: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 200 rows, of which some have no known value, and a declaration in the database's own SQL."""
    con = Database(parse(database_url, tmp_path)).connect()
    try:
        text = "VARCHAR(191)" if database_kind != "mysql" else "VARCHAR(191) CHARACTER SET utf8mb4"
        con.run(f"CREATE TABLE tenants (id BIGINT PRIMARY KEY, wish {text}, kind {text}, status BIGINT)")
        known = [
            (key, wish, "" if key > 190 else None if key > 180 else kind, status) for key, wish, kind, status in ROWS
        ]
        with con.transaction():
            con.executemany("INSERT INTO tenants (id, wish, kind, status) VALUES (?, ?, ?, ?)", known)
    finally:
        con.close()
    monkeypatch.setenv("STAGING_URL", database_url)
    own = {"mysql": "`status` <=> 1 OR `status` > 1", "postgresql": "status::int >= 1"}.get(
        database_kind, "status >= 1"
    )
    document: dict[str, Any] = {
        "name": "tenants",
        "source": {"connection": "${STAGING_URL}", "table": "tenants", "key": "id"},
        "select": {"where": own, "missing": "kind", "placeholders": ["レソト"], "order_by": "status DESC"},
        "passes": [
            {
                "name": "read",
                "model": "lexical",
                "prefix": "llm_",
                "prompt": "What does this guest want? {{ wish }}",
                "fields": {"kind": {"type": "enum", "values": ["spa", "プール"], "confidence": True}},
            }
        ],
    }
    if database_kind in ("mysql", "postgresql"):
        document["store"] = "${STAGING_URL}"  # the answers live there, too
    path = tmp_path / "inlay.yaml"
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_table_is_sampled_and_judged_and_its_answers_are_reused(declared: Path) -> None:
    selected = [row for row in ROWS if row[3] >= 1]
    report = project.evaluate(declared, shadow=40)
    (found,) = report.fields
    assert (report.sample.known, report.sample.taken) == (sum(row[0] <= 180 for row in selected), 40)
    assert found.accuracy is not None
    assert found.judged == 40
    assert found.accuracy.right > 20
    assert project.evaluate(declared, shadow=40).run.summary["passes"][0]["cells"] == 0
    assert project.status(declared).passes[0].states == {}
    whole = project.evaluate(declared, shadow=1_000, where="id <= 50")
    assert whole.sample.known == 50
    assert any(each.shadow and each.compared for each in project.disagreements(declared))
    with pytest.raises(PlanError, match=r"select\.where"):
        project.evaluate(declared, shadow=5, where="nonsense(id) = 3")


def test_labels_by_key(declared: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,kind\n7,spa\n195,プール\n999,spa\n", encoding="utf-8")
    report = project.evaluate(declared, golden=tmp_path / "labels.csv")
    assert (report.sample.taken, report.sample.skipped, report.fields[0].judged) == (2, 1, 2)
