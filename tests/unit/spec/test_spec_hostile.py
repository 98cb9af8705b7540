"""Hostile declarations: each is refused for what it is, and nothing but SpecError ever comes out."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.spec.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse
from inlay.spec.load import load, load_text
from inlay.spec.problems import MAX_PROBLEMS, Problems

BASE = """\
name: a
source: {files: a.csv, key: id}
passes:
  - name: read
    prompt: "{{ text }}"
    fields: {stars: integer}
"""


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_text(text, file="a.yaml", env={})
    return caught.value


def laughs(levels: int, *, merge: bool) -> str:
    rows = ["a0: &a0 {x: 1}" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        uses = ", ".join([f"*a{level - 1}"] * 9)
        rows.append(f"a{level}: &a{level} " + (f"{{<<: [{uses}], k{level}: 1}}" if merge else f"[{uses}]"))
    return "\n".join(rows)


@pytest.mark.parametrize("merge", [False, True])
def test_billion_laughs(merge: bool) -> None:
    error = refusal(laughs(12, merge=merge))
    assert "more than 20,000 keys and values once anchors are filled in" in str(error)
    assert error.problems[0].line is not None


def test_a_million_keys() -> None:
    assert "larger than 1,000,000 bytes" in str(refusal("".join(f"k{n}: 1\n" for n in range(1_000_000))))
    many = refusal("".join(f"k{n}: 1\n" for n in range(60_000)))
    assert f"more than {MAX_NODES:,} keys and values" in str(many)
    assert many.problems[0].line == MAX_NODES // 2


def test_ten_thousand_unknown_keys_make_a_short_list() -> None:
    error = refusal(BASE + "".join(f"k{n}: 1\n" for n in range(9_000)))
    assert len(error.problems) == MAX_PROBLEMS
    assert str(error).startswith(f"a.yaml has {MAX_PROBLEMS} mistakes or more:")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_ten_thousand_levels(opening: str) -> None:
    error = refusal(opening * 10_000)
    assert f"nested more than {MAX_DEPTH} levels deep" in str(error)
    assert error.problems[0].line == 1


def test_levels_by_indentation() -> None:
    error = refusal("\n".join(" " * level + "a:" for level in range(1_000)))
    assert error.problems[0].line == MAX_DEPTH + 1


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a [b, {c: *a}]", "a: &a\n  <<: *a"])
def test_anchors_that_hold_themselves(text: str) -> None:
    assert "`*a` refers to itself" in str(refusal(text))


@pytest.mark.parametrize(
    "tag", ["!!python/object:os.system", "!!python/name:os.system", "!mine", "!!str", "!!binary", "!"]
)
def test_tags(tag: str) -> None:
    shown = str(refusal(f"name: a\nstore: {tag} x"))
    assert f"a.yaml:2: the tag `{tag}` is not allowed" in shown


def test_a_file_of_100_megabytes_is_not_read_whole(tmp_path) -> None:
    file = tmp_path / "a.yaml"
    with file.open("wb") as stream:
        stream.truncate(100_000_000)
    with pytest.raises(SpecError, match=r"the file is larger than 1,000,000 bytes"):
        load(file, env={})


def test_the_size_is_counted_in_bytes() -> None:
    assert "larger than" in str(refusal("a: " + "日" * (MAX_BYTES // 3)))


@pytest.mark.parametrize(
    "field",
    [
        "{pattern: '" + "(" * 900 + "'}",
        "{pattern: '" + "(" * 5_000 + "'}",
        "[" + "a," * 9_000 + "]",
        '"' + "list[" * 9 + "string" + "]" * 9 + '"',
        '"' + "list[" * 10_000 + "string" + "]" * 10_000 + '"',
        '"' + "a|" * 100_000 + '"',
    ],
    ids=["groups", "long", "doubled", "lists", "many-lists", "labels"],
)
def test_hostile_fields(field: str) -> None:
    assert refusal(BASE.replace("integer", field)).problems[0].key == "passes[0].fields.stars" + (
        ".pattern" if "pattern" in field else ""
    )


def test_a_variable_that_names_itself() -> None:
    enrichment = load_text(BASE + "version: ${A}\n", env={"A": "${A}${A}"})
    assert enrichment.version == "${A}${A}"


def assert_loads_or_says_why(text: str) -> None:
    try:
        passes, problems = load_text(text, env={"A": "1"}).passes, ()
    except SpecError as error:
        passes, problems = (), error.problems
    assert bool(passes) != bool(problems)
    assert all(problem.message and "\n" not in problem.message for problem in problems)


SNIPPETS = st.sampled_from(
    [
        *"{}[]:,-?&*!|>'\"%@`#~\n\t \\",
        "${",
        "a",
        "name",
        "passes:",
        "- ",
        "<<: ",
        "*a",
        "&a ",
        "!!",
        "{{ ",
        " }}",
        "{% ",
        "\\u",
        "\\x",
        "0",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "\ufeff",
        "é",
        "日本",
        "🎉",
        "\x85",
        "\u2028",
        "null",
        "\x00",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SNIPPETS, max_size=30).map("".join), st.booleans())
@example('"\\UFFFFFFFF"', False)
@example("%YAML 9.9\n---\na: 1", False)
@example("? {a: b}\n: c", True)
def test_any_text_loads_or_is_a_spec_error(text: str, after: bool) -> None:
    assert_loads_or_says_why((BASE if after else "") + text)


NAMES = st.text(string.printable + "日本\x00\x7f🎉", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "name",
        "source",
        "select",
        "passes",
        "mode",
        "batch",
        "limits",
        "budget",
        "failures",
        "output",
        "store",
        "version",
    ]
)
PASS_KEYS = st.sampled_from(
    [
        "name",
        "model",
        "endpoint",
        "api_key_env",
        "prompt_file",
        "inputs",
        "fields",
        "prefix",
        "ttl",
        "normalize",
        "options",
        *("temperature", "max_output_tokens", "prices", "abilities", "upstream", "ttl_s"),
    ]
)
FIELD_KEYS = st.sampled_from(
    ["type", "values", "values_file", "min", "max", "items", "fields", "pattern", "max_length", "max_items", "nullable"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, max_size=3),
    st.dictionaries(PASS_KEYS, VALUES, max_size=3),
    st.dictionaries(FIELD_KEYS, VALUES, max_size=3),
)
def test_any_values_load_or_are_spec_errors(top: dict, of_pass: dict, of_field: dict) -> None:
    one = {"name": "p", "prompt": "{{ t }}", "fields": {"f": of_field or "string"}, **of_pass}
    data = {"name": "a", "source": {"files": "a.csv", "key": "id"}, "passes": [one], **top}
    assert_loads_or_says_why(json.dumps(data))


def test_a_text_without_mistakes_has_its_tree() -> None:
    problems = Problems()
    root = parse("a: [b, 'c']", problems)
    assert root is not None
    assert not problems.found
    ((key, value),) = root.pairs
    assert (key.text, [item.text for item in value.items], [item.plain for item in value.items]) == (
        "a",
        ["b", "c"],
        [True, False],
    )
