"""The declaration's file, read into one frozen Enrichment, or into one error that lists every mistake.

Text to tree (`document`), variables (`environment`), short forms (`forms`), models (`model`), meaning (`resolve`).
What stays true: scalars reach the models as the text that stands in the file, so `no`, `007` and `1.10` stay what they
are where text is meant; only `options`, which has no declared types, follows YAML's own rules.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from inlay.errors import SpecError
from inlay.spec.document import MAX_BYTES, MAX_NODES, Node, decode, parse
from inlay.spec.environment import expand
from inlay.spec.forms import Forms, expand_forms
from inlay.spec.model import Enrichment, OutputSpec, PassSpec, SelectSpec, SourceSpec
from inlay.spec.problems import Problems, TooManyProblems, join_key, show_text, suggest
from inlay.spec.resolve import PromptPlace, compile_prompt, resolve_passes, with_passes
from inlay.spec.sentences import HIDDEN_KEYS, keys_at, translate

_TABLES = frozenset((".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".xlsx", ".gz", ".zst"))
# How the scalars below a key are read; everywhere else `${VAR}` is filled in and scalars stay text.
_LITERAL, _KEPT, _FREE, _USUAL = "literal", "kept", "free", "usual"
_READINGS = (
    (re.compile(r"passes\[\d+\]\.(?:prompt|fields)"), _LITERAL),
    (re.compile(r"passes\[\d+\]\.rules\[\d+\]\.(?:when|pattern|set)"), _LITERAL),
    # Addresses may hold secrets: that their variables are there is checked here, but they are filled in where used.
    (re.compile(r"(?:source|output)\.connection|load\.into|store|(?:after|on_change)\[\d+\]\.webhook"), _KEPT),
    (re.compile(r"(?:passes\[\d+\]|models\.[A-Za-z0-9_-]+)\.options"), _FREE),
)


def load(path: str | Path, *, env: Mapping[str, str] | None = None, addresses: bool = True) -> Enrichment:
    """Read a declaration from a YAML file. `env` fills in `${VAR}`; left out, it is the process's environment.

    `addresses` are checked, too: whether the variables of databases and webhooks are set. Where none is gone to, they
    need not be.
    Raises SpecError; its `problems` hold every mistake with file, line and key. Reads nothing but the file and the
    files that it names with `prompt_file` and `values_file`.
    """
    file = Path(path)
    problems = Problems(file)
    text = decode(_read(file), problems)
    problems.raise_any()
    return load_text(text, folder=file.parent, file=file, env=env, addresses=addresses)


def load_text(
    text: str,
    *,
    folder: str | Path = ".",
    file: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    addresses: bool = True,
) -> Enrichment:
    """Read a declaration from YAML text; relative paths start in `folder`. Otherwise like `load`."""
    problems = Problems(file)
    start = Path(folder).absolute()
    reader = _Reader(problems, os.environ if env is None else env, addresses=addresses)
    forms = Forms(problems, start, reader.places)
    enrichment = None
    root = parse(text, problems)
    try:
        if root is not None:
            enrichment = _declaration(root, reader, forms)
    except TooManyProblems:
        pass
    problems.raise_any()
    assert enrichment is not None
    enrichment._folder = start
    enrichment._file = None if file is None else Path(file)
    enrichment._lines = problems.lines
    return enrichment


def _declaration(root: Node, reader: _Reader, forms: Forms) -> Enrichment | None:
    problems = forms.problems
    if root.kind != "keys":
        what = "a list" if root.kind == "list" else "a text"
        problems.add(f"expected keys and values, got {what}", line=root.line, remedy="begin with `name:` and `source:`")
        return None
    data = reader.read(root, "", _USUAL)
    _refuse_hidden(data, problems)
    expand_forms(data, forms)
    enrichment, passes, output = None, {}, OutputSpec()
    try:
        enrichment = Enrichment.model_validate(data)
        passes, output = dict(enumerate(enrichment.passes)), enrichment.output
    except ValidationError as error:
        translate(error, problems, shown=reader.from_env)
        passes = _valid_passes(data, reader)
    declared = data.get("passes")
    names = [
        item["name"]
        for item in (declared if isinstance(declared, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    ]
    sound = {index: spec for index, spec in passes.items() if not problems.covers(f"passes[{index}].prompt")}
    models = None if enrichment is None else enrichment.models
    resolved = resolve_passes(sound, output, problems, all_names=names, places=reader.places, models=models)
    return None if enrichment is None or problems.found else with_passes(enrichment, resolved)


def _valid_passes(data: dict[str, Any], reader: _Reader) -> dict[int, PassSpec]:
    """The passes that are valid by themselves, so that their meaning is checked although something else is wrong.

    Of the others, already reported, at least the prompt is compiled.
    """
    passes: dict[int, PassSpec] = {}
    declared = data.get("passes")
    for index, item in enumerate(declared if isinstance(declared, list) else ()):
        try:
            passes[index] = PassSpec.model_validate(item)
        except ValidationError:
            key = f"passes[{index}].prompt"
            text = item.get("prompt") if isinstance(item, dict) else None
            if isinstance(text, str) and not reader.problems.covers(key):
                compile_prompt(text, key, reader.problems, reader.places)
    return passes


def _refuse_hidden(data: dict[str, Any], problems: Problems) -> None:
    """Keys of the models that the file writes otherwise, or that only Inlay fills in."""
    declared = data.get("passes")
    places: list[tuple[str, Any, type[BaseModel], tuple[Any, ...]]] = [
        ("source", data.get("source"), SourceSpec, ("source",)),
        ("select", data.get("select"), SelectSpec, ("select",)),
        *(
            (f"passes[{index}]", item, PassSpec, ("passes", 0))
            for index, item in enumerate(declared if isinstance(declared, list) else ())
        ),
    ]
    for key, item, kind, loc in places:
        for name in HIDDEN_KEYS[kind]:
            if isinstance(item, dict) and name in item:
                del item[name]
                problems.add(f"unknown key `{name}`", f"{key}.{name}", remedy=suggest(name, keys_at(loc)))


class _Reader:
    """Turns the tree into plain values, noting the line of every key."""

    def __init__(self, problems: Problems, env: Mapping[str, str], *, addresses: bool) -> None:
        self.problems = problems
        self._addresses = addresses
        self.env = env
        self.from_env: dict[str, str] = {}  # key -> the text before its variables were filled in
        self.places: dict[str, PromptPlace] = {}
        self._count = 0

    def read(self, node: Node, path: str, reading: str) -> Any:
        """The value of a node: text, None, list or dict (`options` also numbers and booleans)."""
        self._count += 1
        if self._count > MAX_NODES:
            message = f"more than {MAX_NODES:,} keys and values once anchors are filled in"
            self.problems.add(message, line=node.line, remedy="write out what the anchors stand for, or use fewer")
            raise TooManyProblems
        if reading is _USUAL and path:
            reading = next((found for pattern, found in _READINGS if pattern.fullmatch(path)), reading)
        if node.kind == "keys":
            return self._keys(node, path, reading)
        if node.kind == "list":
            out = []
            for index, item in enumerate(node.items):
                key = join_key(path, index)
                self.problems.lines[key] = item.line
                out.append(self.read(item, key, reading))
            return out
        return self._scalar(node, path, reading)

    def _keys(self, node: Node, path: str, reading: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for name_node, value in node.pairs:
            name = name_node.text
            if name == "<<" and name_node.plain:
                merged.extend(value.items if value.kind == "list" else [value])
                continue
            key = join_key(path, name)
            if name in lines:
                message = f"`{show_text(name)}` is given twice"
                remedy = f"it already stands in line {lines[name]}; keep one"
                self.problems.add(message, key, line=name_node.line, remedy=remedy, covers=False)
                continue
            lines[name] = self.problems.lines[key] = name_node.line
            if key.endswith(".prompt") and value.kind == "text":
                by_line = value.block or "\n" not in value.text
                self.places[key] = PromptPlace(self.problems.file, value.line + value.block, by_line)
            out[name] = self.read(value, key, reading)
        for other in merged:
            self._merge(other, out, path, reading)
        return out

    def _merge(self, node: Node, out: dict[str, Any], path: str, reading: str) -> None:
        """Keys of `<<: *anchor` that are not given here."""
        if node.kind != "keys":
            self.problems.add("`<<` takes keys and values, or a list of them", path, line=node.line)
            return
        missing = [(name, value) for name, value in node.pairs if name.text not in out]
        out.update(self._keys(Node(node.line, "keys", pairs=missing), path, reading))

    def _scalar(self, node: Node, path: str, reading: str) -> Any:
        text = node.text
        if reading is _LITERAL:
            return None if node.is_null else text
        if "${" in text:
            if reading is not _KEPT:
                self.from_env[path] = text
            elif not self._addresses:
                return text
            value = expand(text, self.env, lambda message, remedy: self.problems.add(message, path, remedy=remedy))
            return text if reading is _KEPT else value
        if reading is _FREE:
            return node.resolved()
        return None if node.is_null else text


def _read(file: Path) -> bytes:
    """The bytes of a declaration; SpecError with the nearest file where there is none."""
    shown = show_text(str(file), 200)
    if file.suffix.lower() in _TABLES and file.is_file():
        remedy = f"`inlay init {shown}` writes one for it; `source.files` is where it names its files"
        raise SpecError(f"{shown} is a table, not a declaration", file=file, remedy=remedy)
    try:
        if file.is_dir():
            inside = [name for name in ("inlay.yaml", "inlay.yml") if (file / name).is_file()]
            remedy = f"did you mean {file / inside[0]}?" if inside else "give the path of a YAML file"
            raise SpecError(f"{shown} is a folder, not a file", file=file, remedy=remedy)
        if not file.exists():
            raise SpecError(f"there is no file {shown}", file=file, remedy=_not_found_remedy(file))
        if not file.is_file():
            raise SpecError(f"{shown} is not a regular file", file=file, remedy="give the path of a YAML file")
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SpecError(f"cannot read {shown}: {show_text(why or type(error).__name__)}", file=shown) from None
    if len(data) > MAX_BYTES:
        remedy = "keep long texts in `prompt_file` and `values_file`"
        raise SpecError(f"the file is larger than {MAX_BYTES:,} bytes", file=file, remedy=remedy)
    return data


def _not_found_remedy(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f"there is no folder {show_text(str(folder), 200)} either; check the path"
    names = sorted(other.name for other in folder.iterdir() if other.suffix in (".yaml", ".yml"))[:200]
    close = difflib.get_close_matches(file.name, names, n=1) or (names if len(names) == 1 else [])
    meant = f"did you mean {folder / close[0]}? " if close else ""
    return f"{meant}`inlay init` writes a first declaration"
