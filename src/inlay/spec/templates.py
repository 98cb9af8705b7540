"""Prompts that need Jinja: loops, conditions, filters. Imported only for those, since Jinja takes a while to load.

The template is parsed once and checked as a tree: every column and every field of an earlier pass that it reads must be
named in it, so nothing computed at run time can change an answer's identity. It runs in a sandbox without a loader and
without global functions. What stays true beyond Jinja's own rules: `row.x` and `passes.p.x` are always the value of
that name, never a method of a dictionary; and null is nothing in text, never the word None.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta, nodes, pass_environment
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inlay.fingerprint import plain
from inlay.spec.problems import show_text, suggest
from inlay.spec.prompt import Renderer, is_plain_name, unrendered

Mistake = tuple[int, str, str]  # line of the prompt, message, remedy
Compiled = tuple[Template | None, tuple[str, ...], tuple[tuple[str, str], ...], list[Mistake]]

# Text filters that would turn null into the word None.
_TEXT_FILTERS = (
    *("capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "string", "striptags"),
    *("title", "trim", "truncate", "upper", "urlencode", "urlize", "wordcount", "wordwrap"),
)
_MAX_REPEAT = 1_000_000
# Compiling takes about 50 µs a word or sign: this keeps the most hostile template under a second.
_MAX_TOKENS = 10_000

_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Extends: "extends",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Block: "block",
}


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja for prompts. `*` and `**` are bounded, so that no template can ask for a text without end."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for one, other in ((left, right), (right, left)):
            repeats = operator == "*" and isinstance(one, str | list | tuple) and isinstance(other, int)
            if repeats and len(one) * other > _MAX_REPEAT:
                raise SecurityError(f"repeats to more than {_MAX_REPEAT:,} characters")
        if operator == "**" and (abs(right) > 64 or abs(left) > 1e9):
            raise SecurityError("a power of numbers this large is not allowed")
        return super().call_binop(context, operator, left, right)


def _printed(value: Any) -> str:
    if callable(value) and not isinstance(value, Undefined):
        raise TypeError("a function is not text: add () to call it")
    return plain(value) or ""


def _null_stays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, but null in, null out. Filters marked by Jinja take its environment before the value."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def filtered(*args: Any, **options: Any) -> Any:
        return None if args[place] is None else function(*args, **options)

    return filtered


@pass_environment
def _join(environment: _Sandbox, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    """Jinja's join with our printing: null items leave nothing, numbers have one form."""
    if attribute is not None:
        value = map(make_attrgetter(environment, attribute), value)
    return _printed(d).join(_printed(item) for item in value)


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as a model should read it: every script as itself, nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=plain)


@functools.cache
def _environment() -> _Sandbox:
    sandbox = _Sandbox(undefined=StrictUndefined, autoescape=False, finalize=_printed, cache_size=0)
    sandbox.globals.clear()
    del sandbox.filters["random"]  # an answer would depend on luck
    for name in _TEXT_FILTERS:
        sandbox.filters[name] = _null_stays(sandbox.filters[name])
    sandbox.filters["join"] = _join
    sandbox.filters["tojson"] = _to_json
    sandbox.filters["_printed"] = _printed  # what `~` is given on both sides
    return sandbox


