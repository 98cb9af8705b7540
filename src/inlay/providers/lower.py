"""A JSON Schema lowered to the strict subset that OpenAI's structured outputs accept.

Every object closed and every property required (one that was optional becomes nullable), `oneOf` written as `anyOf`,
and only the keywords that the subset knows; the rest is dropped. What stays true: lowering only ever widens what an
answer may be, since every answer is checked against the declared fields afterwards; a schema whose shape the subset
cannot express is refused instead of being changed in meaning. Sources: OpenAI's guide to structured outputs, and the
transformer in pydantic-ai.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inlay.errors import SpecError

MAX_PROPERTIES = 5_000
MAX_DEPTH = 10

# Copied as they are. `minLength`, `maxLength`, `uniqueItems`, `default`, `title` and the like are not in the subset.
_KEPT = frozenset(
    [
        "type",
        "description",
        "enum",
        "const",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
    ]
)
_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"])


@dataclass(frozen=True, slots=True)
class Subset:
    """What one provider's strict schemas know: keywords that are copied, formats, and how large a schema may be."""

    provider: str
    keywords: frozenset[str] = _KEPT
    formats: frozenset[str] = _FORMATS
    properties: int = MAX_PROPERTIES
    depth: int = MAX_DEPTH


OPENAI = Subset("the provider")
# Azure's page still states OpenAI's first, tighter subset (December 2025): no pattern, format or bounds.
AZURE = Subset("Azure", frozenset(("type", "description", "enum", "const")), frozenset(), 100, 5)

# Keywords that shape the answer: dropping one would ask for something else.
_SHAPING = ("patternProperties", "prefixItems", "$dynamicRef", "$anchor")


def lower_strict(schema: Mapping[str, Any], subset: Subset = OPENAI) -> dict[str, Any]:
    """The schema in the strict subset, as a new dict; property order is kept, since answers follow it.

    Raises SpecError where the shape cannot be expressed: an open object, a tuple, a root that is no object, more
    properties or levels than the subset has.
    """
    if "anyOf" in schema or "oneOf" in schema or schema.get("type") != "object":
        raise SpecError("the answer schema must be an object at its root", key="fields")
    walk = _Lowering(subset)
    lowered = walk.node(schema, (), 1)
    if walk.properties > subset.properties:
        raise SpecError(
            f"the answer schema has {walk.properties} properties; {subset.provider} takes {subset.properties}",
            key="fields",
            remedy="split the fields over several passes",
        )
    return lowered


class _Lowering:
    def __init__(self, subset: Subset) -> None:
        self.subset = subset
        self.properties = 0

    def node(self, schema: Any, at: tuple[str, ...], depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            raise _inexpressible(at, "is not a schema")
        if depth > self.subset.depth:
            raise SpecError(
                f"{_place(at)} is nested deeper than {self.subset.depth} levels, which {self.subset.provider} does not "
                "take",
                key="fields",
                remedy="flatten the field, or split it over several passes",
            )
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}  # the subset allows nothing beside it
        for keyword in _SHAPING:
            if keyword in schema:
                raise _inexpressible(at, f"uses `{keyword}`")
        if isinstance(parts := schema.get("allOf"), list):
            if len(parts) != 1:
                raise _inexpressible(at, "uses `allOf`")
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            return self.node({**parts[0], **rest}, at, depth)
        lowered = {key: value for key, value in schema.items() if key in self.subset.keywords}
        if _has_lookaround(lowered.get("pattern")):
            del lowered["pattern"]
        if schema.get("format") in self.subset.formats:
            lowered["format"] = schema["format"]
        if (branches := schema.get("anyOf") or schema.get("oneOf")) is not None:
            lowered["anyOf"] = [self.node(branch, (*at, "anyOf"), depth) for branch in branches]
        kinds = schema.get("type")
        if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
            self._object(schema, lowered, at, depth)
        if kinds == "array" or (isinstance(kinds, list) and "array" in kinds):
            # A list without a declared item is a list of strings, here as in a FieldSpec.
            lowered["items"] = self.node(schema.get("items") or {"type": "string"}, (*at, "items"), depth + 1)
        for keyword in ("$defs", "definitions"):
            if keyword in schema:
                lowered[keyword] = {name: self.node(part, (*at, name), 1) for name, part in schema[keyword].items()}
        return lowered

    def _object(self, schema: Mapping[str, Any], lowered: dict[str, Any], at: tuple[str, ...], depth: int) -> None:
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) or (not properties and extra is not False):
            raise _inexpressible(at, "is an object with names of its own choice")
        required = schema.get("required") or ()
        self.properties += len(properties)
        out: dict[str, Any] = {}
        for name, part in properties.items():
            lowered_part = self.node(part, (*at, name), depth + 1)
            out[name] = lowered_part if name in required else _nullable(lowered_part)
        lowered["properties"] = out
        lowered["required"] = list(out)
        lowered["additionalProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The subset has no optional property: one that may be left out may be null instead."""
    kind = schema.get("type")
    if "$ref" in schema or "const" in schema or (kind is None and "anyOf" not in schema):
        return {"anyOf": [schema, {"type": "null"}]}
    if "anyOf" in schema:
        if {"type": "null"} in schema["anyOf"]:
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    kinds = kind if isinstance(kind, list) else [kind]
    out = {**schema, "type": kinds if "null" in kinds else [*kinds, "null"]}
    if "enum" in out and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    return out


def _has_lookaround(pattern: Any) -> bool:
    """True for lookaround and every other Python-only group; the subset's engine knows plain groups only."""
    return isinstance(pattern, str) and "(?" in pattern.replace("(?:", "(")


def _place(at: tuple[str, ...]) -> str:
    return f"the answer schema at `{'.'.join(at)}`" if at else "the answer schema"


def _inexpressible(at: tuple[str, ...], what: str) -> SpecError:
    return SpecError(
        f"{_place(at)} {what}, which the provider's strict schemas cannot express",
        key="fields",
        remedy="declare the names as fields of an object, or ask for a list of objects",
    )
