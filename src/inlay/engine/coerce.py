"""Fields compiled to functions: whatever JSON value a model gave becomes a value that fits its FieldSpec, or Unfit.

What stays true: a value that comes out satisfies every limit of its field; nothing is cut, rounded or guessed to fit
(a text over `max_length`, a number out of range, one bad item of a list: the field is invalid and says why). Only
harmless differences are smoothed: white space, letter case and separators of enum values, digits of other scripts,
doubled list items. A list longer than `max_items` keeps its first `max_items`; null and empty items are dropped.
Values of the right type take the shortest path through here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import orjson

from inlay.engine.forms import loose
from inlay.engine.salvage import Unreadable, find_keys, loose_names, parse_all
from inlay.engine.scalars import (
    EXACT_FLOAT,
    Unfit,
    compile_boolean,
    compile_date,
    compile_integer,
    compile_number,
    scalar,
    shown,
)
from inlay.errors import SpecError
from inlay.fingerprint import plain
from inlay.spec.fields import FieldSpec
from inlay.types import NullReason

Coercion: TypeAlias = Callable[[Any], Any]

# A longer text is a runaway answer, whatever the field allows.
MAX_TEXT = 1_000_000

_NULL_WORDS = {
    "": NullReason.NOT_STATED,
    "null": NullReason.NOT_STATED,
    "none": NullReason.NOT_STATED,
    "n/a": NullReason.NOT_STATED,
    "not_stated": NullReason.NOT_STATED,
    "not stated": NullReason.NOT_STATED,
    "not_applicable": NullReason.NOT_APPLICABLE,
    "not applicable": NullReason.NOT_APPLICABLE,
}
_LONGEST_NULL_WORD = 32  # with white space around it

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_ITEM_SEPARATORS = re.compile("[,;，、،；]")


@dataclass(frozen=True, slots=True)
class Part:
    """A field compiled: `read` gives a fitting value or raises Unfit. `null_words` are texts that mean null."""

    name: str
    read: Coercion
    nullable: bool
    null_words: Mapping[str, NullReason]
    words_first: bool  # a null word is no value of this field, so it is looked up before `read`
    fields: frozenset[str] = field(default=frozenset())  # of an object

    def settle(self, raw: Any) -> tuple[Any, NullReason | None]:
        """(value, None) or (None, why); the reason of a plain null is `not_stated`. Raises Unfit."""
        if raw is None:
            if not self.nullable:
                raise Unfit("is null, but must have a value")
            return None, NullReason.NOT_STATED
        if self.words_first and type(raw) is str and (reason := self._null_word(raw)):
            return None, reason
        try:
            return self.read(raw), None
        except Unfit:
            if type(raw) is str and (reason := self._null_word(raw)):
                return None, reason
            if type(raw) is Unreadable:
                raise Unfit(raw.problem) from None
            raise

    def _null_word(self, raw: str) -> NullReason | None:
        if not self.nullable or len(raw) > _LONGEST_NULL_WORD:
            return None
        return self.null_words.get(raw.strip().casefold())


def compile_field(name: str, spec: FieldSpec) -> Part:
    """Compile one field. Raises SpecError where its limits cannot be applied."""
    items_are_enum = spec.type == "list" and spec.item.type == "enum"
    words = _NULL_WORDS if spec.type in ("string", "text") else {**_NULL_WORDS, "ambiguous": NullReason.AMBIGUOUS}
    return Part(
        name=name,
        read=_COMPILERS[spec.type](name, spec),
        nullable=spec.nullable,
        null_words=MappingProxyType(words),
        words_first=spec.type in ("string", "text", "list") and not items_are_enum,
        fields=frozenset(spec.fields),
    )


# --- text and labels -------------------------------------------------------------------------------------------------


def _compile_text(name: str, spec: FieldSpec) -> Coercion:
    longest = spec.max_length
    matches = re.compile(spec.pattern).fullmatch if spec.pattern is not None else None
    single_line = spec.type == "string"

    def read(raw: Any) -> str:
        value = (raw if type(raw) is str else _as_text(raw)).strip()
        if not value.isprintable():
            value = _clean(value, single_line)
        if not value:
            raise Unfit("is empty, but must have a value")
        if longest is not None and len(value) > longest:
            raise Unfit(f"has {len(value)} characters, more than max_length {longest}")
        if len(value) > MAX_TEXT:
            raise Unfit(f"has {len(value)} characters, more than any answer may have ({MAX_TEXT})")
        if matches is not None and matches(value) is None:
            raise Unfit(f"{shown(value)} does not match the pattern")
        return value

    return read


def _as_text(raw: Any) -> str:
    raw = scalar(raw)
    if isinstance(raw, float) and (not math.isfinite(raw) or abs(raw) > EXACT_FLOAT):
        raise Unfit("is a number that lost digits, where text was asked")
    if isinstance(raw, str | bool | int | float):
        return plain(raw) or ""
    raise Unfit(f"{shown(raw)} is not text")


def _clean(value: str, single_line: bool) -> str:
    """Without control characters, with plain line ends (or none). Raises Unfit for broken Unicode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unfit("holds broken Unicode (a lone surrogate)") from None
    if single_line:
        value = " ".join(line.strip() for line in value.splitlines() if line.strip())
    else:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", value).strip()


