"""The short forms of the YAML file, turned into the full ones that the models know.

A table a section: key -> function that rewrites it in place. A new short form is a new line here. What stays true:
a full form passes through unchanged, and after a mistake a valid stand-in is left, so that it is reported once.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inlay.spec.document import MAX_BYTES, decode
from inlay.spec.fields import FIELD_TYPES
from inlay.spec.problems import Problems, join_key, show_text, show_value, suggest
from inlay.spec.resolve import PromptPlace

DURATION_PATTERN = r"\s*([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([smhdw])\s*"
_DURATION = re.compile(DURATION_PATTERN)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LIST = re.compile(r"list\s*\[(.*)\]", re.DOTALL)
_MAX_LISTS = 8
_ENUM = re.compile(r"enum\s*\((.*)\)", re.DOTALL)


class _Mistake(Exception):
    """(message, remedy) of a text that is no short form."""


@dataclass
class Forms:
    """What the forms need to know: where relative paths start, where mistakes go, where prompts stand."""

    problems: Problems
    folder: Path
    places: dict[str, PromptPlace] = field(default_factory=dict)


def expand_forms(data: dict[str, Any], forms: Forms) -> None:
    """Rewrite every short form of a declaration in place."""
    _apply(_TOP, data, "", forms)
    passes = data.get("passes")
    for index, item in enumerate(passes if isinstance(passes, list) else ()):
        if isinstance(item, dict):
            _apply(_PASS, item, f"passes[{index}]", forms)


def _apply(table: dict[str, Form], data: dict[str, Any], path: str, forms: Forms) -> None:
    for key, form in table.items():
        if key in data:
            form(data, join_key(path, key), forms)


Form = Callable[[dict[str, Any], str, Forms], None]


def _budget(data: dict[str, Any], key: str, forms: Forms) -> None:
    if isinstance(data["budget"], str):
        data["budget"] = {"usd": data["budget"]}


def _models(data: dict[str, Any], key: str, forms: Forms) -> None:
    named = data["models"]
    for name, model in named.items() if isinstance(named, dict) else ():
        if isinstance(model, str):
            named[name] = {"model": model}


def _output(data: dict[str, Any], key: str, forms: Forms) -> None:
    if isinstance(data["output"], str):
        data["output"] = {"files": data["output"]}


def _load(data: dict[str, Any], key: str, forms: Forms) -> None:
    if isinstance(data["load"], str):
        data["load"] = {"dump": data["load"]}


def _ttl(data: dict[str, Any], key: str, forms: Forms) -> None:
    value = data.pop("ttl")
    if value is None:
        return
    try:
        data["ttl_s"] = duration_s(value)
    except ValueError:
        remedy = "write a number and a unit: 90s, 15m, 12h, 30d, 4w"
        forms.problems.add(f"expected a length of time above zero, got {show_value(value)}", key, remedy=remedy)


def duration_s(value: Any) -> float:
    """`90s`, `15m`, `12h`, `30d` or `4w` in seconds. Raises ValueError for anything else, zero included."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found[1]) == 0:
        raise ValueError(value)
    return float(found[1]) * _SECONDS[found[2]]


def _prompt_file(data: dict[str, Any], key: str, forms: Forms) -> None:
    name = data.pop("prompt_file")
    if name is None:
        return
    prompt = key.removesuffix("_file")
    if data.get("prompt") is not None:
        forms.problems.add("give `prompt` or `prompt_file`, not both", key)
        return
    data["prompt"] = ""
    if not isinstance(name, str):
        forms.problems.add(f"expected the path of a text file, got {show_value(name)}", key)
        forms.problems.mute(prompt)
    elif (text := read_text(name, key, forms)) is not None:
        data["prompt"] = text
        forms.problems.lines.setdefault(prompt, forms.problems.line_of(key) or 1)
        forms.places[prompt] = PromptPlace(str(forms.folder / name), 1, True)
    else:
        forms.problems.mute(prompt)


def read_text(name: str, key: str, forms: Forms) -> str | None:
    """A text file that the declaration names, or None with the mistake recorded. At most MAX_BYTES, UTF-8."""
    path = forms.folder / name
    add = forms.problems.add
    shown = show_text(name, 200)
    try:
        if not path.exists():
            siblings = sorted(other.name for other in path.parent.iterdir())[:500] if path.parent.is_dir() else []
            remedy = suggest(path.name, siblings, what=f"in {show_text(str(path.parent), 200)}")
            add(f"there is no file `{shown}`", key, remedy=remedy or "paths start in the declaration's folder")
            return None
        if not path.is_file():
            add(f"`{shown}` is not a file", key, remedy="give the path of a text file")
            return None
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        add(f"cannot read `{shown}`: {show_text(why or type(error).__name__)}", key)
        return None
    if len(data) > MAX_BYTES:
        add(f"`{shown}` is larger than {MAX_BYTES:,} bytes", key)
        return None
    inner = Problems(path)
    text = decode(data, inner, what=f"`{shown}`")
    if (error := inner.error()) is not None:
        problem = error.problems[0]
        add(problem.message, key, file=path, line=problem.line, remedy=problem.remedy)
        return None
    return text


# ---- fields


def _fields(data: dict[str, Any], key: str, forms: Forms) -> None:
    fields = data["fields"]
    if isinstance(fields, dict):
        for name, value in fields.items():
            fields[name] = field_form(value, join_key(key, name), forms)


