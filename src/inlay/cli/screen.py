"""Where output goes: consoles, pages and JSON.

What stays true: text from outside goes through `escaped` before it is drawn, and is never read as markup; without a
terminal a page is wide enough for every table; NO_COLOR and TERM=dumb are respected.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from inlay.cli.words import escaped, json_escaped

if TYPE_CHECKING:
    from rich.console import Console

    from inlay.cli.sheet import Sheet

# Wide enough for every table of ours when nobody's window says otherwise.
_WITHOUT_TERMINAL = 200


def console(*, err: bool = False) -> Console:
    """A console on standard output (or error)."""
    from rich.console import Console

    class Honest(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich would end the process with a code that means something else here

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else _WITHOUT_TERMINAL
    return Honest(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


class Page:
    """Lines and tables on standard output. Lines are escaped here; rich is imported for the first table."""

    def __init__(self) -> None:
        self._console: Console | None = None

    def line(self, text: str = "") -> None:
        """One line of text."""
        click.echo(escaped(text))

    def title(self, text: str) -> None:
        """A heading, after an empty line."""
        click.echo("\n" + click.style(escaped(text), bold=True), color=False if plain() else None)

    def table(self, content: Sheet) -> None:
        """A table, in the form that fits the window."""
        if self._console is None:
            self._console = console()
        for number, piece in enumerate(content.fitted(self._console.width)):
            if number:
                self.line()
            self._console.print(piece.table())


def plain() -> bool:
    """Whether colour is unwanted."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def let_go() -> None:
    """Send what is still buffered nowhere where its reader has left; the interpreter would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def bar(share: float, width: int = 20) -> str:
    """A share in 0..1 as a bar; full only when it is all."""
    eighths = int(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + ("" if not rest else " ▏▎▍▌▋▊▉"[rest])).ljust(width, "·")


def print_json(document: Any) -> None:
    """One JSON document on standard output, safe on a terminal too."""
    import json

    sys.stdout.write(json_escaped(json.dumps(document, ensure_ascii=False, indent=2, default=str)) + "\n")
