"""A pass's prompt: a Jinja template over the row's columns and the answers of earlier passes.

`{{ title }}` and `{{ row["any name"] }}` read columns, `{{ passes.extract.salary_min }}` reads a field of the pass
`extract`. Which ones are read is known before anything runs, since they are the answer's identity. What stays true:

- record text is data: it is inserted once and never read as a template;
- a value prints as `inlay.fingerprint.plain` writes it, so the model sees what is keyed; null prints as nothing;
- a template of plain outputs alone renders by joining texts, to the same result as Jinja and without importing it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay.errors import InvalidRequest, SpecError
from inlay.fingerprint import plain

# (values in the order of the inputs, answers of earlier passes) -> the prompt's text
Renderer = Callable[[Sequence[Any], Mapping[str, Mapping[str, Any]]], str]

# Names with a meaning of their own in Jinja: they are left to Jinja to judge.
RESERVED = frozenset(
    (
        *(
            "true",
            "false",
            "none",
            "True",
            "False",
            "None",
            "and",
            "or",
            "not",
            "if",
            "else",
            "elif",
            "in",
            "is",
            "for",
        ),
        *("loop", "self", "super", "caller", "varargs", "kwargs", "row", "passes"),
    )
)

_TEXT = r"""(?:"([^"\\\r\n]*)"|'([^'\\\r\n]*)')"""
_STEP = rf"(?:\s*\.\s*([^\W\d]\w*)|\s*\[\s*{_TEXT}\s*\])"
_OUTPUT = re.compile(rf"\{{\{{\s*([^\W\d]\w*)((?:{_STEP}){{0,2}})\s*\}}\}}")
_STEPS = re.compile(_STEP)
_NEWLINE = re.compile(r"\r\n|\r")

# A part of a simple template: text, ("column", name) or (pass, field).
_COLUMN = ""
Part = str | tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A compiled prompt. Make it with `Prompt.compile`; it holds no state and may be used from several threads.

    `columns` are the source columns that it reads and `upstream` the (pass, field) pairs, both sorted.
    """

    text: str
    columns: tuple[str, ...]
    upstream: tuple[tuple[str, str], ...]
    _parts: tuple[Part, ...] | None
    _template: Any

    @classmethod
    def compile(
        cls, text: str, *, file: str | Path | None = None, key: str | None = None, first_line: int = 1
    ) -> Prompt:
        """Parse and check a prompt. Raises SpecError with the line; `first_line` is the line of `file` it begins in."""
        parts = simple_parts(text)
        if parts is not None:
            reads = [part for part in parts if not isinstance(part, str)]
            columns = tuple(sorted({name for kind, name in reads if kind == _COLUMN}))
            upstream = tuple(sorted({part for part in reads if part[0] != _COLUMN}))
            return cls(text, columns, upstream, parts, None)
        from inlay.spec.templates import compile_template

        template, names, fields, mistakes = compile_template(text)
        if mistakes:
            found = [
                SpecError(message, file=file, line=first_line + line - 1, key=key, remedy=remedy)
                for line, message, remedy in mistakes
            ]
            if len(found) == 1:
                raise found[0]
            title = f"{key or 'the prompt'} has {len(found)} mistakes:"
            raise SpecError(title, file=file, line=found[0].line, key=key, problems=found)
        return cls(text, names, fields, None, template)

    @property
    def head(self) -> str:
        """The text that every rendering begins with; empty where it begins with a value, or needs Jinja."""
        first = self._parts[0] if self._parts else ""
        return first if isinstance(first, str) else ""

    def outline(self) -> str | None:
        """The text with each value as its name in braces, for records given beside it; None if it needs Jinja."""
        if self._parts is None:
            return None
        return "".join(
            part if isinstance(part, str) else f"{{{part[1] if part[0] == _COLUMN else '.'.join(part)}}}"
            for part in self._parts
        )

    @property
    def is_simple(self) -> bool:
        """Whether it renders without Jinja."""
        return self._parts is not None

    def render(self, values: Mapping[str, Any], passes: Mapping[str, Mapping[str, Any]] | None = None) -> str:
        """The text for one record. Raises InvalidRequest where this record cannot be rendered."""
        return self.bind(tuple(values))(tuple(values.values()), passes or {})

    def bind(self, inputs: Sequence[str]) -> Renderer:
        """The renderer for records whose values come in the order of `inputs`; made once, called for every cell.

        It raises InvalidRequest where a record cannot be rendered.
        """
        if self._parts is not None:
            return _joiner(self._parts, inputs)
        from inlay.spec.templates import renderer

        return renderer(self._template, inputs)


def simple_parts(text: str) -> tuple[Part, ...] | None:
    """The parts of a template that holds nothing but text and plain outputs; None where it needs Jinja."""
    if "{%" in text or "{#" in text:
        return None
    text = _NEWLINE.sub("\n", text)
    if text.endswith("\n"):  # one, as Jinja does
        text = text[:-1]
    parts: list[Part] = []
    at = 0
    while (start := text.find("{{", at)) >= 0:
        output = _OUTPUT.match(text, start)
        part = None if output is None else _read(output)
        if output is None or part is None:
            return None
        if start > at:
            parts.append(text[at:start])
        parts.append(part)
        at = output.end()
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def _read(output: re.Match[str]) -> Part | None:
    name = output[1]
    steps = [(step[1], step[1] or step[2] or step[3] or "") for step in _STEPS.finditer(output[2])]
    for word in (attribute for attribute, _ in steps if attribute):
        if not is_plain_name(word):
            return None
    if name == "row" and len(steps) == 1:
        return (_COLUMN, steps[0][1])
    if name == "passes" and len(steps) == 2 and steps[0][1]:
        return (steps[0][1], steps[1][1])
    if steps or name in RESERVED or not is_plain_name(name):
        return None
    return (_COLUMN, name)


def is_plain_name(name: str) -> bool:
    """Whether a name can be written without quotes: an identifier that compatibility forms do not change."""
    return name.isidentifier() and (name.isascii() or unicodedata.normalize("NFKC", name) == name)


def _joiner(parts: tuple[Part, ...], inputs: Sequence[str]) -> Renderer:
    """A renderer that joins; positions are looked up here, once."""
    position = {name: index for index, name in enumerate(inputs)}
    program: list[str | int | tuple[str, str]] = []
    for part in parts:
        if isinstance(part, str) or part[0] != _COLUMN:
            program.append(part)
        elif part[1] in position:
            program.append(position[part[1]])
        else:
            program.append(part)

    def render(values: Sequence[Any], passes: Mapping[str, Mapping[str, Any]]) -> str:
        out: list[str] = []
        for step in program:
            if type(step) is str:
                out.append(step)
                continue
            if type(step) is int:
                value = values[step]
            else:
                name, field = step  # type: ignore[misc]
                try:
                    value = passes[name][field]
                except KeyError:
                    raise unrendered(f"it has no `{f'{name}.{field}' if name else field}`") from None
            text = value if type(value) is str and value.isascii() else plain(value)
            if text:
                out.append(text)
        return "".join(out)

    return render


def unrendered(why: str) -> InvalidRequest:
    """The error of a record that a prompt cannot be rendered for; only its own cell fails."""
    return InvalidRequest(f"prompt cannot be rendered for this record: {why}")
