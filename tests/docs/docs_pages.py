"""A page of the documentation as its fenced blocks, in order.

What a block is for can be seen in the page itself:

- ```console: `$ ` lines are commands (a backslash at the end goes on), the lines below each are what it prints;
- ```sh: commands whose output is not shown;
- ```python: run by one interpreter a page; a ```text block right after it is what it prints;
- a first line `# name.ext`, or `<!-- file: name.ext -->` above the block: a file, written with this content;
- other ```yaml: a declaration, or a part of one, that must load;
- ```json: must be JSON. Every other ```text, and a fence without a language: a picture, nothing to run.

`<!-- not run: reason -->` above a block keeps it from being run; `test_docs_pages` counts those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

LANGUAGES = frozenset(("", "bash", "console", "csv", "json", "jsonl", "python", "sh", "text", "toml", "yaml"))
_FENCE = re.compile(r"^(```+)([\w-]*)\s*$")
_MARK = re.compile(r"<!--\s*(not run|file):\s*(.*?)\s*-->")
_FILE = re.compile(r"^# ([\w./-]+\.(?:csv|jsonl|py|sh|toml|txt|yaml))$")


@dataclass(slots=True)
class Block:
    """One fenced block. `line` is that of its fence, from 1; `text` ends with a line break."""

    language: str
    text: str
    line: int
    file: str | None = None
    not_run: str | None = None
    shows_output: bool = False


@dataclass(slots=True)
class Step:
    """One command of a console block; `first` and `last` are the lines of its output within the block, from 0."""

    command: str
    expected: list[str]
    line: int
    first: int
    last: int


def pages() -> list[Path]:
    """Every page: the README and all of docs/."""
    found = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
    return [ROOT / "README.md", *found]


def name_of(page: Path) -> str:
    """How messages and test ids call a page."""
    return str(page.relative_to(ROOT))


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page. ValueError for a fence without an end or of an unknown language."""
    found: list[Block] = []
    lines = text.splitlines()
    number, marks, bare = 0, {}, False  # bare: only blank lines since the block before
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if fence is None:
            if line.lstrip().startswith("```"):
                raise ValueError(f"line {number + 1}: a fence that the tests do not read: {line.strip()!r}")
            mark = _MARK.search(line)
            if mark is not None:
                marks[mark[1]] = mark[2]
            elif line.strip():
                marks, bare = {}, False
            number += 1
            continue
        end = next((n for n in range(number + 1, len(lines)) if lines[n].rstrip() == fence[1]), None)
        if end is None:
            raise ValueError(f"line {number + 1}: the block has no end")
        if fence[2] not in LANGUAGES:
            raise ValueError(f"line {number + 1}: no rule for blocks of {fence[2]!r}")
        block = Block(fence[2], "".join(part + "\n" for part in lines[number + 1 : end]), number + 1)
        block.file, block.not_run = marks.get("file"), marks.get("not run")
        if block.file is None and (named := _FILE.match(block.text.partition("\n")[0])):
            block.file = named[1]
        block.shows_output = fence[2] == "text" and bare and bool(found) and found[-1].language == "python"
        found.append(block)
        number, marks, bare = end + 1, {}, True
    return found


def steps_of(block: Block) -> list[Step]:
    """The commands of a console block with what they print."""
    steps: list[Step] = []
    going_on = False
    for number, line in enumerate(block.text.splitlines()):
        if going_on:
            steps[-1].command += "\n" + line
            steps[-1].first = steps[-1].last = number + 1
            going_on = line.endswith("\\")
        elif line.startswith("$ "):
            steps.append(Step(line[2:], [], block.line + 1 + number, number + 1, number + 1))
            going_on = line.endswith("\\")
        elif steps:
            steps[-1].expected.append(line)
            steps[-1].last = number + 1
        else:
            raise ValueError(f"line {block.line + 1 + number}: output before the first command")
    for step in steps:
        while step.expected and not step.expected[-1].strip():
            step.expected.pop()
    return steps
