"""The public face: its names are pinned, it is lazy, and the verb `plan` is not hidden by the room of that name."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import inlay

PINNED = {
    "Enrichment",
    "Explanation",
    "FieldSpec",
    "InlayError",
    "PassSpec",
    "Plan",
    "ProviderError",
    "Report",
    "RunOptions",
    "RunStopped",
    "SpecError",
    "Status",
    "__version__",
    "explain",
    "aenrich",
    "arun",
    "enrich",
    "evaluate",
    "export",
    "load",
    "plan",
    "retry",
    "run",
    "status",
    "write_report",
}


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_names_are_pinned() -> None:
    assert set(inlay.__all__) == PINNED
    assert set(dir(inlay)) >= PINNED


def test_every_name_leads_somewhere_and_says_what_it_is() -> None:
    for name in PINNED - {"__version__"}:
        thing = getattr(inlay, name)
        assert inspect.getdoc(thing), name
        assert thing.__name__ == name
    assert inlay.__version__.count(".") >= 2


def test_every_error_class_has_the_root() -> None:
    for name in PINNED:
        if name.endswith("Error") or name == "RunStopped":
            assert issubclass(getattr(inlay, name), inlay.InlayError)


def test_import_costs_next_to_nothing() -> None:
    code = """
import sys
before = set(sys.modules)
import inlay, json
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    loaded = json.loads(in_a_new_process(code))
    ours = {name for name in loaded if name.startswith("inlay")}
    assert ours == {"inlay", "inlay._version"}
    heavy = {
        "asyncio",
        "click",
        "duckdb",
        "jinja2",
        "orjson",
        "pyarrow",
        "pydantic",
        "pyreqwest",
        "rich",
        "ruamel",
        "uvloop",
    }
    assert not heavy & {name.partition(".")[0] for name in loaded}


def test_the_verb_plan_stays_a_verb_once_the_room_is_imported() -> None:
    code = """
import inlay
before = inlay.plan
from inlay.planning.plan import Plan
import inlay.planning.decide
assert inlay.plan is before and inlay.Plan is Plan
from inlay import plan
print(callable(plan), plan.__module__)
"""
    assert in_a_new_process(code).split() == ["True", "inlay.project"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="plam"):
        _ = inlay.plam  # type: ignore[attr-defined]
