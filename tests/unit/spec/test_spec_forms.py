"""Short forms mean their full forms, whatever the labels and numbers in them."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.spec.environment import expand
from inlay.spec.fields import FIELD_TYPES, FieldSpec
from inlay.spec.forms import duration_s
from inlay.spec.load import load_text

LABELS = st.lists(
    st.text(st.characters(blacklist_characters="|,()[]", blacklist_categories=("Cs", "Cc")), min_size=1, max_size=8)
    .map(str.strip)
    .filter(bool),
    min_size=2,
    max_size=5,
    unique=True,
)


def field(written: object) -> FieldSpec:
    data = {
        "name": "a",
        "source": {"files": "a.csv", "key": "id"},
        "passes": [{"name": "p", "prompt": "{{ t }}", "fields": {"f": written}}],
    }
    return load_text(json.dumps(data), env={}).passes[0].fields["f"]


@pytest.mark.parametrize("kind", [kind for kind in FIELD_TYPES if kind not in ("enum", "object")])
def test_a_type_by_its_name(kind: str) -> None:
    assert field(kind) == field({"type": kind})
    assert field(f"list[ {kind} ]") == field({"type": "list", "items": {"type": kind}})


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_labels_however_written(labels: list[str]) -> None:
    full = field({"type": "enum", "values": labels})
    assert full.values == tuple(labels)
    assert field(labels) == full
    assert field("|".join(labels)) == full
    assert field(" | ".join(labels)) == full
    assert field(f"enum({', '.join(labels)})") == full
    assert field({"values": labels}) == full
    assert field({"type": "|".join(labels)}) == full
    assert field(f"list[enum({','.join(labels)})]").item == full
    assert field(f"list[{'|'.join(labels)}]").item == full
    assert field({"type": "list", "items": labels}).item == full
    assert field({"items": "|".join(labels)}).item == full


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4))
def test_lists_of_lists(depth: int) -> None:
    spec = field("list[" * depth + "number" + "]" * depth)
    for _ in range(depth):
        assert spec.type == "list"
        spec = spec.item
    assert spec.type == "number"


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**20), 10**20), st.integers(0, 1000))
def test_bounds_keep_whole_numbers_whole(low: int, more: int) -> None:
    spec = field({"type": "integer", "min": low, "max": str(low + more)})
    assert (spec.min, spec.max) == (low, low + more)
    assert isinstance(spec.min, int)


@settings(max_examples=60, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_bounds_of_numbers(bound: float) -> None:
    assert field({"type": "number", "min": bound}).min == bound


@settings(max_examples=30, deadline=None)
@given(st.dates(), st.datetimes(timezones=st.none() | st.timezones()))
def test_bounds_of_dates(day, moment) -> None:
    assert field({"type": "date", "max": day.isoformat()}).max == day
    written = moment.isoformat()
    bound = field({"type": "datetime", "min": written}).min
    assert isinstance(bound, dt.datetime)
    assert bound.isoformat() == written


def test_objects_take_short_forms_inside() -> None:
    spec = field({"fields": {"a": "integer", "b": "x|y", "c": {"fields": {"d": "list[date]"}}}})
    assert spec.type == "object"
    assert spec.fields["b"].values == ("x", "y")
    assert spec.fields["c"].fields["d"].item.type == "date"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30d", 2_592_000),
        ("12h", 43_200),
        ("90m", 5_400),
        ("3600s", 3_600),
        ("1.5h", 5_400),
        ("2w", 1_209_600),
        (" 1 d ", 86_400),
    ],
)
def test_lengths_of_time(written: str, seconds: float) -> None:
    assert duration_s(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "30", "d", "0d", "0.0s", "-1d", "1y", "1d2h", "1e9d", "٣d", None, 30, ["1d"], "9" * 400 + "d"]
)
def test_what_is_no_length_of_time(written: object) -> None:
    with pytest.raises(ValueError):
        duration_s(written)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs",)), max_size=30))
def test_any_text_is_a_type_or_a_sentence(text: str) -> None:
    try:
        spec = field(text)
    except SpecError as error:
        spec = None
        key = error.problems[0].key or ""
    else:
        key = ""
    assert key.startswith("passes[0].fields.f") if spec is None else spec.type in FIELD_TYPES


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=20),
    st.dictionaries(st.sampled_from("AB"), st.text(max_size=9)),
)
def test_a_text_without_variables_is_left_alone(text: str, env: dict[str, str]) -> None:
    failures: list[str] = []
    result = expand(text, env, lambda message, remedy: failures.append(message))
    if "${" not in text:
        assert (result, failures) == (text, [])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_values_are_inserted_as_they_are(one: str, two: str) -> None:
    failures: list[str] = []
    result = expand("<${A}|${B:-x}>", {"A": one, "B": two}, lambda message, remedy: failures.append(message))
    assert result == f"<{one}|{two or 'x'}>"
    assert not failures


def test_a_budget_and_an_output_in_short() -> None:
    base = 'name: a\nsource: {files: a.csv, key: id}\npasses: [{name: p, prompt: "{{ t }}", fields: {f: string}}]\n'
    short = load_text(base + "budget: 5\noutput: out.csv\n", env={})
    full = load_text(base + "budget: {usd: 5.0}\noutput: {files: out.csv}\n", env={})
    assert short.model_dump() == full.model_dump()
    with pytest.raises(SpecError, match="must be 0 or more"):
        load_text(base + "budget: -5\n", env={})
