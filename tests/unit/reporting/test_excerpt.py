"""Texts cut around their quotes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inlay.reporting.excerpt import WHOLE, cut, excerpt


def test_a_short_text_is_whole_and_cut_where_quotes_begin_and_end() -> None:
    pieces = excerpt("good and clean", [(0, 4, 1), (0, 8, 2), (9, 14, 3)])
    assert [(piece.text, piece.marks, piece.begins) for piece in pieces] == [
        ("good", (1, 2), (1, 2)),
        (" and", (2,), ()),
        (" ", (), ()),
        ("clean", (3,), (3,)),
    ]


def test_a_huge_text_shows_its_beginning_and_the_quote() -> None:
    text = "word " * 100_000 + "THE QUOTE" + " more" * 100_000
    start = text.index("THE QUOTE")
    pieces = excerpt(text, [(start, start + 9, 1)])
    assert sum(len(piece.text) for piece in pieces) < WHOLE
    assert [piece.text for piece in pieces if piece.marks] == ["THE QUOTE"]
    assert pieces[0].text.startswith("word word")
    assert [piece.gap for piece in pieces].count(True) == 2


@given(
    st.text(min_size=1, max_size=4_000),
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 4_000)), max_size=6),
)
def test_pieces_in_order_are_the_text_but_for_gaps(text: str, places: list[tuple[int, int]]) -> None:
    spans = [(start, end, number) for number, (start, end) in enumerate(places, 1)]
    pieces = excerpt(text, spans, 300)
    at = 0
    for number, piece in enumerate(pieces):
        if piece.gap:
            following = pieces[number + 1].text if number + 1 < len(pieces) else ""
            assert piece.text == ""
            at = text.index(following, at) if following else len(text)
        else:
            assert text.startswith(piece.text, at) or pieces[number - 1].gap
            at += len(piece.text)
    assert sum(len(piece.text) for piece in pieces) <= max(300, len(text) if len(text) <= 300 else 0)
    if len(text) <= 300:
        assert "".join(piece.text for piece in pieces) == text
        for start, end, number in spans:
            marked = "".join(piece.text for piece in pieces if number in piece.marks)
            assert marked == (text[start:end] if 0 <= start < end <= len(text) else "")


def test_values_are_cut_whatever_their_shape() -> None:
    assert len(cut("x" * 10_000)) == 400
    assert len(cut(["y"] * 100)) == 21
    assert len(cut({"a": {"b": ["z" * 10_000]}})["a"]["b"][0]) < 100
    assert cut(3.5) == 3.5
