"""Texts and values in lines of a window of 80 columns, by the width of their characters, which is often two.

What stays true: `say` escapes what it is given, so no record, note or answer can forge a line; long texts keep their
beginning and their end, and say how long they are.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from inlay.cli.words import escaped

if TYPE_CHECKING:
    from inlay.cli.screen import Page

WIDTH = 80
LONGEST_VALUE = 400

_WORDS = re.compile(r"\S+|\s+")


def pieces(head: str, text: str, indent: str, width: int) -> list[str]:
    """`head` and `text` as lines of at most `width` cells; the second and later ones begin with `indent`.

    Folded at spaces where there are any; a word longer than a line is cut. Give escaped text.
    """
    from rich.cells import cell_len

    lines: list[str] = []
    line, used, bare = head, cell_len(head), True
    for word in _WORDS.findall(text):
        size = cell_len(word)
        if used + size <= width:
            line, used, bare = line + word, used + size, False
            continue
        if word.isspace():
            continue
        if not bare:
            lines.append(line.rstrip())
            line, used = indent, cell_len(indent)
        for char in word:
            step = cell_len(char)
            if used + step > width:
                lines.append(line)
                line, used = indent, cell_len(indent)
            line, used = line + char, used + step
        bare = False
    lines.append(line.rstrip() if line.strip() else line)
    return lines


def say(out: Page, text: str, head: str = "") -> None:
    """A text after its head, folded; further lines are indented below the head's own beginning."""
    indent = " " * (len(head) - len(head.lstrip()) + (2 if head.strip() else 0))
    for line in pieces(escaped(head), escaped(text), indent, WIDTH):
        out.line(line)


def cut(text: str, most: int) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= most:
        return text
    return f"{text[: most * 3 // 4]} … {text[-most // 4 :]} ({len(text):,} characters)"


def shown_value(value: Any, reason: Any = None) -> str:
    """A field's value, or null with its reason."""
    if value is None:
        return "null" + (f", {str(reason).replace('_', ' ')}" if reason else "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST_VALUE)
