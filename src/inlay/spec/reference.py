"""`python -m inlay.spec.reference docs/declaration.md`: writes the table of every key into a page, between two marks.

Made from the models and the sentences below their keys; a test holds the page and the models equal.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel

from inlay.spec.fields import FieldSpec
from inlay.spec.keys import Key, keys_of, models
from inlay.spec.model import Enrichment, PassSpec
from inlay.spec.schema import SHORT, TEXT
from inlay.spec.sentences import inner_models

BEGIN = "<!-- Made by `python -m inlay.spec.reference`; edit the models, not this part. -->"
END = "<!-- End of what is made. -->"

# Values that the file writes otherwise than the model holds them.
_WRITTEN: dict[tuple[type[BaseModel], str], str] = {
    (PassSpec, "prompt_file"): "path",
    (PassSpec, "ttl"): "time",
}


def reference() -> str:
    """The part between the marks: a table for each section of the file."""
    return "\n".join(_lines()).rstrip() + "\n"


def renewed(page: str) -> str:
    """A page with its part made anew. ValueError where the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no part between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _lines() -> Iterator[str]:
    titles = _titles()
    for model in models():
        yield f"### {titles[model]}"
        yield ""
        yield "| key | value | left out | |"
        yield "|---|---|---|---|"
        for key in keys_of(model):
            meaning = key.meaning.replace("|", "\\|")
            yield f"| `{key.name}` | {_value(model, key, titles)} | {_default(model, key)} | {meaning} |"
        yield ""


def _titles() -> dict[type[BaseModel], str]:
    """Each part by the key that it stands under."""
    out: dict[type[BaseModel], str] = {Enrichment: "The file", FieldSpec: "A field"}
    for model in models():
        for key in keys_of(model):
            for part in inner_models(key.info.annotation) if key.info is not None else ():
                many = typing.get_origin(_bare(key.info.annotation if key.info else None)) is tuple
                out.setdefault(part, f"One of `{key.name}`" if many else f"`{key.name}`")
    return out


def _value(model: type[BaseModel], key: Key, titles: dict[type[BaseModel], str]) -> str:
    if key.info is None:
        return _WRITTEN[model, key.name]
    words = [_words(key.info.annotation, titles)]
    words += [word for form in SHORT.get((model, key.name), ()) if (word := _SHORT.get(str(form.get("type"))))]
    return " ".join([" or ".join(dict.fromkeys(words)), *_limits(key.info.metadata)])


def _words(kind: Any, titles: dict[type[BaseModel], str]) -> str:
    kind = _bare(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is tuple:
        return f"list of {_words(args[0], titles)}"
    if origin is dict:
        return f"name → {_words(args[1], titles)}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part, titles) for part in args))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        title = titles[kind]
        return "[field](#a-field)" if kind is FieldSpec else f"[keys](#{_anchor(title)})"
    return _PLAIN.get(kind, "anything")


_PLAIN: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true`, `false`",
    dt.date: "date",
    dt.datetime: "datetime",
}
# The types of a short form, as JSON Schema names them.
_SHORT = {str(TEXT["type"]): "text", "number": "number"}


def _bare(kind: Any) -> Any:
    """A type without `| None` and without what is annotated to it."""
    if typing.get_origin(kind) is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
        return _bare(parts[0]) if len(parts) == 1 else typing.Union[tuple(parts)]  # noqa: UP007 (made at run time)
    return kind


def _limits(metadata: list[Any]) -> Iterator[str]:
    for limit in metadata:
        if isinstance(limit, Ge):
            yield f"from {limit.ge}"
        elif isinstance(limit, Gt):
            yield f"above {limit.gt}"
        elif isinstance(limit, Le):
            yield f"to {limit.le}"
        elif isinstance(limit, Lt):
            yield f"below {limit.lt}"
        elif isinstance(limit, MinLen):
            yield f"(at least {limit.min_length})"


def _default(model: type[BaseModel], key: Key) -> str:
    if key.required:
        return "needed" if (model, key.name) != (PassSpec, "prompt") else "needed, or `prompt_file`"
    value = key.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    return f"`{value}`" if isinstance(value, str) and value else ""


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
