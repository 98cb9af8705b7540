"""How the lexical model finds values that no vocabulary lists: numbers, dates, texts, lists of texts.

What stays true: every value is read from words that stand in the record; numbers stay inside the field's bounds;
dates are ISO 8601; texts are cut from the record, never composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from inlay.providers.lexical_choices import Found, Reading, choose_currency, clamp, quote, words_near
from inlay.providers.lexical_fields import MONEY, ROLES_HIGH, ROLES_LOW, UNIT_STEMS, Field
from inlay.providers.lexical_quantities import Quantity, find_days
from inlay.providers.lexical_text import Sentence, Source, stems_of
from inlay.providers.lexical_words import is_stop, stem, weight_of

_GENERIC = frozenset(stems_of("name text raw stated mentioned value title full date at on the of"))
_SUMMARY = frozenset(stems_of("summary summarise summarize overview gist abstract synopsis tldr highlights"))
_PREFIX = re.compile(r"^[^:：]{1,48}[:：]\s*")
_SPLIT = re.compile(r"\s*(?:[,;•/|、，・]|\s(?:and|or|und|oder|y|e|et|ou)\s)\s*")
# What looks like a name in running text: Capitals, digits or signs inside, or all capitals.
_NAME = re.compile(
    r"(?<![\w’'.])(?:[A-Z][\w+#.]*[\w+#]|[A-Z](?![\w’'])|\w+[A-Z0-9+#][\w+#]*)(?:\s(?:[A-Z][\w+#.]*[\w+#]))*"
)
# Amounts beside these are extras, unless the field asks for them by name.
_EXTRAS = frozenset(stems_of("bonus budget allowance referral relocation fee tuition reimbursement learning premium"))
_LINE = 200
_SENTENCES_OF_TEXT = 3
_MAX_ITEMS = 20


def choose_number(one: Field, reading: Reading) -> Found:
    """A number whose unit, currency and surroundings fit the field."""
    names = set(one.name_stems)
    told = set(stems_of(one.description))
    unit = _unit(one.name_stems) or (None if names & MONEY else _unit(stems_of(one.description)))
    if one.minimum is not None and one.minimum >= 1000 and unit == "year":
        unit = None  # the year 1998, not 1998 years
    is_money = bool(names & MONEY) or (unit is None and bool(told & MONEY))
    period = _unit(one.name_stems) or (_unit(stems_of(one.description)) if is_money else None)
    best: tuple[float, float, Quantity] | None = None
    for quantity in reading.quantities():
        if is_money:
            if not quantity.currency or (period and quantity.period and quantity.period != period):
                continue
        elif quantity.currency or quantity.unit != unit:
            continue
        value = _side(quantity, one.name_stems)
        if value is None or not _fits(one, value):
            continue
        score = _fit(one, reading, quantity, counts=unit is None and not is_money)
        if is_money and period and quantity.period == period:
            score += 0.4
        if best is None or score > best[0]:
            best = (score, value, quantity)
    if best is None or best[0] < 0.75:
        return Found() if one.nullable else Found(_nearest(one), 0.1)
    score, value, quantity = best
    number = int(value) if one.kind == "integer" or value == int(value) else value
    return Found(number, clamp(0.2 + 0.25 * score), quote(quantity.sentence, quantity.start))


def _unit(stems: Iterable[str]) -> str | None:
    return next((UNIT_STEMS[one] for one in stems if one in UNIT_STEMS), None)


def _side(quantity: Quantity, name: tuple[str, ...]) -> float | None:
    """The end of a range that the field asks for; a bare number serves as either."""
    if any(one in ROLES_HIGH for one in name):
        return quantity.high
    if any(one in ROLES_LOW for one in name):
        return quantity.low
    return quantity.low if quantity.low is not None else quantity.high


def _fits(one: Field, value: float) -> bool:
    if one.kind == "integer" and value != int(value):
        return False
    return (one.minimum is None or value >= one.minimum) and (one.maximum is None or value <= one.maximum)


def _fit(one: Field, reading: Reading, quantity: Quantity, *, counts: bool) -> float:
    """How well a number's surroundings match the field: its words near by, in the sentence, in the heading."""
    near = words_near(quantity, 25 if counts else 45)
    own = [word for word, weight in one.context.items() if weight >= 0.4 and word in near]
    score = 0.8 if own else 0.0
    if counts:
        name = [word for word in one.name_stems if word in one.context]
        return score + 0.4 * reading.around(one, quantity.sentence) if any(word in near for word in name) else 0.0
    score += 0.8 * reading.around(one, quantity.sentence)
    score += (0.6 if quantity.is_range else 0.0) + (0.6 if quantity.at_least else 0.0)
    if quantity.currency:
        large_range = quantity.is_range and (quantity.high or 0) >= 1000
        score -= 0.6 if (words_near(quantity, 22) & _EXTRAS) - set(one.name_stems) else 0.0
        return score + (0.3 if quantity.period else 0.0) + (0.3 if large_range else 0.0)
    return score + (0.2 if quantity.sentence.bullet else 0.0)


