"""Which rows a report shows: a few of each kind that is worth a look, the same ones every time.

What stays true: the choice depends on keys and answers alone, not on the order of the rows; what is held while rows
stream past is bounded.
"""

from __future__ import annotations

import zlib
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Kind of row, why it is shown, and how many of twelve rows are of this kind.
KINDS = (
    ("failed", "something failed", 3),
    ("low", "lowest confidence", 3),
    ("missed", "a quote that is not in the text", 2),
    ("human", "corrected by hand", 1),
    ("high", "highest confidence", 2),
    ("rest", "taken from the rest", 1),
)
_OF = 12


@dataclass(frozen=True, slots=True)
class Traits:
    """What a row is judged by: whether something failed, its lowest and its mean confidence, a quote that is not in the
    text, a human's value, and how many fields have a value."""

    failed: bool
    low: float | None
    mean: float | None
    missed: bool
    human: bool
    filled: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row that is shown: its key, its columns of the wide table, and why."""

    key: str
    row: dict[str, Any]
    why: tuple[str, ...]


class Chooser:
    """Keeps the best few rows of each kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, list[tuple[float, int, str]]] = {kind: [] for kind, _, _ in KINDS}
        self._rows: dict[str, dict[str, Any]] = {}

    def offer(self, key: str, traits: Traits, row: Callable[[], dict[str, Any]]) -> None:
        """Look at a row; `row()` is called only for one that is kept."""
        if not self._most or not (traits.filled or traits.failed):
            return
        tie = zlib.crc32(key.encode("utf-8", "surrogatepass"))
        held = False
        for kind, rank in _ranks(traits):
            kept = self._kept[kind]
            entry = (rank, tie, key)
            if len(kept) < self._most or entry < kept[-1]:
                insort(kept, entry)
                del kept[self._most :]
                held = True
        if held:
            self._rows[key] = row()
            if len(self._rows) > 8 * self._most * len(KINDS):
                self._forget()

    def _forget(self) -> None:
        alive = {key for kept in self._kept.values() for _, _, key in kept}
        self._rows = {key: row for key, row in self._rows.items() if key in alive}

    def chosen(self) -> list[Chosen]:
        """At most so many rows as asked for: of each kind its share, then whatever is left."""
        why: dict[str, list[str]] = {}
        for kind, words, share in KINDS:
            wanted = max(1, round(share * self._most / _OF))
            for _, _, key in self._kept[kind]:
                if wanted and (key in why or len(why) < self._most):
                    if kind in ("high", "rest") and key in why:
                        continue
                    wanted -= 1
                    why.setdefault(key, []).append(words)
        self._fill(why)
        return [Chosen(key, self._rows[key], tuple(words)) for key, words in why.items()]

    def _fill(self, why: dict[str, list[str]]) -> None:
        for kind in ("rest", *(kind for kind, _, _ in KINDS)):
            for _, _, key in self._kept[kind]:
                if len(why) < self._most and key not in why:
                    why[key] = [_WORDS["rest"]]


_WORDS = {kind: words for kind, words, _ in KINDS}


def _ranks(traits: Traits) -> Sequence[tuple[str, float]]:
    """The kinds that a row belongs to, with its rank in each: the lower, the more worth a look."""
    out: list[tuple[str, float]] = [("rest", 0.0)]
    if traits.failed:
        out.append(("failed", 0.0))
    if traits.missed:
        out.append(("missed", 0.0))
    if traits.human:
        out.append(("human", 0.0))
    if traits.low is not None and traits.mean is not None:
        # A field that is always as unsure as this tells rows apart by the others.
        out.append(("low", traits.low + traits.mean / 1_000))
        if not traits.failed and not traits.missed:
            out.append(("high", -traits.mean))
    return out
