"""When two values are the same."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.quality.comparing import NOTHING, Comparison, Synonyms, folded
from inlay.spec.fields import FieldSpec


def same(spec: FieldSpec, truth: object, found: object, **more: object) -> float:
    comparison = Comparison(spec, **more)  # type: ignore[arg-type]
    form = comparison.form(truth)
    assert form is not None
    return comparison.score(form, comparison.form(found))


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        ("日本", " 日本\u3000"),
        ("ﾐｬﾝﾏｰ", "ミャンマー"),
        ("STRASSE", "straße"),
        ("e\u0301te\u0301", "ÉTÉ"),
        ("New  York", "new york"),
        ("أحمد", "أحمد "),
    ],
)
def test_width_case_and_spaces_make_no_other_text(truth: str, found: str) -> None:
    assert same(FieldSpec(), truth, found) == 1


def test_other_texts_are_other_values() -> None:
    assert same(FieldSpec(), "日本", "中国") == 0
    assert same(FieldSpec(), "日本", None) == 0


@given(st.text(max_size=30))
def test_folding_is_done_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_synonyms_are_groups() -> None:
    words = Synonyms([["Myanmar", "ミャンマー", "Burma"], ["Birma", "burma"], ["", " "]])
    spec = FieldSpec(type="enum", values=("ミャンマー", "日本"))
    for text in ("MYANMAR", "Birma", "ﾐｬﾝﾏｰ"):
        assert same(spec, text, "ミャンマー", synonyms=words) == 1
    assert same(spec, "日本", "ミャンマー", synonyms=words) == 0
    assert Comparison(spec, words).known_values() == {words.form("Burma"): "ミャンマー", "日本": "日本"}


def test_numbers_within_the_tolerance() -> None:
    spec = FieldSpec(type="number")
    assert same(spec, "1,200.50", 1200.5) == 1
    assert same(spec, "１２", 12) == 1
    assert same(spec, "0.3", 0.1 + 0.2) == 1
    assert same(spec, "10", 10.5) == 0
    assert same(spec, "10", 10.5, tolerance=0.5) == 1
    assert same(spec, "10", 10.51, tolerance=0.5) == 0
    assert Comparison(spec).form("about ten") is None
    assert Comparison(spec).form("nan") is None
    with pytest.raises(SpecError, match="no tolerance"):
        Comparison(spec, tolerance=-1)


def test_truth_values_dates_and_moments() -> None:
    assert same(FieldSpec(type="boolean"), "Yes", True) == 1
    assert same(FieldSpec(type="boolean"), "0", True) == 0
    assert same(FieldSpec(type="date"), "2026-02-11 00:00:00", dt.date(2026, 2, 11)) == 1
    assert Comparison(FieldSpec(type="date")).form("11 Feb") is None
    assert same(FieldSpec(type="datetime"), "2026-02-11T09:00:00+09:00", dt.datetime(2026, 2, 11, tzinfo=dt.UTC)) == 1


def test_lists_are_sets_of_items() -> None:
    spec = FieldSpec(type="list")
    assert same(spec, "spa; Pool;wifi", ["POOL", "spa", "wifi"]) == 1
    assert same(spec, '["a, b", "c"]', ["c", "a, b"]) == 1
    assert same(spec, "a|b", ["a", "c"]) == pytest.approx(0.5)
    assert same(spec, "[]", []) == 1
    assert same(spec, "[]", None) == 1
    assert same(spec, "a", []) == 0


def test_objects_are_their_parts() -> None:
    spec = FieldSpec(type="object", fields={"city": FieldSpec(), "n": FieldSpec(type="integer")})
    assert same(spec, '{"city": "Wien", "n": 3}', {"n": 3, "city": "WIEN"}) == 1
    assert same(spec, '{"city": "Wien", "n": 3}', {"n": 4, "city": "Wien"}) == 0
    assert Comparison(spec).form("{nothing") is None


def test_no_value_is_right_where_none_is_to_be_found() -> None:
    comparison = Comparison(FieldSpec(type="integer"))
    assert comparison.score(NOTHING, None) == 1
    assert comparison.score(NOTHING, comparison.form(3)) == 0
