"""Finding the JSON object in an answer that is not simply one: fences, reasoning, prose, two objects, broken syntax,
a cut-off end.

What stays true: nothing is invented. A value whose end was cut off is not there; a key given twice with different
values is Unreadable, and so is text that no longer says where it ends. Each field is taken on its own, so that one
broken value costs only itself. Time is linear in the text, and depth never meets the recursion limit.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.engine.forms import loose

# Longer text is parsed strictly or not at all: no model answers this much in good order and then breaks it.
LONGEST = 1_000_000
_LONGEST_REPAIR = 50_000  # characters of one value that json_repair sees
_MOST_CLOSED = 16  # objects looked at in one answer, the last ones
_MOST_OPEN = 8


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a parsed document where there is text but no JSON value: NaN, or one key given two values."""

    problem: str


_TWICE = Unreadable("was given twice with different values")
_NOT_JSON = Unreadable("cannot be read: the JSON around it is broken")
_NAN = Unreadable("is NaN or infinite")
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One object found in the text. `cut` says that it stops before its end, with a declared field begun."""

    document: Any
    cut: bool = False


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1. Values nested too deep to compare are not the same."""
    try:
        return type(one) is type(other) and one == other
    except RecursionError:
        return False


def loose_names(names: Sequence[str]) -> dict[str, str]:
    """Loose form to declared name, for the names whose loose form is theirs alone."""
    out: dict[str, str] = {}
    doubled: set[str] = set()
    for name in names:
        key = loose(name)
        if key in out:
            doubled.add(key)
        out[key] = name
    return {key: name for key, name in out.items() if key not in doubled}


