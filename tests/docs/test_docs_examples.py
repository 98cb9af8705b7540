"""What the pages show is true: every declaration in them loads, every link leads somewhere, every key is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inlay.errors import SpecError
from inlay.spec.fields import FIELD_TYPES, FieldSpec
from inlay.spec.load import load, load_text
from inlay.spec.model import (
    BudgetSpec,
    Enrichment,
    FailuresSpec,
    LimitsSpec,
    OutputSpec,
    PassSpec,
    SelectSpec,
    SourceSpec,
)
from inlay.types import NullReason, Reason

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
# Filled in by the loader, or written under another name in YAML.
WRITTEN = {"upstream": None, "ttl_s": "ttl", "content_key": None}


def test_there_are_examples():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_every_declaration_loads(page, block, tmp_path):
    assert load_text(block, folder=tmp_path, env={}).passes


def test_a_declaration_with_a_mistake_would_not():
    with pytest.raises(SpecError):
        load_text("name: x\nsource: {files: a.csv, kee: id}\npasses: []\n", env={})


def test_the_example_loads():
    assert len(load(ROOT / "examples/job_postings/inlay.yaml", env={}).passes) == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize(
    "model",
    [Enrichment, SourceSpec, SelectSpec, PassSpec, LimitsSpec, BudgetSpec, FailuresSpec, OutputSpec, FieldSpec],
    ids=lambda model: model.__name__,
)
def test_every_key_is_documented(model):
    text = (ROOT / "docs/declaration.md").read_text(encoding="utf-8")
    for name in model.model_fields:
        written = WRITTEN.get(name, name)
        if written is not None:
            assert re.search(rf"\b{written}\b", text), f"{model.__name__}.{name} is not documented"


@pytest.mark.parametrize("word", [*FIELD_TYPES, *NullReason, *Reason])
def test_every_word_of_the_declaration_is_documented(word):
    assert f"`{word}`" in (ROOT / "docs/declaration.md").read_text(encoding="utf-8")
