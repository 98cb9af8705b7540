"""The subset of JSON Schema that Anthropic's structured outputs take, checked as the service checks it.

Objects closed, no recursion, no bounds on numbers or lengths, `minItems` 0 or 1, at most 16 unions and 24 optional
properties. Sources: the schema transformer of Anthropic's SDK, and the refusals that pydantic-ai observed.
"""

from __future__ import annotations

from typing import Any

from inlay.testing.strict import resolve

MAX_UNIONS = 16
MAX_OPTIONAL = 24

_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_COMMON = frozenset({"type", "description", "title", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions"})
_OF_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format"}),
}


class _Found(Exception):
    pass


def subset_problem(schema: dict[str, Any]) -> str | None:
    """The first thing that is wrong, as a sentence; None when the schema is in the subset."""
    walk = _Walk(schema)
    try:
        if schema.get("type") != "object" and "$ref" not in schema:
            raise _Found("the top level of a schema must be of type 'object'")
        walk.node(schema, ())
        if walk.unions > MAX_UNIONS:
            raise _Found(
                f"Schemas contains too many parameters with union types ({walk.unions} parameters with type arrays or "
                f"anyOf). Reduce the number of nullable or union-typed parameters (limit: {MAX_UNIONS})."
            )
        if walk.optional > MAX_OPTIONAL:
            raise _Found(
                f"Schemas contains too many optional parameters ({walk.optional}), which would make grammar "
                f"compilation inefficient. Reduce the number of optional parameters (limit: {MAX_OPTIONAL})."
            )
    except _Found as found:
        return str(found)
    except (TypeError, AttributeError, RecursionError):
        return "schema is malformed: a keyword has a value of the wrong type, or it is nested without end."
    return None


class _Walk:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.unions = 0
        self.optional = 0

    def node(self, schema: Any, open_references: tuple[str, ...]) -> None:
        if not isinstance(schema, dict):
            raise _Found("a schema must be an object")
        if "$ref" in schema:
            self._reference(schema["$ref"], open_references)
            return
        kinds = schema.get("type")
        kinds = kinds if isinstance(kinds, list) else [] if kinds is None else [kinds]
        for kind in kinds:
            if kind not in _TYPES:
                raise _Found(f"'{kind}' is not a valid type")
        allowed = _COMMON.union(*(_OF_TYPE.get(kind, ()) for kind in kinds))
        if unknown := sorted(set(schema) - allowed):
            kind = next((kind for kind in kinds if kind != "null"), "any")
            raise _Found(f"For '{kind}' type, properties {', '.join(unknown)} are not supported")
        if not kinds and schema.keys().isdisjoint({"enum", "const", "anyOf", "allOf"}):
            raise _Found("Schema must have a 'type', 'anyOf' or 'allOf' field, or an 'enum' or 'const'")
        self.unions += len(kinds) > 1 or "anyOf" in schema
        self._literals(schema)
        for keyword in ("anyOf", "allOf"):
            for branch in schema.get(keyword, ()):
                self.node(branch, open_references)
        if "object" in kinds:
            self._object(schema, open_references)
        if "array" in kinds:
            if schema.get("minItems", 0) not in (0, 1):
                raise _Found("For 'array' type, 'minItems' values other than 0 or 1 are not supported")
            if "items" in schema:
                self.node(schema["items"], open_references)

    def _reference(self, reference: Any, open_references: tuple[str, ...]) -> None:
        if reference in open_references or reference == "#":
            raise _Found(f"Recursive schemas are not supported: '{reference}' refers to itself")
        part = resolve(self.root, reference)
        if part is None:
            raise _Found(f"'{reference}' was not found in the schema")
        self.node(part, (*open_references, reference))

    def _literals(self, schema: dict[str, Any]) -> None:
        values = [*schema.get("enum", ()), schema.get("const")]
        if any(isinstance(value, (dict, list)) for value in values):
            raise _Found("'enum' and 'const' may hold strings, numbers, booleans and null only")
        if "enum" in schema and not schema["enum"]:
            raise _Found("'enum' must hold at least one value")
        if "format" in schema and schema["format"] not in _FORMATS:
            raise _Found(f"For 'string' type, format '{schema['format']}' is not supported")

    def _object(self, schema: dict[str, Any], open_references: tuple[str, ...]) -> None:
        if schema.get("additionalProperties") is not False:
            raise _Found("For 'object' type, 'additionalProperties' must be explicitly set to false")
        properties = schema.get("properties", {})
        self.optional += len(set(properties) - set(schema.get("required", ())))
        for part in properties.values():
            self.node(part, open_references)
