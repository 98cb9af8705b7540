"""Ways to spoil an answer's JSON: values of the wrong type, marks in place of values, enum values in the other case.

Pure functions on a `Draft` or on JSON values, for the faults that change what a model says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inlay.testing.strict import resolve
from inlay.testing.wire import Draft


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def mapping_of(draft: Draft) -> dict[str, Any]:
    """The answer as an object; one that is none stands in an object of its own."""
    value = draft.value()
    return value if isinstance(value, dict) else {"answer": draft.content if value is None else value}


def is_wrapped(value: Any) -> bool:
    """Whether this is a value with its evidence or confidence beside it."""
    return isinstance(value, dict) and "value" in value and ("evidence" in value or "confidence" in value)


def wrong_type(value: Any) -> Any:
    """A value that fits no schema that this one fits; inside a wrapper, its value alone."""
    if is_wrapped(value):
        return {**value, "value": wrong_type(value["value"])}
    if isinstance(value, str) or value is None:
        return {"unexpected": 12_345}
    if isinstance(value, dict):
        return [1, 2]
    return "neither here nor there"


def spoilt(draft: Draft, mark: str, *, numbers: bool = False) -> str:
    """The answer's JSON text with `mark` in place of one value: the first number where asked for, or else the first."""
    value = mapping_of(draft)
    place = _first_number(value) if numbers else None
    if place is None:
        name = next(iter(value), "field")
        place = (value[name], "value") if is_wrapped(value.get(name)) else (value, name)
    place[0][place[1]] = mark
    return dumps(value)


def _first_number(value: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    for name, part in value.items():
        if isinstance(part, (int, float)) and not isinstance(part, bool):
            return value, name
        if isinstance(part, dict) and (found := _first_number(part)) is not None:
            return found
    return None


def inside_string(text: str) -> int:
    """A place well inside a string at or before two thirds of the text; its end where there is no string."""
    inside, escaped, place = False, False, -1
    for index, letter in enumerate(text[: max(2, len(text) * 2 // 3)]):
        if inside and not escaped:
            place = index
        if escaped:
            escaped = False
        elif letter == "\\" and inside:
            escaped = True
        elif letter == '"':
            inside = not inside
    return place if place > 0 else len(text) // 2


def swap_enums(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """The value with every text that its schema gives as an enum value in the other case; `nulls` is left alone."""
    if not isinstance(schema, Mapping):
        return value
    if "$ref" in schema:
        schema = resolve(root, schema["$ref"]) or {}
    if isinstance(value, str):
        choices = schema.get("enum") or [
            choice for branch in schema.get("anyOf", ()) for choice in branch.get("enum", ())
        ]
        return value.swapcase() if value in choices else value
    for branch in schema.get("anyOf", ()):
        swapped = swap_enums(value, branch, root)
        if swapped != value:
            return swapped
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return {
            name: part if name == "nulls" else swap_enums(part, parts.get(name), root) for name, part in value.items()
        }
    if isinstance(value, list):
        return [swap_enums(part, schema.get("items"), root) for part in value]
    return value
