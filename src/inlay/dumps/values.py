"""Rows of literals as columns of values, for databases that take rows rather than MySQL's text.

What stays true: a piece is taken apart only when each of its rows has as many values as its table has columns; text is
decoded by the charset that the dump names, and what is none is replaced and counted, never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from inlay.dumps.lexing import LITERAL, VALUE, bytes_of

_LARGEST = (1 << 63) - 1
Convert = Callable[[bytes], object]


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
    """Decodes literals; counts those that are not of the charset, and dates that are none."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.replaced = 0
        self.no_dates = 0

    def text(self, literal: bytes) -> str | None:
        """Any literal as text; None for NULL."""
        first = literal[0]
        if first == 39:  # '
            body = literal[1:-1]
            if b"\\" in body or b"''" in body:
                body = bytes_of(literal)
        elif first in b"nN" and literal.upper() == b"NULL":
            return None
        elif first in b"tTfF":
            return "1" if first in b"tT" else "0"
        else:
            body = bytes_of(literal)
        try:
            return body.decode(self.codec)
        except UnicodeDecodeError:
            self.replaced += 1
            return body.decode(self.codec, "replace")

    def raw(self, literal: bytes) -> bytes | None:
        """Any literal as bytes; None for NULL."""
        if literal[0] in b"nN" and literal.upper() == b"NULL":
            return None
        return bytes_of(literal)

    def date(self, literal: bytes) -> str | None:
        """A date or time as text; None for NULL and for 0000-00-00 and its like, which are counted."""
        text = self.text(literal)
        if text is not None and (text.startswith("0000-") or text[4:7] == "-00" or text[7:10] == "-00"):
            self.no_dates += 1
            return None
        return text

    def whole(self, literal: bytes) -> int | None:
        """A whole number of 64 bits with a sign. ValueError where it is none, OverflowError where it is larger."""
        text = self.text(literal)
        number = None if text is None else int(text)
        if number is not None and number > _LARGEST:
            raise OverflowError
        return number
