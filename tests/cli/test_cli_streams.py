"""What goes where: JSON wherever there are figures, silence where it is wanted, plain text without a terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click
import pytest

from inlay.cli.main import cli
from inlay.cli.reference import commands
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

# Every command that prints figures, as a command line that works after a first run.
FIGURES = {
    "plan": ["plan"],
    "enrich": [
        "enrich",
        "reviews.csv",
        "--key",
        "id",
        "--model",
        "lexical",
        "--field",
        "mood: good|bad",
        "-o",
        "m.csv",
    ],
    "run": ["run"],
    "show": ["show"],
    "status": ["status"],
    "explain": ["explain", "r1"],
    "correct": ["correct", "r1", "stars=2"],
    "corrections": ["corrections"],
    "report": ["report"],
    "eval": ["eval", "--shadow", "2", "--field", "sentiment=id"],
    "doctor": ["doctor"],
    "costs": ["costs"],
    "prices": ["prices"],
    "batch list": ["batch", "list"],
    "retry": ["retry"],
    "export": ["export", "-o", "copy.csv"],
    "dbt": ["dbt", "warehouse/inlay.yaml", "--project", "warehouse", "--source-table", "staging.reviews"],
    "store stats": ["store", "stats"],
    "store verify": ["store", "verify"],
    "store prune": ["store", "prune", "--yes"],
    "store clear": ["store", "clear", "--key", "r1", "--yes"],
    "store warm": ["store", "warm", "reviews.csv", "--field", "stars=id", "--dry-run"],
    "forget": ["forget", "r1", "--yes"],
}
SHOWN = {
    "plan",
    "show",
    "status",
    "explain",
    "corrections",
    "store stats",
    "doctor",
    "costs",
    "prices",
    "batch list",
}  # there is nothing left of these without words
NO_FIGURES = {"init", "schema", "completion"}


@pytest.fixture(autouse=True)
def warehouse(project: Project) -> None:
    """A dbt project, and a declaration that publishes a table."""
    folder = project.folder / "warehouse"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: warehouse\n")
    project.declare("warehouse/inlay.yaml", output={"table": "staging.answers", "connection": "sqlite:///answers.db"})


def test_every_command_is_in_one_of_these_tables_and_has_its_options() -> None:
    found = {
        path.removeprefix("inlay "): command
        for path, command in commands(cli, "inlay")
        if not isinstance(command, click.Group)
    }
    for name, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts}
        if name in NO_FIGURES:
            continue
        assert "--json" in options, f"{name} prints figures, or say in NO_FIGURES that it does not"
        assert ("--quiet" in options) or name in SHOWN, f"{name} can be silent, or say in SHOWN that it cannot"
    assert FIGURES.keys() | NO_FIGURES <= found.keys()


@pytest.mark.parametrize("command", FIGURES)
def test_json_is_one_document_and_nothing_else(project: Project, command: str) -> None:
    assert project.inlay("run", "--quiet").returncode == 0
    done = project.inlay(*FIGURES[command], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) is not None


@pytest.mark.parametrize("command", sorted(FIGURES.keys() - SHOWN))
def test_quiet_is_silent(project: Project, command: str) -> None:
    for arguments in (["run", "--quiet"], [*FIGURES[command], "--quiet"]):
        done = project.inlay(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_tells_errors(project: Project) -> None:
    done = project.inlay("run", "nowhere.yaml", "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_table_on_standard_output_leaves_no_place_for_json(project: Project) -> None:
    done = project.inlay("export", "--format", "csv", "--json")
    assert done.returncode == 2
    assert "-o FILE" in done.stderr


@pytest.mark.parametrize("command", FIGURES)
def test_without_a_terminal_nothing_is_drawn(project: Project, simulator: Simulator, command: str) -> None:
    project.rows([("r1", "red \x1b[31m text"), ("r2", "\x07 bell"), ("r3", "مرحبا 😀 日本")])
    project.inlay("run", FORCE_COLOR="")
    done = project.inlay(*FIGURES[command])
    assert done.returncode == 0, done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)


def test_without_a_terminal_errors_have_no_colour(project: Project) -> None:
    for arguments in (["run", "nowhere.yaml"], ["rnu"], ["run", "--limit", "x"]):
        assert "\x1b" not in project.inlay(*arguments).stderr
