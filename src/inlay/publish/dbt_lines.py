"""Values as YAML: in lines as dbt's files have them, or in brackets; every text comes back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./$-]*(?:[ ,;]+[A-Za-z0-9_./()'`$-]+)*")
_AMBIGUOUS = re.compile(r"(?i)null|true|false|yes|no|on|off|y|n")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LISTED = ("data_tests", "tests")


def scalar(value: Any) -> str:
    """A text, number or boolean, in quotes where it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and not _AMBIGUOUS.fullmatch(value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def flow(value: Any, indent: int) -> str:
    """In brackets; a long list goes on in lines of its own."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(part, indent)}" for key, part in value.items()) + "}"
    if not isinstance(value, list | tuple):
        text = scalar(value)
        return text if text.startswith('"') or not re.search(r"[,\[\]{}]", text) else json.dumps(value)
    lines, line = [], "["
    for number, item in enumerate(value):
        text = flow(item, indent) + ("" if number == len(value) - 1 else ",")
        if len(line) + len(text) + indent > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * (indent + 2)
        line += text if line.endswith("[") or not line.strip() else f" {text}"
    return "\n".join([*lines, line]) + "]"


def block(value: Any, indent: int) -> str:
    """Lines at an indent: a mapping's keys, or a list's items."""
    return "".join(f"{' ' * indent if line else ''}{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    out: list[str] = []
    if isinstance(value, Mapping):
        for key, part in value.items():
            out += _entry(f"{scalar(key)}:", part, deeper=key in _LISTED or _holds_keys(part))
        return out
    for item in value:
        if isinstance(item, Mapping):
            first, *rest = _lines(item)
            out += [f"- {first}", *(f"  {line}" for line in rest)]
        else:
            out.append(f"- {scalar(item)}")
    return out


def _holds_keys(part: Any) -> bool:
    return isinstance(part, list) and any(isinstance(item, Mapping) for item in part)


def _entry(head: str, part: Any, *, deeper: bool) -> list[str]:
    short = isinstance(part, Mapping) and all(not isinstance(inner, Mapping | list | tuple) for inner in part.values())
    if (isinstance(part, Mapping) and not short) or deeper:
        return [head, *(f"  {line}" for line in _lines(part))]
    first, *rest = (
        f"{head} {flow(part, 0)}".split("\n")
        if isinstance(part, Mapping | list | tuple)
        else [f"{head} {scalar(part)}"]
    )
    return [first, *rest]
