"""The silver rule, built by dbt itself on every database: human, original, rule, model, default.

The published table is made here as the contract has it. Two commands of one process a database: once without the table,
once with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from silver import ANSWERS, DECLARATION, DEFAULT, EXPECTED, TENANTS

if TYPE_CHECKING:
    from .conftest import DbtProject

pytestmark = pytest.mark.dbt


def _text(value: object) -> str:
    return (
        "NULL"
        if value is None
        else str(value)
        if isinstance(value, float)
        else "'" + str(value).replace("'", "''") + "'"
    )


def _publish(project: DbtProject) -> list[str]:
    """The published table and its history, by the contract's SQL."""
    moment = {"sqlite": "TEXT", "mysql": "DATETIME(6)"}.get(project.kind, "TIMESTAMP")
    cache = project.table("llm_enrichment_cache")
    out = [
        f"CREATE TABLE {cache} (id INTEGER NOT NULL PRIMARY KEY, llm_nationality VARCHAR(191), "
        "llm_nationality_confidence DECIMAL(5,4), llm_nationality_evidence TEXT, llm_nationality_evidence_verified "
        "BOOLEAN, llm_nationality_null_reason VARCHAR(64), llm_nationality_source VARCHAR(191), input_hash CHAR(64), "
        f"enriched_at {moment}, model_version VARCHAR(191), enrichment_version VARCHAR(64), enrichment_state "
        "VARCHAR(16), enrichment_errors TEXT, enrichment_cost_usd DECIMAL(18,9), content_hash CHAR(64), "
        f"created_at {moment}, updated_at {moment}, input_full_name TEXT)"
    ]
    for key, (value, confidence, reason, source, given) in ANSWERS.items():
        row = ", ".join(map(_text, (value, confidence, "a quote", reason, source, "done", given)))
        row = row.replace("\\", "\\\\") if project.kind == "mysql" else row
        out.append(
            f"INSERT INTO {cache} (id, llm_nationality, llm_nationality_confidence, llm_nationality_evidence, "
            "llm_nationality_null_reason, llm_nationality_source, enrichment_state, input_full_name, enriched_at, "
            f"model_version, enrichment_cost_usd) VALUES ({key}, {row}, '2026-11-28 00:00:00', 'm', 0.001)"
        )
    return out


def _load(project: DbtProject) -> None:
    """The source, as a loader would leave it."""
    tenants = project.table("tenants")
    if project.kind in ("postgresql", "duckdb"):
        project.sql("CREATE SCHEMA staging")
    project.sql(
        f"CREATE TABLE {tenants} (id INTEGER NOT NULL PRIMARY KEY, full_name VARCHAR(191), nationality VARCHAR(191))",
        *(f"INSERT INTO {tenants} VALUES ({key}, {_text(name)}, {_text(own)})" for key, name, own in TENANTS),
    )


def test_the_silver_rule(database_kind: str, dbt_project: Callable[[str], DbtProject], tmp_path: Path) -> None:
    project = dbt_project(database_kind)
    _load(project)
    file = tmp_path / "inlay.yaml"
    cache = project.table("llm_enrichment_cache")
    file.write_text(DECLARATION.format(tenants=project.table("tenants"), cache=cache))
    assert project.write(file).model == "stg_tenants"
    assert project.write(file).files == ()

    project.dbt("build")  # nothing was published yet
    own = {key: nationality for key, _, nationality in TENANTS}
    kept = {7, 8, 16, 18}
    assert project.model("stg_tenants", "id, original_nationality, nationality, nationality_source") == [
        (key, own[key], own[key] if key in kept else DEFAULT, "original" if key in kept else "default") for key in own
    ]

    project.sql(*_publish(project))
    result = project.dbt("build")
    tests = {name: status for name, (status, _) in result["nodes"].items() if name != "stg_tenants"}
    assert set(tests.values()) == {"pass"}
    assert len(tests) == 13
    found = project.model(
        "stg_tenants", "id, nationality, nationality_source, llm_nationality, llm_nationality_null_reason"
    )
    assert {row[0]: tuple(row[1:]) for row in found} == EXPECTED
    shown = project.model("stg_tenants", "llm_nationality_confidence, llm_enriched_at, original_nationality")
    assert [None if row[0] is None else float(row[0]) for row in shown][:12] == [0.9] * 7 + [
        None,
        None,
        0.4,
        None,
        None,
    ]
    assert str(shown[0][1]).startswith("2026-11-28 00:00:00")
    assert [row[2] for row in shown] == list(own.values()), "the source's own value stays as it is"
