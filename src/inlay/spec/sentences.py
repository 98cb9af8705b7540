"""pydantic's complaints in plain sentences, each at its key and with what was probably meant.

A table from error type to sentence; a test fails when the models can raise a type that is not in it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from inlay.spec.model import Enrichment, PassSpec, SelectSpec, SourceSpec
from inlay.spec.problems import Problems, join_key, nearest, parent_key, show_text, show_value, suggest

# Keys that the file knows beside the model's own, with what they mean, and keys of the model that the file does not.
FILE_KEYS: dict[type[BaseModel], dict[str, str]] = {
    PassSpec: {
        "prompt_file": "A text file that holds the prompt, in place of `prompt`.",
        "ttl": "How old an answer may become before it is asked again: 90s, 15m, 12h, 30d, 4w; left out, any age.",
    }
}
HIDDEN_KEYS: dict[type[BaseModel], tuple[str, ...]] = {
    PassSpec: ("ttl_s", "upstream", "named", "lead"),
    SourceSpec: ("content_key",),
    SelectSpec: ("known",),
}

_WHOLE = "expected a whole number, got {got}"
_NUMBER = "expected a number, got {got}"
_SWITCH = "expected true or false, got {got}"
_TEXT = "expected text, got {got}"
_LIST = "expected a list, got {got}"
_KEYS = "expected keys and values, got {got}"

SENTENCES: dict[str, str] = {
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _SWITCH,
    "bool_parsing": _SWITCH,
    "tuple_type": _LIST,
    "dict_type": _KEYS,
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "literal_error": "expected one of {expected}; got {got}",
    "greater_than": "must be more than {gt}, got {got}",
    "greater_than_equal": "must be {ge} or more, got {got}",
    "less_than": "must be less than {lt}, got {got}",
    "less_than_equal": "must be {le} or less, got {got}",
    "too_short": "needs at least {min_length} entry",
    "too_long": "takes at most {max_length} entries",
    "string_pattern_mismatch": "{got} is not {shape}",
    "value_error": "{error}",
    "missing": "`{key}` is missing",
    "extra_forbidden": "unknown key `{key}`",
}

# Keys that take a word or a number: either complaint of pydantic alone would say half of it.
_EITHER = {"pack": "expected auto or a whole number from 1 to 64; got {got}"}

# What a name may be, by its key; `[key]` is the name of a field.
_SHAPES = {
    "bucket": "an S3 bucket: 3 to 63 lower-case letters, digits, - and .",
    "role_arn": "the name of a role, like arn:aws:iam::123456789012:role/NAME",
    "name": "a name: letters, digits, _ and -, beginning with a letter or _, at most 63",
    "[key]": "a field's name: letters, digits and _, beginning with a letter or _, at most 63",
    "prefix": "a prefix: letters, digits and _",
    "api_key_env": "the name of an environment variable (not the key itself): letters, digits and _",
}

# Unknown keys that are known elsewhere, or by habit, under another name.
_HABITS = {
    "api_key": "keys never stand in the file: name an environment variable, `api_key_env: NAME`",
    "columns": "columns that a pass reads are its `inputs`; columns that are published stand in `output`",
    "max_tokens": "did you mean `max_output_tokens`?",
    "ttl_s": "did you mean `ttl`? write it like 30d",
    "enum": "did you mean `values`?",
    "required": "did you mean `nullable: false`?",
}


def translate(
    error: ValidationError,
    problems: Problems,
    *,
    shown: Mapping[str, str],
    prefix: str = "",
    within: tuple[Any, ...] = (),
) -> None:
    """Add every complaint to `problems`; `shown` has, by key, what to show for values from the environment.

    For a part of a declaration, `prefix` is what its key is called and `within` where in a whole one it would stand.
    """
    details = error.errors(include_url=False)
    places = [tuple(detail["loc"]) for detail in details]
    for detail, loc in zip(details, places, strict=True):
        if detail["type"] == "too_short" and any(len(o) > len(loc) and o[: len(loc)] == loc for o in places):
            continue  # its items are wrong, not missing
        _add(dict(detail), loc, problems, shown, prefix, within)


def _add(
    detail: dict[str, Any],
    loc: tuple[Any, ...],
    problems: Problems,
    shown: Mapping[str, str],
    prefix: str,
    within: tuple[Any, ...],
) -> None:
    kind = detail["type"]
    key = prefix
    for part in loc:
        key = key if part == "[key]" else join_key(key, part)
    if problems.covers(key) and kind != "missing":
        return
    context = dict(detail.get("ctx") or {})
    choices = _choices(context)
    names = keys_at((*within, *loc[:-1])) if kind in ("missing", "extra_forbidden") else ()
    got = f"the value of '{show_text(shown[key])}'" if key in shown else show_value(detail.get("input"))
    last = str(loc[-1]) if loc else ""
    if kind == "string_pattern_mismatch":
        got = got if last != "api_key_env" else "this"  # it may be the key itself
        context["shape"] = _SHAPES.get("name" if loc[0] == "models" and last == "[key]" else last, "a name")
    if kind == "literal_error":
        context["expected"] = ", ".join(choices)
    words = {name: _plain_number(value) for name, value in context.items()}
    either = _EITHER.get(str(loc[-2])) if len(loc) > 1 else None
    message = (either or SENTENCES.get(kind, show_text(str(detail.get("msg")), 160))).format(
        **{**words, "got": got, "key": show_text(last)}
    )
    if kind == "missing":
        problems.add(message, key, remedy=_missing_remedy(last), line=problems.line_of(parent_key(key)) or None)
        return
    if kind == "value_error":
        key, message = _inner_key(key, str(context.get("error")), problems)
    problems.add(message, problems.known_key(key), remedy=_remedy(kind, detail, last, names or choices, key in shown))


def _remedy(kind: str, detail: dict[str, Any], last: str, options: Sequence[str], hidden: bool) -> str:
    """`options` are the known keys of an unknown one, or the choices of a value that is none of them."""
    value = detail.get("input")
    if kind == "extra_forbidden":
        return _HABITS.get(last) or suggest(last, options)
    if kind == "literal_error" and isinstance(value, str) and not hidden:
        meant = nearest(value, options)
        return f"did you mean `{meant}`?" if meant else ""
    if kind == "tuple_type" and isinstance(value, str) and not hidden:
        return f"write it as a list: [{show_text(value)}]"
    if kind == "tuple_type" and value is None:
        return "write a name, or a list: [a, b]" if last in ("files", "key") else "write a list: [a, b]"
    if kind == "dict_type" and last == "fields":
        return "write `name: type` on a line each, such as `stars: integer`"
    if kind == "string_type" and value is None:
        return "write the text, in quotes if it is a word like null"
    return ""


def _missing_remedy(name: str) -> str:
    return "give `prompt` or `prompt_file`" if name == "prompt" else f"add `{name}:`"


def _choices(context: dict[str, Any]) -> list[str]:
    parts = str(context.get("expected", "")).replace("' or '", "', '").split("', '")
    return [part.strip("'") for part in parts]


def _plain_number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _inner_key(key: str, message: str, problems: Problems) -> tuple[str, str]:
    """A validator of a whole section begins with the key it speaks of, in back-ticks."""
    if message.startswith("`"):
        inner = join_key(key, message[1:].split("`", 1)[0])
        if inner in problems.lines:
            return inner, message
    return key, message


def keys_at(loc: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys that the file may hold at a place of the declaration; empty where any key may stand."""
    kind: Any = Enrichment
    for part in loc:
        kind = _inner_type(kind, part)
    kind = _without_none(kind)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return ()
    own = (name for name in kind.model_fields if name not in HIDDEN_KEYS.get(kind, ()))
    return (*own, *FILE_KEYS.get(kind, ()))


def inner_models(kind: Any) -> list[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in typing.get_args(kind) for model in inner_models(part)]


def _inner_type(kind: Any, part: str | int) -> Any:
    kind = _without_none(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = kind.model_fields.get(str(part))
        return None if found is None else found.annotation
    args = typing.get_args(kind)
    return (args[1] if typing.get_origin(kind) is dict else args[0]) if args else None


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((part for part in typing.get_args(kind) if part is not type(None)), None)
    return kind
