"""Nothing that a user can type or meet is undocumented, and nothing documented can be mistyped.

Commands, options, keys of the declaration, error classes, kinds and reasons; links and their anchors; examples in
the generated reference.
"""

from __future__ import annotations

import inspect
import re
import shlex
import string
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs_pages import DOCS, ROOT, blocks_of, name_of, pages, steps_of

from inlay import errors
from inlay.cli.main import cli
from inlay.cli.reference import commands, reference
from inlay.errors import InlayError
from inlay.spec.fields import FIELD_TYPES, FieldSpec, Frozen
from inlay.spec.load import load
from inlay.spec.model import Enrichment
from inlay.types import CellState, NullReason, Reason

COMMANDS = dict(commands(cli, "inlay"))
# Filled in by the loader, or written under another name in YAML.
WRITTEN = {"upstream": None, "content_key": None, "ttl_s": "ttl", "known": None, "lead": None}


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


# --- commands


def test_the_reference_is_what_the_commands_say() -> None:
    assert read("cli.md") == reference()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_in_the_reference(path: str) -> None:
    section = re.search(rf"^## {re.escape(path)}\n(.*?)(?=^## |\Z)", read("cli.md"), re.MULTILINE | re.DOTALL)
    assert section is not None, path
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[-1] in section[1], f"{path} {parameter.opts}"


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_every_command_is_shown_or_told_of_outside_the_reference(path: str) -> None:
    told = [name_of(page) for page in pages() if page.name != "cli.md" and path in page.read_text(encoding="utf-8")]
    assert told, f"no page but the reference speaks of `{path}`"


def typed() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(where, words) of every `inlay …` that a page or a help text shows."""
    for page in pages():
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "console":
                lines = [step.command for step in steps_of(block)]
            elif block.language in ("bash", "sh"):
                lines = block.text.replace("\\\n", " ").splitlines()
            else:
                continue
            for line in lines:
                for words in command_lines(line.replace("\\\n", " ")):
                    if words[0] == "inlay":
                        yield f"{name_of(page)}:{block.line}", tuple(words[1:])


def command_lines(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, as words, without what is redirected."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;()"):
            if words:
                yield words
            words = []
        elif set(word) <= set("<>&"):
            redirected = True
            if words and words[-1].isdigit():
                words.pop()
        elif redirected:
            redirected = False
        else:
            words.append(word)


@pytest.mark.parametrize(("where", "given"), sorted(set(typed())), ids=lambda part: " ".join(part)[:60])
def test_every_command_line_that_is_shown_can_be_typed(where: str, given: tuple[str, ...]) -> None:
    words = list(given)
    command: click.Command = cli
    context = click.Context(cli, info_name="inlay")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found is not None, f"{where}: {given}"
        command = found
    if isinstance(command, click.Group):
        return
    try:
        command.make_context("inlay", words)
    except click.exceptions.Exit:
        pass  # --help
    except click.UsageError as error:
        pytest.fail(f"{where}: {given}: {error.format_message()}")


# --- the declaration


def specs(model: type[Frozen] = Enrichment) -> Iterator[type[Frozen]]:
    """Every model that a declaration is made of."""
    found: list[type[Frozen]] = [model]
    for part in found:
        for field in part.model_fields.values():
            for kind in _kinds(field.annotation):
                if inspect.isclass(kind) and issubclass(kind, Frozen) and kind not in found:
                    found.append(kind)
    yield from found


def _kinds(annotation: object) -> Iterator[object]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _kinds(part)


def test_the_models_are_found() -> None:
    assert {spec.__name__ for spec in specs()} >= {"Enrichment", "SourceSpec", "PassSpec", "FieldSpec", "PriceSpec"}
    assert FieldSpec in specs()


@pytest.mark.parametrize("model", list(specs()), ids=lambda model: model.__name__)
def test_every_key_is_documented(model: type[Frozen]) -> None:
    text = read("declaration.md")
    for name in model.model_fields:
        written = WRITTEN.get(name, name)
        if written is not None:
            assert re.search(rf"\b{written}\b", text), f"{model.__name__}.{name} is not documented"


@pytest.mark.parametrize("word", [*FIELD_TYPES, *NullReason, *Reason])
def test_every_word_of_the_declaration_is_documented(word: str) -> None:
    assert f"`{word}`" in read("declaration.md")


@pytest.mark.parametrize("word", [*CellState])
def test_every_state_is_in_the_glossary(word: str) -> None:
    assert f"`{word}`" in read("concepts.md")


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", read("concepts.md"), re.MULTILINE)
    assert len(rows) > 40
    assert rows == sorted(set(rows), key=lambda word: [letter for letter in word if letter in string.ascii_letters])


def test_the_example_loads() -> None:
    assert len(load(ROOT / "examples/job_postings/inlay.yaml", env={}).passes) == 3


# --- errors


CLASSES = [
    thing
    for thing in vars(errors).values()
    if inspect.isclass(thing) and issubclass(thing, InlayError) and thing.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", sorted({thing.kind for thing in CLASSES}))
def test_every_kind_of_error_has_a_section(kind: str) -> None:
    assert kind in anchors(DOCS / "errors.md"), f"docs/errors.md has no section {kind}"


# --- links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as repositories and the site make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}: {link}"


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", read("decisions/index.md"))
    assert listed == sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