def find_keys(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values of a document by declared name, where a key differs from it only in what `loose` removes.

    `names` comes from `loose_names`. An exact key wins; several inexact ones that disagree are Unreadable.
    """
    found: dict[str, Any] = {}
    exact = {name for name in names.values() if name in document}
    for key, value in document.items():
        name = names.get(loose(key)) if len(key) <= 256 else None
        if name is None:
            continue
        if name in exact:
            found[name] = document[name]
        elif name in found and not same(found[name], value):
            found[name] = _TWICE
        else:
            found[name] = value
    return found


# --- strict enough ---------------------------------------------------------------------------------------------------


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        out[key] = value if key not in out or same(out[key], value) else _TWICE
    return out


# Forgives control characters in strings, lone surrogates, NaN and doubled keys; a huge integer becomes a float, as
# orjson does, because its digits would take quadratic time.
DECODER = json.JSONDecoder(
    strict=False,
    object_pairs_hook=_pairs,
    parse_constant=lambda _: _NAN,
    parse_int=lambda digits: int(digits) if len(digits) < 20 else float(digits),
)


def parse_all(text: str) -> Any:
    """The document that the text is, with doubled keys and NaN as Unreadable; raises ValueError where it is none."""
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


# --- where the objects are -------------------------------------------------------------------------------------------

_START = re.compile(r"""\[(?=\s*+\{)|\{(?=\s*+(?:["'“”‘’}]|[^\W\d][\w -]{0,80}+:))""")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
_REASONING = re.compile(r"<(think|thinking|thought|reasoning|analysis|scratchpad)\b[^<>]{0,200}>", re.IGNORECASE)
_REASONED = re.compile(r"</(?:think|thinking|thought|reasoning|analysis|scratchpad)\s*>", re.IGNORECASE)


def _end(text: str, start: int) -> int:
    """The end of the object or array that starts here, or -1 where it never closes."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        mark = token[0]
        if mark == "{" or mark == "[":
            depth += 1
        elif mark == "}" or mark == "]":
            depth -= 1
            if depth == 0:
                return token.end()
        elif len(mark) == 1:
            return -1  # a string that never ends
    return -1


def _without_reasoning(text: str, truncated: bool) -> str:
    """The text without blocks of reasoning before the first object; tags inside an object belong to its values.

    A block that never closes holds only drafts if the answer was truncated.
    """
    first, start = _REASONING.search(text), _START.search(text)
    if first is None or (start is not None and start.start() < first.start()):
        return text
    kept: list[str] = []
    position = 0
    while opening := _REASONING.search(text, position):
        closing = _REASONED.search(text, opening.end())
        if closing is None:
            kept.append(text[position : opening.start()])
            position = len(text) if truncated else opening.end()
            break
        kept.append(text[position : opening.start()])
        position = closing.end()
    kept.append(text[position:])
    return "".join(kept)


def _spans(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """(start, end) of each closed object or array, and the starts of those that never close."""
    closed: list[tuple[int, int]] = []
    opened: list[int] = []
    position = 0
    while len(opened) < _MOST_OPEN and (match := _START.search(text, position)):
        end = _end(text, match.start())
        if end < 0:
            opened.append(match.start())
            position = match.end()
        else:
            closed.append((match.start(), end))
            position = end
    return closed, opened


def _answer_start(text: str, closed: list[tuple[int, int]]) -> int:
    """Where the answer may start: after a closing reasoning tag that stands alone outside of every object.

    Some chat templates open the block in the prompt, so that the answer holds only its end.
    """
    starts = [start for start, _ in closed]
    after = 0
    for tag in _REASONED.finditer(text):
        inside = bisect_right(starts, tag.start()) - 1
        if inside < 0 or closed[inside][1] <= tag.start():
            after = tag.end()
    return after


class Salvage:
    """Finds objects that may hold the declared names. Compiled once a pass."""

    def __init__(self, names: Sequence[str], nulls: str) -> None:
        names = (*names, nulls)
        self._nulls = nulls
        self._names = loose_names(names) | {name: name for name in names}
        either = "|".join(sorted((_spelled(name) for name in names), key=len, reverse=True))
        self._quoted = re.compile(rf"""["'“”‘’]({either})["'“”‘’]\s*+:""", re.IGNORECASE | re.ASCII)
        self._bare = re.compile(rf"(?<!\w)({either})\s*+:", re.IGNORECASE | re.ASCII)

    def candidates(self, text: str, *, truncated: bool) -> Iterator[Candidate]:
        """Objects in order of trust: closed ones, the last first; then open ones; then closed ones within those."""
        if len(text) > LONGEST:
            return
        text = _without_reasoning(text, truncated)
        closed, opened = _spans(text)
        if after := _answer_start(text, closed):
            later = [span for span in closed if span[0] >= after], [start for start in opened if start >= after]
            closed, opened = later if any(later) else (closed, opened)
        first_open = opened[0] if opened else len(text)
        for start, end in reversed([span for span in closed if span[0] < first_open][-_MOST_CLOSED:]):
            yield self._closed(text[start:end])
        for start in opened:
            segment = text[start:].rstrip()
            cut = truncated or not segment.endswith(("}", "]", "`"))
            yield self._broken(segment, cut=cut)
        for start, end in reversed([span for span in closed if span[0] > first_open][-_MOST_CLOSED:]):
            yield self._closed(text[start:end])

    def _closed(self, segment: str) -> Candidate:
        try:
            return Candidate(parse_all(segment))
        except ValueError:
            return self._broken(segment, cut=False)

    def _broken(self, segment: str, *, cut: bool) -> Candidate:
        """Read broken JSON field by field: the text between one declared key and the next is one value.

        Where `cut`, the last value counts only if it is closed; of the null reasons the whole ones do.
        """
        keys = self._keys(segment, self._quoted) or self._keys(segment, self._bare)
        out: dict[str, Any] = {}
        if len(keys) > 4 * len(self._names) + 16:
            return Candidate({}, cut)  # a model caught in a loop: no one of its answers is the answer
        for index, (name, _, start) in enumerate(keys):
            last = index + 1 == len(keys)
            fragment = segment[start:] if last else segment[start : keys[index + 1][1]]
            value = _value(fragment, last=last, cut=cut)
            if value is _NOTHING and name == self._nulls:
                value = [_value(item[0], last=False, cut=False) for item in _FLAT_OBJECT.finditer(fragment)]
            if value is _NOTHING:
                continue
            out[name] = value if name not in out or same(out[name], value) else _TWICE
        return Candidate(out, cut and bool(keys))

    def _keys(self, segment: str, pattern: re.Pattern[str]) -> list[tuple[str, int, int]]:
        """(declared name, start, end) of keys that stand where keys stand: after a brace, a comma or a line end."""
        found: list[tuple[str, int, int]] = []
        for match in pattern.finditer(segment):
            before = segment[max(0, match.start() - 200) : match.start()]
            stripped = before.rstrip()
            name = self._names.get(match[1]) or self._names.get(loose(match[1]))
            if name and (stripped.endswith(("{", ",")) or "\n" in before[len(stripped) :]):
                found.append((name, match.start(), match.end()))
        return found


def _spelled(name: str) -> str:
    """A pattern for the spellings of a name: with any separator, or none, where it has an underscore."""
    return r"[\s_-]?".join(re.escape(part) for part in name.strip("_").split("_") if part) or re.escape(name)


# --- one value of broken JSON ----------------------------------------------------------------------------------------

_COMMENT = re.compile(r"//[^\n]*+\s*+")
_NEXT_KEY = re.compile(r"""(?:[,\s]|//[^\n]*+)*+(?:$|[}\]]|["'“”‘’][^"'“”‘’\n]{0,200}+["'“”‘’]\s*+:)""")
_BARE = re.compile(r"""[^\s"'“”{}\[\],:`][^"'“”{}\[\]:,\n]*+""")
_CUT_KEY = re.compile(r"""[,\s]*+(?:$|["'“‘}\]]|[^\W\d])""")
_FLAT_OBJECT = re.compile(r"\{[^{}]*+\}")
_WORDS = {
    "none": None,
    "null": None,
    "true": True,
    "false": False,
    "nan": _NAN,
    "infinity": _NAN,
    "-infinity": _NAN,
    "undefined": None,
}
_OPENING_QUOTES = ('"', "'", "“", "‘")
_SINGLE_QUOTED = re.compile(r"""'(?:[^'\\]++|\\.)*+'|“[^“”"]*+”|‘[^‘’']*+’""", re.DOTALL)
_STRING_END = re.compile(r"""["'”’]\s*+[}\]]""")
_INNER_STRUCTURE = re.compile(r'"\s*+(?::|,\s*+")')
_ESCAPE = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])|\\|"')
# What json_repair would make a number of: "4 or 5" is not 4.
_NUMBER_AND_MORE = re.compile(r"""[:\[,]\s*+[-+.]?[0-9][\w.+-]*+\s*+[^\s,}\]]""")
_KEY = re.compile(r"""["']([^"'\n]{1,200}+)["']\s*+:""")


def _value(fragment: str, *, last: bool, cut: bool) -> Any:
    """The value that a fragment starts with; _NOTHING where it was cut off, Unreadable where it cannot be told."""
    fragment = fragment.strip()
    try:
        value, end = DECODER.raw_decode(fragment)
    except (ValueError, RecursionError):
        simple = _SINGLE_QUOTED.match(fragment)
        value, end = (_string(simple[0]), simple.end()) if simple else (_NOT_JSON, 0)
    if value is not _NOT_JSON:
        rest = _COMMENT.sub("", fragment[end:].lstrip(), count=1)
        if not rest and last and cut:
            # A number may have had more digits; everything else shows its own end.
            return _NOTHING if type(value) is int or type(value) is float else value
        following = _CUT_KEY if last and cut else _NEXT_KEY
        if not rest or rest[0] in "}]" or (rest[0] == "," and following.match(rest)):
            return value
    if last and cut:
        return _NOTHING
    if last and fragment[:1] in _OPENING_QUOTES and (ends := list(_STRING_END.finditer(fragment))):
        fragment = fragment[: ends[-1].start() + 1]  # what follows the object is prose
    return _repaired(fragment, last)


def _repaired(fragment: str, last: bool) -> Any:
    """A value with single quotes, bare words, quotes inside quotes, trailing commas, or Unreadable."""
    scalar = fragment.rstrip(", \t\r\n}]`" if last else ", \t\r\n")
    if scalar[:1] in _OPENING_QUOTES and len(scalar) > 1:
        return _string(scalar)
    if _BARE.fullmatch(scalar):
        word = scalar.strip()
        return _WORDS.get(word.casefold(), word)
    if scalar[:1] in ("{", "[") and len(fragment) <= _LONGEST_REPAIR:
        return _container(fragment)
    return _NOT_JSON


def _string(quoted: str) -> Any:
    """A string whose quotes or escapes are wrong: its content is what lies between the first and the last quote."""
    closing = {'"': '"', "'": "'", "“": '”"“', "‘": "’'‘"}[quoted[0]]
    inner = quoted[1:-1]
    if quoted[-1] not in closing or (len(inner) - len(inner.rstrip("\\"))) % 2:
        return _NOT_JSON  # no closing quote, or an escaped one: the end of the string is not there
    if quoted[0] == "'":
        inner = inner.replace("\\'", "'")
    if _INNER_STRUCTURE.search(inner):
        return _NOT_JSON
    escaped = _ESCAPE.sub(lambda found: found[0] if len(found[0]) > 1 else "\\" + found[0], inner)
    try:
        return DECODER.decode(f'"{escaped}"')
    except ValueError:
        return _NOT_JSON


def _container(fragment: str) -> Any:
    """An object or list through json_repair, unless it would have to guess."""
    keys = [key[1] for key in _KEY.finditer(fragment)]
    if _NUMBER_AND_MORE.search(fragment) or (fragment[0] == "{" and len(set(keys)) != len(keys)):
        return _NOT_JSON
    import json_repair  # slow to import, rarely needed

    try:
        value = json_repair.loads(fragment, skip_json_loads=True)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # it lost its way in the text
        return _NOT_JSON
    return value if isinstance(value, dict | list) else _NOT_JSON
