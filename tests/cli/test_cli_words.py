"""Numbers in words, and foreign text that a terminal must not obey."""

from __future__ import annotations

import json
import unicodedata

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.cli import options, words
from inlay.errors import SpecError
from inlay.spec.model import Enrichment

OBEYED = "\x1b[31mred\x1b[0m\r\n\x07\x9b2J\u202eevil\u2066\u200b\ufeff"


def test_nothing_that_a_terminal_obeys_is_left() -> None:
    shown = words.escaped(OBEYED)
    assert shown == "\\x1b[31mred\\x1b[0m\\r\\n\\x07\\x9b2J\\u202eevil\\u2066\\u200b\\ufeff"


@pytest.mark.parametrize("text", ["顧客２号", "العميل", "👩‍🚀 Zoë", "naïve – «x»", "नमस्ते"])
def test_honest_text_of_every_script_stays_as_it_is(text: str) -> None:
    assert words.escaped(text) == text


@given(st.text())
def test_escaped_text_has_no_control_character(text: str) -> None:
    shown = words.escaped(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert words.escaped(shown) == shown


@given(st.text(), st.integers(min_value=2, max_value=20))
def test_cut_text_is_short_enough_and_says_that_it_was_cut(text: str, most: int) -> None:
    shown = words.escaped(text, most)
    assert len(shown) <= most
    if len(words.escaped(text)) > most or len(text) > most:
        assert shown.endswith("…")


@given(
    st.recursive(st.text() | st.integers() | st.none(), lambda part: st.lists(part) | st.dictionaries(st.text(), part))
)
def test_escaped_json_is_the_same_document(value: object) -> None:
    text = words.json_escaped(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert not [char for char in text if unicodedata.category(char) == "Cc" and char != "\n"]


@pytest.mark.parametrize(
    ("amount", "said"),
    [(None, "price unknown"), (0, "$0"), (0.000123, "$0.000123"), (0.0456, "$0.0456"), (1234.5, "$1,234.50")],
)
def test_dollars(amount: float | None, said: str) -> None:
    assert words.dollars(amount) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(1, 3, "33.3%"), (0, 5, "0.0%"), (5, 5, "100.0%"), (99_999, 100_000, "99.9%"), (1, 100_000, "0.1%"), (0, 0, "–")],
)
def test_percent_is_never_all_of_what_is_not_all(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_kinds_come_with_the_most_frequent_first() -> None:
    assert words.kinds({"refused": 3, "timeout": 1200, "other": 3}) == "timeout 1,200, other 3, refused 3"


def test_sizes_and_moments() -> None:
    assert [words.size(n) for n in (0, 999, 1500, 2_500_000)] == ["0 bytes", "999 bytes", "1.5 KB", "2.5 MB"]
    assert words.when(1_700_000_000.4) == "2023-11-14 22:13:20 UTC"


def enrichment(*key: str) -> Enrichment:
    return Enrichment.model_validate(
        {
            "name": "e",
            "source": {"files": ("x.csv",), "key": key},
            "passes": [{"name": "p", "prompt": "{{ t }}", "fields": {"f": {"type": "string"}}}],
        }
    )


def test_a_key_of_one_column_is_taken_as_it_is() -> None:
    assert options.stored_keys(enrichment("id"), ["007", "[1]", "顧客"]) == ["007", "[1]", "顧客"]
    assert options.shown_key(enrichment("id"), "[1]") == "[1]"


def test_a_key_of_several_columns_is_a_json_list_both_ways() -> None:
    two = enrichment("country", "number")
    stored = options.stored_keys(two, ['["日本", 7]', '["a:b", "1:x"]'])
    assert len(set(stored)) == 2
    shown = [options.shown_key(two, key) for key in stored]
    assert shown == ['["日本", "7"]', '["a:b", "1:x"]']
    assert options.stored_keys(two, shown) == stored


@pytest.mark.parametrize("key", ["JP", '["JP"]', '["JP", 7, 8]', '["JP", null]', '{"a": 1}'])
def test_a_key_that_does_not_fit_its_columns_is_refused(key: str) -> None:
    with pytest.raises(SpecError, match="country, number") as caught:
        options.stored_keys(enrichment("country", "number"), [key])
    assert "JSON list of 2" in caught.value.remedy


@pytest.mark.parametrize("given_text", ["nan", "inf", "-1", "five", "", "1e999"])
def test_a_budget_is_a_finite_amount(given_text: str) -> None:
    with pytest.raises(click.BadParameter, match="US dollars"):
        options.Dollars().convert(given_text, None, None)


def test_amounts_rows_and_lengths_of_time() -> None:
    assert options.Dollars().convert("$2.50", None, None) == 2.5
    assert options.Rows().convert("1,000", None, None) == 1000
    assert options.Days().convert("12h", None, None) == 0.5
    for wrong in ("90", "d", "-1d", "0d"):
        with pytest.raises(click.BadParameter, match="length of time"):
            options.Days().convert(wrong, None, None)
    for wrong in ("-1", "1.5", "many", "٣"):
        with pytest.raises(click.BadParameter, match="number of rows"):
            options.Rows().convert(wrong, None, None)


def test_suggested_commands_can_be_pasted() -> None:
    assert options.command_line("run", "inlay.yaml") == "inlay run"
    assert options.command_line("store clear", "my file.yaml", "--yes") == "inlay store clear 'my file.yaml' --yes"
