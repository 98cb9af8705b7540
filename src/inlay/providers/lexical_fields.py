"""What the lexical model looks for: the fields of an answer schema, turned into weighted phrases.

A label is found by the words of its name, by what the field's description says of it ("remote: work from anywhere;
hybrid: some days on site") and by synonyms given there ("such as", "e.g.", "also called"). Words that few labels
share weigh more.

What stays true: compiled once a pass from the schema alone; order never depends on hashing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inlay.providers.lexical_text import fold, is_joined, stems_of
from inlay.providers.lexical_words import NEGATORS, is_stop, stem, weight_of

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
_LIST_END = re.compile(r"[.;)\n]")
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
    """One field of the schema, compiled. `labels` are the values that a choice is made from, `folded` their texts.

    `choice` says how: by the labels' "words", as "yes or no", by the "currency" of amounts, or by their "period";
    then `periods` holds each label's.
    """

    name: str
    kind: str
    nullable: bool
    description: str
    number: int = -1
    wrapped: tuple[str, ...] = ()
    labels: tuple[Any, ...] = ()
    folded: tuple[str, ...] = ()
    choice: str = "words"
    periods: tuple[str | None, ...] = ()
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
        cut = _LIST_END.search(description, match.end())
        end = cut.start() if cut else len(description)
        out += [part for part in re.split(r"\s*(?:,|/|\bor\b|\band\b)\s*", description[match.end() : end]) if part]
        rest.append(description[position : match.start()])
        position = end
    rest.append(description[position:])
    return "".join(rest), out


def _compile_words(out: Field) -> Field:
    """Give a field its phrases: label by label, then its synonyms, then its context."""
    out.name_stems = tuple(dict.fromkeys(stems_of(out.name)))
    description = fold(out.description)
    if match := _AT_MOST.search(description):
        out.max_length = int(match[1])
    description = _LIMITS.sub("", description)
    if out.kind in ("integer", "number") and not out.labels:
        marks = [int(match[1]) for match in _SCALE.finditer(description)]
        if len(marks) > 1 and marks == sorted(set(marks)) and marks[0] in (0, 1) and _inside(out, marks):
            out.labels = tuple(marks)  # a scale whose steps are explained is a choice
    _settle_choice(out)
    is_boolean = out.kind == "boolean" or out.choice == "yes or no"
    names = [str(label) for label in out.labels]
    intro, told = _explanations(description, names or (("true", "false") if is_boolean else ()))
    intro, synonyms = _synonyms(intro)
    if is_boolean:
        _add_yes_and_no(out, told, synonyms)
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
    _add_context(out, intro)
    _weigh(out)
    return out


def _settle_choice(out: Field) -> None:
    """Find out what kind of choice the labels offer."""
    out.folded = tuple(fold(str(label)) for label in out.labels)
    names = set(out.folded)
    if names & YES and names & NO and names <= YES | NO | UNSTATED:
        out.choice = "yes or no"
    elif out.labels and stem("currency") in out.name_stems:
        out.choice = "currency"
    elif out.labels and MONEY & set(out.name_stems):
        periods = [next((UNIT_STEMS[one] for one in stems_of(name) if one in UNIT_STEMS), None) for name in out.folded]
        if all(period or name in UNSTATED for period, name in zip(periods, out.folded, strict=True)):
            out.choice, out.periods = "period", tuple(periods)


def _add_yes_and_no(out: Field, told: Mapping[str, str], synonyms: Iterable[str]) -> None:
    truth = next((told[key] for key in ("true", "yes") if key in told), "")
    lie = next((told[key] for key in ("false", "no") if key in told), "")
    _add(out, 1, out.name, 1.0)
    for words in [*synonyms, *_PARTS.split(truth)]:
        _add(out, 1, words, 0.9)
    for words in _PARTS.split(lie):
        _add(out, 0, words, 0.9)


def _add_context(out: Field, intro: str) -> None:
    """The words of the name and of the description that no label claims."""
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


def _inside(one: Field, marks: list[int]) -> bool:
    low, high = one.minimum, one.maximum
    return (low is None or low <= marks[0]) and (high is None or marks[-1] <= high)


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
