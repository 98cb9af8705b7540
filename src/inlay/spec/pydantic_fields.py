"""Fields from a pydantic class: what its annotations and constraints say, said as FieldSpecs.

    class Review(BaseModel):
        sentiment: Literal["positive", "neutral", "negative"] = Field(json_schema_extra={"evidence": True})
        stars: int | None = Field(ge=1, le=5, description="Stars that the guest says they give")

`Optional`, or a default, makes a field nullable; without either a null is no answer. `json_schema_extra` takes
`evidence`, `confidence` and, for a str, `multiline`. What stays true: a type or a constraint that a field cannot say is
a SpecError that names the attribute, never dropped in silence; the class's own validators are Python and are not run.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import decimal
import enum
import inspect
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from inlay.errors import SpecError
from inlay.spec.fields import FieldSpec

_PLAIN: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    decimal.Decimal: "number",
    bool: "boolean",
    dt.date: "date",
    dt.datetime: "datetime",
}
_LISTS = (
    *(list, tuple, set, frozenset),
    *(collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, collections.abc.Set),
)
_BOUNDS = ("ge", "gt", "le", "lt")
_LENGTHS = ("min_length", "max_length")
# What a field cannot say. `strict`, `strip_whitespace` and `allow_inf_nan` are met by how answers are read anyway.
_UNSAID = ("multiple_of", "max_digits", "decimal_places", "to_lower", "to_upper", "ascii_only")
_EXTRAS = ("evidence", "confidence", "multiline")
_MAX_DEPTH = 8


@dataclass
class _Said:
    """What stands beside a type: constraints by name, a description, and our own extra keys."""

    limits: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    nullable: bool = False


def is_pydantic_class(value: Any) -> bool:
    """Whether a value is a class whose fields `fields_of` reads."""
    return isinstance(value, type) and issubclass(value, BaseModel)


def fields_of(model: type[BaseModel]) -> dict[str, FieldSpec]:
    """The fields of a class, in its order. Raises SpecError for what a field cannot say."""
    return _fields(model, model.__name__, ())


def hint_of(model: type[BaseModel]) -> str:
    """The class's own docstring as one paragraph; empty where it has none."""
    own = model.__dict__.get("__doc__") or ""
    return " ".join(inspect.cleandoc(own).split())


def _fields(model: type[BaseModel], path: str, above: tuple[type, ...]) -> dict[str, FieldSpec]:
    if model in above:
        raise SpecError(f"{model.__name__} holds itself", key=path, remedy="a model answers a flat, finite shape")
    if len(above) == _MAX_DEPTH:
        raise SpecError(f"classes nested more than {_MAX_DEPTH} deep", key=path, remedy="models lose count: flatten it")
    if not model.model_fields:
        raise SpecError(f"{model.__name__} has no fields", key=path, remedy="declare at least one attribute")
    out: dict[str, FieldSpec] = {}
    for name, info in model.model_fields.items():
        said = _Said(nullable=not info.is_required())
        _gather(said, info)
        out[name] = _spec(info.annotation, said, f"{path}.{name}", (*above, model))
    return out


def _spec(annotation: Any, said: _Said, path: str, above: tuple[type, ...]) -> FieldSpec:
    """The field of one annotation with all that is said beside it."""
    annotation = _unwrapped(annotation, said, path)
    keys = _type(annotation, said, path, above)
    if not said.description and is_pydantic_class(annotation):
        said.description = hint_of(annotation)
    keys |= _limits(keys, said, path)
    for name in _EXTRAS[:2]:
        if name in said.extra:
            keys[name] = said.extra[name]
    keys["nullable"] = said.nullable
    keys["description"] = said.description
    try:
        return FieldSpec.model_validate(keys)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = str(first.get("ctx", {}).get("error") or first["msg"])
        raise SpecError(message, key=path, remedy="a field of this kind cannot be declared") from None


