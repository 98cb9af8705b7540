"""The catalogue of errors is whole: every class, every kind that a cell or an attempt can carry, every null reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inlay import errors
from inlay.cli.main import EXIT_CODES
from inlay.errors import CELL_KINDS, CellError, InlayError, OutputInvalid, Transient
from inlay.planning.decide import RETRYABLE
from inlay.stores.accounts import LOST
from inlay.types import CellState, NullReason

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
CLASSES = [getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)]
FAMILIES = {InlayError.kind, "provider", "transient", "cell", "run"}
# Kinds without a class: of cells, of attempts.
WORDS = ("internal", "upstream", "asked_again", LOST)


def leaves(family: type) -> set[type]:
    below = family.__subclasses__()
    return set().union(*(leaves(kind) for kind in below)) if below else {family}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_a_section_under_its_kind(kind: type[InlayError]) -> None:
    section = SECTIONS[kind.kind]
    assert f"`{kind.__name__}`" in section.partition(".")[0] or section.startswith(f"\n`{kind.__name__}`")


@pytest.mark.parametrize("kind", [*CELL_KINDS, *RETRYABLE, *WORDS])
def test_every_kind_of_the_store_has_a_section(kind: str) -> None:
    assert kind in SECTIONS


def test_every_section_is_about_something_that_there_is() -> None:
    known = {kind.kind for kind in CLASSES} | set(CELL_KINDS) | set(WORDS)
    assert SECTIONS.keys() == known


def test_the_kinds_of_cells_are_those_that_providers_and_the_engine_can_give() -> None:
    given = {kind.kind for family in (CellError, Transient) for kind in leaves(family)}
    given -= {errors.RateLimited.kind}  # waited out, never a cell's own
    assert given | {OutputInvalid.kind, "internal"} == CELL_KINDS.keys()


@pytest.mark.parametrize("kind", sorted(SECTIONS.keys() - FAMILIES))
def test_every_section_has_an_example_a_cause_a_remedy_and_an_end(kind: str) -> None:
    section = SECTIONS[kind]
    assert "```text\n" in section
    for part in ("**Why:**", "**What to do:**", "**Ends in:** exit code"):
        assert part in section, part


def test_every_null_reason_and_state_is_explained() -> None:
    table = PAGE.partition("## Why there is no value")[2].partition("\n## ")[0]
    states = {CellState.PENDING, CellState.FAILED, CellState.SKIPPED}
    for reason in (*NullReason, *states, "input_changed", "not_selected", "not_asked"):
        assert f"| `{reason}` | " in table, reason


def test_every_exit_code_is_explained() -> None:
    for code in re.findall(r"^  (\d+) ", EXIT_CODES, re.MULTILINE):
        assert f"\n| {code} | " in PAGE


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    found = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert found
    assert found <= anchors
