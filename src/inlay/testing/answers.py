"""Answers by schema: a valid instance of any JSON Schema of the strict subset, drawn from the user message alone.

A schema is compiled once into closures. Each place in it draws from (hash of the message, its own path), so a field
keeps its value when other fields come or go. What stays true: the same message and schema give the same answer; a
property named `evidence` quotes the message; `nulls` names exactly the fields that are null, each with a reason.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

from inlay.testing.patterns import text_matching
from inlay.testing.strict import resolve

# (seed, message, depth) → value. The seed carries the message's hash and the path so far.
Draw: TypeAlias = Callable[[int, str, int], Any]

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_DEEP = 5  # from here on a recursive schema takes its shortest way out
_BOTTOM = 40
_AT_MOST = re.compile(r"[Aa]t most (\d{1,9}) characters")
_EVIDENCE, _CONFIDENCE, _NULLS, _VALUE = "evidence", "confidence", "nulls", "value"


class SchemaUnusable(ValueError):
    """What was given as a JSON Schema is none, or nothing can satisfy it."""


def mix(seed: int, salt: int) -> int:
    """64 well-mixed bits from two numbers (splitmix64)."""
    x = (seed ^ (salt * 0x9E37_79B9_7F4A_7C15)) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return x ^ (x >> 31)


def answer_by_schema(
    schema: dict[str, Any],
    *,
    null_share: float = 0.1,
    seed: int = 0,
    finish: Callable[[Any], Any] | None = None,
) -> Callable[[int, str], str]:
    """Compile a schema once; the result turns (64 bits of the message's hash, message) into JSON text.

    `finish` has the last word on each value.
    A schema that has no instance, or is none, raises SchemaUnusable when it is first asked.
    """
    draw: Draw | None = None

    def answer(bits: int, text: str) -> str:
        nonlocal draw
        try:
            if draw is None:
                draw = _Compiler(schema, null_share).node(schema, "")
            value = draw(mix(bits, seed), text, 0)
            return orjson.dumps(value if finish is None else finish(value)).decode()
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, re.error, RecursionError) as error:
            raise SchemaUnusable(f"Invalid schema: no instance of it can be made ({error}).") from None

    return answer


def quote(seed: int, text: str, *, longest: int = 80) -> str:
    """A verbatim span of one line of the text, on word borders where there are any; "" of a blank text.

    It is taken from the second half, where a prompt usually carries the record rather than the instructions.
    """
    size = len(text)
    start = size // 2 + seed % max(1, size - size // 2)
    start = max(size // 2, min(start, size - 30))  # not the last few characters alone
    border = max(text.rfind(mark, max(0, start - 40), start) for mark in (" ", "\n"))
    start = start if border < 0 else border + 1
    end = min(size, start + 12 + (seed >> 20) % 40)
    later = text.find(" ", end, end + 20)
    span = text[start : end if later < 0 else later].strip().split("\n", 1)[0].strip()
    if not span:
        span = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
    return span[:longest].strip()


class _Compiler:
    """Turns schema nodes into draws. References are compiled when first drawn, so recursion is fine."""

    def __init__(self, root: dict[str, Any], null_share: float) -> None:
        self.root = root
        self.null_below = int(null_share * 1_000_000)
        self.references: dict[str, Draw] = {}

    def node(self, schema: Any, name: str) -> Draw:
        if not isinstance(schema, dict):
            schema = {}
        if "$ref" in schema:
            return self._reference(schema["$ref"], name)
        if "allOf" in schema:
            return self.node(_merged(self.root, schema), name)
        if "const" in schema:
            constant = schema["const"]
            return lambda seed, text, depth: constant
        if "enum" in schema:
            return self._enum(schema["enum"])
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self._any_of([self.node(branch, name) for branch in branches if not _is_null(branch)], branches)
        kinds = schema.get("type")
        if isinstance(kinds, list):
            draws = [self._typed({**schema, "type": kind}, kind, name) for kind in kinds if kind != "null"]
            return self._any_of(draws, [{"type": kind} for kind in kinds])
        return self._typed(schema, _guessed_type(schema) if kinds is None else kinds, name)

    def _typed(self, schema: dict[str, Any], kind: Any, name: str) -> Draw:
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return self._array(schema, name)
        if kind == "integer":
            return _integer(schema)
        if kind == "number":
            return _number(schema, name)
        if kind == "boolean":
            return lambda seed, text, depth: bool(seed >> 7 & 1)
        if kind == "null":
            return lambda seed, text, depth: None
        if kind == "string":
            return _string(schema, name)
        raise ValueError(f"{kind!r} is no type")

    def _reference(self, reference: str, name: str) -> Draw:
        def draw(seed: int, text: str, depth: int) -> Any:
            if depth > _BOTTOM:
                return None  # no finite instance exists
            known = self.references.get(reference)
            if known is None:
                known = self.references[reference] = self.node(resolve(self.root, reference), name)
            return known(seed, text, depth + 1)

        return draw

    def _enum(self, values: list[Any]) -> Draw:
        choices = [value for value in values if value is not None]
        if not choices:
            return lambda seed, text, depth: None
        below = self.null_below if len(choices) < len(values) else 0
        count = len(choices)

        def draw(seed: int, text: str, depth: int) -> Any:
            if below and (seed >> 40) % 1_000_000 < below:
                return None
            return choices[seed % count]

        return draw

    def _any_of(self, draws: list[Draw], branches: list[Any]) -> Draw:
        nullable = any(_is_null(branch) for branch in branches)
        if not draws:
            return lambda seed, text, depth: None
        below = self.null_below if nullable else 0
        recursive = ['"$ref"' in orjson.dumps(branch).decode() for branch in branches if not _is_null(branch)]
        flat = [draw for draw, deep in zip(draws, recursive, strict=True) if not deep]

        def draw(seed: int, text: str, depth: int) -> Any:
            if nullable and ((below and (seed >> 40) % 1_000_000 < below) or depth >= _DEEP):
                return None
            choice = flat if depth >= _DEEP and flat else draws
            return choice[(seed >> 5) % len(choice)](seed, text, depth)

        return draw

    def _array(self, schema: dict[str, Any], name: str) -> Draw:
        item = self.node(schema.get("items"), name)
        low = schema.get("minItems", 0)
        high = max(low, min(schema.get("maxItems", low + 3), low + 3))
        unique = bool(schema.get("uniqueItems")) or "enum" in (schema.get("items") or {})

        def draw(seed: int, text: str, depth: int) -> list[Any]:
            count = low if depth >= _DEEP else low + (seed >> 9) % (high - low + 1)
            values: list[Any] = []
            for turn in range(count * 8 if unique else count):
                value = item(mix(seed, turn + 1), text, depth + 1)
                if not unique or value not in values:
                    values.append(value)
                if len(values) == count:
                    break
            return values

        return draw

    def _object(self, schema: dict[str, Any]) -> Draw:
        properties: dict[str, Any] = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        reasons = _nulls_reasons(properties.get(_NULLS))
        parts = [
            (
                name,
                zlib.crc32(name.encode("utf-8", "surrogatepass")),
                self._property(properties, name),
                name in required,
            )
            for name in properties
            if reasons is None or name != _NULLS
        ]

        def draw(seed: int, text: str, depth: int) -> dict[str, Any]:
            value = {
                name: part(mix(seed, salt), text, depth + 1)
                for name, salt, part, needed in parts
                if needed or depth < _DEEP
            }
            if quotes and value.get(_VALUE, "") is None and value.get(_EVIDENCE):
                value[_EVIDENCE] = no_quote  # nothing to quote for a value that is not there
            if reasons is not None:
                value[_NULLS] = _nulls(value, reasons, seed)
            return value

        quotes = _allows(properties.get(_EVIDENCE), "string")
        no_quote = None if _nullable(properties.get(_EVIDENCE)) else ""
        return draw

    def _property(self, properties: Mapping[str, Any], name: str) -> Draw:
        schema = properties[name]
        if name != _EVIDENCE or not _allows(schema, "string"):
            return self.node(schema, name)
        longest = schema.get("maxLength", 80) if isinstance(schema, dict) else 80
        return lambda seed, text, depth: quote(seed, text, longest=longest)


# --- the "nulls" list of Inlay's own answer schema ------------------------------------------------------------------


def _nulls_reasons(schema: Any) -> tuple[frozenset[str], tuple[str, ...]] | None:
    """(fields that may be null, reasons) where the property is a list of {"field", "reason"}; None otherwise."""
    items = schema.get("items") if isinstance(schema, dict) else None
    parts = items.get("properties", {}) if isinstance(items, dict) else {}
    fields, reasons = (parts.get(name) for name in ("field", "reason"))
    if not (isinstance(fields, dict) and isinstance(reasons, dict) and fields.get("enum") and reasons.get("enum")):
        return None
    return frozenset(fields["enum"]), tuple(reasons["enum"])


def _nulls(value: Mapping[str, Any], known: tuple[frozenset[str], tuple[str, ...]], seed: int) -> list[dict[str, str]]:
    fields, reasons = known
    out: list[dict[str, str]] = []
    for name, part in value.items():
        if name in fields and (part is None or (isinstance(part, dict) and part.get(_VALUE, "") is None)):
            reason = reasons[mix(seed, zlib.crc32(name.encode())) % len(reasons)]
            out.append({"field": name, "reason": reason})
    return out


# --- scalars --------------------------------------------------------------------------------------------------------


def _integer(schema: dict[str, Any]) -> Draw:
    low, high = _bounds(schema, step=1)
    first, last = -(-low // 1), high // 1
    if (step := schema.get("multipleOf")) and float(step).is_integer():
        step = int(step)
        first = -(-first // step) * step
        count = max(1, int((last - first) // step) + 1)
        return lambda seed, text, depth: int(first) + step * (seed % count)
    count = max(1, int(last - first) + 1)
    return lambda seed, text, depth: int(first) + seed % count


def _number(schema: dict[str, Any], name: str) -> Draw:
    if name == _CONFIDENCE and "maximum" not in schema:
        schema = {"minimum": 0, "maximum": 1, **schema}
    low, high = (float(bound) for bound in _bounds(schema, step=0.0))
    open_low, open_high = "exclusiveMinimum" in schema, "exclusiveMaximum" in schema
    if step := schema.get("multipleOf"):
        first = -(-low // step)
        first += open_low and first * step <= low
        count = max(1, int(high // step - first) + 1 - (open_high and (high // step) * step >= high))
        return lambda seed, text, depth: (first + seed % count) * step

    def draw(seed: int, text: str, depth: int) -> float:
        share = (seed >> 11) % 10_000 / 10_000
        raw = low + (high - low) * (share or (0.00005 if open_low else 0.0))
        short = round(raw, 2)
        return short if low < short < high else raw

    return draw


def _bounds(schema: dict[str, Any], *, step: float) -> tuple[Any, Any]:
    """The widest (low, high) the schema allows, 100 apart where one side is open."""
    lows = [schema["minimum"]] if "minimum" in schema else []
    highs = [schema["maximum"]] if "maximum" in schema else []
    if "exclusiveMinimum" in schema:
        lows.append(_beyond(schema["exclusiveMinimum"], step, 1))
    if "exclusiveMaximum" in schema:
        highs.append(_beyond(schema["exclusiveMaximum"], step, -1))
    low = max(lows) if lows else (min(0, min(highs) - 100) if highs else 0)
    return low, min(highs) if highs else max(100, low + 100)


def _beyond(bound: float, step: float, sign: int) -> float:
    if not step:
        return bound
    return bound // 1 + 1 if sign > 0 else -(-bound // 1) - 1


_FORMATS: dict[str, Callable[[int], str]] = {
    "date": lambda s: f"{1990 + s % 40:04d}-{1 + (s >> 8) % 12:02d}-{1 + (s >> 16) % 28:02d}",
    "time": lambda s: f"{s % 24:02d}:{(s >> 8) % 60:02d}:{(s >> 16) % 60:02d}Z",
    "date-time": lambda s: f"{_FORMATS['date'](s)}T{_FORMATS['time'](s >> 20)}",
    "duration": lambda s: f"P{1 + s % 30}DT{(s >> 8) % 24}H",
    "email": lambda s: f"user{s % 10_000}@example.com",
    "hostname": lambda s: f"host{s % 10_000}.example.com",
    "ipv4": lambda s: f"192.0.2.{s % 256}",
    "ipv6": lambda s: f"2001:db8::{s % 65_536:x}",
    "uri": lambda s: f"https://example.com/{s % 10_000}",
    "uuid": lambda s: f"{s >> 32:08x}-{s >> 16 & 0xFFFF:04x}-4{s & 0xFFF:03x}-8{s >> 52:03x}-{mix(s, 1) >> 16:012x}",
}


def _string(schema: dict[str, Any], name: str) -> Draw:
    shape = _FORMATS.get(schema.get("format", ""))
    if shape is not None:
        return lambda seed, text, depth: shape(seed)
    pattern = schema.get("pattern")
    if pattern is not None:
        return lambda seed, text, depth: text_matching(pattern, lambda turn: mix(seed, turn))
    # The strict subset has no maxLength: what it cannot say stands in the description, and a model mostly obeys that.
    told = _AT_MOST.search(str(schema.get("description", "")))
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", min(60, int(told[1])) if told else 60)
    filler = (name or "text") + " "

    def draw(seed: int, text: str, depth: int) -> str:
        value = quote(seed, text, longest=longest) or filler.strip()[:longest]
        if len(value) < shortest:
            value = (value + " " + filler * shortest)[:shortest]
        return value

    return draw


# --- looking at schemas ---------------------------------------------------------------------------------------------


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and (schema.get("type") in ("null", ["null"]) or schema.get("const", "") is None)


def _nullable(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    kinds = schema.get("type")
    branches = schema.get("anyOf") or ()
    return kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or any(map(_is_null, branches))


def _allows(schema: Any, kind: str) -> bool:
    """Whether any value of that type fits (up to a length)."""
    if not isinstance(schema, dict) or not {"enum", "const", "pattern", "format", "minLength"}.isdisjoint(schema):
        return False
    kinds = schema.get("type")
    return (
        kinds == kind
        or (isinstance(kinds, list) and kind in kinds)
        or any(_allows(branch, kind) for branch in schema.get("anyOf") or ())
    )


def _guessed_type(schema: dict[str, Any]) -> str:
    if "properties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _merged(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """`allOf` folded into one schema: properties and required joined, the rest overwritten in order."""
    out: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        part = resolve(root, part["$ref"]) or {} if "$ref" in part else part
        for key, value in part.items():
            if key == "properties":
                out[key] = {**out.get(key, {}), **value}
            elif key == "required":
                out[key] = [*out.get(key, []), *value]
            else:
                out[key] = value
    return out
