"""What the lexical model looks for: the fields of an answer schema, turned into weighted phrases and one index.

A label is found by the words of its name, by what the field's description says of it ("remote: work from anywhere;
hybrid: some days on site") and by synonyms given there ("such as", "e.g.", "also called"). Words that few labels
share weigh more.

What stays true: compiled once a pass from the schema alone; order never depends on hashing.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inlay.providers.lexical_text import Record, Sentence, fold, is_joined, stems_of
from inlay.providers.lexical_words import NEGATORS, is_stop, weight_of

# Labels that say "the text does not tell".
UNSTATED = frozenset(
    f"{negation}{word}"
    for negation, words in (
        ("not_", "stated mentioned specified disclosed given"),
        ("un", "specified stated known clear disclosed"),
    )
    for word in words.split()
)
YES = frozenset(("yes", "true"))
NO = frozenset(("no", "false"))
# What a number's name says about which number, not about what it counts.
ROLES_LOW = frozenset(("min", "minimum", "low", "lower", "lowest", "from", "floor"))
ROLES_HIGH = frozenset(("max", "maximum", "high", "higher", "highest", "upper", "to", "ceil"))
UNIT_STEMS = {
    **dict.fromkeys(("year", "yr", "annu", "annum", "yearli"), "year"),
    **dict.fromkeys(("month", "monthli"), "month"),
    **dict.fromkeys(("week", "weekli"), "week"),
    **dict.fromkeys(("day", "daili"), "day"),
    **dict.fromkeys(("hour", "hourli", "hr"), "hour"),
    "minut": "minute",
    **dict.fromkeys(("percent", "pct", "percentag"), "percent"),
}
PAY = frozenset(
    stems_of(
        "salary pay paid salaries compensation wage wages base earn earnings OTE gehalt lohn salario salário sueldo"
    )
)
MONEY = PAY | frozenset(
    stems_of(
        "price cost costs amount rate fee budget revenue income rent bonus spend spending charge total payment money"
    )
)
_MARKER = re.compile(
    r"\b(?:such as|e\.g\.,?|for example,?|for instance,?|also called|also known as|i\.e\.,?|including)\s*:?\s*"
)
_PARTS = re.compile(r"\s*(?:,|;|/|\(|\)|\bor\b)\s*")
_MEANS = r"[`'\"]?\s*(?::|=|—|–|\(|\s-\s|\bmeans\b)\s*"
_END = re.compile(r"[;\n]|\.(?:\s|$)")
_AT_MOST = re.compile(r"\b(?:at most|up to|max(?:imum)?(?: of)?)\s+(\d{1,6})\s+characters")
# The limits in words that an answer schema's descriptions end with.
_LIMITS = re.compile(
    r"(?:^|(?<=\s))(?:as yyyy-mm-dd|as iso 8601 with time zone|from \S+ to \S+"
    r"|at (?:least|most) \S+(?: characters| items)?)"
    r"(?: (?:from \S+ to \S+|not (?:before|after) \S+))?\.$"
)
_SCALE = re.compile(r"(?<![\d.])(\d{1,2})\s*(?::|=|—|–|\()\s*(?=[^\d\s])")


_PREPOSITIONS = frozenset(("on", "in", "at", "off", "out", "up", "over", "under", "per", "for", "by", "from", "to"))


@dataclass(slots=True, eq=False)
class Phrase:
    """Words that together speak for one label of one field. `total` is the sum of their squared weights.

    `literal` is a folded text to be found as it stands instead. `negative` phrases ("no sponsorship") need a negation
    in the text and the others need none. `label` is -1 for a field's context, which decides nothing by itself.
    """

    field_no: int
    label: int
    terms: dict[str, float]
    strength: float
    literal: str | None = None
    negative: bool = False
    total: float = 0.0


@dataclass(slots=True, eq=False)
class Field:
    """One field of the schema, compiled. `labels` are the values that a choice is made from."""

    name: str
    kind: str
    nullable: bool
    description: str
    number: int = -1
    wrapped: tuple[str, ...] = ()
    labels: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_items: int | None = None
    max_length: int | None = None
    pattern: re.Pattern[str] | None = None
    items: Field | None = None
    fields: tuple[Field, ...] = ()
    name_stems: tuple[str, ...] = ()
    context: dict[str, float] = field(default_factory=dict)
    phrases: list[Phrase] = field(default_factory=list)


@dataclass(slots=True)
class Hit:
    """A phrase found in a sentence: `cover` is the share of its weight that was found, 0..1."""

    sentence: Sentence
    phrase: Phrase
    cover: float
    at: int | None = None


def read_fields(properties: Mapping[str, Mapping[str, Any]]) -> list[Field]:
    """The fields of an answer schema's properties, in order, without the closing `nulls`."""
    return [_field(name, schema) for name, schema in properties.items()]


