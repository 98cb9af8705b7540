"""The silver rule, built by dbt itself on every database: human, original, rule, model, default.

The published table is made here as the contract has it. Two commands of one process a database: once without the table,
once with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import DbtProject

pytestmark = pytest.mark.dbt

DECLARATION = """
name: tenant_nationality
source: {{connection: "${{NOT_SET_ANYWHERE}}", table: {tenants}, key: id}}
select: {{missing: nationality, placeholders: [レソト]}}
passes:
  - name: nationality
    model: openai:gpt-6-luna
    prompt: "The nationality of {{{{ full_name }}}}"
    accept_above: 0.7
    fields:
      nationality:
        type: enum
        values: [日本, 中国, レソト, "Côte d'Ivoire", 'back\\slash', "{{{{ not_jinja }}}}"]
        description: "Where {{{{ somebody }}}} is from; 'quoted' \\ {{% odd %}}"
        confidence: true
        evidence: true
        default: その他's \\ {{{{ x }}}}
output: {{table: {cache}, prefix: llm_, inputs: true}}
"""
DEFAULT = "その他's \\ {{ x }}"

TENANTS: tuple[tuple[int, str | None, str | None], ...] = (
    (1, "a", None),
    (2, "b", ""),
    (3, "c", "   "),
    (4, "d", "\u3000"),
    (5, "e", "レソト"),
    (6, "f", "レソト "),
    (7, "g", "フランス"),
    (8, "h", "フランス"),
    (9, "株式会社", None),
    (10, "j", None),
    (11, "k", None),
    (12, "renamed", None),
    (13, "renamed", ""),
    (14, None, None),
    (15, "o", None),
    (16, "p", "フランス"),
    (17, "q", "\u3000レソト\t"),
    (18, "r", " ドイツ "),
)
# id: value, confidence, null_reason, source, the input it was given for
Answer = tuple[str | None, float | None, str | None, str, str | None]
ANSWERS: dict[int, Answer] = {
    1: ("日本", 0.9, None, "model:m", "a"),
    2: ("中国", 0.9, None, "model:m", "b"),
    3: ("日本", 0.9, None, "model:m", "c"),
    4: ("Côte d'Ivoire", 0.9, None, "model:m", "d"),
    5: ("{{ not_jinja }}", 0.9, None, "model:m", "e"),
    6: ("back\\slash", 0.9, None, "model:m", "f"),
    7: ("日本", 0.9, None, "model:m", "g"),
    8: ("中国", None, None, "human", "h"),
    9: ("日本", None, None, "rule", "株式会社"),
    10: (None, 0.4, "below_threshold", "model:m", "j"),
    12: ("日本", 0.9, None, "model:m", "earlier"),
    13: ("中国", None, None, "human", "earlier"),
    14: ("日本", 0.9, None, "model:m", None),
    15: (None, None, "not_applicable", "rule", "o"),
    16: (None, None, "not_applicable", "human", "p"),
    17: ("レソト", 0.8, None, "model:m", "q"),
}
# id: value, who gave it, what is shown as predicted, why it is null
EXPECTED: dict[int, tuple[str | None, str | None, str | None, str | None]] = {
    1: ("日本", "model", "日本", None),
    2: ("中国", "model", "中国", None),
    3: ("日本", "model", "日本", None),
    4: ("Côte d'Ivoire", "model", "Côte d'Ivoire", None),
    5: ("{{ not_jinja }}", "model", "{{ not_jinja }}", None),
    6: ("back\\slash", "model", "back\\slash", None),
    7: ("フランス", "original", "日本", None),
    8: ("中国", "human", "中国", None),
    9: ("日本", "rule", "日本", None),
    10: (DEFAULT, "default", None, "below_threshold"),
    11: (DEFAULT, "default", None, None),
    12: (DEFAULT, "default", None, "input_changed"),
    13: ("中国", "human", "中国", None),
    14: ("日本", "model", "日本", None),
    15: (None, "rule", None, "not_applicable"),
    16: (None, "human", None, "not_applicable"),
    17: ("レソト", "model", "レソト", None),
    18: (" ドイツ ", "original", None, None),
}


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
