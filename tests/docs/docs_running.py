"""Runs a page's blocks in order, in one temporary folder, and holds what they print against what the page shows.

One shell and one Python interpreter a page, so that `export`, `cd`, `$?` and names live on. Nothing leaves this
machine: a simulated provider answers for OpenAI and wherever a page names a server on this machine. Durations,
dates and the folder may differ; `…` in a page stands for any text, alone on a line for any lines. A command that fails
must be followed by `echo $?`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs_pages import Block, Step, steps_of

import inlay
from inlay.errors import SpecError
from inlay.providers.lexical import Lexical
from inlay.spec.load import load_text
from inlay.testing import SimRequest, Simulator
from inlay.types import CallShape

SOURCE = Path(inlay.__file__).resolve().parents[1]
WIDTH = 96
# What the folder is called in pages, and the servers that pages name.
HOME = "/home/you/reviews"
SERVERS = ("http://127.0.0.1:8000/v1", "http://127.0.0.1:11434/v1")
AZURE = "https://my-resource.openai.azure.com"
# What the simulated model knows of labels.
KNOWN = {
    "positive": "lovely, spotless, excellent, 静か, 美味しい",
    "neutral": "fine, average",
    "negative": "broken, cold, terrible, never again",
}
PREPARED = """\
name: reviews
source: {files: reviews.csv, key: id}
passes:
  - {name: read, model: lexical, prompt: "{{ text }}", fields: {sentiment: lovely|broken, stars: integer}}
output: out.parquet
"""
_DONE = "-- done:"
_SHIM = """#!/bin/sh
exec {python} {arguments} "$@"
"""
# A real installation of a page's own package, into a folder of the page's own and without the network.
_PIP = """#!/bin/sh
exec {python} -m pip --quiet --isolated --disable-pip-version-check "$@" \
    --no-index --no-deps --no-build-isolation --target "$DOCS_SITE"
