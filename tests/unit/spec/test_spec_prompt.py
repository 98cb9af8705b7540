"""Prompts: what they read, how they render, that data stays data, and that both ways of rendering agree."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inlay.errors import InvalidRequest, SpecError
from inlay.fingerprint import plain
from inlay.spec.prompt import Prompt, simple_parts
from inlay.spec.templates import compile_template, renderer

ROW: dict[str, Any] = {
    "title": "Café ☕ {{ 7*7 }} {% if x %}",
    "none": None,
    "price": 5.0,
    "tags": ["x", None, 3.0],
    "weird col": "日本",
    "items": "مقال",
    "box": {"values": 1, "keys": [1, 2]},
}
PASSES = {"e": {"salary": 120_000.0, "values": ["a", "b"], "none": None, "box": {"items": 3}}, "my-pass": {"f": True}}


def rendered(text: str, row: dict[str, Any] = ROW, passes: dict[str, Any] = PASSES) -> str:
    return Prompt.compile(text).render(row, passes)


READS = [
    # text, simple, columns, upstream
    ("only text", True, (), ()),
    ("{{ b }} {{ a }} {{b}}", True, ("a", "b"), ()),
    ("{{ row[\"weird col\"] }}{{ row.a }}{{ row['x'] }}", True, ("a", "weird col", "x"), ()),
    (
        "{{ passes.e.salary }} {{ passes['my-pass'].f }} {{ passes.e['x y'] }}",
        True,
        (),
        (("e", "salary"), ("e", "x y"), ("my-pass", "f")),
    ),
    ("{{ 名前 }} {{ العنوان }}", True, ("العنوان", "名前"), ()),
    ("{{ a | upper }}", False, ("a",), ()),
    (
        "{% for t in tags if t != skip %}{{ loop.index }}{{ t.name }}{% else %}{{ other }}{% endfor %}",
        False,
        ("other", "skip", "tags"),
        (),
    ),
    ("{% if a %}{% set b = c %}{% endif %}{{ b }}", False, ("a", "b", "c"), ()),
    ("{% set x = a | trim %}{{ x }}", False, ("a",), ()),
    ("{% macro m(z) %}{{ z }}{{ title }}{% endmacro %}{{ m(price) }}", False, ("price", "title"), ()),
    ("{{ passes['e']['box'].items + 1 }}{{ row.a[i] }}", False, ("a", "i"), (("e", "box"),)),
    ("{% for v in passes.e.values %}{{ v }}{% endfor %}", False, (), (("e", "values"),)),
    ("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}{{ '{{ c }}' }}", False, (), ()),
    ("{{ a if b else c }}{{ d is none }}{{ e in f }}", False, ("a", "b", "c", "d", "e", "f"), ()),
    ("{{ row.passes }}{{ row['row'] }}{{ passes.row.row }}", True, ("passes", "row"), (("row", "row"),)),
]


@pytest.mark.parametrize(("text", "simple", "columns", "upstream"), READS)
def test_what_a_prompt_reads(text: str, simple: bool, columns: tuple, upstream: tuple) -> None:
    prompt = Prompt.compile(text)
    assert (prompt.is_simple, prompt.columns, prompt.upstream) == (simple, columns, upstream)


RENDERED = [
    ("{{ title }}", "Café ☕ {{ 7*7 }} {% if x %}"),
    ("{{ title | upper }}", "CAFÉ ☕ {{ 7*7 }} {% IF X %}"),
    ("{% set t = title %}{{ t }}", "Café ☕ {{ 7*7 }} {% if x %}"),
    ("[{{ none }}]", "[]"),
    ("[{{ none | trim }}{{ none | replace('a', 'b') }}{{ none ~ 'x' ~ price }}]", "[x5]"),
    ("{% if none %}a{% else %}b{% endif %}{{ none is none }}", "btrue"),
    ("{{ none | default('d', true) }}", "d"),
    ("{{ price }} {{ price + 0.5 }} {{ price / 2 }}", "5 5.5 2.5"),
    ("{{ tags }}", '["x",null,3.0]'),
    ("{{ tags | join(', ') }}", "x, , 3"),
    ("{{ tags | tojson }} {{ row['weird col'] | tojson }}", '["x", null, 3.0] "日本"'),
    ("{{ row.items }}{{ row.items | length }}", "مقال4"),
    ("{{ passes.e.values }} {{ passes.e.values | join('+') }}", '["a","b"] a+b'),
    ("{{ passes.e.box.items + 1 }} {{ box.values + 1 }} {{ box['values'] }}", "4 2 1"),
    ("{{ passes['my-pass'].f }}", "true"),
    ("{{ title.split(' ')[0] }}", "Café"),
    ("{% for k, v in box.items() %}{{ k }}={{ v }};{% endfor %}", "values=1;keys=[1,2];"),
    ("{% macro m(z) %}<{{ z }}>{% endmacro %}{{ m(price) }}", "<5>"),
    ("{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ price }}{% endcall %}", "<5>"),
    (
        "{% for i in [1, [2]] recursive %}{% if i is iterable %}{{ loop(i) }}{% else %}{{ i }}{% endif %}{% endfor %}",
        "12",
    ),
    ("a\r\n{{ price }}\rb\n", "a\n5\nb"),
    ("a\n\n", "a\n"),
    ("{{ absent | default('-') }}", "-"),
]


@pytest.mark.parametrize(("text", "expected"), RENDERED)
def test_how_it_renders(text: str, expected: str) -> None:
    assert rendered(text) == expected


REFUSED = [
    ("{{ a", "unexpected end of template", "close every {{ with }}"),
    ("{% if a %}", "Unexpected end of template", "close every {{ with }}"),
    ("{{ a b }}", "expected token 'end of print statement', got 'b'", 'row["its name"]'),
    ("{{ a ! }}", "unexpected char '!'", 'row["its name"]'),
    ("{{ row }}", "`row` must be followed by a column's name", 'row["column"]'),
    ("{{ row[a] }}", "`row[…]` needs a column's name in quotes, not a computed one", "must be known before"),
    ("{{ row | attr('a') }}", "`row` must be followed by a column's name", ""),
    ("{{ row.items() }}", "`row` holds values, not functions", ""),
    ("{{ passes }}", "`passes` must be followed by a pass and a field", "passes.extract.title"),
    ("{{ passes.e }}", "`passes.e` must be followed by a field", "name each field"),
    ("{% set p = passes.e %}{{ p.x }}", "`passes.e` must be followed by a field", "name each field"),
    ("{{ passes[a].b }}", "`passes[…]` needs a pass's name in quotes, not a computed one", "must be known before"),
    ("{{ passes.e[a] }}", "`passes.e[…]` needs a field's name in quotes, not a computed one", "must be known before"),
    ("{% set row = 1 %}", "`row` cannot be assigned to", "another name"),
    ("{% for passes in a %}{% endfor %}", "`passes` cannot be assigned to", "another name"),
    ("{% include 'x' %}", "`{% include %}` is not allowed in a prompt", "one template"),
    ("{% import 'x' as y %}", "`{% import %}` is not allowed in a prompt", "one template"),
    ("{% from 'x' import y %}", "`{% from … import %}` is not allowed in a prompt", "one template"),
    ("{% extends 'x' %}", "`{% extends %}` is not allowed in a prompt", "one template"),
    ("{% block a %}{% endblock %}", "`{% block %}` is not allowed in a prompt", "one template"),
    ("{{ range(3) }}", "a prompt has no function `range`", "use a filter"),
    ("{{ lipsum() }}", "a prompt has no function `lipsum`", "use a filter"),
    ("{{ a | uper }}", "there is no filter `uper`", "did you mean `upper`?"),
    ("{% if a %}{{ a | random }}{% endif %}", "there is no filter `random`", ""),
    ("{% if a is nonne %}{% endif %}", "there is no test `nonne`", "did you mean `none`?"),
    ("{{ self }}", "`self` is a word of Jinja's own", 'row["self"]'),
    ("{{ ｘ }}", "`ｘ` is not a plain name", 'row["ｘ"]'),
    ("{{ " + "~".join(["a"] * 40_000) + " }}", "holds more than 10,000 words and signs", "keep data in columns"),
]


@pytest.mark.parametrize(("text", "message", "remedy"), REFUSED, ids=[case[0][:40] for case in REFUSED])
def test_what_is_refused(text: str, message: str, remedy: str) -> None:
    with pytest.raises(SpecError) as caught:
        Prompt.compile("line one\n" + text, file="p.txt", key="passes[0].prompt", first_line=10)
    error = caught.value
    assert message in error.message
    assert remedy in error.remedy
    assert (error.file, error.line, error.key) == ("p.txt", 11, "passes[0].prompt")


@pytest.mark.parametrize(
    "text",
    ["{{ " + "(" * 5_000, "{% for a in b %}" * 30 + "{% endfor %}" * 30, "{% if a %}" * 130 + "{% endif %}" * 130],
    ids=["brackets", "loops", "conditions"],
)
def test_what_is_too_much_for_jinja_or_python(text: str) -> None:
    with pytest.raises(SpecError, match=r"the template is not valid: [\s\S]*make it smaller"):
        Prompt.compile(text)


def test_several_mistakes_come_together_in_order() -> None:
    with pytest.raises(SpecError) as caught:
        Prompt.compile("{{ row }}\n{{ a | uper }}\n{{ passes.e }}")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


UNRENDERED = [
    ("{{ title + 1 }}", "can only concatenate str"),
    ("{{ none + 1 }}", "unsupported operand"),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{{ box.absent }}", "has no attribute 'absent'"),
    ("{{ passes.e.none.x }}", "has no attribute 'x'"),
    ("{{ title.upper }}", "a function is not text: add () to call it"),
    ("{{ title.__class__ }}", "unsafe"),
    ("{{ tags.append(1) }}", "unsafe"),
    ("{{ 'a' * 99999999 }}", "repeats to more than 1,000,000"),
    ("{{ 9 ** 9 ** 9 ** 9 }}", "not allowed"),
    ("{{ absent }}", "absent"),
    ("{{ absent | upper }}", "absent"),
    ("{{ passes.e.absent }}", "absent"),
    ("{{ passes.nobody.x | upper }}", "nobody"),
]


@pytest.mark.parametrize(("text", "why"), UNRENDERED)
def test_a_record_that_cannot_be_rendered_fails_alone(text: str, why: str) -> None:
    prompt = Prompt.compile(text)
    with pytest.raises(InvalidRequest) as caught:
        prompt.render(ROW, PASSES)
    assert caught.value.message.startswith("prompt cannot be rendered for this record: ")
    assert why in caught.value.message


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
@example("{{ 7*7 }}")
@example("{% for x in y %}{{ x }}{% endfor %}{# no #}")
@example("line\r\n")
def test_record_text_is_never_a_template(text: str) -> None:
    for template in ("{{ t }}", "{% if true %}{{ t }}{% endif %}", "{{ row.t | string }}", "{{ passes.p.t }}"):
        assert Prompt.compile(template).render({"t": text}, {"p": {"t": text}}) == plain(text)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.binary(max_size=4)
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
)
PIECES = st.sampled_from(
    [
        "{{ a }}",
        "{{a}}",
        "{{\n a\t}}",
        "{{ b_1 }}",
        "{{ 名前 }}",
        '{{ row["a"] }}',
        "{{ row['x y'] }}",
        "{{ row . a }}",
        "{{ row [ 'a' ] }}",
        *("{{ passes.p.f }}", "{{ passes['p'].f }}", '{{ passes.p["f"] }}', "{{ passes['p'][\"f\"] }}"),
        "{",
        "}",
        "}}",
        "{ {",
        "%}",
        "#}",
        "-",
        "%",
        "#",
        '"',
        "'",
        "\n",
        "\r\n",
        "\r",
        " ",
        "é",
        "e\u0301",
        "日本",
        "🎉",
        "\x00",
        "\u2028",
    ]
)


def by_jinja(text: str, row: dict[str, Any], passes: dict[str, Any]) -> tuple[Any, ...]:
    template, columns, upstream, mistakes = compile_template(text)
    assert not mistakes, mistakes
    assert template is not None
    return columns, upstream, renderer(template, tuple(row))(tuple(row.values()), passes)


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join), SCALARS, SCALARS, SCALARS)
@example("{{ a }}}{{{ a }}", 1, 2, 3)
@example("{{ a }}\n\n", "x", 2.0, decimal.Decimal("5.00"))
@example("{{ a }}\r\n", dt.datetime(2024, 1, 2, tzinfo=dt.UTC), b"x", None)
def test_joining_gives_what_jinja_gives(text: str, one: Any, two: Any, three: Any) -> None:
    if simple_parts(text) is None:
        return
    row = {"a": one, "b_1": two, "名前": three, "x y": one}
    passes = {"p": {"f": two}}
    prompt = Prompt.compile(text)
    assert prompt.is_simple
    assert (prompt.columns, prompt.upstream, prompt.render(row, passes)) == by_jinja(text, row, passes)


@settings(max_examples=300, deadline=None)
@given(st.text("{}%#-+ \n\rab[]\"'.\\_1é", max_size=14))
def test_whatever_is_taken_as_simple_is_so_for_jinja(text: str) -> None:
    parts = simple_parts(text)
    if parts is None:
        return
    prompt = Prompt.compile(text)
    row = dict.fromkeys(prompt.columns, "v")
    assert (prompt.columns, prompt.upstream, prompt.render(row)) == by_jinja(text, row, {})


def test_the_order_of_values_is_the_order_of_the_inputs() -> None:
    for text in ("{{ a }}-{{ b }}", "{{ a | string }}-{{ b }}"):
        render = Prompt.compile(text).bind(("b", "unused", "a"))
        assert render(("B", "?", "A"), {}) == "A-B"
