"""YAML text to a tree of texts, lists and keys that remembers its lines; nothing else of YAML is let in.

Reads the parser's events directly: scalars stay the text that the user wrote (`no`, `007` and `1.10` included, the
models give them a type later), anchors and `<<` work, tags do not. What stays true: time and memory are bounded by
the three limits below before anything is built, so that no file, however hostile, costs more than a second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from inlay.spec.problems import Problems, TooManyProblems, show_text

MAX_BYTES = 1_000_000
MAX_NODES = 20_000  # keys and values, aliases counted each time they are used
MAX_DEPTH = 32

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(slots=True)
class Node:
    """A place in the file: a text, a list of `items` or keys with values (`pairs`), as `kind` says.

    `plain` says that a text stands without quotes, `block` that it is a `|` block, whose lines follow line by line.
    """

    line: int
    kind: str  # text, list or keys
    text: str = ""
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    plain: bool = False
    block: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it is `null`, `~` or empty, unquoted."""
        return self.kind == "text" and self.plain and self.text in _NULLS

    def resolved(self) -> Any:
        """A scalar by YAML's own rules (core schema; .inf and .nan stay text): for values without a declared type."""
        text = self.text
        if not self.plain:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            number = float(text)
            return text if number in (float("inf"), float("-inf")) else number
        return text


class _Fatal(Exception):
    """The text cannot be read any further."""

    def __init__(self, message: str, line: int | None, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.remedy = message, line, remedy


def decode(data: bytes, problems: Problems, *, what: str = "the file") -> str:
    """Bytes as UTF-8 text (a BOM is dropped); a mistake names the first line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "it looks like UTF-16; " if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(f"{what} is not UTF-8", line=line, remedy=f"{hint}save it as UTF-8")
        return ""


def parse(text: str, problems: Problems) -> Node | None:
    """The tree of a YAML text, or None with the reason added to `problems`."""
    try:
        return _build(text)
    except _Fatal as fatal:
        try:
            problems.add(fatal.message, line=fatal.line, remedy=fatal.remedy)
        except TooManyProblems:
            pass
        return None


def _build(text: str) -> Node:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _Fatal(
            f"the file is larger than {MAX_BYTES:,} bytes", None, "keep long texts in `prompt_file` and `values_file`"
        )
    root: Node | None = None
    open_nodes: list[Node] = []  # collections being filled, outermost first
    waiting: list[Node | None] = []  # for each of them: a key that waits for its value
    anchors: dict[str, Node] = {}
    for count, event in enumerate(_events(text)):
        if count > MAX_NODES:
            raise _Fatal(f"more than {MAX_NODES:,} keys and values", event.start_mark.line + 1, _TOO_BIG)
        kind = type(event).__name__
        if kind in ("MappingEndEvent", "SequenceEndEvent"):
            open_nodes.pop()
            waiting.pop()
            continue
        if kind == "DocumentStartEvent" and root is not None:
            raise _Fatal("a second document begins here", event.start_mark.line + 1, "keep one declaration a file")
        node = _node(event, kind, anchors, open_nodes)
        if node is None:
            continue
        if not open_nodes:
            root = node
        else:
            _place(node, open_nodes[-1], waiting)
        if node.kind != "text" and kind != "AliasEvent":
            open_nodes.append(node)
            waiting.append(None)
            if len(open_nodes) > MAX_DEPTH:
                raise _Fatal(f"nested more than {MAX_DEPTH} levels deep", node.line, "a declaration is never that deep")
    if root is None or root.is_null:
        raise _Fatal("the file is empty", None, "`inlay init` writes a first declaration")
    return root


_TOO_BIG = "keep long lists in `values_file`, a value a line"


def _node(event: Any, kind: str, anchors: dict[str, Node], open_nodes: list[Node]) -> Node | None:
    """The node that an event begins, or None for events that begin none."""
    line = event.start_mark.line + 1
    if kind == "AliasEvent":
        node = anchors.get(event.anchor)
        if node is None:
            raise _Fatal(f"`*{show_text(event.anchor)}` refers to no anchor above it", line)
        if any(node is other for other in open_nodes):
            raise _Fatal(f"`*{show_text(event.anchor)}` refers to itself", line)
        return node
    if kind not in ("ScalarEvent", "MappingStartEvent", "SequenceStartEvent"):
        return None
    if (tag := event.tag) is not None:
        shown = show_text(str(tag).replace("tag:yaml.org,2002:", "!!"))
        raise _Fatal(f"the tag `{shown}` is not allowed", line, "write the value without a tag")
    if kind == "ScalarEvent":
        value = str(event.value)
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            value = _whole_pairs(value, line)
        node = Node(line, "text", value, plain=not event.style, block=event.style == "|")
    else:
        node = Node(line, "keys" if kind == "MappingStartEvent" else "list")
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _whole_pairs(value: str, line: int) -> str:
    """Text whose escapes wrote characters as surrogate pairs, as JSON does, with these made whole."""
    try:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise _Fatal("half of a surrogate pair is no character", line) from None


def _place(node: Node, parent: Node, waiting: list[Node | None]) -> None:
    if parent.kind == "list":
        parent.items.append(node)
        return
    key = waiting[-1]
    if key is not None:
        parent.pairs.append((key, node))
        waiting[-1] = None
    elif node.kind == "text":
        waiting[-1] = node
    else:
        raise _Fatal(
            "a key must be text, not a list or more keys",
            node.line,
            'a value that begins with `{{` needs quotes: "{{ … }}"',
        )


def _events(text: str) -> Any:
    """The parser's events; its complaints become ours, with the line."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    if not text.strip("\ufeff \t\r\n"):
        raise _Fatal("the file is empty", None, "`inlay init` writes a first declaration")
    line = 1
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            line = event.start_mark.line + 1
            yield event
    except ReaderError as error:
        at = text.count("\n", 0, error.position) + 1
        raise _Fatal(f"the character {chr(error.character)!a} is not allowed", at, "remove it") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context or "unreadable").split())
        remedy = _syntax_remedy(what, text, mark.line if mark else 0)
        raise _Fatal(f"not valid YAML: {show_text(what, 160)}", mark.line + 1 if mark else line, remedy) from None
    except (YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # The last ones are the parser's own slips on malformed escapes, directives and keys.
        raise _Fatal(f"not valid YAML: {show_text(str(error), 160)}", line) from None


def _syntax_remedy(what: str, text: str, line: int) -> str:
    row = text.split("\n", line + 1)[line] if line <= text.count("\n") else ""
    if "${" in row:
        return 'inside { } or [ ] a variable needs quotes: "${NAME}"'
    if "list[" in row:
        return 'inside { } a type like list[string] needs quotes: "list[string]"'
    if "\\t" in what or "tab" in what.lower():
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in what:
        return "check the indentation; a text that holds `: ` needs quotes"
    if "'%'" in what or "'@'" in what or "'`'" in what:
        return "a text that begins with this character needs quotes"
    if "alias" in what:
        return "a text that begins with * or & needs quotes"
    if "<stream end>" in what or "but got '}'" in what or "but got ']'" in what:
        return "close every bracket and quote"
    if "flow" in what or "block mapping" in what or "simple key" in what or "block collection" in what:
        return "check the indentation, brackets and quotes just above"
    return ""
