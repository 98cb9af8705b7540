"""The strict subset of JSON Schema, checked as the real service checks it, so that our requests are held to it.

Root an object; `additionalProperties: false` and every property required on each object; only known keywords;
limits on nesting, properties and enums. Sources: OpenAI's structured outputs guide and pydantic-ai's transformer.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Context: TypeAlias = tuple[str, ...]
Problem: TypeAlias = tuple[Context, str]

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10
MAX_ENUM_VALUES = 1_000
MAX_CHARS = 120_000
LONG_ENUM_VALUES = 250
LONG_ENUM_CHARS = 15_000

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_KEYWORDS = (
    frozenset({"type", "description", "title", "$schema", "$ref", "$defs", "definitions", "anyOf", "enum", "const"})
    | {"properties", "required", "additionalProperties", "items", "minItems", "maxItems", "format", "pattern"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
_LOOKAROUND = re.compile(r"\(\?(?:=|!|<=|<!)")


class _Found(Exception):
    def __init__(self, context: Context, reason: str) -> None:
        super().__init__(reason)
        self.problem: Problem = (context, reason)


def strict_problem(schema: dict[str, Any]) -> Problem | None:
    """The first thing that is wrong: (where in the schema, a sentence); None when it is in the subset."""
    walk = _Walk(schema)
    try:
        if "anyOf" in schema or schema.get("type") != "object":
            kind = "anyOf" if "anyOf" in schema else schema.get("type")
            raise _Found((), f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.")
        walk.node(schema, (), 1)
        walk.totals()
    except _Found as found:
        return found.problem
    except (TypeError, AttributeError, RecursionError):
        return (), "schema is malformed: a keyword has a value of the wrong type, or it is nested without end."
    return None


class _Walk:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.properties = 0
        self.enum_values = 0
        self.chars = 0

    def totals(self) -> None:
        if self.properties > MAX_PROPERTIES:
            raise _Found((), f"{self.properties} properties exceed the limit of {MAX_PROPERTIES}.")
        if self.enum_values > MAX_ENUM_VALUES:
            raise _Found((), f"{self.enum_values} enum values exceed the limit of {MAX_ENUM_VALUES}.")
        if self.chars > MAX_CHARS:
            raise _Found((), f"{self.chars} characters of names and enum values exceed the limit of {MAX_CHARS}.")

    def node(self, schema: Any, at: Context, depth: int) -> None:
        if not isinstance(schema, dict):
            raise _Found(at, "a schema must be an object.")
        if depth > MAX_DEPTH:
            raise _Found(at, f"{depth} levels of nesting exceed the limit of {MAX_DEPTH}.")
        if "$ref" in schema:
            self._reference(schema, at)
            return
        for keyword in schema:
            if keyword not in _KEYWORDS:
                raise _Found(at, f"'{keyword}' is not permitted.")
        self._definitions(schema, at)
        if "anyOf" in schema:
            self._any_of(schema["anyOf"], at, depth)
            return
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds == [None] and not ("enum" in schema or "const" in schema):
            raise _Found(at, "schema must have a 'type' key.")
        for kind in kinds:
            if kind is not None and kind not in _TYPES:
                raise _Found(at, f"'{kind}' is not a valid type.")
        self._leaf(schema, at)
        if "object" in kinds:
            self._object(schema, at, depth)
        if "array" in kinds:
            if "items" not in schema:
                raise _Found(at, "array schema missing items.")
            self.node(schema["items"], (*at, "items"), depth + 1)

    def _reference(self, schema: dict[str, Any], at: Context) -> None:
        if len(schema) > 1:
            extra = sorted(key for key in schema if key != "$ref")
            raise _Found(at, f"$ref cannot have keywords {extra}.")
        if resolve(self.root, schema["$ref"]) is None:
            raise _Found(at, f"reference to component '{schema['$ref']}' which was not found in the schema.")

    def _definitions(self, schema: dict[str, Any], at: Context) -> None:
        for keyword in ("$defs", "definitions"):
            parts = schema.get(keyword, {})
            if not isinstance(parts, dict):
                raise _Found(at, f"'{keyword}' must be an object.")
            for name, part in parts.items():
                self.chars += len(name)
                self.node(part, (*at, keyword, name), 1)

    def _any_of(self, branches: Any, at: Context, depth: int) -> None:
        if not isinstance(branches, list) or not branches:
            raise _Found(at, "'anyOf' must be an array of at least one schema.")
        for index, branch in enumerate(branches):
            self.node(branch, (*at, "anyOf", str(index)), depth)

    def _object(self, schema: dict[str, Any], at: Context, depth: int) -> None:
        if schema.get("additionalProperties") is not False:
            raise _Found(at, "'additionalProperties' is required to be supplied and to be false.")
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise _Found(at, "'properties' must be an object.")
        required = schema.get("required", [])
        if not isinstance(required, list) or set(map(str, required)) != set(properties):
            missing = next((name for name in properties if name not in required), None)
            what = f"Missing '{missing}'." if missing is not None else "Extra required key supplied."
            raise _Found(
                at,
                f"'required' is required to be supplied and to be an array including every key in properties. {what}",
            )
        self.properties += len(properties)
        for name, part in properties.items():
            self.chars += len(name)
            self.node(part, (*at, "properties", name), depth + 1)

    def _leaf(self, schema: dict[str, Any], at: Context) -> None:
        if "enum" in schema:
            values = schema["enum"]
            if not isinstance(values, list) or not values:
                raise _Found(at, "'enum' must be an array of at least one value.")
            chars = sum(len(value) for value in values if isinstance(value, str))
            if len(values) > LONG_ENUM_VALUES and chars > LONG_ENUM_CHARS:
                raise _Found(
                    at, f"an enum of {len(values)} values has {chars} characters; the limit is {LONG_ENUM_CHARS}."
                )
            self.enum_values += len(values)
            self.chars += chars
        if isinstance(schema.get("const"), str):
            self.chars += len(schema["const"])
        if "format" in schema and schema["format"] not in _FORMATS:
            raise _Found(at, f"'{schema['format']}' is not a valid format.")
        if "pattern" in schema and _LOOKAROUND.search(str(schema["pattern"])):
            raise _Found(at, "'pattern' must not use lookaround.")


def resolve(root: dict[str, Any], reference: Any) -> dict[str, Any] | None:
    """What a local `$ref` (`#` or `#/a/b`) points to; None when there is nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    node: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            return None
        node = node[name]
    return node if isinstance(node, dict) else None
