"""Whatever the fields and the text: the answer fits the schema, quotes are verbatim, nulls have reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inlay.engine.ask import answer_schema
from inlay.providers.lexical import Lexical
from inlay.providers.lexical_quantities import parse_number
from inlay.providers.lexical_text import MAX_QUOTE, Source
from inlay.spec.fields import FieldSpec
from inlay.types import CallShape

_WORDS = (
    "remote salary years experience not no visa sponsor $ 120k - €50,000 5+ years 2025-09-01 March 12 2024 "
    "日本 経験3年 العمل عن بعد 🎉 Requirements: - • Python, SQL and C++ \n <li>&euro;5&ndash;6 B2+ 1,234.5 000 "
    "İstanbul ﬁn e\u0301 \u200f ٣ ²"
)
WORDS = _WORDS.split(" ")
TEXTS = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join),
    st.text(alphabet=st.characters(categories=("Cs", "Lu", "Nd", "So", "Zs")), max_size=30),
)
LABELS = ("remote", "on_site", "not_stated", "日本", "yes", "no", "$", "a b", "Ünïcode", "🎉", "_", "C++")
DESCRIPTIONS = st.one_of(
    st.just(""),
    st.text(max_size=60),
    st.lists(st.sampled_from((*LABELS, ":", ";", "such as", "e.g.", ",", "1:", "2:", "from 1 to 5", "("))).map(
        " ".join
    ),
)
NAMES = st.sampled_from(
    ("salary_min", "salary_max", "years", "remote", "currency", "summary", "x", "start_date", "visaSponsorship", "名")[
        :-1
    ]
)


@st.composite
def specs(draw: st.DrawFn, depth: int = 0) -> FieldSpec:
    kinds = ["string", "text", "integer", "number", "boolean", "date", "datetime", "enum"]
    kind = draw(st.sampled_from(kinds + ([] if depth else ["list", "object"])))
    extra: dict[str, Any] = {}
    if kind == "enum":
        extra["values"] = tuple(draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=6, unique=True)))
    if kind == "list":
        extra["items"] = draw(specs(depth=1))
        extra["max_items"] = draw(st.none() | st.integers(1, 4))
    if kind == "object":
        extra["fields"] = draw(st.dictionaries(NAMES, specs(depth=1), min_size=1, max_size=3))
    if kind in ("integer", "number") and draw(st.booleans()):
        low = draw(st.integers(-5, 50))
        extra |= {"min": low, "max": low + draw(st.integers(0, 100))}
    if kind in ("string", "text"):
        extra["max_length"] = draw(st.none() | st.integers(1, 40))
    if not depth:
        extra |= {"confidence": draw(st.booleans()), "evidence": draw(st.booleans())}
    extra |= {"type": kind, "description": draw(DESCRIPTIONS), "nullable": draw(st.booleans())}
    return FieldSpec(**extra)


def check(schema: dict[str, Any], value: Any, path: str) -> None:
    """An independent reading of the parts of JSON Schema that answer schemas use."""
    if "anyOf" in schema:
        if value is None:
            assert any(option == {"type": "null"} for option in schema["anyOf"]), path
            return
        schema = next(option for option in schema["anyOf"] if option != {"type": "null"})
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    named = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    if value is None:
        assert "null" in kinds, path
        assert None in schema.get("enum", [None]), path
        return
    kind = next(one for one in kinds if one != "null")
    assert isinstance(value, named[kind]), f"{path}: {value!r} is no {kind}"
    assert kind in ("boolean",) or not isinstance(value, bool), path
    assert value in schema.get("enum", [value]), path
    if kind in ("integer", "number"):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), path
    if kind == "array":
        assert len(value) <= schema.get("maxItems", len(value)), path
        for item in value:
            check(schema["items"], item, f"{path}[]")
    if kind == "object":
        assert list(value) == schema["required"], path
        for name, part in schema["properties"].items():
            check(part, value[name], f"{path}.{name}")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fields=st.dictionaries(NAMES, specs(), min_size=1, max_size=4),
    record=st.dictionaries(st.sampled_from(("title", "text", "remote")), TEXTS, max_size=3),
)
def test_any_text_gives_an_answer_that_fits_the_schema(fields: dict[str, FieldSpec], record: dict[str, str]) -> None:
    schema = answer_schema(fields)
    answerer = Lexical().answerer(CallShape("lexical", "", schema, "answer", 1000))
    text = answerer(record).text
    assert answerer(record).text == text
    answer = json.loads(text)
    check(schema, answer, "$")
    nulls = []
    for name, spec in fields.items():
        value = answer[name]
        if spec.evidence or spec.confidence:
            quote = value.get("evidence")
            assert quote is None or any(quote in source for source in record.values())
            assert quote is None or len(quote) <= MAX_QUOTE
            assert 0 <= value.get("confidence", 0) <= 0.9
            value = value["value"]
        if value is None:
            nulls.append(name)
        elif spec.max_length is not None:
            assert len(value) <= spec.max_length
    assert [entry["field"] for entry in answer.get("nulls", [])] == nulls


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_the_folded_text_has_the_length_of_the_original(text: str) -> None:
    source = Source("t", text)
    assert len(source.folded) == len(text)
    assert all(0 <= start < end <= len(text) for start, end in zip(source.starts, source.ends, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        " " * 300_000,
        "no not " * 40_000,
        "1" * 300_000,
        "1,234," * 50_000,
        "<" * 300_000,
        "&euro" * 60_000,
        "remote. " * 40_000,
        "日本" * 150_000,
        "$5 - " * 60_000,
        "no one two three four five six seven eight " * 8_000,
        "a:" * 100_000,
        "\n" * 300_000,
        "•" * 300_000,
        ", " * 150_000,
        "\ud800 remote",
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_texts_end_in_an_answer(text: str) -> None:
    fields = {
        "remote": FieldSpec(type="boolean", evidence=True, confidence=True),
        "country": FieldSpec(type="enum", values=("日本", "Brasil"), evidence=True),
        "salary_min": FieldSpec(type="number"),
        "tools": FieldSpec(type="list", description="such as remote, a"),
        "start_date": FieldSpec(type="date"),
        "summary": FieldSpec(type="text", max_length=100),
    }
    schema = answer_schema(fields)
    answer = json.loads(Lexical().answerer(CallShape("lexical", "", schema, "answer", 1000))({"t": text}).text)
    check(schema, answer, "$")
    assert answer["remote"]["value"] is (True if "remote" in text else None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("7.500.000", 7_500_000),
        ("1,5", 1.5),
        ("3.400", 3400),
        ("0.125", 0.125),
        ("98 000", 98_000),
        ("5’600", 5600),
        ("٣٤", 34),
    ],
)
def test_numbers_as_different_countries_write_them(text: str, value: float) -> None:
    assert parse_number(text) == value
