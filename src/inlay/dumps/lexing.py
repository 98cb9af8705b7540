"""The words of a dump: bytes to tokens, and the one pattern that says what a row of literals is.

Dumps are bytes: text in the charset that they name, blobs as they are. Only the ASCII marks count here, which the
charsets that are accepted (see `judging`) never use within a character. What stays true: strings have backslash escapes
(a dump that switches them off is refused), and a pattern never tries a second way through a text, so that no dump can
make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    NAME = "name"  # between backticks
    STRING = "string"
    NUMBER = "number"
    MARK = "mark"


class Token(NamedTuple):
    """One token of a statement; `text` as in the dump, `at` its byte within the file."""

    kind: Kind
    text: bytes
    at: int

    @property
    def word(self) -> str:
        """In capitals, if it is a word; otherwise empty."""
        return self.text.decode("ascii", "replace").upper() if self.kind is Kind.WORD else ""


_QUOTED = rb"'(?>[^'\\]++|\\.|'')*+'" + rb'|"(?>[^"\\]++|\\.|"")*+"'
_PREFIX = rb"(?:_(?i:binary|utf8(?:mb[34])?|latin1|ascii)\s*+(?=['\"])|[nNxXbB](?='))?+"
LITERAL = (
    rb"(?>" + _PREFIX + rb"(?>" + _QUOTED + rb")"
    rb"|0[xX][0-9A-Fa-f]*+|[-+]?+(?>[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+"
    rb"|(?i:NULL|TRUE|FALSE)(?![A-Za-z0-9_$(.]))"
)
ROW = re.compile(rb"\s*+\(\s*+" + LITERAL + rb"(?>\s*+,\s*+" + LITERAL + rb")*+\s*+\)\s*+(,?+)", re.DOTALL)
PART_OF_ROW = re.compile(rb"\s*+(?:\((?>\s*+" + LITERAL + rb"\s*+,)*+\s*+)?+", re.DOTALL)
VALUE = re.compile(LITERAL, re.DOTALL)
NAME = rb"(?:`(?>[^`]|``)++`|[A-Za-z0-9_$\x80-\xff]++)"

_TOKEN = re.compile(
    rb"(?P<space>\s++)"
    rb"|(?P<line>--(?=[\x00-\x20]|\Z)[^\n]*+|\#[^\n]*+)"
    rb"|(?P<never>/\*M?!999999[^*]*+(?>\*(?!/)[^*]*+)*+\*/)"
    rb"|(?P<open>/\*M?![0-9]*+)"
    rb"|(?P<comment>/\*(?!M?!)[^*]*+(?>\*(?!/)[^*]*+)*+\*/)"
    rb"|(?P<close>\*/)"
    rb"|(?P<name>`(?>[^`]|``)++`)"
    rb"|(?P<string>" + _PREFIX + rb"(?>" + _QUOTED + rb"))"
    rb"|(?P<number>0[xX][0-9A-Fa-f]++(?![A-Za-z0-9_])|(?>[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?+[0-9]++)?+"
    rb"(?![A-Za-z0-9_\x80-\xff]))"
    rb"|(?P<word>[A-Za-z0-9_\x80-\xff]++)"
    rb"|(?P<mark>.)",
    re.DOTALL,
)
MOST_TOKENS = 500_000
_KINDS = {kind.value: kind for kind in Kind}
_OPENERS = (b"'", b'"', b"`")


class Cut(Exception):
    """The bytes at hand end before the statement does; `inside` names what is open."""

    def __init__(self, inside: str) -> None:
        super().__init__(inside)
        self.inside = inside


class TooMany(Exception):
    """A statement has more words than any that a dump needs."""


class Nested(Exception):
    """Executable comments within each other, or an end without a beginning: servers differ in what they would run."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def tokens(
    data: bytes, start: int, delimiter: bytes, base: int, *, last: bool, comment: Callable[[bytes], None]
) -> tuple[list[Token], int]:
    """The tokens from `start` to the delimiter, and where what follows begins; executable comments are looked into.

    `base` is the file's byte at `data[0]`; `comment` hears each comment of a line. Raises Cut where the bytes end too
    soon (`last` says that there are no more), Nested and TooMany.
    """
    found: list[Token] = []
    at, inside, end = start, False, len(data)
    while True:
        if not inside and data.startswith(delimiter, at):
            return found, at + len(delimiter)
        match = _TOKEN.match(data, at)
        if match is None:
            raise Cut("a comment" if inside else "a statement" if found else "")
        kind, stop = match.lastgroup, match.end()
        if stop + len(delimiter) > end and not last:
            raise Cut("a statement")
        text = match[0]
        if kind == "mark" and (text in _OPENERS or (text == b"/" and data[at + 1 : at + 2] == b"*")):
            raise Cut("a string" if text in b"'\"" else "a name" if text == b"`" else "a comment")
        if kind == "open":
            if inside:
                raise Nested(base + at)
            inside = True
        elif kind == "close":
            if not inside:
                raise Nested(base + at)
            inside = False
        elif kind == "line":
            comment(text)
        elif kind in _KINDS:
            found.append(Token(_KINDS[kind], text, base + at))
            if len(found) > MOST_TOKENS:
                raise TooMany
        at = stop


