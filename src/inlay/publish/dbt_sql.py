"""The SQL files of a dbt project: the staging model and the macros, each with a part that is Inlay's.

    {# inlay:begin tenant_nationality 5f1c… #} … {# inlay:end #}

What stays true: between the marks Inlay writes, everywhere else it never does. The mark holds the digest of what was
written, so a part that somebody edited is recognised and left alone; the same declaration gives the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from inlay.publish.dbt import DbtField, DbtModel, Place

MACROS = "macros"

_REGION = re.compile(
    r"\{# inlay:begin (?P<owner>[\w-]+) (?P<digest>[0-9a-f]{16})[^\n]*?#\}\n(?P<body>.*?)\{# inlay:end #\}\n?",
    re.DOTALL,
)
_SHOWN_AS = re.compile(
    r"[\\'{}%#]|[^\x20-\uffff]|[\x7f-\xa0\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufeff]"
)
_HINT = "written by `inlay dbt`; what is outside these marks is yours"


@dataclass(frozen=True, slots=True)
class Region:
    """Inlay's part of an SQL file as it stands there. `edited`: it is no longer what was written."""

    owner: str
    digest: str
    edited: bool
    start: int
    end: int


def region(text: str) -> Region | None:
    """Inlay's part of a file, or None."""
    found = _REGION.search(text)
    if found is None:
        return None
    return Region(
        found["owner"], found["digest"], _digest(found["body"]) != found["digest"], found.start(), found.end()
    )


def replaced(text: str, old: Region, new: str) -> str:
    """The file with its part taken from another file's text."""
    fresh = region(new)
    assert fresh is not None, "a new file has a part of ours"
    return text[: old.start] + new[fresh.start : fresh.end] + text[old.end :]


def macros_file() -> str:
    """macros/inlay.sql."""
    body = (files("inlay.publish") / "dbt_macros.sql").read_text(encoding="utf-8")
    return _marked(MACROS, body)


def model_file(model: DbtModel) -> str:
    """The staging model: a query of its own to build upon, and below it a SELECT that is the user's to change."""
    lines = [
        "with enriched as (",
        "",
        "    {{ inlay_enriched(",
        f"        rows={_source(model.rows)},",
        f"        answers={_source(model.answers)},",
        f"        key={_list(model.key)},",
    ]
    if model.placeholders:
        lines.append(f"        placeholders={_list(model.placeholders)},")
    lines.append(f"        prefix={_jinja(model.prefix)},")
    if model.in_place:
        lines.append("        in_place=true,")
    lines.append("        fields=[")
    lines += [f"            {_field(field)}," for field in model.fields]
    lines += ["        ],", "    ) }}", "", ")"]
    return _marked(model.enrichment, "\n".join(lines) + "\n") + "\nselect * from enriched\n"


def _field(field: DbtField) -> str:
    parts: dict[str, Any] = {"name": field.name, "answer": field.answer, "kind": field.kind}
    if field.original is not None:
        parts["original"] = field.original
    if field.default is not None:
        parts["default"] = field.default
    for name in ("confidence", "evidence"):
        if getattr(field, name):
            parts[name] = True
    if field.inputs:
        parts["inputs"] = field.inputs
        if field.trimmed:
            parts["trimmed"] = True
    return "{" + ", ".join(f"'{name}': {_jinja(value)}" for name, value in parts.items()) + "}"


def _source(place: Place) -> str:
    return f"source({_jinja(place.source)}, {_jinja(place.name)})"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(_jinja(value) for value in values)}]"


def _jinja(value: Any) -> str:
    """A constant as Jinja. Texts keep their script, and nothing in them can end the string or open a tag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return _list(value)
    return f"'{_SHOWN_AS.sub(_escape, str(value))}'"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in "\\'":
        return f"\\{found[0]}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _marked(owner: str, body: str) -> str:
    return f"{{# inlay:begin {owner} {_digest(body)} ({_HINT}) #}}\n{body}{{# inlay:end #}}\n"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]
