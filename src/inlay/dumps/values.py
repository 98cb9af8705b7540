"""Rows of literals as columns of values, for databases that take rows rather than MySQL's text.

What stays true: a piece is taken apart only when each of its rows has as many values as its table has columns; text is
decoded by the charset that the dump names, and what is none is replaced and counted, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from inlay.dumps.lexing import LITERAL, VALUE, bytes_of

_LARGEST = (1 << 63) - 1
_NUMBERS = re.compile(r"[-+0-9.eE NUL]*+")
Convert = Callable[[list[bytes]], Sequence[object]]


@lru_cache(maxsize=64)
def _rows_of(count: int) -> re.Pattern[bytes]:
    row = rb"\(\s*+" + LITERAL + (rb"(?>\s*+,\s*+" + LITERAL + rb"){%d}" % (count - 1)) + rb"\s*+\)"
    return re.compile(rb"\s*+" + row + rb"(?>\s*+,\s*+" + row + rb")*+\s*+", re.DOTALL)


def columns_of(data: bytes, count: int) -> list[list[bytes]] | None:
    """The literals of a piece of rows, a list a column; None where a row has not `count` values."""
    if _rows_of(count).fullmatch(data) is None:
        return None
    flat = VALUE.findall(data)
    return [flat[number::count] for number in range(count)]


class Texts:
    """Decodes columns of literals; counts the values that are not of the charset, and dates that are none."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.replaced = 0
        self.no_dates = 0

    def texts(self, literals: list[bytes]) -> list[str | None]:
        """Literals as text, None for NULL. A column is decoded at once, which is much faster than value by value."""
        try:
            text = b"\0".join(literals).decode(self.codec)
        except UnicodeDecodeError:
            return [self._text(literal) for literal in literals]
        parts = text.split("\0")
        if len(parts) != len(literals):  # a string holds a bare NUL
            return [self._text(literal) for literal in literals]
        if "\\" not in text and "''" not in text:
            return [
                part[1:-1] if part[0] == "'" else None if part == "NULL" else self._text(literals[number])
                for number, part in enumerate(parts)
            ]
        return [
            (part[1:-1] if "\\" not in part and "''" not in part else self._text(literals[number]))
            if part[0] == "'"
            else None
            if part == "NULL"
            else self._text(literals[number])
            for number, part in enumerate(parts)
        ]

    def numbers(self, literals: list[bytes]) -> list[str | None]:
        """The literals of a column of numbers as text; None for NULL."""
        text = b" ".join(literals).decode("latin-1")
        if _NUMBERS.fullmatch(text) is None:
            return self.texts(literals)
        parts = text.split(" ")
        return [None if part == "NULL" else part for part in parts] if "N" in text else list(parts)

    def _text(self, literal: bytes) -> str | None:
        first = literal[0]
        if first in b"nN" and literal.upper() == b"NULL":
            return None
        body = (b"1" if first in b"tT" else b"0") if first in b"tTfF" else bytes_of(literal)
        try:
            return body.decode(self.codec)
        except UnicodeDecodeError:
            self.replaced += 1
            return body.decode(self.codec, "replace")

    def raw(self, literals: list[bytes]) -> list[bytes | None]:
        """Literals as bytes; None for NULL."""
        return [None if literal in (b"NULL", b"null") else bytes_of(literal) for literal in literals]

    def dates(self, literals: list[bytes]) -> list[str | None]:
        """Dates and times as text; None for NULL and for 0000-00-00 and its like, which are counted."""
        texts = self.texts(literals)
        for number, text in enumerate(texts):
            if text is not None and (text[4:7] == "-00" or text[7:10] == "-00" or text.startswith("0000-")):
                self.no_dates += 1
                texts[number] = None
        return texts

    def whole(self, literals: list[bytes]) -> list[int | None]:
        """Whole numbers of 64 bits with a sign. ValueError where one is none, OverflowError where one is larger."""
        found = [None if text is None else int(text) for text in self.numbers(literals)]
        if any(number is not None and number > _LARGEST for number in found):
            raise OverflowError
        return found

    def without_nul(self, literals: list[bytes]) -> list[str | None]:
        """Literals as text in which a NUL character, which PostgreSQL cannot hold, is replaced and counted."""
        texts = self.texts(literals)
        for number, text in enumerate(texts):
            if text is not None and "\0" in text:
                self.replaced += 1
                texts[number] = text.replace("\0", "\ufffd")
        return texts