def compile_template(text: str) -> Compiled:
    """The template, the columns and the (pass, field) pairs it reads, sorted; or its mistakes."""
    environment = _environment()
    try:
        for count, (line, _, _) in enumerate(environment.lex(text)):
            if count == _MAX_TOKENS:
                message = f"the template holds more than {_MAX_TOKENS:,} words and signs of Jinja"
                return None, (), (), [(line, message, "keep data in columns; a template only frames it")]
        tree = environment.parse(text)
        reading = _Reading(environment, tree)
        if reading.mistakes:
            return None, (), (), sorted(reading.mistakes)
        names = meta.find_undeclared_variables(tree) - {"row", "passes"}
        columns = tuple(sorted(names | reading.columns))
        return environment.from_string(tree), columns, tuple(sorted(reading.upstream)), []
    except TemplateSyntaxError as error:
        message = f"the template is not valid: {show_text(error.message or 'unreadable', 160)}"
        return None, (), (), [(error.lineno, message, _syntax_remedy(error.message or ""))]
    except (RecursionError, MemoryError, OverflowError, ValueError, SyntaxError) as error:
        # Python's own limits on what Jinja makes of it: 20 nested loops, 100 nested conditions.
        message = f"the template is not valid: {show_text(str(error) or 'too large', 160)}"
        return None, (), (), [(1, message, "make it smaller")]


def _syntax_remedy(message: str) -> str:
    if "end of template" in message.lower():
        return "close every {{ with }} and every {% … %} with its end"
    if "unexpected" in message or "expected token" in message:
        return 'a column whose name holds spaces or signs is written {{ row["its name"] }}; a literal {{ as {{ "{{" }}'
    return "write {{ column }} to read one, {% if column %} … {% endif %} for a condition"


