"""Looking a quote up in the text that was sent, and saying where it stands.

First exactly; then without regard to white space, width, case, accents' encoding, typographic quotes and dashes,
surrounding quotation marks and ellipses; then as fragments joined by an ellipsis, all of which must be there in order.

What stays true: a span counts characters of the original text; a number verifies only as the whole number, and one
or two letters only as a whole word; a quote that is not found is kept, unverified. Time is linear in the text, and
the folded text is made once a record, only if something was not found exactly.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping

from inlay.types import Evidence

# An unverified quote is kept up to here; a verified one is as long as its span.
LONGEST_UNVERIFIED = 2_000
# A fragment of an elided quote must hold this many characters to mean anything.
_SHORTEST_FRAGMENT = 4
_SHORT = 2
# Places looked at before giving up on a quote that only occurs inside longer words or numbers: bounds the time.
_MOST_WORK = 200_000

_QUOTE_MARKS = "\"'`´‘’‚‛“”„‟′″«»‹›「」『』＂＇"
_DASHES = "-‐‑‒–—―−﹘﹣－"
_ELLIPSIS = re.compile(r"\[\s?(?:\.{3,}|…)\s?\]|\(\s?(?:\.{3,}|…)\s?\)|\.{3,}|…")
# Vowel points that one writer sets and another leaves out, tatweel, and variation selectors.
_UNWRITTEN = re.compile("[\u0591-\u05bd\u05bf\u05c1-\u05c7\u0640\u064b-\u0655\u0670\ufe00-\ufe0f]")
_PIECE = re.compile(r"\S{1,64}")
_SURROUNDING = _QUOTE_MARKS + " \t\r\n…"
_MARK = "'"


class _Folding(dict[int, str]):
    """Character to its folded form, filled as characters are met; folding is per character so that spans map back."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in _QUOTE_MARKS:
            folded = _MARK
        elif char in _DASHES:
            folded = "-"
        elif "\uac00" <= char <= "\ud7a3":
            folded = char  # Hangul syllables stay whole: taken apart, one would be the beginning of another
        elif unicodedata.category(char) == "Cf" or char.isspace() or _UNWRITTEN.match(char):
            folded = ""
        else:
            folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold()).replace(" ", "")
        self[code] = folded
        return folded


_FOLDING = _Folding()


def _unspaced(char: str) -> bool:
    """Scripts that write no spaces between words: a line break there separates nothing."""
    return "\u3000" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\uff00" <= char <= "\uffef"


class _Folded:
    """A text folded for search, and the way back to the original's positions."""

    __slots__ = ("_folded_at", "_original_at", "_source", "text")

    def __init__(self, source: str) -> None:
        parts: list[str] = []
        self._source = source
        self._original_at: list[int] = []
        self._folded_at: list[int] = []
        length = end = 0
        spaced, previous = False, ""
        for match in _PIECE.finditer(source):
            start = match.start()
            spaced = spaced or start > end
            end = match.end()
            piece = match[0].translate(_FOLDING)
            if not piece:
                continue
            if spaced and previous and not (_unspaced(previous) and _unspaced(source[start])):
                parts.append(" ")
                length += 1
            spaced, previous = False, source[end - 1]
            self._original_at.append(start)
            self._folded_at.append(length)
            parts.append(piece)
            length += len(piece)
        self.text = "".join(parts)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original characters that gave folded characters start..end."""
        return self._original(start), self._original(end - 1) + 1

    def _original(self, position: int) -> int:
        piece = bisect_right(self._folded_at, position) - 1
        original = self._original_at[piece]
        folded = self._folded_at[piece]
        while folded + (step := len(self._source[original].translate(_FOLDING))) <= position:
            folded += step
            original += 1
        return original


def _fold(quote: str) -> str:
    return _Folded(quote).text


class EvidenceIndex:
    """The texts of one record (source name to text as sent), ready for any number of quotes."""

    __slots__ = ("_folded", "_texts")

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._folded: dict[str, _Folded] | None = None

    def locate(self, quote: str) -> Evidence:
        """The quote with its first place in the texts, or unverified. Never raises for any text."""
        bare = quote.strip()
        if bare:
            for source, text in self._texts.items():
                start = _find(text, bare)
                if start >= 0:
                    return Evidence(bare, True, source, start, start + len(bare))
            longest = max(map(len, self._texts.values()), default=0)
            if len(bare) <= 4 * longest + 64:  # folding may shorten, but not by more
                found = self._locate_folded(bare)
                if found is not None:
                    return Evidence(bare, True, *found)
        return Evidence(bare if len(bare) <= LONGEST_UNVERIFIED else bare[: LONGEST_UNVERIFIED - 1] + "…")

    def _locate_folded(self, quote: str) -> tuple[str, int, int] | None:
        if self._folded is None:
            self._folded = {source: _Folded(text) for source, text in self._texts.items()}
        fragments = [part for part in _ELLIPSIS.split(quote) if part]
        wanted = [folded for part in fragments if (folded := _needle(part))]
        if not wanted or (len(wanted) > 1 and min(map(len, wanted)) < _SHORTEST_FRAGMENT):
            return None
        for source, folded in self._folded.items():
            position, first = 0, -1
            for needle in wanted:
                start = _find(folded.text, needle, position)
                if start < 0:
                    break
                first = start if first < 0 else first
                position = start + len(needle)
            else:
                return source, *folded.span(first, position)
        return None


def locate(quote: str, texts: Mapping[str, str]) -> Evidence:
    """Look one quote up; for several quotes of one record use one EvidenceIndex."""
    return EvidenceIndex(texts).locate(quote)


def _needle(part: str) -> str:
    """A fragment folded, without the marks that models put around quotes; "" where nothing readable is left."""
    folded = _fold(part.strip(_SURROUNDING)).strip(_MARK + " ")
    if folded.endswith(".") and not folded.endswith(".."):
        folded = folded[:-1].rstrip()  # a full stop that the text may not have
    return folded if any(char.isalnum() or unicodedata.category(char)[0] == "S" for char in folded) else ""


def _find(text: str, needle: str, start: int = 0) -> int:
    """Where the needle stands in the text as a whole word or number where that matters, or -1."""
    found = text.find(needle, start)
    tries = _MOST_WORK // len(needle) + 16
    while found >= 0 and not _stands_alone(text, needle, found):
        tries -= 1
        if not tries:
            return -1
        found = text.find(needle, found + 1)
    return found


def _stands_alone(text: str, needle: str, start: int) -> bool:
    """No digit next to a digit at either edge, no accent torn off; one or two characters are a whole word."""
    end = start + len(needle)
    before = text[start - 1 : start] if start else ""
    after = text[end : end + 1]
    short = len(needle) <= _SHORT
    return not (
        (before and _joined(before, needle[0], text[start - 2 : start - 1] if start > 1 else "", short))
        or (after and (unicodedata.combining(after) or _joined(after, needle[-1], text[end + 1 : end + 2], short)))
    )


def _joined(outside: str, edge: str, beyond: str, short: bool) -> bool:
    """Whether the character outside belongs to the same number (or, for a short quote, the same word) as the edge."""
    if edge.isdigit() and (outside.isdigit() or (outside in ".,٫٬" and beyond.isdigit())):
        return True
    return short and outside.isalnum() and edge.isalnum() and not (_is_han(outside) or _is_han(edge))


def _is_han(char: str) -> bool:
    """Han characters are words by themselves."""
    return "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff"
