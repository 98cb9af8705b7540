"""Finds the phrases of all fields of a pass in one walk over a record.

What stays true: hits come in the order of the text; a walk costs one look-up a word, however many fields there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from inlay.providers.lexical_fields import Field, Phrase
from inlay.providers.lexical_text import Record, Sentence, is_joined


@dataclass(slots=True)
class Hit:
    """A phrase found in a sentence: `cover` is the share of its weight that was found, 0..1."""

    sentence: Sentence
    phrase: Phrase
    cover: float
    at: int | None = None


class Index:
    """Finds the phrases of all fields in one walk over a record."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields: list[Field] = []
        for one in fields:
            self._enter(one)
        self._postings: dict[str, list[tuple[Phrase, float]]] = {}
        self._literals: list[tuple[str, Phrase]] = []
        self._context: dict[str, list[tuple[int, float]]] = {}
        for one in self.fields:
            for phrase in one.phrases:
                phrase.field_no = one.number
                if phrase.literal is not None:
                    self._literals.append((phrase.literal, phrase))
                for term, weight in phrase.terms.items():
                    self._postings.setdefault(term, []).append((phrase, weight))
            for term, weight in one.context.items():
                self._context.setdefault(term, []).append((one.number, weight))

    def _enter(self, one: Field) -> None:
        one.number = len(self.fields)
        self.fields.append(one)
        for part in (*one.fields, *((one.items,) if one.items is not None else ())):
            self._enter(part)

    def scan(self, record: Record) -> tuple[list[list[Hit]], list[dict[Sentence, float]]]:
        """For each field by number: its hits, and how much of its context each sentence carries."""
        hits: list[list[Hit]] = [[] for _ in self.fields]
        context: list[dict[Sentence, float]] = [{} for _ in self.fields]
        postings, around = self._postings.get, self._context.get
        for sentence in record.units:
            found: dict[Phrase, float] = {}
            more: set[Phrase] = set()
            stems = sentence.stems()
            joined = [a + b for a, b in itertools.pairwise(stems)]
            for one in dict.fromkeys(stems + joined):
                if (entries := postings(one)) is not None:
                    for phrase, weight in entries:
                        if phrase in found:
                            more.add(phrase)
                            found[phrase] += weight
                        else:
                            found[phrase] = weight
                if (nearby := around(one)) is not None:
                    for number, weight in nearby:
                        context[number][sentence] = context[number].get(sentence, 0.0) + weight
            for phrase, weight in found.items():
                if phrase.strength < 1.0 and len(phrase.terms) > 1 and phrase not in more:
                    continue  # one word of an explanation is not what it explains
                hits[phrase.field_no].append(Hit(sentence, phrase, min(1.0, weight / phrase.total)))
        self._find_literals(record, hits)
        return hits, context

    def _find_literals(self, record: Record, hits: list[list[Hit]]) -> None:
        for source in record.sources:
            present = [(literal, phrase) for literal, phrase in self._literals if literal in source.folded]
            if not present:
                continue
            for sentence in record.units:
                if sentence.source is source:
                    for literal, phrase in present:
                        if (at := _find(source.folded, literal, sentence.start, sentence.end)) >= 0:
                            hits[phrase.field_no].append(Hit(sentence, phrase, 1.0, at))


def _find(text: str, literal: str, start: int, end: int) -> int:
    """Where a literal stands in text[start:end]: as words of its own, unless its script writes words together."""
    joined = is_joined(literal)
    at = text.find(literal, start, end)
    while at >= 0 and not joined and not _stands_alone(text, at, at + len(literal)):
        at = text.find(literal, at + 1, end)
    return at


def _stands_alone(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before.isalnum() and text[start].isalnum()) and not (after.isalnum() and text[end - 1].isalnum())
