"""The JSON Schema of the declaration takes what the loader takes, explains every key, and refuses plain mistakes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from inlay import project
from inlay.errors import SpecError, TargetError
from inlay.spec import forms
from inlay.spec.document import Node, parse
from inlay.spec.fields import FieldSpec
from inlay.spec.keys import attribute_docs, keys_of, models
from inlay.spec.load import load_text
from inlay.spec.model import Enrichment, ModelSpec, PassSpec
from inlay.spec.problems import Problems
from inlay.spec.reference import BEGIN, reference, renewed
from inlay.spec.schema import COMMENT, SCHEMA_FILE, SHORT, WRITTEN, schema

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    *(
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
        if re.search(r"^name:", block, re.MULTILINE)  # a whole declaration, not a part of one
    ),
    *(
        pytest.param(file.read_text(encoding="utf-8"), id=str(file.relative_to(ROOT)))
        for file in sorted((ROOT / "examples").rglob("*.yaml"))
    ),
]

EVERYTHING: dict[str, Any] = {
    "name": "reviews",
    "source": {"files": ["a.csv", "b.csv"], "key": "id", "format": "csv", "types": {"stars": "integer"}},
    "models": {
        "small": "openai:gpt-6-luna",
        "near-by-2": {"model": "compatible:m"},
        "near-by": {
            "model": "compatible:${MODEL:-m}",
            "endpoint": "http://127.0.0.1:8000/v1",
            "region": "eu-central-1",
            "wire": "chat",
            "api_key_env": "MY_KEY",
            "temperature": "0.5",
            "options": {"seed": 7},
            "prices": {"input_per_million": 0, "output_per_million": 0},
            "limits": {"requests_per_minute": 60},
        },
    },
    "select": {"where": "stars > 1", "missing": "text", "placeholders": ["n/a", "-"], "order_by": "id", "limit": 5},
    "passes": [
        {
            "name": "read",
            "model": "compatible:${MODEL:-m}",
            "endpoint": "http://127.0.0.1:8000/v1",
            "api_key_env": "MY_KEY",
            "region": "eu-central-1",
            "wire": "chat",
            "fuse": "never",
            "pack": "auto",
            "untrusted": True,
            "prompt": "{{ text }}",
            "prefix": "r_",
            "inputs": ["text", "title"],
            "normalize": ["nfkc", "trim"],
            "ttl": "30d",
            "temperature": 0,
            "max_output_tokens": 600,
            "options": {"reasoning_effort": "low", "top_p": 0.5, "stop": ["a"], "more": {"deep": True}},
            "priced_as": "gpt-6-luna",
            "prices": {
                "input_per_million": 0.1,
                "output_per_million": "0.5",
                "cached_input_per_million": 0,
                "cache_write_per_million": 0.125,
                "batch_multiplier": 0.5,
            },
            "abilities": {
                "structured": "forced_tool",
                "temperature": True,
                "thinking": "always",
                "efforts": ["low"],
                "cache_marks": True,
                "cache_min_tokens": 512,
                "batch": False,
                "max_output_tokens": 8000,
            },
            "rules": [
                {"when": "stars > 4", "set": {"mood": "good", "note": None}, "null_reason": "not_stated"},
                {"column": "text", "pattern": "(?P<stars>[1-5]) stars"},
                {"lookup": "kinds.csv", "by": {"id": "key"}, "set": {"kind": "kind of it"}},
                {"when": "true", "set": {"mood": None, "reason": "ambiguous"}},
            ],
            "fields": {
                "mood": "good|bad",
                "stars": {"type": "integer", "min": 1, "max": "5", "confidence": True, "nullable": "no"},
                "labels": ["a", "b"],
                "topics": "list[enum(spa, gym)]",
                "note": {"type": "text", "max_length": 300, "pattern": "[a-z]+", "description": "a note"},
                "when": {"type": "date", "min": "2024-01-01"},
                "parts": {"fields": {"x": "number", "y": {"items": "date", "max_items": 3}}, "evidence": True},
                "kind": {"values": ["x", 7], "original": "kind", "default": "other"},
            },
        },
        {
            "name": "grade",
            "prompt": "{{ text }}",
            "fields": {"g": {"type": "integer", "confidence": True}},
            "models": ["small", "near-by-2"],
        }
        | {"escalate_below": 0.6, "accept_above": 0.7, "fuse": "never", "pack": "auto", "untrusted": True},
        {"name": "judge", "prompt": "{{ passes.read.mood }}", "fields": {"ok": "boolean"}},
    ],
    "mode": "auto",
    "batch": {
        "above": 10,
        "fewest": 3,
        "requests": 500,
        "megabytes": 20.5,
        "bucket": "my-bucket",
        "prefix": "inlay/batches",
        "role_arn": "arn:aws:iam::123456789012:role/inlay",
        "window_hours": 48,
        "poll_s": 2.5,
        "lost_after_s": 900,
    },
    "limits": {"concurrency": 5, "requests_per_minute": 60, "requests_per_second": 1.5, "tokens_per_minute": 1000},
    "budget": {"usd": 5, "per": "day"},
    "failures": {"max_percent": 20, "min_cells": 50, "max_tries": 3},
    "output": {"files": "out.parquet", "rows": "all", "columns": ["id"], "confidence": False, "sources": "no"},
    "store": "answers.db",
    "load": {
        "dump": "s3://dumps/day_{date:%Y%m%d}.sql.gz",
        "into": "${X}",
        "tables": "tenants",
        "protect": ["keep"],
        "date": "latest",
        "time_zone": "Asia/Tokyo",
    },
    "after": [{"command": "dbt build", "when": "success", "timeout_s": 60}, {"webhook": "${X}"}],
    "on_change": [{"command": ["tell", "them"]}],
    "version": 2026,
}
# The keys of a source and an output in a database, which stand in place of those above.
IN_A_DATABASE: dict[str, Any] = {
    **EVERYTHING,
    "source": {"connection": "${X}", "table": "staging.tenants", "key": "id"},
    "output": {
        "table": "staging.llm",
        "connection": "${X}",
        "mode": "table",
        "prefix": "llm_",
        "history": False,
        "inputs": True,
        "columns": ["id"],
    },
}
QUERIED: dict[str, Any] = {**EVERYTHING, "source": {"connection": "${X}", "query": "SELECT 1 AS id", "key": "id"}}


def seen_by_an_editor(text: str) -> Any:
    """A YAML text as YAML 1.2's core schema reads it, which is what editors validate."""

    def plain(node: Node) -> Any:
        if node.kind == "keys":
            return {name.text: plain(value) for name, value in node.pairs}
        return [plain(item) for item in node.items] if node.kind == "list" else node.resolved()

    root = parse(text, Problems())
    assert root is not None
    return plain(root)


