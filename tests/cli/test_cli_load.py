"""`inlay load` as its user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inlay.cli.main import cli

DUMP = (
    "-- MySQL dump 10.13\nCREATE TABLE `tenants` (`id` int NOT NULL, `name` varchar(50), PRIMARY KEY (`id`));\n"
    "INSERT INTO `tenants` VALUES (1,'山田'),(2,'O\\'Brien');\nCREATE TABLE `cache` (`id` int);\n-- Dump completed\n"
)
DECLARATION = """
name: n
source: {connection: "${LOOK}", table: tenants, key: id}
load: {dump: d.sql, protect: cache}
passes: [{name: p, model: lexical, prompt: "{{ name }}", fields: {x: string}}]
output: out.parquet
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOOK", "sqlite:///look.db")
    (tmp_path / "d.sql").write_text(DUMP, encoding="utf-8")
    (tmp_path / "inlay.yaml").write_text(DECLARATION, encoding="utf-8")

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["load", *words], prog_name="inlay")

    return run


def test_a_dump_is_listed_looked_at_and_loaded(load: Callable[..., Result], tmp_path: Path) -> None:
    listed = load("--list", "d.sql")
    assert listed.exit_code == 0
    assert [line.split()[:2] for line in listed.stdout.splitlines()[2:4]] == [["tenants", "2"], ["cache", "0"]]
    dry = load("d.sql", "--into", "sqlite:///look.db", "--dry-run", "--protect", "cache")
    assert "skipped cache: protected" in dry.stdout
    assert "nothing was changed" in dry.stdout
    assert not (tmp_path / "look.db").exists()
    done = load("d.sql", "--into", "${LOOK}", "--table", "tenants")
    assert done.exit_code == 0
    assert f"loaded d.sql into sqlite:{tmp_path}/look.db: 1 table, 2 rows" in done.stdout


def test_a_declaration_is_loaded_and_told_as_json(load: Callable[..., Result]) -> None:
    done = load("--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["loaded"], told["complete"]) == (2, True, True)
    assert told["skipped"] == [{"name": "cache", "why": "protected"}]
    quiet = load("--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


def test_what_is_wrong_is_said_with_its_line(load: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "evil.sql").write_text(
        DUMP.replace("CREATE TABLE `cache`", "\\! touch x\nCREATE TABLE `cache`"), "utf-8"
    )
    done = load("evil.sql", "--into", "${LOOK}")
    assert done.exit_code == 2
    assert "error: evil.sql, line 4: " in done.stderr
    assert "a command for a client program, which is never run" in done.stderr
    (tmp_path / "cut.sql").write_text(DUMP[:-20], "utf-8")
    cut = load("cut.sql", "--into", "${LOOK}")
    assert cut.exit_code == 2
    assert "--allow-incomplete" in cut.stderr
    assert load("cut.sql", "--into", "${LOOK}", "--allow-incomplete").exit_code == 0
    assert load("d.sql", "--into", "mysql://u:hidden-word@127.0.0.1:1/x").exit_code == 3
    assert "hidden-word" not in load("d.sql", "--into", "mysql://u:hidden-word@127.0.0.1:1/x").output


def test_a_stop_leaves_the_tables(load: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inlay.project.load_dump", stop)
    done = load()
    assert done.exit_code == 3
    assert "the tables are as they were" in done.stderr


def test_a_run_can_load_first_but_not_when_it_is_dry(load: Callable[..., Result]) -> None:
    done = CliRunner().invoke(cli, ["run", "--load", "--dry-run"], prog_name="inlay")
    assert done.exit_code == 2
    assert "inlay load --dry-run" in done.stderr
