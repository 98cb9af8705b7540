"""YAML files of a dbt project, added to and never rewritten: what is missing goes in, every other byte stays.

A file is read as YAML nodes with their places in the text; additions are lines spliced in behind what stands there, in
its style (block or flow, indented lists or not). So comments, order, quotes and blank lines stay where they are. What
stays true: nothing of the user's is changed or removed; only the arguments of tests named `inlay_…` are Inlay's, and
follow the declaration; a file that has everything is left as it is, byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from inlay.errors import SpecError
from inlay.publish.dbt_lines import block, flow, scalar

OURS = "inlay_"  # how the names of our tests begin
_TESTS = ("data_tests", "tests")
_TAG = re.compile(r"\{(?=[{%#])")


class YamlFile:
    """The text of one YAML file, to add to. Raises SpecError for one that cannot be read."""

    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self._path = path
        self._edits: list[tuple[int, int, str]] = []  # (start, end, what stands there instead)
        self._lines: dict[int, list[str]] = {}  # place -> lines that are inserted there
        self._inside: dict[int, list[str]] = {}  # place within brackets -> what is inserted there
        try:
            self._root = YAML(typ="safe", pure=True).compose(text)
        except (YAMLError, ValueError) as error:
            mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
            raise SpecError(
                "not valid YAML, so nothing can be added to it",
                file=path,
                line=mark.line + 1 if mark is not None else None,
                remedy="correct it, or move what `inlay dbt` is to add to into another file",
            ) from None

    @property
    def sources(self) -> dict[str, set[str]]:
        """The sources that are declared here, each with its tables."""
        return {
            _name(source): {_name(table) for table in _items(_get(source, "tables"))}
            for source in _items(_get(self._root, "sources"))
        }

    @property
    def models(self) -> set[str]:
        """The models that are described here."""
        return {_name(model) for model in _items(_get(self._root, "models"))}

    def add_table(self, source: Mapping[str, Any], table: Mapping[str, Any]) -> None:
        """A table with its source; what is there already is completed."""
        found = _named(_get(self._root, "sources"), source["name"])
        if found is None:
            self._add_under(self._root, "sources", [{**source, "tables": [table]}])
            return
        there = _named(_get(found, "tables"), table["name"])
        if there is None:
            self._add_under(found, "tables", [table])
        else:
            self._complete(there, table)

    def add_model(self, model: Mapping[str, Any]) -> None:
        """A model's description; what is there already is completed."""
        there = _named(_get(self._root, "models"), model["name"])
        if there is None:
            self._add_under(self._root, "models", [model])
        else:
            self._complete(there, model)

    def result(self) -> str:
        """The text with all that was added."""
        text = self.text
        inserted = [(at, at, "".join(sorted(new, key=_depth))) for at, new in self._lines.items()]
        inserted += [(at, at, "".join(new)) for at, new in self._inside.items()]
        for start, end, new in sorted([*self._edits, *inserted], key=lambda edit: edit[0], reverse=True):
            if text[:start] and not text[:start].endswith("\n") and new.endswith("\n"):
                new = "\n" + new  # a file without a line break at its end
            text = text[:start] + new + text[end:]
        return text

    def _complete(self, there: Node, wanted: Mapping[str, Any]) -> None:
        """Add what an entry (a table, a model, a column) lacks."""
        for key, value in wanted.items():
            found = _get(there, key)
            if key in _TESTS:
                self._tests(there, value)
            elif key == "columns":
                missing = []
                for column in value:
                    known = _named(found, column["name"])
                    if known is None:
                        missing.append(column)
                    else:
                        self._complete(known, column)
                if missing:
                    self._add_under(there, "columns", missing)
            elif key == "config":
                self._mark(there, value)
            elif found is None:
                self._add_key(there, key, value)

    def _mark(self, there: Node, config: Mapping[str, Any]) -> None:
        """`config: {meta: {inlay: …}}`, unless it is there, in the present place of `meta` or in its old one."""
        if _get(_get(there, "meta"), "inlay") is not None:
            return
        holder = _get(there, "config")
        meta = _get(holder, "meta")
        if not isinstance(holder, MappingNode):
            self._add_under(there, "config", config)
        elif not isinstance(meta, MappingNode):
            self._add_under(holder, "meta", config["meta"])
        elif _get(meta, "inlay") is None:
            self._add_key(meta, "inlay", config["meta"]["inlay"])

    def _tests(self, there: Node, wanted: Sequence[Any]) -> None:
        key = next((name for name in _TESTS if _get(there, name) is not None), _TESTS[0])
        known = {_test_name(item): item for name in _TESTS for item in _items(_get(there, name))}
        missing = []
        for test in wanted:
            name = test if isinstance(test, str) else next(iter(test))
            if name not in known and f"dbt.{name}" not in known:
                missing.append(test)
            elif not isinstance(test, str) and name.startswith(OURS):
                self._arguments(known[name], test[name].get("arguments", {}))
        if missing:
            self._add_under(there, key, missing)

    def _arguments(self, item: Node, wanted: Mapping[str, Any]) -> None:
        """The arguments of a test of ours, as the declaration has them now."""
        body = item.value[0][1] if isinstance(item, MappingNode) and item.value else None
        holder = _get(body, "arguments") if _get(body, "arguments") is not None else body
        for name, value in wanted.items():
            found = _get(holder, name)
            if not isinstance(holder, MappingNode):
                continue  # the test was left without arguments, or is written in dbt's long form: it is the user's
            if found is None:
                self._add_key(holder, name, value)
            elif not _same(found, value):
                indent = found.start_mark.column if _is_flow(found) else holder.start_mark.column + 2
                self._edits.append((found.start_mark.index, _end(found, self.text), flow(value, indent)))

    def _add_under(self, there: Node | None, key: str, value: Any) -> None:
        """Items or keys below a key that may be there, may be empty, or may be missing."""
        found = _get(there, key)
        if isinstance(found, ScalarNode) and found.value in ("~", "null") and not found.style:
            found.value = ""
        if there is None:
            self._insert(len(self.text), block({key: value}, 0))
        elif found is None:
            self._add_key(there, key, value)
        elif not found.value and not _is_flow(there) and not (isinstance(found, ScalarNode) and found.style):
            # Nothing there yet: `[]`, `{}` or no value. What is added is written in lines.
            if found.start_mark.index != found.end_mark.index:
                self._edits.append((found.start_mark.index, found.end_mark.index, ""))
            self._insert(
                self._below(_end_of((_key(there, key), found), self.text)), block(value, there.start_mark.column + 2)
            )
        elif isinstance(found, SequenceNode) and isinstance(value, list):
            for item in value:
                self._add_item(found, item)
        elif isinstance(found, MappingNode) and isinstance(value, Mapping):
            for name, part in value.items():
                self._add_key(found, name, part)
        else:
            raise SpecError(
                f"`{key}` is not written as dbt has it",
                file=self._path,
                line=found.start_mark.line + 1,
                remedy="make it a list" if isinstance(value, list) else "make it keys with values",
            )

    def _add_key(self, there: Node, key: str, value: Any) -> None:
        if not isinstance(there, MappingNode):
            raise SpecError(
                f"`{key}` cannot be added here: this is not a list of keys",
                file=self._path,
                line=there.start_mark.line + 1,
                remedy="write it as dbt has it, with `name:` and the rest",
            )
        if there.flow_style:
            self._add_flow(there, f"{scalar(key)}: {flow(value, 0)}")
        else:
            self._insert(self._below(_end(there, self.text)), block({key: value}, there.start_mark.column))

    def _add_item(self, there: SequenceNode, item: Any) -> None:
        if there.flow_style:
            self._add_flow(there, flow(item, 0))
        else:
            self._insert(self._below(_end(there, self.text)), block([item], there.start_mark.column))

    def _add_flow(self, there: Node, text: str) -> None:
        """Behind the last thing within the brackets; a comma that stands behind that goes on to stand there."""
        if there.value:
            last = there.value[-1]
            at = _end_of(last, self.text) if isinstance(last, tuple) else _end(last, self.text)
            self._inside.setdefault(at, []).append(f", {text}")
        else:
            known = self._inside.setdefault(there.start_mark.index + 1, [])
            known.append(f", {text}" if known else text)

    def _insert(self, at: int, text: str) -> None:
        """Lines at a place. What belongs further in stands first there, and the items of a list before the key that
        follows it; otherwise what is inserted first stands first."""
        self._lines.setdefault(at, []).append(text)

    def _below(self, at: int) -> int:
        """The beginning of the line below."""
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found + 1


