"""From a run to the silver layer: what Inlay itself publishes, read by dbt, over several days."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inlay import project
from inlay.project.corrected import Fix
from inlay.spec.columns import table_columns
from inlay.spec.load import load
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import DbtProject

pytestmark = pytest.mark.dbt

FIRST = [(None, "default"), (None, "default"), ("日本", "original"), (None, "default")]


@pytest.mark.parametrize("mode", ["table", "column"])
def test_days_of_a_staging_table(dbt_project: Callable[[str], DbtProject], tmp_path: Path, mode: str) -> None:
    silver = dbt_project("duckdb")
    silver.sql(
        "CREATE SCHEMA staging",
        "CREATE TABLE staging.tenants (id INTEGER PRIMARY KEY, full_name VARCHAR, nationality VARCHAR)",
        "INSERT INTO staging.tenants VALUES (1, 'Ana', NULL), (2, 'Ben', ''), (3, 'Chi', '日本'), (4, 'Dov', 'レソト')",
    )
    with Simulator() as sim:
        one = {"name": "nationality", "model": "compatible:sim", "endpoint": sim.endpoint, "prompt": "{{ full_name }}"}
        fields = {"nationality": {"type": "enum", "values": ["中国", "韓国"], "confidence": True, "default": "その他"}}
        output = {"prefix": "llm_", "mode": mode}
        output["table"] = "staging.tenants" if mode == "column" else "staging.cache"
        document = {
            "name": "nationality",
            "source": {"connection": f"duckdb:////{str(silver.address.path).lstrip('/')}", "table": "staging.tenants"},
            "select": {"missing": "nationality", "placeholders": ["レソト"]},
            "passes": [{**one, "prices": {"input_per_million": 1, "output_per_million": 1}, "fields": fields}],
            "budget": 1,
            "output": {**output, "inputs": True} if mode == "table" else output,
        }
        document["source"]["key"] = "id"
        file = tmp_path / "inlay.yaml"
        file.write_text(json.dumps(document))
        silver.write(file)
        described = {
            name for name in _described(silver, output["table"]) if name not in ("id", "full_name", "nationality")
        }
        assert described == {name for name, _ in table_columns(load(file))}

        if mode == "column":  # a table without the columns yet
            silver.dbt("run")
            rows = silver.model("stg_tenants", "nationality, nationality_source")
            assert rows == [(own or "その他", source) for own, source in FIRST]

        assert project.run(file).summary["calls"] == 3
        project.correct(file, [Fix(key="4", field="nationality", value="韓国")])
        project.run(file)
    silver.dbt("build")
    rows = silver.model("stg_tenants", "id, nationality, nationality_source, llm_nationality, llm_enriched_at IS NULL")
    assert [(row[0], row[2]) for row in rows] == [(1, "model"), (2, "model"), (3, "original"), (4, "human")]
    assert [row[1] for row in rows] == [rows[0][3], rows[1][3], "日本", "韓国"]
    assert [row[4] for row in rows][:2] == [False, False]
    if mode == "table":  # the next load brings another name, and dbt is quicker than Inlay
        silver.sql("UPDATE staging.tenants SET full_name = 'Zoë' WHERE id IN (1, 4)")
        silver.dbt("run")
        rows = silver.model("stg_tenants", "id, nationality, nationality_source, llm_nationality_null_reason")
        assert rows[0] == (1, "その他", "default", "input_changed")
        assert rows[3][:3] == (4, "韓国", "human")


def _described(silver: DbtProject, table: str) -> list[str]:
    from ruamel.yaml import YAML

    text = (silver.folder / "models" / "staging" / "_sources.yml").read_text(encoding="utf-8")
    (source,) = YAML(typ="safe").load(text)["sources"]
    (found,) = [each for each in source["tables"] if f"staging.{each['name']}" == table]
    return [column["name"] for column in found["columns"]]