class _Reading:
    """One walk over a template's tree: what it reads, what is wrong; attributes become items on the way."""

    def __init__(self, environment: _Sandbox, tree: nodes.Template) -> None:
        self.environment = environment
        self.columns: set[str] = set()
        self.upstream: set[tuple[str, str]] = set()
        self.mistakes: set[Mistake] = set()
        self.macros = {node.name for node in tree.find_all(nodes.Macro)}
        self.stored = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
        self._children(tree)

    def _wrong(self, node: nodes.Node, message: str, remedy: str = "") -> None:
        self.mistakes.add((node.lineno, message, remedy))

    def _children(self, node: nodes.Node) -> None:
        for name, value in list(node.iter_fields()):
            if isinstance(value, nodes.Node):
                setattr(node, name, self._visit(value))
            elif isinstance(value, list):
                value[:] = [self._visit(item) if isinstance(item, nodes.Node) else item for item in value]

    def _visit(self, node: nodes.Node) -> nodes.Node:
        if (keyword := _REFUSED.get(type(node))) is not None:
            self._wrong(
                node, f"`{{% {keyword} %}}` is not allowed in a prompt", "write the text out; a prompt is one template"
            )
            return node
        if isinstance(node, nodes.Name):
            self._name(node)
        elif isinstance(node, nodes.Getattr | nodes.Getitem):
            return self._steps(node)
        elif isinstance(node, nodes.Call):
            return self._call(node)
        elif isinstance(node, nodes.Filter | nodes.Test):
            self._known(node)
        elif isinstance(node, nodes.Concat):
            self._children(node)
            node.nodes = [nodes.Filter(n, "_printed", [], [], None, None, lineno=n.lineno) for n in node.nodes]
            return node
        self._children(node)
        return node

    def _name(self, node: nodes.Name) -> None:
        name = node.name
        if name in ("row", "passes"):
            if node.ctx != "load":
                self._wrong(node, f"`{name}` cannot be assigned to", "choose another name")
            elif name == "row":
                self._wrong(node, "`row` must be followed by a column's name", 'write {{ row["column"] }}')
            else:
                self._wrong(node, "`passes` must be followed by a pass and a field", "write {{ passes.extract.title }}")
        elif name in ("self", "super"):
            self._wrong(node, f"`{name}` is a word of Jinja's own", f'for the column write {{{{ row["{name}"] }}}}')
        elif not is_plain_name(name):
            shown = show_text(name)
            self._wrong(node, f"`{shown}` is not a plain name", f'write {{{{ row["{shown}"] }}}}')

    def _steps(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:
        """A chain like `passes.extract.title` or `loop.index`, outermost step last."""
        chain = [node]
        while isinstance(chain[0].node, nodes.Getattr | nodes.Getitem):
            chain.insert(0, chain[0].node)
        root = chain[0].node
        owner = root.name if isinstance(root, nodes.Name) and root.ctx == "load" else ""
        named = [_word(step) for step in chain]
        if owner == "row":
            if named[0] is None:
                self._wrong(node, "`row[…]` needs a column's name in quotes, not a computed one", _LITERAL)
            else:
                self.columns.add(named[0])
        elif owner == "passes":
            self._upstream(node, named)
        else:
            chain[0].node = self._visit(root)  # type: ignore[assignment]
        for step in chain:
            if isinstance(step, nodes.Getitem):
                step.arg = self._visit(step.arg)  # type: ignore[assignment]
        return _as_items(chain)

    def _upstream(self, node: nodes.Node, named: list[str | None]) -> None:
        if not named[0]:
            self._wrong(node, "`passes[…]` needs a pass's name in quotes, not a computed one", _LITERAL)
        elif len(named) == 1:
            self._wrong(
                node,
                f"`passes.{show_text(named[0])}` must be followed by a field",
                "name each field that the prompt reads: only those decide when the answer is asked again",
            )
        elif named[1] is None:
            self._wrong(
                node, f"`passes.{show_text(named[0])}[…]` needs a field's name in quotes, not a computed one", _LITERAL
            )
        else:
            self.upstream.add((named[0], named[1]))

    def _call(self, node: nodes.Call) -> nodes.Node:
        function = node.node
        if isinstance(function, nodes.Name) and function.name not in self.macros | self.stored | {"caller", "loop"}:
            self._wrong(
                node, f"a prompt has no function `{show_text(function.name)}`", "use a filter: {{ text | upper }}"
            )
            return node
        if isinstance(function, nodes.Getattr):
            if isinstance(function.node, nodes.Name) and function.node.name in ("row", "passes"):
                self._wrong(node, f"`{function.node.name}` holds values, not functions")
                return node
            function.node = self._visit(function.node)  # type: ignore[assignment]
            node.node, kept = nodes.Const(None), function
            self._children(node)
            node.node = kept
            return node
        self._children(node)
        return node

    def _known(self, node: nodes.Filter | nodes.Test) -> None:
        kind, known = (
            ("filter", self.environment.filters) if isinstance(node, nodes.Filter) else ("test", self.environment.tests)
        )
        if node.name not in known:
            remedy = suggest(node.name, sorted(name for name in known if name[0] != "_"), what=f"{kind}s")
            self._wrong(node, f"there is no {kind} `{show_text(node.name)}`", remedy)


_LITERAL = "which values a prompt reads must be known before it runs, since they decide when it is asked again"


def _word(step: nodes.Getattr | nodes.Getitem) -> str | None:
    """The name that a step reads, or None where it is computed."""
    if isinstance(step, nodes.Getattr):
        return step.attr
    return step.arg.value if isinstance(step.arg, nodes.Const) and isinstance(step.arg.value, str) else None


def _as_items(chain: Sequence[nodes.Getattr | nodes.Getitem]) -> nodes.Node:
    """The chain with every step an item look-up, which tries the value's own keys before its attributes."""
    node: nodes.Expr = chain[0].node  # type: ignore[assignment]
    for step in chain:
        arg = step.arg if isinstance(step, nodes.Getitem) else nodes.Const(step.attr, lineno=step.lineno)
        node = nodes.Getitem(node, arg, step.ctx, lineno=step.lineno)
    return node


def renderer(template: Template, inputs: Sequence[str]) -> Renderer:
    """A renderer for values in the order of `inputs`."""
    names = tuple(inputs)

    def render(values: Sequence[Any], passes: Mapping[str, Mapping[str, Any]]) -> str:
        row = dict(zip(names, values, strict=True))
        try:
            return template.render({**row, "row": row, "passes": passes})
        except (
            TemplateError,  # undefined names and refused operations
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise unrendered(show_text(str(error) or type(error).__name__, 200)) from None

    return render
