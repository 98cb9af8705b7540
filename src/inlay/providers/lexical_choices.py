"""How the lexical model chooses among labels: enums, booleans, scales and lists of labels.

What stays true: a label is chosen only for words that stand in the text, with the sentence as evidence; two labels
that tie give no value; a negated word speaks against what it names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from inlay.providers.lexical_fields import NO, UNSTATED, YES, Field
from inlay.providers.lexical_index import Hit
from inlay.providers.lexical_quantities import Day, Quantity, find_quantities
from inlay.providers.lexical_text import Record, Sentence, quote_span, stems_of

# Below this share of a phrase's weight a sentence does not speak for it; stricter where every label may be given.
MIN_COVER = 0.3
MIN_COVER_ALONE = 0.6
# A second label this close to the first is a tie.
TIE = 0.92
_CATCH_ALL = ("not_applicable", "none", "other", "others", "misc", "miscellaneous", "no", "false")


@dataclass(slots=True)
class Found:
    """What was found for one field: a value with its verbatim quote, or None with a reason."""

    value: Any = None
    confidence: float = 0.0
    quote: str | None = None
    reason: str = "not_stated"


@dataclass(slots=True)
class Reading:
    """A record with all that was found in it; numbers and dates are looked for when first asked for."""

    record: Record
    hits: list[list[Hit]]
    context: list[dict[Sentence, float]]
    _quantities: list[Quantity] | None = None

    def quantities(self) -> list[Quantity]:
        """The numbers of the record, found once."""
        if self._quantities is None:
            self._quantities = find_quantities(self.record)
        return self._quantities

    def around(self, one: Field, sentence: Sentence) -> float:
        """How much of a field's context a sentence and its heading carry, 0..1."""
        context = self.context[one.number]
        if not context:
            return 0.0
        if self.record.short:
            return min(1.0, 0.5 * sum(weight for unit, weight in context.items() if unit.source is sentence.source))
        weight = context.get(sentence, 0.0)
        if sentence.heading is not None:
            weight += 0.7 * context.get(sentence.heading, 0.0)
        return min(1.0, 0.5 * weight)


def clamp(confidence: float) -> float:
    """A confidence in the range that matching words can justify."""
    return round(min(0.9, max(0.3, confidence)), 2)


def quote(sentence: Sentence, at: int | None = None) -> str:
    """The verbatim words of a sentence, cut to a window where it is long."""
    start, end = quote_span(sentence, at)
    return sentence.source.text[start:end]


def _negated(hit: Hit, before: int, after: int) -> bool:
    phrase = hit.phrase
    if phrase.literal is not None and hit.at is not None:
        return hit.sentence.negates_span(hit.at + len(phrase.literal))
    return hit.sentence.negates(phrase.terms, before=before, after=after)


def _at(hit: Hit) -> int | None:
    """Where in its source a hit begins."""
    if hit.at is not None:
        return hit.at
    sentence, terms = hit.sentence, hit.phrase.terms
    source = sentence.source
    for i in range(sentence.first, sentence.last):
        if source.stems[i] in terms or source.stems[i] + (source.stems[i + 1 : i + 2] or [""])[0] in terms:
            return source.starts[i]
    return None


def _scores(one: Field, reading: Reading, floor: float) -> dict[int, tuple[float, Hit, float]]:
    """Label to (score, best hit, its cover) for every label that at least one sentence speaks for."""
    best: dict[int, tuple[float, Hit]] = {}
    total: dict[int, float] = {}
    for hit in reading.hits[one.number]:
        phrase = hit.phrase
        if hit.cover < floor:
            continue
        score = phrase.strength * hit.cover * math.sqrt(phrase.total)
        if _negated(hit, 3, 4) is not phrase.negative:
            score *= 0.2
        score *= 1.0 + 0.5 * reading.around(one, hit.sentence)
        if not reading.record.short and len(hit.sentence.source.stems) <= 12:
            score *= 1.5  # a short input, such as a title, says more with each word
        total[phrase.label] = total.get(phrase.label, 0.0) + score
        if phrase.label not in best or score > best[phrase.label][0]:
            best[phrase.label] = (score, hit)
    return {
        label: (score + min(score, 0.15 * (total[label] - score)), hit, hit.cover)
        for label, (score, hit) in best.items()
    }


def choose_label(one: Field, reading: Reading) -> Found:
    """One label of an enum or of an explained scale."""
    if one.choice == "yes or no":
        return _choose_yes_or_no(one, reading)
    if one.choice == "period":
        return _choose_period(one, reading) or _nothing(one)
    if one.choice == "currency" and (found := choose_currency(reading, frozenset(one.labels))) is not None:
        return found
    scores = _scores(one, reading, MIN_COVER)
    ranked = sorted(scores.items(), key=lambda item: (-item[1][0], item[0]))
    threshold = 0.35 if one.nullable else 0.0
    if not ranked or ranked[0][1][0] < threshold:
        return _nothing(one)
    label, (score, hit, cover) = ranked[0]
    second = ranked[1][1][0] if len(ranked) > 1 else 0.0
    if second >= TIE * score and one.nullable:
        return Found(reason="ambiguous")
    confidence = 0.2 + 0.35 * cover + 0.3 * (1.0 - second / score)
    return Found(one.labels[label], clamp(confidence), quote(hit.sentence, _at(hit)))


