"""What a schema means, whichever provider's subset it was lowered to: one form for all, from which answers are drawn.

A limit that a subset cannot say stands in a description, as `{minimum: 1}` or in Inlay's own words ("From 1 to 5."),
and comes back as a keyword; a union with null has one form, and so has a property that may be left out. What stays
true: a schema of Inlay's own comes out the same from every wire, so that the same record gets the same answer and
counts the same tokens everywhere; the strict form that OpenAI takes comes out as it went in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NOTED = re.compile(
    r"(?:^|, )(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minItems|maxItems|pattern|format|"
    r"minLength|maxLength|uniqueItems|default|title): "
)
_NOTE = re.compile(r"(?:^|\s*\n\n)\{([a-zA-Z]+: .*)\}$", re.DOTALL)
_NUMERIC = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_WHOLE = frozenset({"minItems", "maxItems"})
_RANGE = re.compile(
    rf"(?:^|[.!?:;。！？؟] )(?:From ({_NUMBER}) to ({_NUMBER})|At least ({_NUMBER})|At most ({_NUMBER}))\.$"
)
_ITEMS = re.compile(r"(?:^|[.!?:;。！？؟] )At most (\d+) items\.$")
_WRAPPER = frozenset({"evidence", "value", "confidence"})
_JSON_NAMES: tuple[tuple[type, str], ...] = ((bool, "boolean"), (str, "string"), (int, "integer"), (float, "number"))


def meant(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in the one form; what is no schema comes back as it is."""
    try:
        found = _node(schema, "", "")
    except (TypeError, AttributeError, ValueError, KeyError, RecursionError):
        return schema
    return found if isinstance(found, dict) else schema


def without_absent(value: Any, schema: Any) -> Any:
    """The value without the nulls that stand, in the one form, for properties that may be left out."""
    if isinstance(value, list) and isinstance(schema, dict):
        return [without_absent(part, schema.get("items")) for part in value]
    if not isinstance(value, dict) or not isinstance(schema, dict):
        return value
    for branch in schema.get("anyOf") or ():
        if isinstance(branch, dict) and "properties" in branch:
            schema = branch
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    return {
        name: without_absent(part, properties.get(name))
        for name, part in value.items()
        if part is not None or name in required or name not in properties or _nullable(properties[name])
    }


def may_be_absent(schema: Any) -> bool:
    """Whether any property in the schema may be left out without being allowed to be null."""
    if isinstance(schema, list):
        return any(map(may_be_absent, schema))
    if not isinstance(schema, dict):
        return False
    properties = schema.get("properties")
    required = schema.get("required") or ()
    if isinstance(properties, dict) and any(
        name not in required and not _nullable(part) for name, part in properties.items()
    ):
        return True
    return any(map(may_be_absent, schema.values()))


def _node(schema: Any, name: str, above: str) -> Any:
    """One node; `above` is the description of the wrapper around a value."""
    if not isinstance(schema, dict) or "$ref" in schema:
        return schema
    out = {key: value for key, value in schema.items() if key not in ("title", "$schema", "default")}
    _from_note(out)
    _with_type(out)
    _one_union(out, name)
    kinds = out.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "integer" in kinds or "number" in kinds:
        _from_words(out, name, above)
    if "array" in kinds and "items" in out:
        if "maxItems" not in out and (found := _ITEMS.search(f"{out.get('description', '') or above}")):
            out["maxItems"] = int(found[1])
        out["items"] = _node(out["items"], "", "")
    if "anyOf" in out:
        about = out.get("description", above)
        out["anyOf"] = [_node(branch, name, about) for branch in out["anyOf"]]
    if isinstance(out.get("properties"), dict):
        _object(out)
    for keyword in ("$defs", "definitions"):
        if isinstance(out.get(keyword), dict):
            out[keyword] = {key: _node(part, "", "") for key, part in out[keyword].items()}
    return out


def _object(out: dict[str, Any]) -> None:
    properties = out["properties"]
    required = out.get("required") or ()
    about = out.get("description", "") if set(properties) <= _WRAPPER else ""
    parts = {}
    for name, part in properties.items():
        part = _node(part, name, about if name == "value" else "")
        parts[name] = part if name in required else _or_null(part)
    out["properties"], out["required"] = parts, list(parts)


