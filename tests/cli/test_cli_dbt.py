"""`inlay dbt` as a command: what it says, its exit codes, its diff."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Project

SOURCES = "warehouse/models/staging/_sources.yml"


@pytest.fixture
def warehouse(project: Project) -> Path:
    """A dbt project beside a declaration that publishes a table of a database whose variable is not set."""
    folder = project.folder / "warehouse"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: warehouse\n")
    project.declare(
        source={"connection": "${NOT_SET_ANYWHERE}", "table": "staging.reviews", "key": "id"},
        output={"table": "staging.answers", "prefix": "llm_"},
    )
    return folder


def test_it_writes_then_has_nothing_to_change(project: Project, warehouse: Path) -> None:
    done = project.inlay("dbt", "--project", "warehouse")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "created models/staging/stg_reviews.sql",
        "created macros/inlay.sql",
        "created models/staging/_sources.yml",
        "created models/staging/_models.yml",
        "next: dbt build --select +stg_reviews",
    ]
    done = project.inlay("dbt", "--project", "warehouse", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to change\n", "")


def test_check_fails_where_something_would_change(project: Project, warehouse: Path) -> None:
    done = project.inlay("dbt", "--project", "warehouse", "--check")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "would be created models/staging/stg_reviews.sql"
    assert not (warehouse / "models").exists()


def test_a_dry_run_is_a_diff_that_git_applies(project: Project, warehouse: Path) -> None:
    assert project.inlay("dbt", "--project", "warehouse", "--quiet").returncode == 0
    file = project.folder / SOURCES
    file.write_text(file.read_text(encoding="utf-8").replace("      - name: answers\n", "      - name: others\n"))
    before = file.read_text(encoding="utf-8")
    done = project.inlay("dbt", "--project", "warehouse", "--dry-run")
    assert done.returncode == 0
    assert file.read_text(encoding="utf-8") == before
    assert done.stderr == "would be updated models/staging/_sources.yml\n"
    assert done.stdout.startswith("--- a/models/staging/_sources.yml\n+++ b/models/staging/_sources.yml\n@@ ")
    assert "\n+      - name: answers\n" in done.stdout
    applied = subprocess.run(["git", "apply", "-"], cwd=warehouse, input=done.stdout, text=True, check=False)
    assert applied.returncode == 0
    assert project.inlay("dbt", "--project", "warehouse", "--check").returncode == 0


def test_mistakes_name_the_key_and_what_to_do(project: Project, warehouse: Path) -> None:
    project.ask("dbt").check(2, "no dbt_project.yml in", "name the folder of a dbt project")
    project.declare(output={"files": "out.jsonl"})
    project.ask("dbt", "--project", "warehouse").check(
        2, r"inlay.yaml:\d+: output: dbt reads a published table", "table:"
    )
    project.declare(output={"table": "staging.answers", "connection": "${X}"})
    project.ask("dbt", "--project", "warehouse").check(2, "the source is files", "--source-table staging.tenants")


def test_json_holds_the_diffs(project: Project, warehouse: Path) -> None:
    done = project.inlay("dbt", "--project", "warehouse", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert (found["model"], found["written"]) == ("stg_reviews", False)
    assert {file["action"] for file in found["files"]} == {"created"}
