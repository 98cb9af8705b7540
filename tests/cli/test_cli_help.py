"""Help texts: kept as snapshots, taught by example, and printed without importing anything heavy.

To renew the snapshots after a wanted change: INLAY_RENEW_HELP=1 pytest tests/cli/test_cli_help.py
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from inlay.cli.main import Commands, cli
from inlay.cli.reference import commands, reference

KEPT = Path(__file__).with_name("help")
HEAVY = ("duckdb", "jinja2", "orjson", "pyarrow", "pydantic", "pyreqwest", "rich", "ruamel", "uvloop")
PATHS = ["inlay", *(path for path, _ in commands(cli, "inlay"))]


def help_of(path: str, flag: str = "--help") -> str:
    result = CliRunner().invoke(cli, [*path.split()[1:], flag], prog_name="inlay", terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_commands_are_listed_in_the_order_of_use() -> None:
    assert PATHS == [
        "inlay",
        "inlay enrich",
        "inlay init",
        "inlay doctor",
        "inlay load",
        "inlay plan",
        "inlay run",
        "inlay show",
        "inlay status",
        "inlay costs",
        "inlay prices",
        "inlay explain",
        "inlay correct",
        "inlay corrections",
        "inlay retry",
        "inlay batch",
        "inlay batch list",
        "inlay batch cancel",
        "inlay export",
        "inlay report",
        "inlay dbt",
        "inlay eval",
        "inlay store",
        "inlay store stats",
        "inlay store verify",
        "inlay store prune",
        "inlay store clear",
        "inlay store warm",
        "inlay forget",
        "inlay schema",
        "inlay completion",
    ]


@pytest.mark.parametrize("path", PATHS)
def test_help_is_as_kept(path: str) -> None:
    text = help_of(path)
    file = KEPT / f"{path.replace(' ', '-')}.txt"
    if os.environ.get("INLAY_RENEW_HELP"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert help_of(path, "-h") == text


def test_no_snapshot_is_left_over() -> None:
    assert {file.stem for file in KEPT.glob("*.txt")} == {path.replace(" ", "-") for path in PATHS}


@pytest.mark.parametrize(("path", "command"), list(commands(cli, "inlay")))
def test_every_command_teaches(path: str, command: click.Command) -> None:
    text = inspect.cleandoc(command.help or "")
    assert text.splitlines()[0].endswith("."), "one sentence of purpose"
    assert f"\n  {path}" in text, "an example of its own"
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        assert option.help, f"{path} {option.name}"
        assert option.help.endswith((".", "]", "'")), option.help


def test_no_short_help_is_cut_off() -> None:
    for path in ("inlay", "inlay store"):
        assert "..." not in help_of(path).split("Commands:", 1)[1]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plan", "--help"], ["store", "clear", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from inlay.cli.main import main
sys.argv = ["inlay", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
loaded = {{name.partition(".")[0] for name in sys.modules}}
print("HEAVY", sorted(loaded & set({HEAVY!r})), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "inlay" in done.stdout
    assert done.stderr.strip() == "HEAVY []"


def test_the_group_names_its_commands_without_importing_them() -> None:
    code = """
import sys, click
from inlay.cli.main import cli
names = cli.list_commands(click.Context(cli))
print(names, [name for name in names if f"inlay.cli.{name}" in sys.modules])
cli.get_command(click.Context(cli), "status")
print([name for name in names if f"inlay.cli.{name}" in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{list(Commands.modules)!r} []", "['status']"]


def test_version_and_module_form() -> None:
    done = subprocess.run([sys.executable, "-m", "inlay", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("inlay ")


def test_the_reference_names_every_command_option_and_code() -> None:
    page = reference()
    for path, command in commands(cli, "inlay"):
        assert f"\n## {path}\n" in page
        section = page.split(f"\n## {path}\n", 1)[1].split("\n## ", 1)[0]
        for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
            assert f"`{', '.join(option.opts)}" in section.replace("-h, --help", ""), (path, option.opts)
    for code in ("0", "1", "2", "3", "70", "141"):
        assert f"\n| {code} | " in page


def test_the_reference_in_the_docs_is_up_to_date() -> None:
    kept = Path(__file__).parents[2] / "docs" / "cli.md"
    assert kept.read_text(encoding="utf-8") == reference(), "renew it: python -m inlay.cli.reference > docs/cli.md"
