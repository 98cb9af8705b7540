"""The Tab key: in real shells (zsh and fish where they are installed) and by what the shells are told."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from inlay.cli.main import Commands, cli
from inlay.errors import CELL_KINDS

if TYPE_CHECKING:
    from .conftest import Project

SHELLS = ["bash", *(name for name in ("zsh", "fish") if shutil.which(name))]
# How each shell is made to complete a line; `inlay` is on its PATH.
ASK = {
    "bash": 'eval "$(inlay completion bash)"; COMP_WORDS=($LINE); [[ $LINE == *" " ]] && COMP_WORDS+=("");'
    " COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _inlay_completion inlay; printf '%s\\n' \"${COMPREPLY[@]}\"",
    "zsh": "autoload -U compinit; compinit -u -D; compdef() { _comps[$2]=$1 }; _describe() { print -l -- ${(P)3} };"
    ' compadd() { print -l -- ${(P)@[-1]} }; eval "$(inlay completion zsh)"; words=(${=LINE});'
    ' [[ $LINE == *" " ]] && words+=(""); CURRENT=$#words; $_comps[inlay]',
    "fish": "inlay completion fish | source; complete -C $LINE",
}


def completed(project: Project, shell: str, line: str) -> list[str]:
    """What a shell offers at the end of a line."""
    tools = project.folder / ".tools"
    tools.mkdir(exist_ok=True)
    command = tools / "inlay"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inlay "$@"\n', encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *flags, "-c", ASK[shell]],
        cwd=project.folder,
        env={**project.env, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "LINE": line, "HOME": str(tools)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return [text.partition("\t")[0].partition(":")[0] for text in done.stdout.splitlines() if text.strip()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_options_files_and_passes(project: Project, shell: str) -> None:
    project.declare()
    text = (project.folder / "inlay.yaml").read_text(encoding="utf-8")
    (project.folder / "reviews.yaml").write_text(text.replace('"name": "read"', '"name": "regard"'), encoding="utf-8")
    assert completed(project, shell, "inlay st") == ["status", "store"]
    assert "--budget" in completed(project, shell, "inlay run --b")
    assert completed(project, shell, "inlay store ver") == ["verify"]
    assert completed(project, shell, "inlay run rev") == ["reviews.yaml"]
    assert completed(project, shell, "inlay retry reviews.yaml --pass r") == ["regard"]
    assert completed(project, shell, "inlay retry --kind time") == ["timeout"]
    assert completed(project, shell, "inlay run --log-format j") == ["json"]


def told(folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a shell is told, without one: the lines `type,value`."""
    monkeypatch.chdir(folder)
    words = line.split(" ")
    env = {"_INLAY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(cli, [], prog_name="inlay", env=env)
    assert done.exit_code == 0
    return [text for text in done.output.splitlines() if text]


def test_every_command_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(tmp_path, "inlay ", monkeypatch) == [f"plain,{name}" for name in Commands.modules]


def test_declarations_are_offered_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("a.yaml", "b.yml", "c.csv", ".hidden.yaml", "deep/レビュー.yaml"):
        (tmp_path / name).touch()
    assert told(tmp_path, "inlay plan ", monkeypatch) == ["plain,a.yaml", "plain,b.yml"]
    assert told(tmp_path, "inlay plan deep/", monkeypatch) == ["plain,deep/レビュー.yaml"]
    assert told(tmp_path, "inlay plan de", monkeypatch) == ["file,de"], "the shell knows folders"
    assert told(tmp_path, "inlay plan no/where/", monkeypatch) == ["file,no/where/"]
    (tmp_path / "two words.yaml").touch()
    assert told(tmp_path, "inlay plan ", monkeypatch) == ["file,"], "the shell quotes"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("passes:\n  - name: read\n  - {name: judge, nonsense: [1}\n", []),
        ("passes:\n  - name: read\n  - {name: judge, model: '${UNSET}'}\n", ["read", "judge"]),
        ("passes: 3\n", []),
        ("- a\n", []),
        ("", []),
        ("passes: [{name: '$(touch pwned)'}, {name: ok}, {name: [x]}]\n", ["ok"]),
    ],
)
def test_passes_come_from_whatever_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, names: list[str]
) -> None:
    (tmp_path / "inlay.yaml").write_text(text, encoding="utf-8")
    assert told(tmp_path, "inlay retry --pass ", monkeypatch) == [f"plain,{name}" for name in names]
    assert told(tmp_path, "inlay retry nowhere.yaml --pass ", monkeypatch) == []


def test_a_declaration_that_is_no_text_offers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inlay.yaml").write_bytes(b"\xff\xfe\x00")
    assert told(tmp_path, "inlay retry --pass ", monkeypatch) == []


def test_kinds_are_those_of_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = told(tmp_path, "inlay retry --kind ", monkeypatch)
    assert offered == [f"plain,{kind}" for kind in CELL_KINDS]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_its_shell(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell], prog_name="inlay")
    assert done.exit_code == 0
    assert f"_INLAY_COMPLETE={shell}_complete" in done.output
    if shutil.which(shell):
        flags = {"bash": ["-n"], "zsh": ["-n"], "fish": ["--no-execute"]}[shell]
        checked = subprocess.run([shell, *flags], input=done.output, capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_help_says_how_to_switch_it_on() -> None:
    done = CliRunner().invoke(cli, ["--help"], prog_name="inlay")
    assert "inlay completion --help" in done.output
    assert "~/.bashrc" in CliRunner().invoke(cli, ["completion", "--help"], prog_name="inlay").output
