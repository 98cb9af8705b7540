"""An Enrichment as the text of a commented YAML file that means exactly the same.

What stays true: the text is read again before it is given away, and refused unless it gives an equal declaration with
equal recipes, so that running the file asks nothing that the Enrichment has answered; everything that is not a default
is written, whatever keys a declaration may come to have; a comment can hold any text and stays a comment.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inlay.errors import SpecError
from inlay.spec.load import load_text
from inlay.spec.model import Enrichment, ModelSpec, PassSpec
from inlay.spec.named import SAID_ONCE
from inlay.spec.problems import join_key
from inlay.spec.prompt import Prompt
from inlay.spec.resolve import resolve
from inlay.spec.schema import COMMENT

_WIDTH = 110
_LONGEST_KEY = 1000  # YAML looks for the colon of a plain key within 1,024 characters
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60))
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./|-]*(?: [A-Za-z0-9_./|][A-Za-z0-9_./|-]*)*")
_LENGTH_OF_TIME = re.compile(r"[0-9]+[smhdw]")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
# What YAML does not take as it is, or takes for a line break.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SIMPLE_LABEL = re.compile(r"[A-Za-z0-9_]+(?:[ -][A-Za-z0-9_]+)*")
# Read as they stand, without `${VAR}`.
_LITERAL = re.compile(
    r"passes\[\d+\]\.(?:prompt|fields)\b|(?:source|output)\.connection$|load\.into$|store$"
    r"|(?:after|on_change)\[\d+\]\.webhook$"
)


def heading() -> list[str]:
    """The first lines of every file that is written: the one by which editors find the schema."""
    return [COMMENT, ""]


def write(
    enrichment: Enrichment,
    *,
    header: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
    footer: Sequence[str] = (),
) -> str:
    """YAML text of a declaration. `header` and `footer` are lines of comment; `notes` are comments by key path
    (`source.key`, `passes[0].prompt`), beside the key or above it. Raises SpecError for what YAML cannot say."""
    document = _document(enrichment)
    lines = [*heading(), *(_comment(line) for line in header)]
    apart = False
    for name, value in document.items():
        if apart or (isinstance(value, dict | list) and lines):
            lines.append("")
        apart = isinstance(value, dict | list)
        lines += _entry(name, value, "", name, notes or {})
    if footer:
        lines += ["", *(_comment(line) for line in footer)]
    text = "\n".join(lines) + "\n"
    _check(enrichment, text)
    return text


def _check(enrichment: Enrichment, text: str) -> None:
    wanted = resolve(enrichment)
    read = load_text(text, folder=enrichment.folder, env={}, addresses=False)
    same = read.model_dump() == wanted.model_dump() and all(
        one.recipe("") == other.recipe("") for one, other in zip(read.passes, wanted.passes, strict=True)
    )
    if not same:
        name = next(
            (name for name in type(wanted).model_fields if getattr(read, name) != getattr(wanted, name)), "passes"
        )
        raise SpecError("this cannot be said in a YAML file", key=name, remedy="keep it as an Enrichment in Python")


# --- what is written -------------------------------------------------------------------------------------------------


def _document(enrichment: Enrichment) -> dict[str, Any]:
    """The keys of the file with plain values."""
    data = enrichment.model_dump(exclude_defaults=True)
    source = data["source"]
    if source.pop("content_key", False):
        source["key"] = "*"
    for name in ("files", "key"):
        if not isinstance(source[name], str) and len(source[name]) == 1:
            source[name] = source[name][0]
    data["passes"] = [
        _pass(part, spec, enrichment.models)
        for part, spec in zip(data["passes"], resolve(enrichment).passes, strict=True)
    ]
    if "models" in data:
        last = data.pop("passes")
        short = {name: part["model"] if part.keys() == {"model"} else part for name, part in data.pop("models").items()}
        data |= {"models": short, "passes": last}
    if set(data.get("budget") or ()) == {"usd"}:
        data["budget"] = data["budget"]["usd"]
    return {name: value for name, value in data.items() if value not in ({}, None)}


def _pass(data: dict[str, Any], spec: PassSpec, models: Mapping[str, ModelSpec]) -> dict[str, Any]:
    data.pop("upstream", None)
    data.pop("lead", None)
    if data.pop("named", None):
        _unsay(data, models[spec.named].model_dump(exclude_defaults=True))
    if spec.named:
        data["model"] = spec.named
    if "inputs" in data and spec.inputs == Prompt.compile(spec.prompt).columns:
        del data["inputs"]
    if "ttl_s" in data:
        data["ttl"] = _duration(data.pop("ttl_s"))
    data["fields"] = {name: _field(part) for name, part in data["fields"].items()}
    last = {name: data.pop(name) for name in ("prompt", "fields")}
    return {"name": data.pop("name"), "model": spec.model, **data, **last}


def _unsay(data: dict[str, Any], named: dict[str, Any]) -> None:
    """Take out of a pass what the name of its model says already."""
    for key in SAID_ONCE:
        if key in data and data[key] == named.get(key):
            del data[key]
    said = named.get("options", {})
    if own := {key: value for key, value in data.pop("options", {}).items() if key not in said or said[key] != value}:
        data["options"] = own


def _duration(seconds: float) -> str:
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{_number(seconds)}s"


def _field(data: dict[str, Any]) -> Any:
    """The shortest form of a field that means the same."""
    if not data:
        return "string"
    out = {"type": data.get("type", "string")} if data.get("type") not in (None, "enum") else {}
    out |= {name: value for name, value in data.items() if name != "type"}
    if out.keys() == {"type"}:
        return out["type"]
    several = out.keys() == {"values"} and len(out["values"]) > 1
    if several and all(_SIMPLE_LABEL.fullmatch(label) for label in out["values"]):
        return "|".join(out["values"])
    for name, form in (("items", _field), ("fields", _fields)):
        if name in out:
            out[name] = form(out[name])
    if out.keys() == {"type", "items"} and isinstance(out["items"], str) and "|" not in out["items"]:
        return f"list[{out['items']}]"
    return out


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    return {name: _field(part) for name, part in data.items()}


# --- how it is written -----------------------------------------------------------------------------------------------


def _entry(name: str, value: Any, indent: str, path: str, notes: Mapping[str, str]) -> Iterator[str]:
    """The lines of one key with its value."""
    written = _text(name)
    head = f"{indent}{written}:"
    if len(written) > _LONGEST_KEY:
        yield f"{indent}? {written}"
        head = f"{indent}:"
    note = notes.get(path)
    block = _block(_said(value, path), indent + "  ") if isinstance(value, str) and "\n" in value else None
    flow = None if block is not None or _wants_lines(path, value, notes) else f"{head} {_flow(value, path)}"
    if flow is not None and (len(flow) <= _WIDTH or not value or not isinstance(value, dict | list)):
        yield flow if note is None else f"{flow}  {_comment(note)}"
        return
    if note is not None:
        yield indent + _comment(note)
    if block is not None:
        yield f"{head} {block[0]}"
        yield from block[1:]
        return
    yield head
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from _entry(part, inner, indent + "  ", join_key(path, part), notes)
        return
    for index, inner in enumerate(value):
        if index and isinstance(inner, dict):
            yield ""
        yield from _item(inner, indent + "  ", join_key(path, index), notes)


def _item(value: Any, indent: str, path: str, notes: Mapping[str, str]) -> Iterator[str]:
    """The lines of one item of a list."""
    if not isinstance(value, dict) or not value:
        yield f"{indent}- {_flow(value, path)}"
        return
    mark = "- "
    for name, inner in value.items():
        for line in _entry(name, inner, indent + "  ", join_key(path, name), notes):
            yield indent + mark + line[len(indent) + 2 :] if mark == "- " and line.strip()[:1] != "#" else line
            if line.strip()[:1] != "#":
                mark = ""


_SECTIONS = re.compile(
    r"(?:source|select|output|failures|limits|models|batch|passes|passes\[\d+\]|passes\[\d+\]\.fields)"
)


def _wants_lines(path: str, value: Any, notes: Mapping[str, str]) -> bool:
    """Whether a value is laid out line by line, however short it is."""
    if not isinstance(value, dict | list) or not value:
        return False
    return _SECTIONS.fullmatch(path) is not None or any(key.startswith((f"{path}.", f"{path}[")) for key in notes)


def _flow(value: Any, path: str) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(name))}: {_flow(part, path)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(part, path) for part in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, dt.date):
        return _text(value.isoformat())
    return _text(_said(str(value), path))


def _said(text: str, path: str) -> str:
    """A text as the file holds it: where variables are filled in, `${` is written so that it stays."""
    return text if _LITERAL.match(path) else text.replace("${", "$${")


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(value)


def _text(text: str) -> str:
    """A text, in quotes unless every reader of YAML takes it for a text without them."""
    if _LENGTH_OF_TIME.fullmatch(text) or (_PLAIN.fullmatch(text) and text.casefold() not in _WORDS):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _block(text: str, indent: str) -> list[str] | None:
    """A text of several lines as a `|` block, or None where a block would not give it back exactly."""
    body = text.removesuffix("\n")
    lines = body.split("\n")
    if not body or body.endswith("\n") or _ESCAPED.search(body.replace("\n", "")):
        return None
    if lines[0][:1] in ("", " ") or any(line != line.rstrip() for line in lines):
        return None
    return ["|" if text.endswith("\n") else "|-", *(f"{indent}{line}" if line else "" for line in lines)]


def _comment(text: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text)
    return f"# {shown}".rstrip()