def named(text: bytes) -> str:
    """A name, with or without its backticks. UnicodeDecodeError where it is not UTF-8, which DDL of dumps always is."""
    if text.startswith(b"`"):
        text = text[1:-1].replace(b"``", b"`")
    return text.decode()


_ESCAPE = re.compile(rb"\\(.)|''|\"\"", re.DOTALL)
_ESCAPED = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a", b"%": b"\\%", b"_": b"\\_"}
_COMMON = (
    (b"\\n", b"\n"),
    (b"\\'", b"'"),
    (b'\\"', b'"'),
    (b"\\r", b"\r"),
    (b"\\0", b"\0"),
    (b"\\t", b"\t"),
    (b"\\Z", b"\x1a"),
)


def unescaped(body: bytes, mark: bytes = b"'") -> bytes:
    """What a string says: its bytes between the quotes, with the escapes undone."""
    if mark * 2 in body:
        return _one_by_one(body, mark)
    if b"\\" not in body:
        return body
    # The escapes that mysqldump writes are replaced at C's speed, between pairs of backslashes.
    parts = body.split(b"\\\\")
    for number, part in enumerate(parts):
        if b"\\" in part:
            plain = part
            for escape, char in _COMMON:
                plain = plain.replace(escape, char)
            parts[number] = plain if b"\\" not in plain else _one_by_one(part, mark)
    return b"\\".join(parts)


def _one_by_one(body: bytes, mark: bytes) -> bytes:
    def meant(found: re.Match[bytes]) -> bytes:
        char = found[1]
        if char is None:
            return mark if found[0] == mark * 2 else found[0]
        return _ESCAPED.get(char, char)

    return _ESCAPE.sub(meant, body)


def bytes_of(literal: bytes) -> bytes:
    """The bytes of a literal that is a string, hexadecimal or binary; a number as it is written."""
    first = literal[:1]
    if first == b"'" or first == b'"':
        return unescaped(literal[1:-1], first)
    if literal[:2] in (b"0x", b"0X"):
        return bytes.fromhex(_even(literal[2:]))
    if literal[-1:] in (b"'", b'"'):
        mark = literal[-1:]
        head, _, body = literal[:-1].partition(mark)
        if head in (b"x", b"X"):
            return bytes.fromhex(_even(body))
        if head in (b"b", b"B"):
            return int(body or b"0", 2).to_bytes(max(1, (len(body) + 7) // 8), "big")
        return unescaped(body, mark)
    return literal


def _even(digits: bytes) -> str:
    text = digits.decode("ascii")
    return "0" + text if len(text) % 2 else text
