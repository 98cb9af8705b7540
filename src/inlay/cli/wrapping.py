"""Text folded into lines by the width of its characters on a terminal, which for half the world's scripts is two."""

from __future__ import annotations

import re

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