def _compile_enum(name: str, spec: FieldSpec) -> Coercion:
    if not spec.values:
        raise SpecError(f"the values of {name} were not loaded", key=name, remedy="read `values_file` first")
    exact = frozenset(spec.values)
    similar: dict[str, str | None] = {}
    for label in spec.values:
        if key := loose(label):
            similar[key] = None if key in similar else label

    def read(raw: Any) -> str:
        if type(raw) is str and raw in exact:
            return raw
        value = scalar(raw)
        if type(value) is bool or type(value) is int or type(value) is float:
            value = plain(value)
        if type(value) is str and len(value) <= MAX_TEXT:
            trimmed = value.strip()
            if trimmed in exact:
                return trimmed
            label = similar.get(loose(trimmed)) or similar.get(loose(trimmed.strip("\"'`“”‘’«»「」.。 ")))
            if label is not None:
                return label
        raise Unfit(f"{shown(value)} is not one of the {len(exact)} values")

    return read


# --- lists and objects -----------------------------------------------------------------------------------------------


def _embedded(raw: Any, opening: str) -> Any:
    """What a text holds when it is JSON itself (a list or object encoded twice), else the text."""
    if type(raw) is str and raw.lstrip()[:1] == opening:
        try:
            return parse_all(raw)
        except ValueError:
            return raw
    return raw


def _compile_list(name: str, spec: FieldSpec) -> Coercion:
    read_item = _COMPILERS[spec.item.type](f"{name}[]", spec.item)
    most = spec.max_items
    scalars = spec.item.type not in ("list", "object")
    labels = spec.item.type == "enum"

    def read(raw: Any) -> list[Any]:
        value = raw if type(raw) is list else _embedded(raw, "[")
        if type(value) is not list:
            value = _split(value) if labels and type(value) is str else [value]
        items: list[Any] = []
        seen: set[Any] = set()
        for number, part in enumerate(value, 1):
            if part is None or (type(part) is str and not part.strip()):
                continue
            try:
                item = read_item(part)
            except Unfit as unfit:
                raise Unfit(f"item {number}: {part.problem if type(part) is Unreadable else unfit}") from None
            mark = (type(item), item) if scalars else orjson.dumps(item)
            if mark not in seen:
                seen.add(mark)
                items.append(item)
                if len(items) == most:
                    break
        return items

    def _split(text: str) -> list[str]:
        """One label (which may hold commas itself), or the labels between commas."""
        try:
            read_item(text)
        except Unfit:
            parts = [part.strip() for part in _ITEM_SEPARATORS.split(text) if part.strip()]
            return parts if len(parts) > 1 else [text]
        return [text]

    return read


def _compile_object(name: str, spec: FieldSpec) -> Coercion:
    parts = [compile_field(part, inner) for part, inner in spec.fields.items()]
    names = loose_names(tuple(spec.fields))

    def read(raw: Any) -> dict[str, Any]:
        value = raw if type(raw) is dict else _embedded(raw, "{")
        if type(value) is not dict:
            raise Unfit(f"{shown(value)} is not an object")
        found: Mapping[str, Any] = value
        if any(part.name not in value for part in parts):
            found = {**find_keys(value, names), **{part.name: value[part.name] for part in parts if part.name in value}}
            if not found:
                raise Unfit("holds none of its fields")
        out: dict[str, Any] = {}
        for part in parts:
            try:
                # A key that is left out reads as null: there is nowhere to ask for it alone.
                out[part.name] = part.settle(found.get(part.name))[0]
            except Unfit as unfit:
                raise Unfit(f"{part.name}: {unfit}") from None
        return out

    return read


_COMPILERS: dict[str, Callable[[str, FieldSpec], Coercion]] = {
    "string": _compile_text,
    "text": _compile_text,
    "integer": compile_integer,
    "number": compile_number,
    "boolean": compile_boolean,
    "date": compile_date,
    "datetime": compile_date,
    "enum": _compile_enum,
    "list": _compile_list,
    "object": _compile_object,
}