def new_file(key: str) -> str:
    """A YAML file with nothing in it yet but a heading."""
    return f"# {key.capitalize()} that `inlay dbt` added to; the rest is yours.\nversion: 2\n"


def jinja_safe(text: str) -> str:
    """A text that means itself where dbt reads Jinja: what would open a tag is written as a constant."""
    return _TAG.sub("{{ '{' }}", text)


def _depth(lines: str) -> tuple[int, bool]:
    inner = lines.lstrip(" ")
    return len(inner) - len(lines), not inner.startswith("- ")


def _get(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _key(node: Node, key: str) -> Node:
    return next(name for name, _ in node.value if name.value == key)


def _end(node: Node, text: str) -> int:
    """Where what a node says ends: before comments and blank lines that follow."""
    if isinstance(node, ScalarNode) or _is_flow(node) or not node.value:
        end = node.end_mark.index
        return len(text[:end].rstrip()) if getattr(node, "style", None) in ("|", ">") else end
    last = node.value[-1]
    return _end_of(last, text) if isinstance(last, tuple) else _end(last, text)


def _end_of(pair: tuple[Node, Node], text: str) -> int:
    """The same for a key with its value. A value that is not there is placed behind comments; so the colon counts."""
    key, value = pair
    if isinstance(value, ScalarNode) and value.start_mark.index == value.end_mark.index:
        return text.index(":", key.end_mark.index) + 1 if ":" in text[key.end_mark.index :] else key.end_mark.index
    return _end(value, text)


def _items(node: Node | None) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else []


def _name(node: Node) -> str:
    found = _get(node, "name")
    return found.value if isinstance(found, ScalarNode) else ""


def _named(node: Node | None, name: str) -> Node | None:
    return next((item for item in _items(node) if _name(item).casefold() == name.casefold()), None)


def _test_name(node: Node) -> str:
    """`unique`, `{unique: {…}}` or `{name: …, test_name: unique}`."""
    if isinstance(node, ScalarNode):
        return node.value
    named = _get(node, "test_name")
    if isinstance(named, ScalarNode):
        return named.value
    return node.value[0][0].value if isinstance(node, MappingNode) and node.value else ""


def _is_flow(node: Node) -> bool:
    return bool(getattr(node, "flow_style", False))


def _same(node: Node, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(_items(node)) == len(value) and all(
            _same(one, other) for one, other in zip(_items(node), value, strict=True)
        )
    return isinstance(node, ScalarNode) and node.value == (value if isinstance(value, str) else json.dumps(value))
