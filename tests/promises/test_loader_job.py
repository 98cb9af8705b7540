"""The loader job of a staging table, run as its own program every night: reload, enrich, go on whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from durable_scene import Scene

from inlay.testing import Simulator
from inlay.testing.servers import MariaDB

JOB = """\
import os
from pathlib import Path

import inlay
from inlay.databases.address import parse
from inlay.databases.connection import Database

day = int(os.environ["DAY"])
with Database(parse(os.environ["STAGING_URL"], Path())).connect() as con:
    con.run("DROP TABLE IF EXISTS tenants")
    con.run("CREATE TABLE tenants (id INT PRIMARY KEY, full_name VARCHAR(191), nationality VARCHAR(60))")
    rows = [(n, f"田中 太郎 {n} 😀", None if n % 2 else "日本") for n in range(20 + day)]
    con.executemany("INSERT INTO tenants VALUES (?, ?, ?)", rows)
print("loaded", len(rows))
report = inlay.run("inlay.yaml", on_error="warn")
print(report.line)
print("the load goes on,", report.enriched, "enriched")
"""


def night(scene: Scene, day: int, **env: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "loader.py"],
        cwd=scene.folder,
        env=scene.environment(DAY=str(day), **env),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_a_loader_goes_on_whatever_happens(scene: Scene, sim: Simulator, mariadb: MariaDB) -> None:
    (scene.folder / "loader.py").write_text(JOB, encoding="utf-8")
    url = mariadb.url("night")
    scene.declare(
        name="tenant_nationality",
        store="${STAGING_URL}",
        source={"connection": "${STAGING_URL}", "table": "tenants", "key": "id"},
        select={"missing": "nationality"},
        passes=[
            scene.one_pass(
                "nationality",
                "The nationality of {{ full_name }}",
                fields={"guess": {"type": "enum", "values": ["日本", "中国"], "confidence": True}},
            )
        ],
        output={"connection": "${STAGING_URL}", "table": "llm_enrichment_cache", "prefix": "llm_"},
        after=[{"command": ["sh", "-c", "cat >> told; echo >> told"]}],
    )
    out, _ = night(scene, 0, STAGING_URL=url)
    assert out[0] == "loaded 20"
    assert out[1].startswith("tenant_nationality: 10 selected, 10 answered, 0 failed, $0.0")
    assert out[2] == "the load goes on, 10 enriched"
    out, _ = night(scene, 0, STAGING_URL=url)  # reloaded: nothing is asked
    assert out[1].startswith("tenant_nationality: 10 selected, 0 to ask, 0 answered, ")
    out, _ = night(scene, 1, STAGING_URL=url, INLAY_SKIP="1")
    assert out[1] == "tenant_nationality: skipped, INLAY_SKIP is set"
    (scene.folder / "inlay.yaml").write_text(scene.file.read_text("utf-8").replace('"tenants"', '"tenant"'), "utf-8")
    out, err = night(scene, 2, STAGING_URL=url)  # a table that there is not
    assert out[1].startswith("tenant_nationality: error, ")
    assert out[2] == "the load goes on, 0 enriched"
    assert "tenant_nationality: " in err
    assert "Traceback" not in err
    scene.declare()
    out, _ = night(scene, 4, STAGING_URL=url)
    assert out[1].startswith("tenant_nationality: 12 selected, 2 to ask, 2 answered, ")
    assert len(sim.ledger.calls) == 12
    assert mariadb.sql("SELECT count(*) FROM night.llm_enrichment_cache")[0] == (12,)
    told = [json.loads(line)["outcome"] for line in Path(scene.folder / "told").read_text("utf-8").splitlines()]
    assert told == ["success", "success", "skipped", "failure", "success"]