def load_json(document: Any) -> Enrichment:
    return load_text(json.dumps(document), env={"X": "5", "SECRET": "s"})


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert SCHEMA["$id"].startswith("urn:"), "no host is made up"
    text = json.dumps(SCHEMA)
    assert "http://" not in text.replace("http://127.0.0.1", "").replace(SCHEMA["$schema"], "")


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_declaration_of_the_docs_and_the_examples_is_valid(text: str) -> None:
    assert list(VALIDATOR.iter_errors(seen_by_an_editor(text))) == []


def test_everything_at_once_is_valid() -> None:
    used: set[str] = set()
    for document in (EVERYTHING, IN_A_DATABASE, QUERIED):
        load_json(document)
        assert list(VALIDATOR.iter_errors(document)) == []
        used.update(re.findall(r'"(\w+)":', json.dumps(document)))
    known = {key.name for model in models() for key in keys_of(model)}
    assert known - used <= {"values_file", "prompt_file", "timeout_s", "null_reasons"}


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document, the top left out."""
    if path:
        yield path
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = list(places(EVERYTHING))
WORDS = [
    "5",
    "-1.5",
    "1_000",
    "yes",
    "Off",
    "T",
    "text",
    "a",
    "${X}",
    "${X:-5}",
    "auto",
    "all",
    "day",
    "csv",
    "nfkc",
    "integer",
    "a|b",
    "list[string]",
    "enum(a,b)",
    "object",
    "30d",
    "1.5h",
    "0d",
    "out.csv",
    "*",
    "2024-01-01",
    "[a-z]",
    "http://127.0.0.1/v1",
    "名前",
]
SCALARS = st.sampled_from([None, True, False, 0, 1, 5, -3, 0.5, 1e300, "", " ", " 5 ", "{{ text }}", *WORDS])
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.sampled_from(["a", "usd", "type", "values", "files", "name", "items", "1"]), SCALARS, max_size=2
    ),
)


@st.composite
def changed(draw: st.DrawFn) -> Any:
    document = copy.deepcopy(EVERYTHING)
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(PLACES))
        place: Any = document
        for step in way:
            if not isinstance(place, dict | list) or (isinstance(place, dict) and step not in place):
                break
            if isinstance(place, list) and (not isinstance(step, int) or step >= len(place)):
                break
            place = place[step]
        else:
            if isinstance(place, dict):
                action = draw(st.sampled_from(["value", "value", "value", "remove", "rename"]))
                if action == "value":
                    place[last] = draw(VALUES)
                elif last in place:
                    value = place.pop(last)
                    if action == "rename":
                        place[draw(st.sampled_from(["prompt_file", "values_file", "usd", "x", "limit"]))] = value
            elif isinstance(place, list) and isinstance(last, int) and last < len(place):
                place[last] = draw(VALUES)
    return document


@settings(max_examples=600, deadline=None)
@given(changed())
def test_what_the_loader_takes_the_schema_takes(document: Any) -> None:
    try:
        load_json(document)
    except SpecError:
        return
    assert list(VALIDATOR.iter_errors(document)) == []


SECTIONS: dict[type[BaseModel], tuple[Any, ...]] = {Enrichment: (), FieldSpec: ("passes", 0, "fields", "stars")}
SECTIONS |= {PassSpec: ("passes", 0), ModelSpec: ("models", "near-by")}


def path_to(model: type[BaseModel]) -> tuple[Any, ...] | None:
    if model in SECTIONS:
        return SECTIONS[model]
    for above in (Enrichment, PassSpec):
        for key in keys_of(above):
            if key.info is not None and model.__name__ in str(key.info.annotation):
                path = (*SECTIONS[above], key.name)
                place: Any = EVERYTHING
                for step in path:
                    place = place.get(step) if isinstance(place, dict) else place[step]
                return path if isinstance(place, dict) else None
    return None


def with_value(model: type[BaseModel], key: str, value: Any) -> Any:
    document = copy.deepcopy(EVERYTHING)
    place: Any = document
    for step in path_to(model) or ():
        place = place[step]
    place[key] = value
    return document


KEYS = [
    pytest.param(model, key.name, id=f"{model.__name__}.{key.name}")
    for model in models()
    if path_to(model) is not None
    for key in keys_of(model)
    if (model, key.name) not in {(PassSpec, "options"), (ModelSpec, "options")}
]


@pytest.mark.parametrize(("model", "key"), [one for one in KEYS if one.values[1] not in {"original", "default"}])
def test_a_wrong_type_and_an_unknown_key_are_refused(model: type[BaseModel], key: str) -> None:
    wrong = with_value(model, key, [{"no": ["such"]}])
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(SpecError):
        load_json(wrong)
    assert not VALIDATOR.is_valid(with_value(model, f"{key}s_", 1))


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        (Enrichment, "budget", "lots"),
        (Enrichment, "name", "two words"),
        (Enrichment, "passes", []),
        (PassSpec, "ttl", "30"),
        (PassSpec, "temperature", 3),
        (PassSpec, "normalize", ["nfck"]),
        (PassSpec, "prefix", "a-b"),
        (PassSpec, "fields", {}),
        (PassSpec, "fields", {"two words": "integer"}),
        (PassSpec, "fields", {"stars": "intger"}),
        (PassSpec, "fields", {"stars": {"type": "strnig"}}),
        (PassSpec, "prompt", ["a"]),
        (FieldSpec, "max_length", 0),
        (FieldSpec, "confidence", "maybe"),
        (FieldSpec, "required", True),
    ],
)
def test_plain_mistakes_are_refused(model: type[BaseModel], key: str, value: Any) -> None:
    document = with_value(model, key, value)
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(SpecError):
        load_json(document)


@pytest.mark.parametrize("gone", ["name", "source", "passes"])
def test_what_is_needed_is_needed(gone: str) -> None:
    document = {name: value for name, value in EVERYTHING.items() if name != gone}
    assert not VALIDATOR.is_valid(document)


def test_a_pass_needs_a_prompt_in_one_of_two_ways() -> None:
    document = copy.deepcopy(EVERYTHING)
    del document["passes"][0]["prompt"]
    assert not VALIDATOR.is_valid(document)
    document["passes"][0]["prompt_file"] = "prompt.txt"
    assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize("model", list(models()), ids=lambda model: model.__name__)
def test_every_key_has_a_sentence(model: type[BaseModel]) -> None:
    missing = model.model_fields.keys() - attribute_docs(model).keys()
    assert not missing, f"write a sentence below {', '.join(sorted(missing))} in {model.__name__}"
    for key in keys_of(model):
        assert key.meaning.endswith("."), (model.__name__, key.name)
        assert len(key.meaning) < 200


def test_every_key_is_explained_where_an_editor_looks() -> None:
    for model in models():
        section = SCHEMA if model is Enrichment else SCHEMA["$defs"][model.__name__]
        assert section["description"].endswith(".")
        assert section["properties"].keys() == {key.name for key in keys_of(model)}
        assert all(part["description"] for part in section["properties"].values())


def test_every_short_form_of_the_loader_is_in_the_schema() -> None:
    known = {(model, key) for model, key in (*SHORT, *WRITTEN)} | {(PassSpec, "fields")}  # by way of `Field`
    for key in forms._TOP:
        assert (Enrichment, key) in known, f"say in spec/schema.py what the short form of `{key}` is"
    for key in forms._PASS:
        assert (PassSpec, key) in known, f"say in spec/schema.py what the short form of `{key}` is"


def test_the_tables_of_the_page_are_up_to_date() -> None:
    page = (ROOT / "docs" / "declaration.md").read_text(encoding="utf-8")
    assert page == renewed(page), "renew it: python -m inlay.spec.reference docs/declaration.md"
    text = reference()
    for model in models():
        for key in keys_of(model):
            assert f"| `{key.name}` | " in text
    with pytest.raises(ValueError, match="no part between"):
        renewed(page.replace(BEGIN, ""))


def test_links_within_the_tables_lead_somewhere() -> None:
    text = reference()
    anchors = {
        re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^### (.+)$", text, re.M)
    }
    found = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert found
    assert found <= anchors


def test_it_is_written_whole_and_where_it_is_looked_for(tmp_path: Path) -> None:
    written = project.write_schema(tmp_path / SCHEMA_FILE)
    assert json.loads(written.read_text(encoding="utf-8")) == schema()
    assert COMMENT.endswith(f"$schema={SCHEMA_FILE}")
    assert project.write_schema(written) == written
    assert [file.name for file in written.parent.iterdir()] == [written.name]
    with pytest.raises(TargetError):
        project.write_schema(tmp_path)
    load_text(f"{COMMENT}\n{json.dumps(EVERYTHING)}", env={"X": "x"})
