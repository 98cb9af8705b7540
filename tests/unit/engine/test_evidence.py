"""Quotes found in the text that was sent, with spans of the original characters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.engine.evidence import LONGEST_UNVERIFIED, EvidenceIndex, locate

TEXTS = {
    "review": (
        "The room’s view was great — truly “amazing”.\n   Price:  €120,000 per year (about 3.5 times). "
        "Straße, café, ｶﾞｲﾄﾞ. Call +49\u00a030\u00a0123."
    ),
    "title": "東京\n都の男性、１２３円。 كِتَابٌ جميل 👍🏽 Data Engineer II, 각하",
}

# quote, source, what stands there in the original
FOUND = [
    ("view was great", "review", "view was great"),
    ("Data Engineer", "title", "Data Engineer"),
    ("the ROOM'S view", "review", "The room’s view"),
    ('great - truly "amazing"', "review", "great — truly “amazing"),
    ("Price: €120,000 per year", "review", "Price:  €120,000 per year"),
    ('"Price:\n€120,000"', "review", "Price:  €120,000"),
    ("...was great...", "review", "was great"),
    ("“view was great.”", "review", "view was great"),
    ("room's view … per year", "review", "room’s view was great — truly “amazing”.\n   Price:  €120,000 per year"),
    (
        "room's view [...] about 3.5",
        "review",
        "room’s view was great — truly “amazing”.\n   Price:  €120,000 per year (about 3.5",
    ),
    ("STRASSE", "review", "Straße"),
    ("cafe\u0301", "review", "café"),
    ("ガイド", "review", "ｶﾞｲﾄﾞ"),
    ("+49 30 123", "review", "+49\u00a030\u00a0123"),
    ("東京都の男性", "title", "東京\n都の男性"),
    ("123円", "title", "１２３円"),
    ("男性", "title", "男性"),
    ("كتاب جميل", "title", "كِتَابٌ جميل"),
    ("👍🏽", "title", "👍🏽"),
    ("II", "title", "II"),
    ("3.5", "review", "3.5"),
    ("120,000", "review", "120,000"),
    ("  view was great\n", "review", "view was great"),
]


@pytest.mark.parametrize(("quote", "source", "original"), FOUND, ids=[quote for quote, _, _ in FOUND])
def test_a_quote_is_found_with_its_original_span(quote: str, source: str, original: str):
    evidence = locate(quote, TEXTS)
    assert evidence.verified
    assert evidence.source == source
    assert TEXTS[source][evidence.start : evidence.end] == original
    assert evidence.quote == quote.strip()


NOT_FOUND = [
    "",
    "   ",
    "…",
    '""',
    "view is great",
    "20,000",  # inside a longer number
    "120",
    "000",
    "5",
    "a",  # only inside words
    "En",
    "per year ... room's view",  # the wrong order
    "room's view ... no such words",
    "t ... e",  # fragments too short to mean anything
    "cafe",  # another letter
    "가",  # only the beginning of a syllable
    "\ud800",
    "Engineer IIII",
]


@pytest.mark.parametrize("quote", NOT_FOUND)
def test_a_quote_that_is_not_there_is_kept_unverified(quote: str):
    evidence = locate(quote, TEXTS)
    assert not evidence.verified
    assert (evidence.source, evidence.start, evidence.end) == (None, None, None)
    assert evidence.quote == quote.strip()


def test_the_first_whole_occurrence_is_taken():
    evidence = locate("15", {"t": "2015 and 15.5 and 115, then 15."})
    assert (evidence.start, evidence.end) == (28, 30)


def test_a_fragment_is_looked_for_in_one_source():
    assert not locate("hello there ... general", {"a": "Hello there", "b": "General"}).verified


def test_a_long_unverified_quote_is_cut():
    quote = locate("no such text " * 1000, TEXTS).quote
    assert len(quote) == LONGEST_UNVERIFIED
    assert quote.endswith("…")


@pytest.mark.parametrize(
    "quote",
    [
        "w",
        "Word wOrd x",
        "wor...word...no",
        "a" * 1_000_000,
        "1" * 1000,
        "word  word " * 2000 + "z",
        " " * 300_000 + "x",
        "word … " * 5000 + "zz",
    ],
    ids=lambda quote: quote[:12],
)
def test_hostile_quotes_in_a_megabyte(quote: str):
    # Each would take minutes if any step were quadratic.
    index = EvidenceIndex({"t": "word " * 200_000, "digits": "1" * 300_000, "blank": "\n" * 300_000})
    assert not index.locate(quote).verified


TEXT = st.text(alphabet=st.sampled_from("ab1 .,\n\t’“-—…éß東ｶﾞ가각ك\u0651👍\u200d\ufeffＡ"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(TEXT, st.data())
def test_any_long_enough_excerpt_is_found(text: str, data: st.DataObject):
    start = data.draw(st.integers(0, len(text)))
    quote = text[start : data.draw(st.integers(start, len(text)))]
    bare = quote.strip()
    evidence = locate(quote, {"t": text})
    if evidence.verified:
        assert evidence.start is not None
        assert evidence.end is not None
        assert 0 <= evidence.start < evidence.end <= len(text)
    inside_number = bare[:1].isdigit() or bare[-1:].isdigit()
    torn = start + quote.find(bare) + len(bare) < len(text) and text[start + quote.find(bare) + len(bare)] in "\u0651ﾞ"
    if len(bare) > 2 and not inside_number and not torn:
        assert evidence.verified


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.text(max_size=80), st.text(max_size=80))
def test_no_text_raises_and_every_span_is_inside(quote: str, one: str, other: str):
    texts = {"one": one, "other": other}
    evidence = locate(quote, texts)
    if evidence.verified:
        assert evidence.source in texts
        assert evidence.start is not None
        assert evidence.end is not None
        assert 0 <= evidence.start < evidence.end <= len(texts[evidence.source])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(["hello", "wörld", "東京", "مرحبا", "price—high", "“so”", "ＡＢＣ"]), min_size=3, max_size=8
    ),
    st.data(),
)
def test_a_folded_excerpt_spans_exactly_its_words(words: list[str], data: st.DataObject):
    first = data.draw(st.integers(0, len(words) - 3))
    text = "zzz  \n" + " \n ".join(words) + " \t zzz"
    quote = " ".join(words[first : first + 3]).upper().replace("—", "-")
    evidence = locate(quote, {"t": text})
    assert evidence.verified
    found = text[evidence.start : evidence.end]
    fold = str.maketrans("", "", " \n“”")
    # The first such run of words; quotation marks at its edges do not count.
    assert found.translate(fold) == "".join(words[first : first + 3]).translate(fold)
