"""Names to classes, ours and third parties', and the errors for names that are not there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import inlay
from inlay import registry
from inlay.errors import SpecError
from inlay.providers.compatible import CompatibleChat
from inlay.providers.openai_chat import OpenAIChat
from inlay.registry import Registry


def test_our_names_lead_to_our_classes() -> None:
    assert registry.providers.load("openai") is OpenAIChat
    assert registry.providers.load("compatible") is CompatibleChat
    assert {"openai", "compatible", "lexical"} <= set(registry.providers.names())
    assert {"sqlite", "memory"} <= set(registry.stores.names())


@pytest.mark.parametrize("kind", [registry.providers, registry.stores])
def test_every_name_of_ours_can_be_loaded(kind: Registry) -> None:
    for name in kind.ours:
        assert isinstance(kind.load(name), type)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="opanai") as caught:
        registry.providers.load("opanai", key="model")
    assert caught.value.key == "model"
    assert "did you mean `openai`" in caught.value.remedy
    with pytest.raises(SpecError) as far:
        registry.providers.load("日本")
    assert "did you mean" not in far.value.remedy
    assert "compatible" in far.value.remedy


def test_a_planned_name_says_so_and_lists_what_there_is() -> None:
    names = registry.Registry("provider", "inlay.none", registry.providers.ours, planned=("later",))
    with pytest.raises(SpecError, match="not yet in this version") as caught:
        names.load("later")
    assert ", ".join(registry.providers.ours) in caught.value.remedy


@pytest.mark.parametrize("name", list(registry.providers.ours))
def test_every_name_of_ours_loads(name: str) -> None:
    assert registry.providers.load(name).name == name


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """A package on the path with entry points of its own, as an installed one has."""
    info = folder / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[inlay.providers]\n{lines}")
    (folder / "thirdparty_wire.py").write_text("class Wire:\n    name = 'third'\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()


def test_third_parties_add_names_and_cannot_take_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "third = thirdparty_wire:Wire\nopenai = thirdparty_wire:Wire\n")
    assert registry.providers.load("third").name == "third"
    assert registry.providers.load("openai") is OpenAIChat
    names = registry.providers.names()
    assert "third" in names
    assert names.count("openai") == 1


def test_a_third_party_that_does_not_load_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "broken = thirdparty_nothing:Wire\nempty = thirdparty_wire:Missing\n")
    for name in ("broken", "empty"):
        with pytest.raises(SpecError, match=name) as caught:
            registry.providers.load(name, key="model")
        assert "reinstall" in caught.value.remedy


def test_looking_at_the_registry_imports_no_adapter() -> None:
    code = (
        "import sys, inlay.registry, inlay.providers.models, inlay.providers.transport; "
        "inlay.registry.providers.names(); "
        "print([name for name in ('pyreqwest', 'duckdb', 'pyarrow', 'jinja2', 'uvloop', 'inlay.providers.openai_chat') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_of_a_third_party_inside_this_process_makes_no_call_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "parrot = thirdparty_model:Parrot\n")
    (tmp_path / "thirdparty_model.py").write_text(
        "import json\n"
        "from inlay.types import Completion\n"
        "class Parrot:\n"
        "    name = 'parrot'\n"
        "    def answerer(self, shape):\n"
        "        return lambda record: Completion(json.dumps({'said': record['text'], 'nulls': []}))\n"
    )
    (tmp_path / "rows.csv").write_text("id,text\n1,こんにちは\n", encoding="utf-8")
    (tmp_path / "inlay.yaml").write_text(
        "name: parrot\nsource: {files: rows.csv, key: id}\nbudget: 1\n"
        "passes: [{name: read, model: parrot, prompt: '{{ text }}', fields: {said: string}}]\n"
    )
    report = inlay.run(tmp_path / "inlay.yaml")
    assert (report.plan.calls, report.plan.cost_usd, report.summary["answers"]) == (0, 0.0, 1)
    assert inlay.project.show(tmp_path / "inlay.yaml")[0]["said"] == "こんにちは"
    status = inlay.status(tmp_path / "inlay.yaml")
    assert status.passes[0].priced
    assert status.ledger[0]["model"] == "1"