"""
_VOLATILE = (
    (re.compile(r"\b\d[\d,.]*( h \d+)? ?(ms|s|min|h)\b"), "<time>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?"), "<date>"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{8,}\b"), "<hash>"),
)
# What a part of a declaration is completed with, so that it can be loaded.
_REST = {
    "name": "name: example",
    "source": "source: {files: reviews.csv, key: id}",
    "passes": "passes: [{name: read, prompt: '{{ text }}', fields: {sentiment: good|bad}}]",
}


class Differs(AssertionError):
    """A block does not do what the page says."""


def by_words(request: SimRequest) -> str:
    """What the simulated model says: the lexical model's answer to the prompt (or to what follows its first paragraph,
    the instructions), so that pages show sense.

    A language model knows what labels mean; this one is told, for the few that pages use.
    """
    schema = json.loads(json.dumps(request.schema or {}))
    for part in schema.get("properties", {}).values():
        labels = part.get("enum") or part.get("properties", {}).get("value", {}).get("enum") or ()
        known = "; ".join(f"{label}: {KNOWN[label]}" for label in labels if label in KNOWN)
        part["description"] = f"{part.get('description', '')} {known}".strip()
    answer = Lexical().answerer(CallShape(request.model, "", schema, "answer", 1000))
    return answer({"text": request.user.split("\n\n", 1)[-1]}).text


class Pages:
    """Runs one page. Use as a context manager; everything started is ended with it.

    `prepared` lays out a small project before the first block, for pages that speak to somebody who has one.
    """

    def __init__(self, folder: Path, *, prepared: bool = False) -> None:
        self.folder = folder / "reviews"
        self.folder.mkdir(parents=True)
        if prepared:
            (self.folder / "reviews.csv").write_text('id,text\n1,"Lovely, 5 stars"\n2,壊れていた\n', encoding="utf-8")
            (self.folder / "inlay.yaml").write_text(PREPARED)
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._site = folder / "site"
        python = shlex.quote(sys.executable)
        for name, text in (
            ("inlay", _SHIM.format(python=python, arguments="-m inlay")),
            ("python", _SHIM.format(python=python, arguments="")),
            ("pip", _PIP.format(python=python)),
        ):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        self._simulator = Simulator(by_words)
        self._shell: subprocess.Popen[str] | None = None
        self._python: subprocess.Popen[str] | None = None
        self.renewed: dict[int, list[str]] = {}

    def __enter__(self) -> Pages:
        self._simulator.start()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI", "AZURE", "ANTHROPIC", "AWS", "INLAY", "PYTHON", "PYTEST", "COV"))
            and name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM")
        }
        env = {
            **kept,
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{SOURCE}{os.pathsep}{self._site}",
            "PYTHONUTF8": "1",
            "COLUMNS": str(WIDTH),
            "OPENAI_BASE_URL": self._simulator.endpoint,
            "ANTHROPIC_BASE_URL": self._simulator.endpoint,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self._simulator.endpoint.removesuffix("/v1"),
            "DOCS_SITE": str(self._site),
        }
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        return self

    def __exit__(self, *details: object) -> None:
        for process in (self._python, self._shell):
            if process is not None:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(30)
                assert process.stdout is not None
                process.stdout.close()
        self._simulator.stop()

    def run(self, blocks: list[Block], *, renew: bool = False) -> None:
        """Every block in order. Raises Differs at the first that does not do what the page shows.

        With `renew`, what differs is kept in `renewed`, by the line of the block, as the block's new lines.
        """
        for number, block in enumerate(blocks):
            if block.not_run is not None:
                continue
            if block.file is not None:
                self._write(block)
            elif block.language == "console":
                self._console(block, renew)
            elif block.language in ("sh", "bash"):
                self._must(block.text, block.line)
            elif block.language == "python":
                after = blocks[number + 1] if number + 1 < len(blocks) else None
                self._run_python(block, after if after is not None and after.shows_output else None, renew)
            elif block.language == "yaml":
                self._load(block)
            elif block.language == "json":
                json.loads(block.text)

    def _write(self, block: Block) -> None:
        assert block.file is not None
        place = self.folder / block.file
        if not place.resolve().is_relative_to(self.folder.resolve()):
            raise Differs(f"line {block.line}: {block.file} is outside the page's folder")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self._here(block.text), encoding="utf-8")

    def _load(self, block: Block) -> None:
        rest = [line for key, line in _REST.items() if not re.search(rf"^{key}:", block.text, re.MULTILINE)]
        try:
            load_text("\n".join([block.text, *rest]), folder=self.folder, env={})
        except SpecError as error:
            raise Differs(f"line {block.line}: {error}") from None

    def _console(self, block: Block, renew: bool) -> None:
        lines = block.text.splitlines()
        out, at, differs = [], 0, False
        steps = steps_of(block)
        for number, step in enumerate(steps):
            printed, code = self._ask_shell(step.command)
            tested = number + 1 < len(steps) and steps[number + 1].command == "echo $?"
            if code and not tested:
                raise Differs(f"line {step.line}: `{step.command}` ends with {code}:\n" + "\n".join(printed))
            same = alike(step.expected, printed)
            if not same and not renew:
                raise Differs(_difference(step, printed))
            differs = differs or not same
            out += lines[at : step.first] + (lines[step.first : step.last] if same else printed)
            at = step.last
            if not same and at < len(lines) and printed:
                out.append("")
        if differs:
            self.renewed[block.line] = out

    def _must(self, commands: str, line: int) -> None:
        printed, code = self._ask_shell(f"__failed=0; trap '__failed=1' ERR\n{commands}\ntrap - ERR; (exit $__failed)")
        if code:
            raise Differs(f"line {line}: the block fails:\n" + "\n".join(printed))

    def _ask_shell(self, command: str) -> tuple[list[str], int]:
        """Run it in the page's shell; what it printed on both streams, and how it ended."""
        shell = self._shell
        assert shell is not None
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"(exit ${{__last:-0}})\n{{\n{self._here(command)}\n}} < /dev/null\n")
        shell.stdin.write(f"__last=$?\nprintf '\\n{_DONE}%d\\n' $__last\n")
        shell.stdin.flush()
        lines: list[str] = []
        for line in shell.stdout:
            if line.startswith(_DONE):
                break
            lines.append(self._there(line.rstrip()))
        else:
            raise Differs(f"the shell ended at: {command}\n" + "\n".join(lines))
        while lines and not lines[-1]:
            lines.pop()
        return lines, int(line.removeprefix(_DONE))

    def _run_python(self, block: Block, shown: Block | None, renew: bool) -> None:
        if self._python is None:
            self._python = self._start_python()
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        code = {"code": self._here(block.text), "line": block.line}
        self._python.stdin.write(json.dumps(code) + "\n")
        self._python.stdin.flush()
        answer = json.loads(self._python.stdout.readline())
        if answer["error"]:
            raise Differs(f"line {block.line}: the block fails:\n{answer['error']}")
        printed = [self._there(line.rstrip()) for line in answer["printed"].rstrip().splitlines()]
        if shown is not None and not alike(shown.text.splitlines(), printed):
            if not renew:
                step = Step("python", shown.text.splitlines(), shown.line, 0, 0)
                raise Differs(_difference(step, printed))
            self.renewed[shown.line] = printed

    def _start_python(self) -> subprocess.Popen[str]:
        given, _ = self._ask_shell(
            f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
        )
        # What the shell printed was made to read like the page; the environment needs the real names again.
        env = {name: self._here(value) for name, value in json.loads(given[0]).items()}
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("docs_interpreter.py"))],
            cwd=self.folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def _here(self, text: str) -> str:
        """A page's text with the servers it names where they are in this test."""
        for server in SERVERS:
            text = text.replace(server, self._simulator.endpoint)
        text = text.replace(AZURE, self._simulator.endpoint.removesuffix("/v1"))
        return text.replace(HOME, str(self.folder))

    def _there(self, text: str) -> str:
        """What was printed, with the folder and the servers as a page would call them."""
        return text.replace(str(self.folder), HOME).replace(self._simulator.endpoint, SERVERS[0])


def alike(expected: list[str], printed: list[str]) -> bool:
    """Whether a page shows what was printed; see the module for what may differ."""
    return re.fullmatch("".join(_patterns(expected)), "".join(_plain(line) + "\n" for line in printed)) is not None


def _patterns(expected: list[str]) -> Iterator[str]:
    for line in expected:
        if line.strip() == "…":
            yield r"(?:.*\n)*?"
        else:
            yield ".*?".join(re.escape(part) for part in _plain(line).split("…")) + r"\n"


def _plain(line: str) -> str:
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return re.sub(r"[ ─]{2,}", "  ", line.rstrip())


def _difference(step: Step, printed: list[str]) -> str:
    shown = "\n".join(step.expected) or "(nothing)"
    return f"line {step.line}: `{step.command}` prints\n" + "\n".join(printed) + f"\n-- but the page shows\n{shown}"
