"""Mistakes in a declaration, collected so that one look shows all of them.

Each one names its file, line and key path (`passes[1].fields.stars.max`, numbered from 0), says what is wrong and,
where something is close, what was probably meant. What stays true: no message shows a value that came from the
environment, and no message is longer than a screen line or two, whatever the file holds.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from inlay.errors import SpecError

# Past this many, more of the same does not help, and a hostile file could make a long list.
MAX_PROBLEMS = 50
# How many allowed spellings a remedy lists.
_MAX_LISTED = 32

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")
_PATH_PART = re.compile(r'(?:\.|\[)[^.\[\]"]*\]?$|\["(?:[^"\\]|\\.)*"\]$')


class TooManyProblems(Exception):
    """Ends the search for more mistakes; never leaves the spec room."""


def join_key(path: str, part: str | int) -> str:
    """The key path one step further down."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if _PLAIN_KEY.fullmatch(part):
        return f"{path}.{part}" if path else part
    quoted = show_text(part).replace('"', '\\"')
    return f'{path}["{quoted}"]'


def parent_key(path: str) -> str:
    """The key path one step further up; empty at the top."""
    found = _PATH_PART.search(path)
    return path[: found.start()] if found else ""


def show_text(text: str, limit: int = 60) -> str:
    """Text for a message: on one line, control characters escaped, cut at `limit` characters."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def show_value(value: Any) -> str:
    """A value for a message, in the words of the file."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"'{show_text(value)}'"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list | tuple):
        return "a list"
    return show_text(str(value))


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that was probably meant, or None when nothing is close."""
    by_form: dict[str, str] = {}
    for option in options:
        by_form.setdefault(_form(option), option)
    close = difflib.get_close_matches(_form(word[:80]), by_form, n=1, cutoff=0.6)
    return by_form[close[0]] if close else None


def _form(word: str) -> str:
    return word.strip().casefold().replace("-", "_").replace(" ", "_")


def suggest(word: str, options: Iterable[str], *, what: str = "allowed here") -> str:
    """A remedy: the nearest option, if any is close, and what else there is."""
    known = list(options)
    listed = ", ".join(show_text(option) for option in known[:_MAX_LISTED]) + (
        ", …" if len(known) > _MAX_LISTED else ""
    )
    meant = nearest(word, known)
    if meant is None:
        return f"{what}: {listed}" if known else ""
    return f"did you mean `{show_text(meant)}`? ({what}: {listed})"


class Problems:
    """The mistakes of one declaration, with the lines that its keys stand in."""

    def __init__(self, file: str | Path | None = None) -> None:
        self.file = None if file is None else str(file)
        self.lines: dict[str, int] = {}
        self.found: list[SpecError] = []
        self._keys: set[str] = set()

    def line_of(self, key: str) -> int | None:
        """The line of a key, or of the nearest key above it."""
        while key:
            if (line := self.lines.get(key)) is not None:
                return line
            key = parent_key(key)
        return None

    def known_key(self, key: str) -> str:
        """The longest part of a key path that stands in the file (all of it when no lines are known)."""
        if not self.lines:
            return key
        while key and key not in self.lines:
            key = parent_key(key)
        return key

    def add(
        self,
        message: str,
        key: str = "",
        *,
        line: int | None = None,
        file: str | Path | None = None,
        remedy: str = "",
        covers: bool = True,
    ) -> None:
        """Record a mistake. `line` and `file` default to where the key stands.

        With `covers`, the value at this key is known to be wrong and nothing else is said of it.
        """
        if line is None and file is None:
            line = self.line_of(key)
        if covers:
            self._keys.add(key)
        place = self.file if file is None else file
        self.found.append(SpecError(message, file=place, line=line, key=key or None, remedy=remedy))
        if len(self.found) >= MAX_PROBLEMS:
            raise TooManyProblems

    def mute(self, key: str) -> None:
        """Say nothing more of this key: what is wrong with it is said elsewhere."""
        self._keys.add(key)

    def covers(self, key: str) -> bool:
        """Whether a mistake is already recorded at this key, above it or anywhere below it."""
        above = key
        while above:
            if above in self._keys:
                return True
            above = parent_key(above)
        return any(other.startswith((f"{key}.", f"{key}[")) for other in self._keys)

    def error(self) -> SpecError | None:
        """All mistakes as one error, in the order of the file; None when there are none."""
        if not self.found:
            return None
        found = sorted(self.found, key=lambda problem: problem.line or 0)
        count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
        if len(found) >= MAX_PROBLEMS:
            count = f"{MAX_PROBLEMS} mistakes or more"
        first = found[0]
        title = f"{self.file or 'the declaration'} has {count}:"
        return SpecError(title, file=first.file, line=first.line, key=first.key, problems=found)

    def raise_any(self) -> None:
        """Raise what was found, if anything was."""
        if (error := self.error()) is not None:
            raise error
