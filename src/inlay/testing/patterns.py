"""A text that a regular expression matches, for string properties with a `pattern`.

Walks the standard library's own parse of the expression. Assertions inside it are ignored while drawing, so the
result is checked against the expression, and drawn again a few times where it does not match.
"""

from __future__ import annotations

import re
import re._parser as parser  # the parse tree has no public door; its items are named constants
from collections.abc import Callable
from functools import lru_cache
from typing import Any

_MORE = 3  # how far beyond its minimum a repeat goes
_ANY = "abcdefghijkmnopqrstuvwxyz"
_SETS: dict[str, str] = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_WORD": _ANY + "0123456789_",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_DIGIT": _ANY,
    "CATEGORY_NOT_WORD": " -.",
    "CATEGORY_NOT_SPACE": _ANY,
}
_CANDIDATES = _ANY + _ANY.upper() + "0123456789 -_.,"


def text_matching(pattern: str, bits: Callable[[int], int]) -> str:
    """A text that `pattern` matches in full; `bits(n)` gives the n-th 64 random bits. "" when none was found."""
    tree = _parsed(pattern)
    for attempt in range(20):
        found = _Drawing(bits, attempt * 1_000).sequence(tree)
        if re.fullmatch(pattern, found):
            return found
    return ""


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> Any:
    return parser.parse(pattern)


class _Drawing:
    def __init__(self, bits: Callable[[int], int], turn: int) -> None:
        self.bits = bits
        self.turn = turn
        self.groups: dict[int, str] = {}

    def below(self, count: int) -> int:
        self.turn += 1
        return self.bits(self.turn) % count

    def sequence(self, items: Any) -> str:
        return "".join([self.item(kind, detail) for kind, detail in items])

    def item(self, constant: Any, detail: Any) -> str:
        kind = constant.name
        if kind == "LITERAL":
            return chr(detail)
        if kind == "NOT_LITERAL":
            return self._outside([(constant, detail)])
        if kind == "ANY":
            return _ANY[self.below(len(_ANY))]
        if kind == "IN":
            return self._one_of(detail)
        if kind == "BRANCH":
            return self.sequence(detail[1][self.below(len(detail[1]))])
        if kind == "SUBPATTERN":
            text = self.sequence(detail[3])
            if detail[0] is not None:
                self.groups[detail[0]] = text
            return text
        if kind == "GROUPREF":
            return self.groups.get(detail, "")
        if kind == "ATOMIC_GROUP":
            return self.sequence(detail)
        if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = detail
            count = low + self.below(min(int(high), low + _MORE) - low + 1)
            return "".join([self.sequence(inner) for _ in range(count)])
        return ""  # anchors and assertions take no room

    def _one_of(self, choices: list[Any]) -> str:
        if choices[0][0].name == "NEGATE":
            return self._outside(choices[1:])
        constant, detail = choices[self.below(len(choices))]
        kind = constant.name
        if kind == "RANGE":
            return chr(detail[0] + self.below(detail[1] - detail[0] + 1))
        if kind == "CATEGORY":
            letters = _SETS[detail.name]
            return letters[self.below(len(letters))]
        return chr(detail)

    def _outside(self, choices: list[Any]) -> str:
        free = [letter for letter in _CANDIDATES if not any(_covers(choice, letter) for choice in choices)]
        return free[self.below(len(free))] if free else ""


def _covers(choice: Any, letter: str) -> bool:
    constant, detail = choice
    kind = constant.name
    if kind == "RANGE":
        return detail[0] <= ord(letter) <= detail[1]
    if kind == "CATEGORY":
        return letter in _SETS[detail.name]
    return ord(letter) == detail
