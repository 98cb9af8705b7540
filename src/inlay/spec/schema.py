"""The JSON Schema of the declaration file, for editors: made from the models, the short forms and the keys' sentences.

The file keeps scalars as the text that stands in it, so a number, `true` or `${VAR}` is welcome where text is, and a
quoted number where a number is. What stays true: whatever the loader takes, the schema takes (property-tested); the
schema refuses unknown keys, wrong shapes and wrong words, and leaves what needs the whole file to the loader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from inlay.spec.fields import FIELD_TYPES, FieldSpec
from inlay.spec.forms import DURATION_PATTERN
from inlay.spec.keys import keys_of, models
from inlay.spec.model import ActionSpec, Enrichment, LoadSpec, ModelSpec, PassSpec, SourceSpec
from inlay.spec.rules import RuleSpec

Node = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:inlay:declaration"
# Where it is kept beside a declaration, and the first line by which editors find it there.
SCHEMA_FILE = ".inlay/inlay.schema.json"
COMMENT = f"# yaml-language-server: $schema={SCHEMA_FILE}"

_VARIABLE: Node = {"type": "string", "pattern": r"\$\{"}
TEXT: Node = {"type": ["string", "number", "boolean"]}
_NULL: Node = {"type": "null"}
_NUMERIC: Node = {"type": "string", "pattern": r"^\s*[-+.0-9][-+.0-9eE_]*\s*$|\$\{"}
_SWITCHES = r"^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy]([Ee][Ss])?|[Nn][Oo]?|[Oo][Nn]|[Oo][Ff][Ff]|[TtFf01])$"
_SWITCH: list[Node] = [{"type": "boolean"}, {"enum": [0, 1]}, {"type": "string", "pattern": _SWITCHES + r"|\$\{"}]
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

_LABELS: Node = {"type": "array", "minItems": 1, "items": TEXT}
_WHOLE_TYPES = [name for name in FIELD_TYPES if name not in ("enum", "object")]
_WRITTEN_TYPE: Node = {
    "type": "string",
    "pattern": r"^\s*(list\s*\[[\s\S]*\]|enum\s*\([\s\S]*\)|[\s\S]*\|[\s\S]*|(" + "|".join(FIELD_TYPES) + r"))\s*$",
}
_TYPE: list[Node] = [{"enum": [*FIELD_TYPES, "list[string]"]}, _WRITTEN_TYPE]

# What the file may write beside the model's own form; a test holds that every short form of the loader is here.
SHORT: Mapping[tuple[type[BaseModel], str], list[Node]] = {
    (Enrichment, "budget"): [{"type": "number", "minimum": 0}, _NUMERIC],
    (Enrichment, "output"): [TEXT],
    (Enrichment, "models"): [],  # `provider:name` in the place of a model's keys
    (SourceSpec, "files"): [TEXT],
    (SourceSpec, "key"): [TEXT],
    (PassSpec, "prompt"): [_NULL],
    (PassSpec, "rules"): [],  # `reason` inside `set`, which takes any name
    (Enrichment, "load"): [TEXT],
    (LoadSpec, "tables"): [TEXT],
    (LoadSpec, "protect"): [TEXT],
    (ActionSpec, "command"): [TEXT],
    (ActionSpec, "when"): [TEXT],
    (RuleSpec, "by"): [TEXT, {"type": "array", "minItems": 1, "items": TEXT}],
}
# Keys whose form in the file takes the place of the model's.
WRITTEN: Mapping[tuple[type[BaseModel], str], Node] = {
    (PassSpec, "prompt_file"): {"anyOf": [TEXT, _NULL]},
    (PassSpec, "ttl"): {"anyOf": [{"type": "string", "pattern": f"^{DURATION_PATTERN}$|\\$\\{{"}, _NULL]},
    (FieldSpec, "type"): {"anyOf": _TYPE},
}
# Parts that the file may also write as a text.
_SHORTER = {FieldSpec.__name__: "Field", ModelSpec.__name__: "Model"}
# A pass says what it asks in one of two ways.
_EITHER: Mapping[type[BaseModel], tuple[str, ...]] = {PassSpec: ("prompt", "prompt_file")}


def schema() -> Node:
    """The JSON Schema (draft 2020-12) of a declaration file, as plain values. Made anew each time, in under 0.1 s."""
    raw = Enrichment.model_json_schema()
    found = {model.__name__: _section(model, raw["$defs"].get(model.__name__, raw)) for model in models()}
    top = found.pop(Enrichment.__name__)
    # A field is written as a type, as labels, or with keys of its own.
    found["Field"] = {
        "anyOf": [
            {"enum": [*_WHOLE_TYPES, "list[string]"]},
            _WRITTEN_TYPE,
            _LABELS,
            {"$ref": "#/$defs/FieldSpec"},
        ]
    }
    found["Model"] = {"anyOf": [dict(TEXT), {"$ref": "#/$defs/ModelSpec"}]}
    return {"$schema": DIALECT, "$id": ID, "title": "Inlay declaration", **top, "$defs": found}


def _section(model: type[BaseModel], raw: Node) -> Node:
    """One part of the file: its keys, each with what it means."""
    properties: Node = {}
    required = []
    either = _EITHER.get(model, ())
    for key in keys_of(model):
        node = WRITTEN.get((model, key.name)) or _loosened(raw["properties"][key.name])
        short = SHORT.get((model, key.name))
        if short is not None:
            node = _any_of([*_choices(node), *short])
        properties[key.name] = {"description": key.meaning, **node}
        if isinstance(key.default, str | int | float) and key.default != "":
            properties[key.name]["default"] = key.default
        if key.required and key.name not in either:
            required.append(key.name)
    meaning = raw.get("description", "").partition("\n")[0].partition(". ")[0].rstrip(".")
    out: Node = {"type": "object", "description": f"{meaning}.", "properties": properties}
    if required:
        out["required"] = required
    if either:
        out["anyOf"] = [{"required": [name]} for name in either]
    return {**out, "additionalProperties": False}


def _loosened(node: Node) -> Node:
    """A type of pydantic's as the file may write it."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        return {"$ref": f"#/$defs/{_SHORTER.get(name, name)}"}
    if "anyOf" in node:
        return _any_of([part for choice in node["anyOf"] for part in _choices(_loosened(choice))])
    if "enum" in node or "const" in node:
        return {"anyOf": [{"enum": node.get("enum") or [node["const"]]}, _VARIABLE]}
    kind = node.get("type")
    if kind == "string":
        pattern = node.get("pattern")
        return dict(TEXT) if pattern is None else {**TEXT, "pattern": f"({pattern})|\\$\\{{"}
    if kind in ("integer", "number"):
        return {"anyOf": [{"type": kind, **{name: node[name] for name in _BOUNDS if name in node}}, _NUMERIC]}
    if kind == "boolean":
        return {"anyOf": _SWITCH}
    if kind == "null":
        return dict(_NULL)
    if kind == "array":
        sizes = {name: node[name] for name in ("minItems", "maxItems") if name in node}
        return {"type": "array", **sizes, "items": _loosened(node.get("items", {}))}
    if kind == "object":
        return _mapping(node)
    return {}


def _mapping(node: Node) -> Node:
    out: Node = {"type": "object"}
    if "minProperties" in node:
        out["minProperties"] = node["minProperties"]
    if "patternProperties" in node:
        out["patternProperties"] = {name: _loosened(part) for name, part in node["patternProperties"].items()}
        out["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _loosened(node["additionalProperties"])
    return out


def _choices(node: Node) -> list[Node]:
    return node["anyOf"] if node.keys() == {"anyOf"} else [node]


def _any_of(choices: list[Node]) -> Node:
    """One of several, each once."""
    unique: list[Node] = []
    for choice in choices:
        if choice not in unique:
            unique.append(choice)
    return unique[0] if len(unique) == 1 else {"anyOf": unique}
