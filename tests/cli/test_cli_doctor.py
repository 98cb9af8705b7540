"""`inlay doctor` tells the truth with no key, one key and a wrong key, and never shows one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

SECRET = "sk-live-0123456789abcdefghij"

BARE = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "")


def openai_pass(endpoint: str | None = None) -> list[dict[str, object]]:
    made: dict[str, object] = {
        "name": "read",
        "model": "openai:gpt-6-luna",
        "prompt": "{{ text }}",
        "fields": {"mood": "good|bad"},
    }
    return [made if endpoint is None else {**made, "endpoint": endpoint}]


def test_without_a_key_it_says_how_to_set_one(project: Project) -> None:
    project.declare(passes=openai_pass())
    done = project.inlay("doctor", **BARE)
    assert done.returncode == 1, done.stderr
    assert "OPENAI_API_KEY is not set" in done.stdout or "OPENAI_API_KEY is empty" in done.stdout
    assert "export OPENAI_API_KEY=…" in done.stdout
    assert "something is missing" in done.stdout


def test_with_a_key_all_is_ready_and_the_key_is_not_shown(project: Project) -> None:
    project.declare(passes=openai_pass())
    for form in ((), ("--json",)):
        done = project.inlay("doctor", *form, **{**BARE, "OPENAI_API_KEY": SECRET})
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET[8:] not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["usable"] is True
    assert found["models"][0]["key_from"] == "OPENAI_API_KEY"
    assert found["models"][0]["price"]


def test_a_key_that_cannot_be_one_is_told_without_showing_it(project: Project) -> None:
    project.declare(passes=openai_pass())
    done = project.inlay("doctor", **{**BARE, "OPENAI_API_KEY": f" {SECRET}"})
    assert done.returncode == 1
    assert "begins or ends with white space" in done.stdout
    assert SECRET[8:] not in done.stdout + done.stderr


def test_without_a_declaration_it_tells_of_the_environment(tmp_path: Path, project: Project) -> None:
    (project.folder / "inlay.yaml").unlink()
    done = project.inlay("doctor", **BARE)
    assert done.returncode == 0, done.stderr
    assert "model: auto: no API key was found" in done.stdout
    assert project.inlay("doctor", "--probe", **BARE).returncode == 2


def test_a_wrong_declaration_is_the_commands_mistake(project: Project) -> None:
    project.declare(passes=[])
    assert project.inlay("doctor", **BARE).returncode == 2


def test_nothing_is_sent_without_a_probe(project: Project, simulator: Simulator) -> None:
    assert project.inlay("doctor", **BARE).returncode == 0
    assert project.inlay("doctor", "--probe", **BARE).returncode != 0, "nobody said yes"
    assert len(simulator.ledger) == 0


def test_a_probe_asks_once(project: Project, simulator: Simulator) -> None:
    done = project.inlay("doctor", "--probe", "--yes", **BARE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "probed    one short question: json_schema is enforced" in done.stdout
    assert len(simulator.ledger) == 1


@pytest.fixture
def locked() -> Iterator[Simulator]:
    with Simulator(api_keys=["right-key-0123456789"]) as running:
        yield running


def test_a_wrong_key_is_one_clear_sentence(project: Project, locked: Simulator) -> None:
    project.declare(passes=openai_pass(locked.endpoint))
    done = project.inlay("doctor", "--probe", "--yes", **{**BARE, "OPENAI_API_KEY": SECRET})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "problem" in done.stdout
    assert "key" in done.stdout
    assert SECRET[8:] not in done.stdout + done.stderr
    good = project.inlay("doctor", "--probe", "--yes", **{**BARE, "OPENAI_API_KEY": "right-key-0123456789"})
    assert good.returncode == 0, good.stdout + good.stderr


def test_it_names_the_wire_and_what_the_model_can(project: Project) -> None:
    claude = {
        "name": "read",
        "model": "anthropic:claude-haiku-5-5",
        "prompt": "{{ text }}",
        "fields": {"mood": "good|bad"},
    }
    project.declare(passes=[claude, {**openai_pass()[0], "name": "more", "wire": "responses", "prefix": "more_"}])
    done = project.inlay("doctor", "--json", **{**BARE, "OPENAI_API_KEY": SECRET, "ANTHROPIC_API_KEY": SECRET})
    assert done.returncode == 0, done.stdout + done.stderr
    haiku, luna = json.loads(done.stdout)["models"]
    assert (haiku["wire"], luna["wire"]) == ("messages", "responses")
    assert "JSON schema" in haiku["can"]
    assert "batch" in haiku["can"]
    assert haiku["cannot"] == ["temperature"]
    assert "table of 20" in haiku["abilities_from"]
    assert "temperature" in luna["can"]
    assert luna["price"].startswith("$")


def test_a_probe_of_a_compatible_server_is_remembered(project: Project, simulator: Simulator) -> None:
    before = project.inlay("doctor", **BARE)
    assert "JSON schema (not probed yet)" in before.stdout
    assert "json_schema is enforced" in project.inlay("doctor", "--probe", "--yes", **BARE).stdout
    assert (project.folder / ".inlay" / "probes.json").is_file()
    assert "JSON schema (as probed)" in project.inlay("doctor", **BARE).stdout
    assert len(simulator.ledger) == 1