def _choose_period(one: Field, reading: Reading) -> Found | None:
    """What pay is for: the period that stands beside a range of money, or else beside an amount."""
    amounts = [quantity for quantity in reading.quantities() if quantity.period in one.periods and quantity.currency]
    if not amounts:
        return None
    best = max(amounts, key=lambda quantity: (quantity.is_range, reading.around(one, quantity.sentence)))
    value = one.labels[one.periods.index(best.period)]
    return Found(value, 0.65 if best.is_range else 0.45, quote(best.sentence, best.start))


def _nothing(one: Field) -> Found:
    """No label was found: the one that says so, or null, or for a field that must have a value, the mildest."""
    for i, name in enumerate(one.folded):
        if name.replace(" ", "_").replace("-", "_") in UNSTATED:
            return Found(one.labels[i], 0.3)
    if one.nullable or not one.labels:
        return Found()
    for wanted in _CATCH_ALL:
        if wanted in one.folded:
            return Found(one.labels[one.folded.index(wanted)], 0.1)
    return Found(one.labels[0], 0.1)


def choose_labels(one: Field, reading: Reading) -> Found:
    """Every label of a list of labels that a sentence speaks for, in declared order."""
    items = one.items
    assert items is not None
    scores = _scores(items, reading, MIN_COVER_ALONE)
    kept = sorted(label for label, (score, _, _) in scores.items() if score >= 0.35)
    if not kept:
        return Found([] if not one.nullable else None, 0.1)
    if one.max_items is not None and len(kept) > one.max_items:
        strongest = sorted(kept, key=lambda label: (-scores[label][0], label))[: one.max_items]
        kept = sorted(strongest)
    _, hit, cover = max((scores[label] for label in kept), key=lambda entry: entry[0])
    return Found([items.labels[label] for label in kept], clamp(0.2 + 0.4 * cover), quote(hit.sentence, _at(hit)))


def choose_boolean(one: Field, reading: Reading) -> Found:
    """True where a sentence says so, False where one denies it, null where none speaks of it."""
    votes: dict[bool, tuple[float, Hit]] = {}
    for hit in reading.hits[one.number]:
        phrase = hit.phrase
        if hit.cover < MIN_COVER_ALONE:
            continue
        value = (phrase.label == 1) == (_negated(hit, 7, 5) is phrase.negative)
        score = phrase.strength * hit.cover * (1.0 + 0.5 * reading.around(one, hit.sentence))
        if value not in votes or score > votes[value][0]:
            votes[value] = (score, hit)
    if not votes:
        return Found() if one.nullable else Found(False, 0.1)
    value = max(sorted(votes), key=lambda vote: votes[vote][0])
    score, hit = votes[value]
    against = votes[not value][0] if (not value) in votes else 0.0
    if against >= TIE * score and one.nullable:
        return Found(reason="ambiguous")
    confidence = 0.2 + 0.3 * min(1.0, hit.cover) + 0.25 * (1.0 - against / score)
    return Found(value, clamp(confidence), quote(hit.sentence, _at(hit)))


def _choose_yes_or_no(one: Field, reading: Reading) -> Found:
    found = choose_boolean(one, reading)
    if found.value is None or found.quote is None:
        unstated = next((i for i, name in enumerate(one.folded) if name in UNSTATED), None)
        if unstated is not None and found.reason == "not_stated":
            return Found(one.labels[unstated], 0.3)
    if found.value is not None:
        found.value = one.labels[next(i for i, name in enumerate(one.folded) if name in (YES if found.value else NO))]
    return found


def choose_currency(reading: Reading, allowed: frozenset[str] | None = None) -> Found | None:
    """The currency that most ranges (or else most amounts) are in; the earliest of those that tie."""
    counts: dict[str, list[Quantity]] = {}
    amounts = reading.quantities()
    ranges = [quantity for quantity in amounts if quantity.is_range and quantity.currency]
    for quantity in ranges or amounts:
        if quantity.currency and (allowed is None or quantity.currency in allowed):
            counts.setdefault(quantity.currency, []).append(quantity)
    if not counts:
        return None
    first = max(counts.values(), key=len)[0]
    text = first.sentence.source.text[first.start : first.end].strip()
    return Found(first.currency, 0.6 if len(counts) == 1 else 0.45, text)


def words_near(quantity: Quantity | Day, reach: int) -> set[str]:
    """The stems within `reach` characters of a number or date, in its own sentence."""
    text, sentence = quantity.sentence.source.folded, quantity.sentence
    before = text[max(sentence.start, quantity.start - reach) : quantity.start]
    after = text[quantity.end : min(sentence.end, quantity.end + reach)]
    return set(stems_of(before)) | set(stems_of(after))
