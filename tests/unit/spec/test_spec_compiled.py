"""A compiled pass: prompt, fingerprint and evidence texts see the same values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.fingerprint import canonical
from inlay.spec.compiled import CompiledPass
from inlay.spec.load import load_text
from inlay.spec.model import PassSpec


def one(prompt: str, **more: Any) -> CompiledPass:
    return CompiledPass(PassSpec.model_validate({"name": "p", "prompt": prompt, "fields": {"f": {}}, **more}))


def test_values_come_sorted_by_input_and_normalised() -> None:
    compiled = one("{{ b }} {{ a }}", normalize=["nfkc", "trim", "collapse_space"], inputs=["b", "z", "a"])
    values = compiled.source_values({"a": " ＡＢＣ\u3000 １ ", "b": None, "z": 5.0, "other": "no"})
    assert compiled.inputs == ("a", "b", "z")
    assert values == ("ABC 1", None, 5.0)
    assert compiled.canonical_input(values) == canonical(values) == b"s5:ABC 1;_;n1:5;"
    assert compiled.render(values) == " ABC 1"
    assert compiled.texts(values) == {"a": "ABC 1", "z": "5"}


def test_composed_and_decomposed_text_are_one_input() -> None:
    compiled = one("{{ a }}")
    composed, decomposed = (compiled.source_values({"a": text}) for text in ("Caf\u00e9", "Cafe\u0301"))
    assert composed == decomposed
    assert compiled.render(composed) == "Caf\u00e9"


def test_earlier_answers_are_part_of_the_input() -> None:
    compiled = one("{{ a }} {{ passes.q.z }} {{ passes.e.list }} {{ passes.e.day }}")
    assert compiled.upstream == (("e", "day"), ("e", "list"), ("q", "z"))
    values = compiled.source_values({"a": "x"})
    upstream = {"e": {"list": ["é", 1], "day": None, "unread": 1}, "q": {"z": True}}
    whole = compiled.canonical_input(values, upstream)
    assert whole == 's1:x;|_;s8:["é",1];b4:true;'.encode()
    assert compiled.canonical_input(values, {**upstream, "e": {**upstream["e"], "unread": 2}}) == whole
    assert compiled.canonical_input(values, {**upstream, "q": {"z": False}}) != whole
    assert compiled.render(values, upstream) == 'x true ["é",1] '


def test_a_pass_may_read_earlier_answers_alone() -> None:
    compiled = one("{{ passes.e.x }}")
    assert compiled.source_values({"a": 1}) == ()
    assert compiled.canonical_input((), {"e": {"x": "y"}}) == b"|s1:y;"


def test_an_unresolved_pass_gets_the_recipe_of_the_resolved_one() -> None:
    text = """\
name: a
source: {files: a.csv, key: id}
passes:
  - {name: e, prompt: "{{ t }}", fields: {x: string}}
  - {name: p, prompt: "{{ b }}{{ a }}{{ passes.e.x }}", fields: {f: {}}}
"""
    resolved = load_text(text, env={}).get_pass("p")
    direct = one("{{ b }}{{ a }}{{ passes.e.x }}")
    assert direct.spec.digest("m") == resolved.digest("m")
    assert CompiledPass(resolved).spec is resolved


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(dt.date(2024, 2, 29)),
        min_size=3,
    )
)
def test_what_is_printed_is_what_is_keyed(row: dict[str, Any]) -> None:
    compiled = one("{{ a }}\x1f{{ b }}\x1f{{ c }}", normalize=["trim"])
    values = compiled.source_values(row)
    texts = compiled.texts(values)
    assert compiled.render(values) == "\x1f".join(texts.get(name, "") for name in "abc")
    assert list(texts) == [name for name in "abc" if row[name] is not None]
    assert compiled.canonical_input(values) == canonical(values)


@pytest.mark.parametrize("prompt", ["{{ a }}", "{% if a %}{{ a }}{% endif %}"])
def test_values_of_missing_columns_are_a_plain_key_error(prompt: str) -> None:
    with pytest.raises(KeyError):
        one(prompt).source_values({"b": 1})
