"""A pass made ready for a run: what turns a row into an input, its canonical bytes and its prompt.

Built once a pass and called for every cell, so it allocates little. What stays true: the prompt, the evidence look-up
and the fingerprint all see the same normalised values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inlay.fingerprint import canonical, normalize_text, plain
from inlay.spec.model import PassSpec
from inlay.spec.prompt import Prompt

Upstream = Mapping[str, Mapping[str, Any]]  # pass name -> field name -> value
_NOTHING: Upstream = {}


class CompiledPass:
    """One pass, compiled. Without state: safe to share between threads.

    `inputs` are the source columns in the order of all value tuples here (sorted, the order of the fingerprint).
    """

    __slots__ = ("_render", "_steps", "_upstream", "inputs", "prompt", "spec")

    def __init__(self, spec: PassSpec) -> None:
        """Raises SpecError where the prompt does not compile."""
        self.prompt = Prompt.compile(spec.prompt, key=spec.name)
        if not spec.inputs or spec.upstream != self.prompt.upstream:  # not resolved yet: the recipe needs both
            found = {"inputs": spec.inputs or self.prompt.columns, "upstream": self.prompt.upstream}
            spec = spec.model_copy(update=found)
        self.spec = spec
        self.inputs: tuple[str, ...] = tuple(sorted(spec.inputs))
        self._steps = spec.normalize
        self._upstream = self.prompt.upstream
        self._render = self.prompt.bind(self.inputs)

    @property
    def upstream(self) -> tuple[tuple[str, str], ...]:
        """The (pass, field) pairs that the prompt reads, sorted."""
        return self._upstream

    def source_values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The row's input values in the order of `inputs`, texts normalised as the pass declares."""
        steps = self._steps
        values = [row[name] for name in self.inputs]
        for index, value in enumerate(values):
            if isinstance(value, str) and (steps or not value.isascii()):
                values[index] = normalize_text(value, steps)
        return tuple(values)

    def canonical_input(self, values: Sequence[Any], upstream: Upstream = _NOTHING, given: str = "") -> bytes:
        """The bytes that the answer's address is made of; `values` come from `source_values`.

        Where rules give something, `!` and what they give. Where the pass reads earlier passes, `|` and the canonical
        form of what it reads, in the order of `upstream`.
        """
        data = canonical(values)
        if given:
            data += b"!" + given.encode("utf-8", "surrogatepass")
        if self._upstream:
            data += b"|" + canonical(upstream[name][field] for name, field in self._upstream)
        return data

    def render(self, values: Sequence[Any], upstream: Upstream = _NOTHING) -> str:
        """The prompt for these values. Raises InvalidRequest where this record cannot be rendered."""
        return self._render(values, upstream)

    def texts(self, values: Sequence[Any]) -> dict[str, str]:
        """Input name to text, nulls left out: what evidence is looked up in and what a local model reads."""
        out: dict[str, str] = {}
        for name, value in zip(self.inputs, values, strict=True):
            text = value if type(value) is str else plain(value)
            if text is not None:
                out[name] = text
        return out