def _nearest(one: Field) -> int | float:
    """The number nearest to zero that the field's bounds allow."""
    low = one.minimum if one.minimum is not None else float("-inf")
    high = one.maximum if one.maximum is not None else float("inf")
    value = min(max(0, low), high)
    return int(value) if value == int(value) else value


# --- dates ---------------------------------------------------------------------------------------------------------


def choose_date(one: Field, reading: Reading) -> Found:
    """A full date beside the field's words, or in an input of its name."""
    wanted = {word for word in one.name_stems if word not in _GENERIC} or set(one.name_stems)
    best: tuple[float, str, str] | None = None
    for day in find_days(reading.record):
        source = day.sentence.source
        score = 0.8 * reading.around(one, day.sentence)
        near = words_near(day, 45)
        score += 0.6 if any(word in near for word in wanted) else 0.0
        score += 1.0 if wanted & set(stems_of(source.name)) else 0.0
        value = day.date.isoformat()
        if one.kind == "datetime":
            value += f"T{day.time or '00:00:00'}Z"
        if best is None or score > best[0]:
            best = (score, value, quote(day.sentence, day.start))
    if best is None or best[0] < 0.5:
        return Found() if one.nullable else Found("", 0.1)
    return Found(best[1], clamp(0.3 + 0.25 * best[0]), best[2])


# --- texts ---------------------------------------------------------------------------------------------------------


def choose_text(one: Field, reading: Reading) -> Found:
    """A text: an input of that name, a "name: value" line, what fits the pattern, or the sentence that speaks of it."""
    record = reading.record
    if stem("currency") in one.name_stems:
        found = choose_currency(reading)
        if found is not None and (one.pattern is None or one.pattern.fullmatch(found.value)):
            return found
        return Found() if one.nullable else Found("", 0.1)
    if one.pattern is not None:
        return _matching(one, reading)
    wanted = {word for word in one.name_stems if word not in _GENERIC}
    for source in record.sources:
        if wanted and wanted == {word for word in stems_of(source.name) if word not in _GENERIC}:
            return Found(_cut(one, source.text.strip()), 0.7, _first_line(source.text))
    if _SUMMARY & (set(one.name_stems) | set(stems_of(one.description)[:8])):
        return _summary(one, reading)
    if (line := _labelled_line(one, reading)) is not None:
        return line
    return _best_sentence(one, reading)


def _cut(one: Field, text: str) -> str:
    """One line, at most as long as the field may be."""
    text = " ".join(text.split())
    longest = one.max_length or 2_000
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0][:longest].rstrip(" ,;:-–")


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:_LINE].strip()


def _matching(one: Field, reading: Reading) -> Found:
    """The word that fits the field's pattern: the one nearest to the field's words, or the only one there is."""
    pattern = one.pattern
    assert pattern is not None
    found: dict[str, float] = {}
    for sentence in reading.record.sentences:
        for word in sentence.text.split():
            for candidate in dict.fromkeys((word, word.strip(".,;:!?()[]{}<>\"'“”‘’"))):
                if candidate and len(candidate) <= _LINE and pattern.fullmatch(candidate):
                    found[candidate] = max(found.get(candidate, 0.0), reading.around(one, sentence))
    if not found:
        return Found() if one.nullable else Found("", 0.1)
    best = max(found, key=lambda candidate: found[candidate])
    if len(found) > 1 and found[best] == 0.0 and one.nullable:
        return Found(reason="ambiguous")
    return Found(best, 0.5 if found[best] else 0.35, best)


def _labelled_line(one: Field, reading: Reading) -> Found | None:
    """The rest of a line that begins with the field's name and a colon."""
    wanted = [word for word in one.name_stems if not is_stop(word)]
    for sentence in reading.record.sentences:
        match = _PREFIX.match(sentence.text)
        if match is None or match.end() == sentence.end - sentence.start:
            continue
        label = [word for word in stems_of(match[0]) if not is_stop(word)]
        shared = sum(weight_of(word) for word in wanted if word in label)
        if label and shared and shared >= 0.6 * max(sum(map(weight_of, wanted)), sum(map(weight_of, label))):
            value = sentence.text[match.end() :].strip()
            if value:
                return Found(_cut(one, value), 0.6, value[:_LINE].strip())
    return None