def _from_note(out: dict[str, Any]) -> None:
    """Keywords that stand as `{minimum: 1, maximum: 5}` at the end of the description are keywords again."""
    text = out.get("description")
    if not isinstance(text, str) or (note := _NOTE.search(text)) is None:
        return
    keys = list(_NOTED.finditer(note[1]))
    if not keys or keys[0].start() != 0:
        return
    for index, key in enumerate(keys):
        end = keys[index + 1].start() if index + 1 < len(keys) else len(note[1])
        value = note[1][key.end() : end]
        if key[1] in _NUMERIC and re.fullmatch(_NUMBER, value):
            out.setdefault(key[1], _number(value))
        elif key[1] in _WHOLE and value.isdecimal():
            out.setdefault(key[1], int(value))
        elif key[1] == "pattern":
            out.setdefault("pattern", value)
    rest = text[: note.start()]
    if rest:
        out["description"] = rest
    else:
        del out["description"]


def _from_words(out: dict[str, Any], name: str, above: str) -> None:
    """Bounds that only the description says are keywords again."""
    if any(bound in out for bound in _BOUNDS):
        return
    if name == "confidence":
        out["minimum"], out["maximum"] = 0, 1
        return
    found = _RANGE.search(str(out.get("description", ""))) or _RANGE.search(above)
    if found is not None:
        low, high = found[1] or found[3], found[2] or found[4]
        if low:
            out["minimum"] = _number(low)
        if high:
            out["maximum"] = _number(high)


def _with_type(out: dict[str, Any]) -> None:
    """An enum has the types of its values."""
    values = out.get("enum")
    if "type" in out or not isinstance(values, list) or not values:
        return
    kinds = [name for kind, name in _JSON_NAMES if any(type(value) is kind for value in values)]
    if None in values:
        kinds.append("null")
    out["type"] = kinds if len(kinds) > 1 else kinds[0]


def _one_union(out: dict[str, Any], name: str) -> None:
    """A scalar or null is a list of types; an object or a list or null is a choice of two."""
    branches = out.get("anyOf")
    if isinstance(branches, list) and len(branches) == 2 and {"type": "null"} in branches:
        other = branches[0] if branches[1] == {"type": "null"} else branches[1]
        if isinstance(other, dict) and "$ref" not in other and "const" not in other:
            other = dict(other)
            _with_type(other)
            kind = other.get("type")
            if isinstance(kind, str) and kind not in ("object", "array", "null"):
                del out["anyOf"]
                out.update({**other, **out, "type": [kind, "null"]})
                _from_note(out)
                if "enum" in out and None not in out["enum"]:
                    out["enum"] = [*out["enum"], None]
        return
    kinds = out.get("type")
    if isinstance(kinds, list) and len(kinds) == 2 and "null" in kinds and {"object", "array"} & set(kinds):
        kind = next(kind for kind in kinds if kind != "null")
        inner = {key: value for key, value in out.items() if key != "description"}
        about = {key: value for key, value in out.items() if key == "description"}
        out.clear()
        out.update({**about, "anyOf": [{**inner, "type": kind}, {"type": "null"}]})


def _or_null(schema: Any) -> Any:
    """A property that may be left out may be null instead."""
    if not isinstance(schema, dict) or _nullable(schema):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and kind not in ("object", "array") and "const" not in schema:
        out = {**schema, "type": [kind, "null"]}
        if "enum" in out:
            out["enum"] = [*out["enum"], None]
        return out
    about = {key: value for key, value in schema.items() if key == "description"}
    inner = {key: value for key, value in schema.items() if key != "description"}
    return {**about, "anyOf": [inner, {"type": "null"}]}


def _nullable(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kinds = schema.get("type")
    return (
        kinds == "null"
        or (isinstance(kinds, list) and "null" in kinds)
        or None in (schema.get("enum") or ())
        or any(map(_nullable, schema.get("anyOf") or ()))
    )


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
