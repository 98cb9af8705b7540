"""A record's text cut down to what matters, with the quotes in it marked.

What stays true: the pieces in order are the text, but for the gaps; a piece carries the numbers of exactly the quotes
that it is a part of; the result is bounded whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from inlay.reporting.facts import Piece

WHOLE = 1_400  # characters up to which a text is shown whole
AROUND = 140
LONGEST_QUOTE = 500
_OPENING = 240
_WORD = 20

Span = tuple[int, int, int]  # start, end, number of the quote


def excerpt(text: str, spans: Sequence[Span], most: int = WHOLE) -> tuple[Piece, ...]:
    """The text as pieces: whole where it is short, otherwise its beginning and what surrounds the quotes."""
    spans = [span for span in spans if 0 <= span[0] < span[1] <= len(text)]
    windows = [(0, len(text))] if len(text) <= most else _windows(text, spans, most)
    pieces: list[Piece] = []
    at = 0
    for start, end in windows:
        if start > at:
            pieces.append(Piece("", gap=True))
        pieces.extend(_marked(text, start, end, spans))
        at = end
    if at < len(text):
        pieces.append(Piece("", gap=True))
    return tuple(pieces)


def _windows(text: str, spans: Sequence[Span], most: int) -> list[tuple[int, int]]:
    windows: list[tuple[int, int]] = []
    used = 0
    for start, end in [(0, _OPENING), *sorted((start, end) for start, end, _ in spans)]:
        shown_end = min(end, start + LONGEST_QUOTE, len(text))
        left = _word_begins(text, max(0, start - AROUND), start)
        right = _word_ends(text, min(len(text), shown_end + AROUND), shown_end)
        if windows and left <= windows[-1][1]:
            left = windows[-1][1]
        if right <= left:
            continue
        if used + right - left > most:
            break
        used += right - left
        if windows and windows[-1][1] == left:
            windows[-1] = (windows[-1][0], right)
        else:
            windows.append((left, right))
    return windows


def _word_begins(text: str, at: int, stop: int) -> int:
    """The first beginning of a word from a place on, where there is one near."""
    if at == 0:
        return 0
    return next((place + 1 for place in range(at, min(at + _WORD, stop)) if text[place].isspace()), at)


def _word_ends(text: str, at: int, stop: int) -> int:
    """The last end of a word before a place, where there is one near."""
    if at == len(text):
        return at
    return next((place for place in range(at, max(at - _WORD, stop), -1) if text[place].isspace()), at)


def _marked(text: str, start: int, end: int, spans: Sequence[Span]) -> list[Piece]:
    """A stretch cut wherever a quote begins or ends."""
    cuts = {start, end}
    for low, high, _ in spans:
        cuts.update(cut for cut in (low, high) if start < cut < end)
    edges = sorted(cuts)
    return [
        Piece(
            text[low:high],
            tuple(sorted({number for a, b, number in spans if a <= low and high <= b})),
            tuple(sorted({number for a, _, number in spans if a == low})),
        )
        for low, high in pairwise(edges)
    ]


def cut(value: Any, most: int = 400) -> Any:
    """A JSON-shaped value with long texts and long lists cut."""
    if isinstance(value, str):
        return value if len(value) <= most else value[: most - 1] + "…"
    if isinstance(value, list | tuple):
        return [cut(part, most // 4) for part in value[:20]] + (["…"] if len(value) > 20 else [])
    if isinstance(value, dict):
        return {name: cut(part, most // 4) for name, part in list(value.items())[:20]}
    return value