def _unwrapped(annotation: Any, said: _Said, path: str) -> Any:
    """The bare type; Annotated, Optional, NewType and aliases taken off and what they say noted."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for item in more:
                _gather(said, item)
        elif get_origin(annotation) in (Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not type(None)]
            if len(parts) != 1:
                shown = " | ".join(_name(part) for part in parts)
                raise SpecError(
                    f"a union of several types ({shown}) cannot be asked",
                    key=path,
                    remedy="choose one type, or make an attribute of each (X | None is fine)",
                )
            said.nullable = said.nullable or len(parts) < len(get_args(annotation))
            annotation = parts[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _gather(said: _Said, item: Any) -> None:
    """Note what one piece of metadata says; the outermost description counts."""
    if isinstance(item, FieldInfo):
        said.description = said.description or " ".join((item.description or "").split())
        if isinstance(item.json_schema_extra, Mapping):
            said.extra = {**item.json_schema_extra, **said.extra}
        for part in item.metadata:
            _gather(said, part)
        return
    for name in (*_BOUNDS, *_LENGTHS, *_UNSAID, "pattern"):
        value = getattr(item, name, None)
        if value is not None and value is not PydanticUndefined and not (name in _UNSAID and value is False):
            said.limits.setdefault(name, value)


def _type(annotation: Any, said: _Said, path: str, above: tuple[type, ...]) -> dict[str, Any]:
    kind = _PLAIN.get(annotation) if isinstance(annotation, collections.abc.Hashable) else None
    if kind is not None:
        return {"type": "text" if kind == "string" and said.extra.get("multiline") else kind}
    origin = get_origin(annotation)
    if origin is Literal:
        return _labels(get_args(annotation), said, path)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _labels([member.value for member in annotation], said, path)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"type": "object", "fields": _fields(annotation, path, above)}
    if origin in _LISTS:
        return {"type": "list", "items": _item(annotation, path, above)}
    raise SpecError(
        f"{_name(annotation)} cannot be asked of a model",
        key=path,
        remedy=_REMEDIES.get(origin or annotation)
        or "write str, int, float, bool, date, datetime, Literal, an Enum of texts, a list of them, or a class",
    )


_REMEDIES: dict[Any, str] = {
    Any: "say which type it is",
    object: "say which type it is",
    dict: "make a pydantic class with the keys as its attributes",
    collections.abc.Mapping: "make a pydantic class with the keys as its attributes",
    list: "say what it is a list of: list[str]",
    tuple: "say what it is a list of: list[str]",
    set: "say what it is a list of: list[str]",
    bytes: "write str",
}


def _labels(values: Iterable[Any], said: _Said, path: str) -> dict[str, Any]:
    labels = list(values)
    said.nullable = said.nullable or None in labels
    labels = [label for label in labels if label is not None]
    if not labels or not all(isinstance(label, str) for label in labels):
        raise SpecError(
            "the values to choose from must be texts",
            key=path,
            remedy='write them in quotes: Literal["1", "2"], or use int with ge and le',
        )
    return {"type": "enum", "values": [str(label.value if isinstance(label, enum.Enum) else label) for label in labels]}


def _item(annotation: Any, path: str, above: tuple[type, ...]) -> FieldSpec:
    args = [part for part in get_args(annotation) if part is not Ellipsis]
    if len(args) != 1:
        raise SpecError(
            f"{_name(annotation)} is a list of several types", key=path, remedy="make a pydantic class of its parts"
        )
    said = _Said()
    spec = _spec(args[0], said, f"{path}[]", above)
    if said.nullable:
        raise SpecError("nulls within a list cannot be asked", key=path, remedy="take `| None` off the items")
    # Items are never null: that is no choice, so it makes no difference to the recipe either.
    return spec.model_copy(update={"nullable": True})


# --- limits ----------------------------------------------------------------------------------------------------------


def _limits(keys: Mapping[str, Any], said: _Said, path: str) -> dict[str, Any]:
    """Constraints as keys of the field; SpecError for one that the field cannot hold answers to."""
    out: dict[str, Any] = {}
    kind = keys["type"]
    for name, value in said.limits.items():
        if name in _BOUNDS and kind in ("integer", "number", "date", "datetime"):
            key = "min" if name[0] == "g" else "max"
            bound = _bound(name, value, kind, path)
            if key not in out:
                out[key] = bound
            else:
                out[key] = max(out[key], bound) if key == "min" else min(out[key], bound)
        elif name == "max_length" and kind in ("string", "text"):
            out["max_length"] = value
        elif name == "max_length" and kind == "list":
            out["max_items"] = value
        elif name == "pattern" and kind in ("string", "text"):
            out["pattern"] = _searching(getattr(value, "pattern", value))
        elif name == "min_length" and (value == 0 or (value == 1 and kind in ("string", "text"))):
            pass  # an empty text is never an answer
        else:
            raise SpecError(
                f"`{name}` cannot be held against an answer of type {kind}",
                key=path,
                remedy="for texts use `pattern`; otherwise say it in the description and check it afterwards",
            )
    return out


def _searching(pattern: str) -> str:
    """The same for a whole text: pydantic is content with a match somewhere in it."""
    whole = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith(r"\$") and "|" not in pattern
    return pattern[1:-1] if whole else rf"[\s\S]*?(?:{pattern})[\s\S]*"


def _bound(name: str, value: Any, kind: str, path: str) -> Any:
    """The bound as an inclusive one of the field's type."""
    up = 1 if name[0] == "g" else -1
    strict = name in ("gt", "lt")
    try:
        if kind == "integer":
            nearest = math.ceil(value) if up > 0 else math.floor(value)
            return nearest + up if strict and nearest == value else nearest
        if kind == "number":
            bound = int(value) if value == int(value) and abs(value) < 2**53 else float(value)
            return math.nextafter(float(value), math.inf * up) if strict else bound
        if kind == "date":
            day = dt.date.fromisoformat(value.isoformat()[:10])
            return day + dt.timedelta(days=up) if strict else day
        return value + dt.timedelta(microseconds=up) if strict else value
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise SpecError(f"`{name}` is {value!r}, which is no bound of a {kind}", key=path) from None


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
