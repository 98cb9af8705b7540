"""What the Tab key offers beyond commands and options: declarations, passes, kinds of failure.

What stays true: nothing here can fail or print, whatever the folder and the files hold; no model is asked and no store
is opened.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
from click.shell_completion import CompletionItem

_MAX_BYTES = 1_000_000
# What bash would not take as it is; its own completion of files quotes.
_PLAIN = re.compile(r"[\w.,:=@%+/~-]+")


def declarations(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """YAML files that begin like this; where there are none, whatever the shell knows of files and folders."""
    folder, mark, begun = typed.rpartition("/")
    try:
        place = Path(folder + mark).expanduser() if mark else Path()
        names = sorted(
            entry.name
            for entry in place.iterdir()
            if entry.name.startswith(begun) and entry.suffix in (".yaml", ".yml") and not entry.name.startswith(".")
        )
    except (OSError, ValueError, RuntimeError):
        names = []
    if not names or not all(_PLAIN.fullmatch(folder + mark + name) for name in names):
        return [CompletionItem(typed, type="file")]
    return [CompletionItem(folder + mark + name) for name in names]


def passes(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The names of the passes of the declaration on the line, as far as it can be read."""
    from inlay.spec.document import parse
    from inlay.spec.problems import Problems

    # An option that still waits for its value keeps click from filling in the arguments.
    given = [word for word in ctx.args if not word.startswith("-")]
    file = Path(given[0] if given else str(ctx.params.get("declaration") or "inlay.yaml"))
    try:
        if not file.is_file() or file.stat().st_size > _MAX_BYTES:
            return []
        root = parse(file.read_text(encoding="utf-8-sig"), Problems())
    except (OSError, ValueError):
        return []
    sections = next((value.items for name, value in root.pairs if name.text == "passes"), []) if root else []
    names = [value.text for part in sections for name, value in part.pairs if name.text == "name"]
    return [CompletionItem(name) for name in names if name.startswith(typed) and _PLAIN.fullmatch(name)]


def kinds(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The kinds that a cell may fail in."""
    from inlay.errors import CELL_KINDS

    return [CompletionItem(kind, help=meaning) for kind, meaning in CELL_KINDS.items() if kind.startswith(typed)]
