"""A field in one line, as a command or a call writes it:

    sentiment: positive|neutral|negative
    stars: integer, 1..5 - how satisfied the guest is
    topics: list[string], at most 5
    why: text, evidence, confidence - what makes the guest say so
    wants: {type: list, items: {type: enum, values: [spa, gym]}}

NAME: TYPE, then options, each after a comma, then ` - ` and a description. TYPE is a short form of the declaration;
braces hold its full form. What stays true: a line and the declaration that `--save` writes mean the same; where a line
does not say, a value that is short and can be wrong (a label, a number, a date, yes or no) brings its evidence along:
a few tokens, and every answer can be checked by eye. Longer texts and lists do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from inlay.errors import SpecError
from inlay.spec.document import Node, parse
from inlay.spec.fields import FieldName, FieldSpec
from inlay.spec.forms import Forms, field_form
from inlay.spec.problems import Problems, join_key, show_text, show_value
from inlay.spec.pydantic_fields import fields_of, is_pydantic_class
from inlay.spec.sentences import translate

# Types whose value comes with its evidence where nothing is said.
EVIDENT = frozenset(("enum", "integer", "number", "boolean", "date", "datetime"))

_NAME = TypeAdapter(FieldName)
_WITHIN = ("passes", 0, "fields", "a")  # where a field stands in a declaration
_DESCRIPTION = re.compile(r"\s+[-–—]\s+")
_FORM = "write NAME: TYPE, for example 'stars: integer, 1..5 - how satisfied the guest is'"

Option = Callable[[re.Match[str]], dict[str, Any]]
_OPTIONS: tuple[tuple[re.Pattern[str], Option], ...] = (
    (re.compile(r"evidence"), lambda found: {"evidence": True}),
    (re.compile(r"no evidence"), lambda found: {"evidence": False}),
    (re.compile(r"confidence"), lambda found: {"confidence": True}),
    (re.compile(r"required"), lambda found: {"nullable": False}),
    (re.compile(r"at most (\d{1,9})"), lambda found: {"at_most": found[1]}),
    (re.compile(r"(\S*?)\.\.(\S*)"), lambda found: {"min": found[1] or None, "max": found[2] or None}),
)


def read_lines(lines: Sequence[str], *, key: str = "--field") -> dict[str, FieldSpec]:
    """Fields of lines, in their order. Raises SpecError with every mistake; `key` is what messages call a line."""
    problems = Problems()
    out: dict[str, FieldSpec] = {}
    for line in lines:
        name, mark, text = line.partition(":")
        name = name.strip()
        place = f"{key} {show_text(name)}" if name else key
        if not mark or not name or not text.strip():
            problems.add(f"{show_value(line)} is not a field", key, remedy=_FORM)
            continue
        if name in out:
            problems.add(f"`{show_text(name)}` is given twice", place, remedy="give it once")
            continue
        spec = _one(name, text, place, problems)
        if spec is not None:
            out[name] = spec
    raise_mistakes(problems)
    return out


def read_fields(fields: Any, *, key: str = "fields") -> dict[str, FieldSpec]:
    """Fields as Python gives them: a pydantic class, or names with FieldSpecs, lines without the name (`"a|b"`),
    lists of labels or the keys of a declaration. Raises SpecError with every mistake."""
    if is_pydantic_class(fields):
        return fields_of(fields)
    if not isinstance(fields, Mapping) or not fields:
        raise SpecError(
            f"expected fields by name, got {type(fields).__name__ if fields else 'none'}",
            key=key,
            remedy='write {"sentiment": "positive|neutral|negative"}, or give a pydantic class',
        )
    problems = Problems()
    out: dict[str, FieldSpec] = {}
    for name, value in fields.items():
        place = join_key(key, str(name))
        spec = _one(str(name), value, place, problems)
        if spec is not None:
            out[str(name)] = spec
    raise_mistakes(problems)
    return out


def raise_mistakes(problems: Problems, what: str = "the fields have") -> None:
    """Raise what was found: one mistake by itself, several as a list."""
    error = problems.error()
    if error is None:
        return
    if len(error.problems) == 1:
        raise error.problems[0]
    raise SpecError(f"{what} {len(error.problems)} mistakes:", key=error.key, problems=error.problems)


def _one(name: str, value: Any, key: str, problems: Problems) -> FieldSpec | None:
    before = len(problems.found)
    try:
        _NAME.validate_python(name)
    except ValidationError:
        shape = "letters, digits and _, beginning with a letter or _, at most 63"
        problems.add(f"{show_value(name)} is not a field's name", key, remedy=f"a name is {shape}")
        return None
    if isinstance(value, FieldSpec):
        return value
    if is_pydantic_class(value):
        return _nested(value, key, problems)
    data = _line_form(value, key, problems) if isinstance(value, str) else _full_form(value, key, problems)
    if data is None or len(problems.found) > before:
        return None
    try:
        return FieldSpec.model_validate(data)
    except ValidationError as error:
        translate(error, problems, shown={}, prefix=key, within=_WITHIN)
        return None


def _nested(model: type[BaseModel], key: str, problems: Problems) -> FieldSpec | None:
    try:
        return FieldSpec(type="object", fields=fields_of(model))
    except SpecError as error:
        problems.add(error.message, error.key or key, remedy=error.remedy)
    except ValidationError as error:
        translate(error, problems, shown={}, prefix=key)
    return None


# --- full forms ------------------------------------------------------------------------------------------------------


def _full_form(value: Any, key: str, problems: Problems) -> Any:
    """Keys of a declaration, or a list of labels, given as Python values."""
    return field_form(_as_written(value), key, Forms(problems, Path.cwd()))


def _as_written(value: Any) -> Any:
    """Python values as the texts that a file would hold; FieldSpecs inside as their keys."""
    if isinstance(value, FieldSpec):
        return _as_written(value.model_dump(exclude_defaults=True))
    if isinstance(value, Mapping):
        return {str(name): _as_written(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_written(part) for part in value]
    if value is None or isinstance(value, bool | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _braces(text: str, key: str, problems: Problems) -> Any:
    """YAML keys in braces."""
    inner = Problems()
    root = parse(text, inner)
    if inner.found or root is None:
        for problem in inner.found:
            problems.add(problem.message, key, remedy=problem.remedy)
        return None
    return field_form(_values(root), key, Forms(problems, Path.cwd()))


def _values(node: Node) -> Any:
    if node.kind == "keys":
        return {name.text: _values(value) for name, value in node.pairs}
    if node.kind == "list":
        return [_values(item) for item in node.items]
    return None if node.is_null else node.text


# --- lines -----------------------------------------------------------------------------------------------------------


def _line_form(text: str, key: str, problems: Problems) -> Any:
    """TYPE, options, description."""
    text = text.strip()
    if text.startswith("{"):
        return _braces(text, key, problems)
    kind, *more = _DESCRIPTION.split(text, maxsplit=1)
    said: dict[str, Any] = {}
    while True:
        rest, comma, last = kind.rpartition(",")
        option = _option(last.strip()) if comma else None
        if option is None:
            break
        kind, said = rest, {**option, **said}
    data: dict[str, Any] = {"type": kind, **said}
    limit = data.pop("at_most", None)
    form = field_form(data, key, Forms(problems, Path.cwd()))
    if limit is not None:
        form["max_items" if form.get("type") == "list" else "max_length"] = limit
    if more:
        form["description"] = more[0].strip()
    if form.get("type") in EVIDENT:
        form.setdefault("evidence", True)
    return form


def _option(text: str) -> dict[str, Any] | None:
    for pattern, read in _OPTIONS:
        if (found := pattern.fullmatch(text)) is not None:
            return read(found)
    return None