def field_form(value: Any, key: str, forms: Forms) -> Any:
    """The full form of a field: `integer`, `list[string]`, `a|b|c`, `[a, b]` or keys with such a type."""
    try:
        if isinstance(value, str):
            return parse_type(value)
        if isinstance(value, list):
            return {"type": "enum", "values": value}
        if not isinstance(value, dict):
            raise _Mistake(f"expected a type or keys, got {show_value(value)}", f"types: {', '.join(FIELD_TYPES)}")
    except _Mistake as mistake:
        forms.problems.add(mistake.args[0], key, remedy=mistake.args[1])
        return {"type": "string"}
    return _full_field(value, key, forms)


def _full_field(value: dict[str, Any], key: str, forms: Forms) -> dict[str, Any]:
    out = dict(value)
    kind = out.get("type")
    if isinstance(kind, str):
        try:
            implied = parse_type(kind)
        except _Mistake as mistake:
            forms.problems.add(mistake.args[0], f"{key}.type", remedy=mistake.args[1])
            return {"type": "string"}
        for name, part in implied.items():
            if name != "type" and out.get(name) is not None:
                forms.problems.add(
                    f"`type: {show_text(kind)}` already says `{name}`", f"{key}.{name}", remedy="give it once"
                )
            out[name] = part
    elif "type" not in out:
        out["type"] = _implied_type(out)
    if "values_file" in out:
        _values_file(out, f"{key}.values_file", forms)
    for bound in ("min", "max"):
        if out.get(bound) is not None:
            out[bound] = _bound(out[bound], str(out["type"]), f"{key}.{bound}", forms)
    if out.get("items") is not None and out["items"] is value.get("items"):
        out["items"] = field_form(out["items"], f"{key}.items", forms)
    if "fields" in out:
        _fields(out, f"{key}.fields", forms)
    return out


def _implied_type(field_keys: dict[str, Any]) -> str:
    for name, kind in (("values", "enum"), ("values_file", "enum"), ("items", "list"), ("fields", "object")):
        if name in field_keys:
            return kind
    return "string"


def parse_type(text: str, depth: int = 0) -> dict[str, Any]:
    """A type written as text; the keys it stands for. Raises _Mistake with message and remedy."""
    text = text.strip()
    if (inner := _LIST.fullmatch(text)) is not None:
        if depth == _MAX_LISTS:
            raise _Mistake(f"more than {_MAX_LISTS} lists in each other", "models lose count: flatten it")
        return {"type": "list", "items": parse_type(inner[1], depth + 1)}
    if (inner := _ENUM.fullmatch(text)) is not None:
        return _labels(text, inner[1].split(","))
    if "|" in text:
        return _labels(text, text.split("|"))
    if text not in FIELD_TYPES:
        types = (*FIELD_TYPES, "list[string]", "list[enum(a, b)]", "a|b|c")
        raise _Mistake(f"unknown type {show_value(text)}", suggest(text, types, what="types"))
    return {"type": text}


def _labels(text: str, parts: list[str]) -> dict[str, Any]:
    labels = [part.strip() for part in parts]
    if not all(labels):
        raise _Mistake(f"a label is empty in {show_value(text)}", "write it like `positive|neutral|negative`")
    return {"type": "enum", "values": labels}


def _values_file(out: dict[str, Any], key: str, forms: Forms) -> None:
    name = out.pop("values_file")
    if name is None:
        return
    if out.get("values"):
        forms.problems.add("give `values` or `values_file`, not both", key)
        return
    out["values"] = ["-"]  # stands in until the file is read
    if not isinstance(name, str):
        forms.problems.add(f"expected the path of a text file, got {show_value(name)}", key)
        return
    text = read_text(name, key, forms)
    if text is None:
        return
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        value = raw.strip()
        if value in seen:
            message = f"`{show_text(value)}` already stands in line {seen[value]}"
            forms.problems.add(message, key, file=forms.folder / name, line=number, remedy="take one of the two out")
        elif value:
            seen[value] = number
    if seen:
        out["values"] = list(seen)
    else:
        forms.problems.add(f"`{show_text(name, 200)}` holds no values", key, remedy="write one value a line")


def _bound(value: Any, kind: str, key: str, forms: Forms) -> Any:
    """`min` or `max` as the type of its field; 0 stands in for what cannot be read."""
    expected, read = _BOUNDS.get(kind, ("", None))
    if read is None:
        return 0  # the model says to which types a bound belongs
    try:
        if isinstance(value, str):
            return read(value.strip())
    except (ValueError, OverflowError):
        pass
    forms.problems.add(f"expected {expected}, got {show_value(value)}", key)
    return None


def _whole(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,30}", text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> int | float:
    if not re.fullmatch(r"[-+]?[0-9.]{1,40}(?:[eE][-+]?[0-9]{1,3})?", text):
        raise ValueError(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return int(text) if re.fullmatch(r"[-+]?[0-9]+", text) else number


_BOUNDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "integer": ("a whole number", _whole),
    "number": ("a number", _number),
    "date": ("a date like 2024-12-31", dt.date.fromisoformat),
    "datetime": ("a date and time like 2024-12-31T23:59:00", dt.datetime.fromisoformat),
}


def _rules(data: dict[str, Any], key: str, forms: Forms) -> None:
    """`reason` written inside `set` stands for `null_reason` beside it, unless the pass has such a field."""
    fields = data.get("fields")
    rules = data["rules"]
    for rule in rules if isinstance(rules, list) else ():
        given = rule.get("set") if isinstance(rule, dict) else None
        if isinstance(given, dict) and "reason" in given and not (isinstance(fields, dict) and "reason" in fields):
            rule.setdefault("null_reason", given.pop("reason"))


_TOP: dict[str, Form] = {"budget": _budget, "output": _output, "models": _models, "load": _load}
_PASS: dict[str, Form] = {"ttl": _ttl, "prompt_file": _prompt_file, "fields": _fields, "rules": _rules}
