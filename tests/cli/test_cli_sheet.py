"""Tables that fit their window: no figure is ever cut, whatever the width."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from inlay.cli import screen
from inlay.cli.sheet import Sheet, sheet

WIDE = sheet(
    ["pass", "model", "asked", "= in store", "+ to answer", "tokens in", "US dollars"],
    [
        ["extract", "compatible:qwen3", "1,200,000", "20", "1,199,980", "412,000,000", "$88.90 … $310.00"],
        ["判定", "lexical:1", "1,000", "0", "1,000", "0", "$0"],
    ],
    text=["pass", "model"],
    total=["total", "", "1,201,000", "20", "1,200,980", "412,000,000", "$88.90 … $310.00"],
)


def test_a_wide_window_shows_it_as_it_is() -> None:
    assert WIDE.fitted(200) == [WIDE]
    assert WIDE.fitted(WIDE.width()) == [WIDE]


def test_a_narrower_one_folds_text_and_keeps_the_figures() -> None:
    room = WIDE.width() - 4
    assert WIDE.fitted(room) == [WIDE]
    assert WIDE.width(fold=True) <= room


def test_a_narrow_one_is_turned_with_its_sums() -> None:
    (turned,) = WIDE.fitted(80)
    assert turned.columns == ("pass", "extract", "判定", "total")
    assert turned.rows[1] == ("asked", "1,200,000", "1,000", "1,201,000")
    assert turned.width() <= 80


def test_a_very_narrow_one_is_turned_in_pieces_that_lose_nothing() -> None:
    pieces = WIDE.fitted(45)
    assert [piece.columns for piece in pieces] == [("pass", "extract", "判定"), ("pass", "total")]
    assert all(piece.width() <= 45 for piece in pieces)


def test_cells_are_escaped_before_they_are_measured() -> None:
    made = sheet(["a\x1b", "b"], [["x\n", "[red]y"]], text=["a\x1b"], total=["\u202e", "1"])
    assert made.columns == ("a\\x1b", "b")
    assert made.rows == (("x\\n", "[red]y"),)
    assert made.total == ("\\u202e", "1")
    assert made.text == {"a\\x1b"}


names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
figures = st.integers(min_value=0, max_value=10**12).map(lambda number: f"{number:,}")


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    columns = draw(st.lists(names, min_size=2, max_size=8, unique=True))
    row = st.tuples(names, *[figures] * (len(columns) - 1))
    rows = draw(st.lists(row, min_size=1, max_size=5, unique_by=lambda cells: cells[0]))
    total = draw(st.none() | row)
    return sheet(columns, rows, text=columns[:1], total=total)


@settings(max_examples=60, deadline=None)
@given(sheets(), st.integers(min_value=45, max_value=150))
def test_every_figure_is_drawn_whole_in_every_window(made: Sheet, room: int) -> None:
    from io import StringIO

    from rich.console import Console

    stream = StringIO()
    console = Console(file=stream, width=room, markup=False, emoji=False, highlight=False)
    for piece in made.fitted(room):
        console.print(piece.table())
    drawn = stream.getvalue()
    shown = re.findall(r"[\d,]+", drawn)
    wanted = [cell for cells in [*made.rows, *([made.total] if made.total else [])] for cell in cells[1:]]
    for figure in wanted:
        assert figure in shown
    assert max(cell_len(line.rstrip()) for line in drawn.splitlines()) <= room
    assert not [char for char in drawn if unicodedata.category(char) == "Cc" and char != "\n"]


def test_the_page_draws_pieces_below_each_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen.Page().table(WIDE)
    drawn = capsys.readouterr().out
    assert drawn.index("extract") < drawn.index("判定") < drawn.index("1,201,000")
    assert "\n\npass" in drawn.replace(" \n", "\n")