def _best_sentence(one: Field, reading: Reading) -> Found:
    """The sentence in which most of the field's words stand together."""
    best: tuple[float, Sentence] | None = None
    for hit in reading.hits[one.number]:
        if hit.cover < 0.5:
            continue
        score = hit.phrase.strength * hit.cover * (1.0 + reading.around(one, hit.sentence))
        if best is None or score > best[0]:
            best = (score, hit.sentence)
    if best is None:
        if one.nullable:
            return Found()
        sentences = reading.record.sentences
        return Found(_cut(one, sentences[0].text), 0.1, quote(sentences[0])) if sentences else Found("", 0.1)
    score, sentence = best
    sentences = reading.record.sentences
    under = [other for other in sentences if other.heading is sentence][:_SENTENCES_OF_TEXT]
    text = " ".join(other.text for other in under) if under else sentence.text
    return Found(_cut(one, text), clamp(0.15 + 0.25 * score), quote(under[0] if under else sentence))


def _summary(one: Field, reading: Reading) -> Found:
    """The sentences that share most words with the rest of the record, in their order."""
    counts: dict[str, int] = {}
    main = max(reading.record.sources, key=lambda source: len(source.text), default=None)
    every = [sentence for sentence in reading.record.sentences if sentence.source is main]
    sentences = [sentence for sentence in every if sentence.last - sentence.first >= 4] or every
    for sentence in sentences:
        for word in set(sentence.stems()):
            counts[word] = counts.get(word, 0) + 1
    scored: list[tuple[float, int]] = []
    for i, sentence in enumerate(sentences):
        words = [word for word in dict.fromkeys(sentence.stems()) if not is_stop(word)]
        weight = sum(min(5, counts[word] - 1) for word in words) / (len(words) + 6.0) if words else 0.0
        scored.append((weight + (0.5 if i < 3 else 0.0), -i))
    if not scored:
        return Found() if one.nullable else Found("", 0.1)
    chosen = sorted(-at for _, at in sorted(scored, reverse=True)[:_SENTENCES_OF_TEXT])
    text = " ".join(sentences[i].text for i in chosen)
    return Found(_cut(one, text), 0.4, quote(sentences[chosen[0]]))


def choose_texts(one: Field, reading: Reading) -> Found:
    """Short items from the sections headed by the field's words, and from the sentences that hold them."""
    own: dict[Sentence | Source, float] = {}
    heads: dict[Sentence, float] = {}
    for hit in reading.hits[one.number]:
        score = hit.phrase.strength * hit.cover
        if score < 0.5:
            continue
        heads[hit.sentence] = max(heads.get(hit.sentence, 0.0), score)
        if hit.phrase.total >= 1.0:  # common words ("required") speak in headings only
            place = hit.sentence.source if reading.record.short else hit.sentence
            own[place] = max(own.get(place, 0.0), score)
    items: dict[str, str] = {}
    shown: str | None = None
    headings = {sentence.heading for sentence in reading.record.sentences}
    for sentence in reading.record.sentences:
        place = sentence.source if reading.record.short else sentence
        if sentence in headings or not (place in own or sentence.heading in heads or _labelled(one, sentence, heads)):
            continue
        for item in _items(sentence.text):
            items.setdefault(item.casefold(), item)
            shown = shown or quote(sentence)
    kept = list(items.values())[: one.max_items or _MAX_ITEMS]
    if not kept:
        return Found(None if one.nullable else [], 0.1)
    return Found([_cut(one, item) for item in kept], clamp(0.3 + 0.02 * len(kept)), shown)


def _labelled(one: Field, sentence: Sentence, heads: dict[Sentence, float]) -> bool:
    """Whether a "Label: items" line is labelled with the field's words."""
    if sentence not in heads or (match := _PREFIX.match(sentence.text)) is None:
        return False
    words = set(stems_of(match[0]))
    return any(phrase.terms and set(phrase.terms) <= words for phrase in one.phrases)


def _items(text: str) -> list[str]:
    """The short items of a sentence: its comma-separated parts, or the names in it where the parts are long."""
    text = _PREFIX.sub("", text, count=1)
    parts = [part.strip(" .·•\"'“”()") for part in _SPLIT.split(text)]
    short = [part for part in parts if part and len(part.split()) <= 4 and len(part) <= 48]
    if len(short) >= 2 and len(short) * 2 >= len(parts):
        return short
    names = [match[0].strip(" .,") for match in _NAME.finditer(text)]
    if names and text.startswith(names[0]):  # the capital of a sentence's beginning says nothing
        first, _, rest = names[0].partition(" ")
        names[0] = rest if first.istitle() else names[0]
    kept = [name for name in names if (len(name) > 1 or name in "CR") and any(char.isalpha() for char in name)]
    return kept or (short if len(parts) == 1 else [])
