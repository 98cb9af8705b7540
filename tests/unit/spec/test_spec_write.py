"""What is written down is read back as the same declaration, whatever its texts hold."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from inlay.errors import SpecError
from inlay.spec.fields import FieldSpec
from inlay.spec.load import load, load_text
from inlay.spec.model import Enrichment
from inlay.spec.resolve import resolve
from inlay.spec.write import write

ROOT = Path(__file__).resolve().parents[3]
HARD = (
    *("", " ", "null", "~", "true", "no", "007", "1.10", "1e5", "2020-01-01", "- a", "a: b", "a #b", "# a", "*", "&a"),
    *(
        "{a}",
        "[a]",
        "'",
        '"',
        "\\",
        "\\n",
        "${HOME}",
        "$${x}",
        "$$${",
        "{{ x }}",
        "a\nb",
        "a\r\nb",
        "\ttab",
        "é",
        "e\u0301",
    ),
    *(
        "日本語：です",
        "مرحبا",
        "😀",
        "\u2028",
        "\x85",
        "\ufeff",
        "\x7f",
        "\x00",
        "%x",
        "@x",
        "`x`",
        "!x",
        "? x",
        "| x",
        "> x",
    ),
    *("a\n\nb\n", "\na", " a\nb", "a \nb", "a\n", "a\n\n", "---", "...", "<<", "=", "y", "x" * 300),
)
TEXT = st.one_of(st.sampled_from(HARD), st.text(st.characters(blacklist_categories=("Cs",)), max_size=40))
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
COLUMN = TEXT.filter(bool)


def specs(depth: int = 2) -> st.SearchStrategy[FieldSpec]:
    common = {"description": TEXT, "nullable": st.booleans(), "confidence": st.booleans(), "evidence": st.booleans()}
    inner = {"description": TEXT, "nullable": st.booleans()}
    few = common if depth == 2 else inner
    whole = st.one_of(st.none(), st.integers(-(10**20), 10**20))
    number = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**6), 10**6))
    day = st.one_of(st.none(), st.dates())
    moment = st.one_of(st.none(), st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC))))

    def build(kind: str, **parts: Any) -> st.SearchStrategy[FieldSpec]:
        return st.fixed_dictionaries({"type": st.just(kind)}, optional={**few, **parts}).map(_valid).filter(bool)

    labels = st.lists(st.one_of(TEXT.map(str.strip), NAME), min_size=1, max_size=4, unique=True)
    choices = [
        *(build(kind, max_length=st.integers(1, 999), pattern=st.just("[a-z]+|#'\"")) for kind in ("string", "text")),
        build("integer", min=whole, max=whole),
        build("number", min=number, max=number),
        build("boolean"),
        build("date", min=day, max=day),
        build("datetime", min=moment, max=moment),
        st.fixed_dictionaries({"type": st.just("enum"), "values": labels.map(tuple)}, optional=few)
        .map(_valid)
        .filter(bool),
    ]
    if depth:
        nested = specs(depth - 1)
        choices.append(build("list", items=st.one_of(st.none(), nested), max_items=st.integers(1, 99)))
        made = {"type": st.just("object"), "fields": st.dictionaries(NAME, nested, min_size=1, max_size=3)}
        choices.append(st.fixed_dictionaries(made, optional=few).map(_valid).filter(bool))
    return st.one_of(choices)


def _valid(keys: dict[str, Any]) -> Any:
    try:
        return FieldSpec.model_validate(keys)
    except ValidationError:
        return None


def optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
PASS = st.fixed_dictionaries(
    {
        "prompt": TEXT.map(lambda text: text.replace("{", "(") + "{{ text }}\n"),
        "fields": st.dictionaries(NAME.map(lambda name: f"f_{name}"), specs(), min_size=1, max_size=3),
    },
    optional={
        "model": TEXT,
        "endpoint": st.sampled_from(["http://127.0.0.1:8000/v1", "https://example.org/${x}"]),
        "api_key_env": NAME,
        "inputs": st.just(("text", "id", "${HOME}")),
        "prefix": st.just("p_"),
        "normalize": st.just(("nfkc", "trim")),
        "ttl_s": st.sampled_from([1.5, 60.0, 90.0, 86_400.0, 604_800.0, 7200.25]),
        "temperature": st.floats(0, 2),
        "max_output_tokens": st.integers(16, 10_000),
        "options": st.dictionaries(TEXT, JSON, max_size=3),
        "prices": st.just({"input_per_million": 0.1, "output_per_million": 5.0}),
        "abilities": st.just({"structured": "forced_tool", "temperature": True, "efforts": ["low", "high"]}),
    },
)
ENRICHMENT = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True),
        "source": st.one_of(
            st.fixed_dictionaries({"files": COLUMN, "key": st.just("*")}),
            st.fixed_dictionaries(
                {
                    "files": st.lists(COLUMN, min_size=1, max_size=3, unique=True).map(tuple),
                    "key": st.lists(COLUMN.filter(lambda name: name != "*"), min_size=1, max_size=3, unique=True).map(
                        tuple
                    ),
                },
                optional={
                    "format": st.sampled_from(["csv", "jsonl"]),
                    "types": st.dictionaries(COLUMN, st.sampled_from(["integer", "date"]), max_size=3),
                },
            ),
        ),
        "passes": PASS.map(lambda part: ({"name": "read", **part},)),
    },
    optional={
        "select": optional(
            where=TEXT,
            missing=TEXT,
            placeholders=st.lists(TEXT, max_size=3).map(tuple),
            order_by=TEXT,
            limit=st.integers(0, 99),
        ),
        "mode": st.sampled_from(["live", "batch", "auto"]),
        "batch": optional(above=st.integers(0, 99), fewest=st.integers(1, 99), bucket=st.just("my-bucket")),
        "limits": optional(concurrency=st.integers(1, 99), timeout_s=st.floats(1, 3600)),
        "budget": st.fixed_dictionaries(
            {"usd": st.floats(0, 1e6)}, optional={"per": st.sampled_from(["run", "day", "month", "total"])}
        ),
        "failures": optional(max_percent=st.floats(0, 100), max_tries=st.integers(1, 9)),
        "output": optional(
            files=TEXT.map(lambda text: f"out{text}.csv"),
            columns=st.lists(TEXT, max_size=3).map(tuple),
            rows=st.sampled_from(["all", "selected"]),
            evidence=st.booleans(),
            null_reasons=st.booleans(),
        ),
        "store": TEXT,
        "version": TEXT,
    },
)


def recipes(enrichment: Enrichment) -> list[str]:
    return [spec.recipe("m") for spec in enrichment.passes]


def resolved(data: dict[str, Any]) -> Enrichment:
    try:
        return resolve(Enrichment.model_validate(data))
    except (SpecError, ValidationError):  # two fields that publish one column, a path that ends in a line break
        reject()


@given(ENRICHMENT, st.lists(TEXT, max_size=3), TEXT)
@settings(max_examples=400, deadline=None)
def test_what_is_written_is_read_back_the_same(data: dict[str, Any], lines: list[str], note: str) -> None:
    wanted = resolved(data)
    notes = {"source.key": note, "passes[0].prompt": note, "version": note}
    text = write(wanted, header=lines, footer=lines, notes=notes)
    read = load_text(text, folder=wanted.folder, env={}, addresses=False)
    assert read.model_dump() == wanted.model_dump()
    assert recipes(read) == recipes(wanted)
    assert write(read) == write(wanted)


@given(ENRICHMENT)
@settings(max_examples=60, deadline=None)
def test_another_reader_of_yaml_reads_it_too(data: dict[str, Any]) -> None:
    wanted = resolved(data)
    document = YAML(typ="safe", pure=True).load(write(wanted))
    assert document["name"] == wanted.name
    assert document["passes"][0]["prompt"] == wanted.passes[0].prompt
    assert list(document["passes"][0]["fields"]) == list(wanted.passes[0].fields)


def test_the_example_is_written_and_read_back() -> None:
    wanted = load(ROOT / "examples/job_postings/inlay.yaml", env={})
    text = write(wanted)
    read = load_text(text, folder=wanted.folder, env={})
    assert read.model_dump() == wanted.model_dump()
    assert recipes(read) == recipes(wanted)
    assert "ttl" not in text
    assert "upstream" not in text


def test_it_reads_like_a_file_that_somebody_wrote() -> None:
    enrichment = Enrichment.model_validate(
        {
            "name": "reviews",
            "source": {"files": "reviews.csv", "key": "id"},
            "passes": [
                {
                    "name": "read",
                    "prompt": "Read this:\n\n{{ text }}\n",
                    "ttl_s": 15_552_000,
                    "fields": {
                        "mood": FieldSpec(type="enum", values=("good", "bad")),
                        "stars": FieldSpec(type="integer", min=1, max=5, evidence=True),
                        "topics": FieldSpec(type="list", items=FieldSpec()),
                        "note": FieldSpec(),
                    },
                }
            ],
            "budget": {"usd": 2.5},
            "output": {"files": "out.parquet"},
        }
    )
    text = write(
        enrichment, header=["A first try"], notes={"source.key": "unique", "passes[0].prompt": "what is asked"}
    )
    assert text == (
        """# yaml-language-server: $schema=.inlay/inlay.schema.json

# A first try
name: reviews

source:
  files: reviews.csv
  key: id  # unique

passes:
  - name: read
    model: auto
    ttl: 180d
    # what is asked
    prompt: |
      Read this:

      {{ text }}
    fields:
      mood: good|bad
      stars: {type: integer, min: 1, max: 5, evidence: true}
      topics: "list[string]"
      note: string

budget: 2.5

output:
  files: out.parquet
"""
    )


def test_what_yaml_cannot_say_is_refused() -> None:
    spec = FieldSpec(type="integer", min=0.5)
    enrichment = Enrichment.model_validate(
        {
            "name": "a",
            "source": {"files": "a.csv", "key": "id"},
            "passes": [{"name": "read", "prompt": "{{ text }}", "fields": {"n": spec}}],
        }
    )
    with pytest.raises(SpecError):
        write(enrichment)
