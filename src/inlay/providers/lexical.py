"""The lexical model: small, deterministic, without a key, inside this process.

It chooses labels, numbers, lists, dates and sentences by matching the fields' names, descriptions and vocabularies
against the record's words, quotes the sentence it found them in, and says null where nothing matches. It is the
model of the first run on any machine, the baseline that a real model is compared with, and the free first step of
a cascade. It understands nothing: what is implied, paraphrased or ironic it misses.

What stays true: the same record and fields give the same text on every machine; it never raises for any text; time
is linear in the record; every quote stands verbatim in the record; it costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from inlay.providers.lexical_choices import Found, Reading, choose_boolean, choose_label, choose_labels
from inlay.providers.lexical_fields import Field, read_fields
from inlay.providers.lexical_index import Index
from inlay.providers.lexical_text import Record
from inlay.providers.lexical_values import choose_date, choose_number, choose_text, choose_texts
from inlay.types import CallShape, Completion, Usage

# Raise the number when answers change: it is part of the recipe, so that old answers show as stale.
VERSION = "lexical:1"

_SIMPLE: dict[str, Callable[[Field, Reading], Found]] = {
    "enum": choose_label,
    "boolean": choose_boolean,
    "date": choose_date,
    "datetime": choose_date,
    "string": choose_text,
}


class Lexical:
    """The LocalModel that needs no key. Free; deterministic; one instance serves any number of passes and threads."""

    name = "lexical"

    def answerer(self, shape: CallShape) -> Callable[[Mapping[str, str]], Completion]:
        """Compile the pass's schema; the result answers one record (input name to text) as JSON of that schema."""
        properties = dict(shape.schema.get("properties") or {})
        last, closing = _closing(properties)
        if closing is not None:
            del properties[last]
        fields = read_fields(properties)
        index = Index(fields)

        def answer(record: Mapping[str, str]) -> Completion:
            read = Record(record)
            reading = Reading(read, *index.scan(read))
            return Completion(_answer(fields, last, closing, reading), Usage(), VERSION)

        return answer


def _closing(properties: Mapping[str, Any]) -> tuple[str, frozenset[str] | None]:
    """The name of the closing list of reasons and the fields it may name; None where the schema has no such list."""
    last = list(properties)[-1] if properties else ""
    parts = ((properties.get(last) or {}).get("items") or {}).get("properties") or {}
    if not last.startswith("nulls") or set(parts) != {"field", "reason"}:
        return last, None
    return last, frozenset(name for name in parts["field"].get("enum") or () if isinstance(name, str))


def _answer(fields: list[Field], last: str, closing: frozenset[str] | None, reading: Reading) -> str:
    out: dict[str, Any] = {}
    nulls: list[dict[str, str]] = []
    for one in fields:
        found = _find(one, reading)
        if found.value is None and closing is not None and one.name in closing:
            nulls.append({"field": one.name, "reason": found.reason})
        out[one.name] = _wrapped(one, found) if one.wrapped else found.value
    if closing is not None:
        out[last] = nulls
    try:
        return orjson.dumps(out).decode()
    except (TypeError, ValueError):
        return json.dumps(out)  # a lone surrogate in a quote, or an integer beyond 64 bits


def _wrapped(one: Field, found: Found) -> dict[str, Any]:
    empty = found.value is None
    parts = {
        "evidence": None if empty else found.quote,
        "value": found.value,
        "confidence": 0.0 if empty else found.confidence,
    }
    return {name: parts[name] for name in one.wrapped}


def _find(one: Field, reading: Reading) -> Found:
    if one.kind == "object":
        return _find_object(one, reading)
    if one.kind == "array":
        return _find_list(one, reading)
    if one.labels:
        return choose_label(one, reading)
    if one.kind in ("integer", "number"):
        return choose_number(one, reading)
    return _SIMPLE.get(one.kind, choose_text)(one, reading)


def _find_object(one: Field, reading: Reading) -> Found:
    """An object of what was found for each of its fields; null where nothing was."""
    parts = [(part, _find(part, reading)) for part in one.fields]
    sure = [found for _, found in parts if found.value is not None and found.quote is not None]
    if not sure and one.nullable:
        return Found()
    value = {part.name: found.value for part, found in parts}
    best = max(sure, key=lambda found: found.confidence, default=Found())
    return Found(value, min((found.confidence for found in sure), default=0.1), best.quote)


def _find_list(one: Field, reading: Reading) -> Found:
    items = one.items
    assert items is not None
    if items.labels:
        return choose_labels(one, reading)
    if items.kind == "string":
        return choose_texts(one, reading)
    found = _find(items, reading)
    if found.value is None or found.quote is None:
        return Found(None if one.nullable else [], 0.1)
    return Found([found.value], found.confidence, found.quote)
