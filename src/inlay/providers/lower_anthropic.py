"""A JSON Schema lowered to the subset that Anthropic's structured outputs accept, on its own API and on Bedrock.

No bounds on numbers, lengths or items, no pattern, no recursion; at most 16 properties of several types (a nullable one
is one of them) and 24 that may be left out. What a dropped bound said stands in the description, and every answer is
checked against the declared fields. What stays true: lowering only widens what an answer may be. Sources: the schema
transformer of Anthropic's SDK 2.11, and the limits that pydantic-ai observed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inlay.errors import SpecError
from inlay.providers.lower import Subset, lower_strict

MAX_UNIONS = 16
MAX_OPTIONAL = 24
_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"],
)
ANTHROPIC = Subset("Anthropic", frozenset(("type", "description", "enum", "const")), _FORMATS, 5_000, 10)
# How a quote is asked for (engine.ask): "" says the same as null there.
_QUOTE = "A verbatim quote from the record that supports the value; null if there is none."
_EMPTY_QUOTE = "A verbatim quote from the record that supports the value; empty if there is none."

_Property = tuple[dict[str, Any], str, int]  # the object it is in, its name, how deep


class TooComplex(SpecError):
    """The schema cannot be brought within Anthropic's limits: another way of asking has to do."""


def lower_anthropic(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in Anthropic's subset, as a new dict.

    Beyond 16 nullable properties, quotes become "" instead of null; then properties may be left out instead of null,
    whose reason the answer's list of nulls gives. Raises TooComplex where that is still too much, SpecError for a shape
    that cannot be expressed.
    """
    lowered = lower_strict(_with_patterns_in_words(schema), ANTHROPIC)
    _refuse_recursion(lowered, lowered, ())
    over = _unions(lowered) - MAX_UNIONS
    if over <= 0:
        return lowered
    nullable = list(_nullable(lowered, 0))
    for owner, name, _ in nullable:
        part = owner["properties"][name]
        if over > 0 and part.get("type") == ["string", "null"] and part.get("description") == _QUOTE:
            owner["properties"][name] = {**part, "type": "string", "description": _EMPTY_QUOTE}
            over -= 1
    # The least deep first, and of those the last: what is asked first keeps its plain null.
    left = [entry for entry in _nullable(lowered, 0) if "$ref" not in entry[0]["properties"][entry[1]]]
    left.reverse()
    left.sort(key=lambda entry: entry[2])
    wrappers = {
        id(part): name
        for name, part in lowered["properties"].items()
        if {"confidence", "evidence"} & set(part.get("properties") or ())
    }
    for count, (owner, name, _) in enumerate(left):
        if over <= 0:
            break
        if count >= MAX_OPTIONAL:
            raise TooComplex(
                f"the answer schema has more than {MAX_UNIONS + MAX_OPTIONAL} nullable fields, which Anthropic's "
                "structured outputs do not take",
                key="fields",
                remedy="split the fields over several passes, or say `nullable: false` where a value is always there",
            )
        before = _unions(owner["properties"][name])
        owner["properties"][name] = _without_null(owner["properties"][name])
        if name == "value" and id(owner) in wrappers:  # a value beside its confidence or quote: all of it is left out
            _leave_out(lowered, wrappers[id(owner)])
        else:
            _leave_out(owner, name)
        over -= before - _unions(owner["properties"][name])
    if over > 0:
        raise TooComplex(
            f"the answer schema has more than {MAX_UNIONS} values of several types, which Anthropic's structured "
            "outputs do not take",
            key="fields",
            remedy="split the fields over several passes",
        )
    return lowered


def _leave_out(owner: dict[str, Any], name: str) -> None:
    owner["required"] = [other for other in owner["required"] if other != name]


def _with_patterns_in_words(schema: Any) -> Any:
    """The schema with each pattern in its description; other bounds are described by whoever made the schema."""
    if isinstance(schema, list):
        return [_with_patterns_in_words(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    out = {
        key: value if key in ("enum", "const", "required", "type") else _with_patterns_in_words(value)
        for key, value in schema.items()
    }
    if isinstance(pattern := schema.get("pattern"), str):
        words = f"Matches the regular expression {pattern}"
        told = schema.get("description")
        out["description"] = f"{told} {words}" if isinstance(told, str) and told else words
    return out


def _children(schema: Mapping[str, Any]) -> list[Any]:
    found = list((schema.get("properties") or {}).values()) + list(schema.get("anyOf") or ())
    found += [schema["items"]] if "items" in schema else []
    return found + [part for key in ("$defs", "definitions") for part in (schema.get(key) or {}).values()]


def _refuse_recursion(root: Mapping[str, Any], schema: Mapping[str, Any], open_references: tuple[str, ...]) -> None:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step) if step and isinstance(target, Mapping) else target
        if reference in open_references or target is root or not isinstance(target, Mapping):
            raise SpecError(
                f"the answer schema refers to itself ({reference}), which Anthropic's structured outputs do not take",
                key="fields",
                remedy="write the levels out, as deep as answers can be",
            )
        _refuse_recursion(root, target, (*open_references, reference))
    for child in _children(schema):
        _refuse_recursion(root, child, open_references)


def _unions(schema: Mapping[str, Any]) -> int:
    """How many of its values have several types."""
    kinds = schema.get("type")
    own = (isinstance(kinds, list) and len(kinds) > 1) or "anyOf" in schema
    return own + sum(_unions(child) for child in _children(schema))


def _nullable(schema: dict[str, Any], depth: int) -> list[_Property]:
    """Every required property that may be null, in document order."""
    found: list[_Property] = []
    required = schema.get("required") or ()
    for name, part in (schema.get("properties") or {}).items():
        kinds = part.get("type")
        if name in required and ((isinstance(kinds, list) and "null" in kinds) or {"type": "null"} in _branches(part)):
            found.append((schema, name, depth))
    for child in _children(schema):
        found += _nullable(child, depth + 1)
    return found


def _branches(schema: Mapping[str, Any]) -> list[Any]:
    return list(schema.get("anyOf") or ())


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    out = dict(schema)
    if "anyOf" in out:
        branches = [branch for branch in out.pop("anyOf") if branch != {"type": "null"}]
        return {**branches[0], **out} if len(branches) == 1 else {**out, "anyOf": branches}
    kinds = [kind for kind in out["type"] if kind != "null"]
    out["type"] = kinds[0] if len(kinds) == 1 else kinds
    if "enum" in out:
        out["enum"] = [value for value in out["enum"] if value is not None]
    return out