def _open(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, bool]:
    """A schema without its null: the rest, its type, and whether null is allowed."""
    nullable = False
    description = schema.get("description")
    if options := schema.get("anyOf"):
        nullable = any(option.get("type") == "null" for option in options)
        schema = next((option for option in options if option.get("type") != "null"), {"type": "string"})
        if description:
            schema = {**schema, "description": description}
    kind = schema.get("type", "string")
    if isinstance(kind, (list, tuple)):
        nullable = nullable or "null" in kind
        kind = next((one for one in kind if one != "null"), "string")
    if None in list(schema.get("enum") or ()):
        nullable = True
    return schema, kind, nullable


def _field(name: str, schema: Mapping[str, Any]) -> Field:
    outer = schema.get("description") or ""
    parts = schema.get("properties") or {}
    if "value" in parts and len(parts) > 1 and set(parts) <= {"evidence", "value", "confidence"}:
        inner = _field(name, {"description": outer, **parts["value"]})
        inner.wrapped = tuple(parts)
        return inner
    schema, kind, nullable = _open(schema)
    out = Field(name=name, kind=kind, nullable=nullable, description=schema.get("description") or outer)
    if (enum := schema.get("enum")) is not None or "const" in schema:
        out.kind = "enum"
        out.labels = tuple(value for value in (enum or [schema["const"]]) if value is not None)
    elif kind == "string" and schema.get("format") in ("date", "date-time"):
        out.kind = "date" if schema["format"] == "date" else "datetime"
    elif kind == "array":
        item = schema.get("items") or {"type": "string"}
        out.items = _field(name, {**item, "description": item.get("description") or out.description})
        out.max_items = schema.get("maxItems")
    elif kind == "object":
        out.fields = tuple(_field(key, part) for key, part in (schema.get("properties") or {}).items())
    out.minimum, out.maximum = schema.get("minimum"), schema.get("maximum")
    if pattern := schema.get("pattern"):
        try:
            out.pattern = re.compile(pattern)
        except re.error:
            out.pattern = None  # another dialect of regular expressions: the answer's reader judges
    return _compile_words(out)


# --- descriptions --------------------------------------------------------------------------------------------------


def _explanations(description: str, labels: Iterable[str]) -> tuple[str, dict[str, str]]:
    """What comes before the list of labels, and what is said of each ("label: explanation; ...")."""
    found: list[tuple[int, int, str]] = []
    for label in labels:
        spelled = "[ _-]".join(re.escape(part) for part in re.split(r"[ _-]", fold(label)) if part)
        if spelled and (match := re.search(rf"(?<!\w){spelled}{_MEANS}", description)):
            found.append((match.start(), match.end(), label))
    found.sort()
    out: dict[str, str] = {}
    for i, (_, end, label) in enumerate(found):
        stop = found[i + 1][0] if i + 1 < len(found) else len(description)
        cut = _END.search(description, end, stop)
        out[label] = description[end : cut.start() if cut else stop].strip(" ,`'\"")
    return (description[: found[0][0]] if found else description), out


def _synonyms(description: str) -> tuple[str, list[str]]:
    """The description without its lists of examples, and the examples."""
    out: list[str] = []
    rest, position = [], 0
    for match in _MARKER.finditer(description):
        if match.start() < position:
            continue
        cut = re.compile(r"[.;)\n]").search(description, match.end())
        end = cut.start() if cut else len(description)
        out += [part for part in re.split(r"\s*(?:,|/|\bor\b|\band\b)\s*", description[match.end() : end]) if part]
        rest.append(description[position : match.start()])
        position = end
    rest.append(description[position:])
    return "".join(rest), out


