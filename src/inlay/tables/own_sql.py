"""A database's own SQL: pieces of the declaration checked before they are used, and the conditions that Inlay adds.

What stays true: a piece of the declaration cannot end its statement or leave its brackets by a slip (what guards the
data is the transaction that only reads); words of the declaration become literals in hexadecimal, so that no quoting
rule or collation of any server matters; `perhaps_missing` holds for every row that counts as missing, and for few
others: which do is decided by `select.absence_sql` alone.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from inlay.databases.address import MYSQL, POSTGRESQL
from inlay.errors import PlanError
from inlay.fingerprint import WHITE_SPACE_CHARACTERS

_COMMENT = r"/\*.*?\*/"
_TOKENS = {
    MYSQL: re.compile(
        rf"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`|--(?=\s|\Z)[^\n]*|\#[^\n]*|{_COMMENT}|([();])""",
        re.DOTALL,
    ),
    POSTGRESQL: re.compile(
        rf"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|{_COMMENT}|([();])""",
        re.DOTALL,
    ),
}
_OTHER_TOKENS = re.compile(rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|--[^\n]*|{_COMMENT}|([();])""", re.DOTALL)

_MOST_SPELLINGS = 64


def checked(kind: str, text: str, what: str) -> str:
    """A piece of the declaration as it can stand inside a statement. PlanError where it ends it or its brackets."""
    depth = 0
    for found in _TOKENS.get(kind, _OTHER_TOKENS).finditer(text):
        mark = found[found.lastindex] if found.lastindex else ""
        depth += (mark == "(") - (mark == ")")
        if mark == ";" or depth < 0:
            depth = -1
            break
    if depth or not text.strip() or "\0" in text:
        whole = "one query" if what == "source.query" else "one SQL expression"
        raise PlanError(
            f"`{what}` is not {whole}: {' '.join(text.split())[:120]!r}",
            remedy="check its brackets, and leave out any semicolon",
        )
    return f"{text}\n"  # the line break ends a comment that it may end with


# --- which rows may count as missing ---------------------------------------------------------------------------------


def perhaps_missing(kind: str, column: str, words: Iterable[str]) -> str:
    """A condition over a column of text (quoted) that holds wherever it is null, blank or one of `words`, in any
    canonical spelling, with white space around it; and for few other values."""
    spelt, longest = {""}, 0
    for word in words:
        word = unicodedata.normalize("NFC", word).strip(WHITE_SPACE_CHARACTERS)
        spellings = _spellings(word)
        if spellings is None:
            longest = max(longest, len(unicodedata.normalize("NFD", word)))
        else:
            spelt.update(spellings)
    text, size = _TEXT[kind].format(column), _SIZE[kind]
    spaces = _listed(kind, WHITE_SPACE_CHARACTERS)
    parts = [
        f"{column} IS NULL",
        f"{_exact(kind, text)} IN ({_listed(kind, sorted(spelt))})",
        # What begins or ends with white space is looked at more closely by whoever reads it.
        *(f"{_exact(kind, _end(kind, text, end))} IN ({spaces})" for end in ("left", "right")),
    ]
    if longest:
        parts.append(f"{size}({text}) BETWEEN 1 AND {longest}")
    return f"({' OR '.join(parts)})"


_TEXT = {MYSQL: "CONVERT({} USING utf8mb4)", POSTGRESQL: "CAST({} AS text)"} | dict.fromkeys(
    ("sqlite", "duckdb"), "CAST({} AS TEXT)"
)
_SIZE = {MYSQL: "CHAR_LENGTH", POSTGRESQL: "char_length", "sqlite": "length", "duckdb": "length"}


def _end(kind: str, text: str, end: str) -> str:
    """The first or the last character of a text."""
    if kind == "sqlite":
        return f"substr({text}, {1 if end == 'left' else -1}, 1)"
    return f"{end}({text}, 1)"


def _exact(kind: str, text: str) -> str:
    """A text as something that no collation compares."""
    if kind == MYSQL:
        return f"CAST({text} AS BINARY)"
    return f"convert_to({text}, 'UTF8')" if kind == POSTGRESQL else text


def _listed(kind: str, words: Iterable[str]) -> str:
    return ", ".join(_literal(kind, word) for word in words)


def _literal(kind: str, word: str) -> str:
    """A text as what `_exact` gives; nothing of it can be read as SQL."""
    if kind == MYSQL:
        return f"X'{word.encode().hex()}'"
    if kind == POSTGRESQL:
        return f"decode('{word.encode().hex()}', 'hex')"
    if kind == "sqlite":
        return f"char({', '.join(str(ord(char)) for char in word)})" if word else "''"
    return f"decode(unhex('{word.encode().hex()}'))"


def exact_key(kind: str, column: str, *, text: bool) -> str:
    """A key column as something that is grouped by its bytes."""
    if kind in (MYSQL, POSTGRESQL) and not text:
        return column
    shown = _TEXT[kind].format(column)
    if kind == POSTGRESQL:
        return f'{shown} COLLATE "C"'
    return _exact(kind, shown) if kind == MYSQL else shown


def _spellings(word: str) -> Sequence[str] | None:
    """Every text that is canonically the same as this one; None where there are too many to list."""
    plain = unicodedata.normalize("NFD", word)
    if any(unicodedata.combining(first) and unicodedata.combining(then) for first, then in itertools.pairwise(plain)):
        return None  # marks of one letter may stand in several orders
    known = _composed()
    ends: list[list[str]] = [[""]]
    for end in range(1, len(plain) + 1):
        found = [text + plain[end - 1] for text in ends[end - 1]]
        for start in range(max(0, end - 4), end):
            found += [text + char for text in ends[start] for char in known.get(plain[start:end], "")]
        if len(found) > _MOST_SPELLINGS:
            return None
        ends.append(found)
    return ends[-1]


@lru_cache(maxsize=1)
def _composed() -> dict[str, str]:
    """The canonical decomposition of every character that has one, to the characters that have it."""
    found: dict[str, str] = {}
    for code in range(0xC0, 0x30000):
        char = chr(code)
        form = unicodedata.decomposition(char)
        if (form and form[0] != "<") or 0xAC00 <= code <= 0xD7A3:
            plain = unicodedata.normalize("NFD", char)
            found[plain] = found.get(plain, "") + char
    return found