def _compile_words(out: Field) -> Field:
    """Give a field its phrases: label by label, then its synonyms, then its context."""
    out.phrases = []
    out.name_stems = tuple(dict.fromkeys(stems_of(out.name)))
    description = fold(out.description)
    if match := _AT_MOST.search(description):
        out.max_length = int(match[1])
    description = _LIMITS.sub("", description)
    if out.kind in ("integer", "number") and not out.labels:
        marks = [int(match[1]) for match in _SCALE.finditer(description)]
        if len(marks) > 1 and marks == sorted(set(marks)) and marks[0] in (0, 1):
            out.labels = tuple(marks)  # a scale whose steps are explained is a choice
    names = [str(label) for label in out.labels]
    is_boolean = out.kind == "boolean" or _says_yes_or_no(names)
    intro, told = _explanations(description, names or (("true", "false") if is_boolean else ()))
    intro, synonyms = _synonyms(intro)
    if is_boolean:
        truth = next((told[key] for key in ("true", "yes") if key in told), "")
        lie = next((told[key] for key in ("false", "no") if key in told), "")
        _add(out, 1, out.name, 1.0)
        for words in [*synonyms, *_PARTS.split(truth)]:
            _add(out, 1, words, 0.9)
        for words in _PARTS.split(lie):
            _add(out, 0, words, 0.9)
    elif out.labels:
        for i, label in enumerate(names):
            if out.kind == "enum":
                _add(out, i, label, 1.0)
            explanation, more = _synonyms(told.get(label, ""))
            for words in [*_PARTS.split(explanation), *more]:
                _add(out, i, words, 0.8)
    else:
        _add(out, 0, out.name, 1.0)
        for words in synonyms:
            _add(out, 1, words, 0.9)
    labelled = {term for phrase in out.phrases if out.labels for term in phrase.terms}
    for weight, words in ((1.0, out.name_stems), (0.5, stems_of(intro))):
        for word in words:
            if not is_stop(word) and word not in labelled and not word.isdigit():
                out.context.setdefault(word, weight * weight_of(word))
    if out.kind in ("integer", "number"):
        for word in [*ROLES_LOW, *ROLES_HIGH, *UNIT_STEMS]:
            out.context.pop(word, None)
        if PAY & set(out.name_stems):
            out.context.update(dict.fromkeys(sorted(PAY), 1.0))
    _weigh(out)
    return out


def _says_yes_or_no(names: list[str]) -> bool:
    folded = {fold(name) for name in names}
    return bool(folded & YES) and bool(folded & NO) and folded <= YES | NO | UNSTATED


def _add(out: Field, label: int, words: str, strength: float) -> None:
    """Add what these words look like in a text: a literal, their stems, or two short words written as one."""
    words = fold(words).strip(" .`'\"")
    if not words:
        return
    if is_joined(words):
        out.phrases.append(Phrase(-1, label, {}, strength, literal=words))
        return
    stems = stems_of(words)
    raw = fold(words).replace("_", " ").split()
    negative = any(part in NEGATORS or part.endswith("n't") for part in raw)
    terms = {
        one: weight_of(one) for one in stems if not is_stop(one) and one not in NEGATORS and not one.endswith("n't")
    }
    if len(stems) == 2 and not negative:
        out.phrases.append(Phrase(-1, label, {stems[0] + stems[1]: 1.0}, strength))
        if len(terms) < 2 and stems[0] in _PREPOSITIONS:
            return  # "on site" is not any "site"
    if not stems:
        out.phrases.append(Phrase(-1, label, {}, strength, literal=words))
    elif not terms:
        if not negative:
            out.phrases.append(Phrase(-1, label, dict.fromkeys(stems, 0.4), strength * 0.7))
    elif max(terms.values()) < 1.0 and len(raw) > 1:
        out.phrases.append(Phrase(-1, label, {}, strength * 0.8, literal=" ".join(raw), negative=negative))
    else:
        out.phrases.append(Phrase(-1, label, terms, strength, negative=negative))


def _weigh(out: Field) -> None:
    """Weigh every term by how few labels share it."""
    count = max(1, len(out.labels))
    shared: dict[str, set[int]] = {}
    for phrase in out.phrases:
        for term in phrase.terms:
            shared.setdefault(term, set()).add(phrase.label)
    for phrase in out.phrases:
        for term, base in phrase.terms.items():
            rarity = math.log1p(count / len(shared[term])) if out.labels else 1.0
            phrase.terms[term] = (base * rarity) ** 2
        phrase.total = sum(phrase.terms.values()) if phrase.terms else math.log1p(count) ** 2


# --- the index -----------------------------------------------------------------------------------------------------


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
