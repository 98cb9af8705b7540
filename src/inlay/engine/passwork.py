"""A pass made ready for the engine: prompt, schema, reader, wire and price, compiled once a run.

What stays true: what is sent is exactly what the address covers; the worst case that is reserved is never below what
a call can cost; asking only some fields uses the same wording for those fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inlay.engine.answer import AnswerReader
from inlay.engine.ask import answer_schema, default_max_output_tokens, system_prompt
from inlay.engine.given import Given
from inlay.engine.work import Ask
from inlay.planning.decide import Rule
from inlay.providers.abilities import abilities, room_for_thinking
from inlay.providers.models import ResolvedModel
from inlay.providers.prices import Price, estimate_tokens
from inlay.spec.compiled import CompiledPass
from inlay.spec.fields import FieldSpec
from inlay.types import CallShape, Completion, HttpRequest, PassRef, Usage

# No model here answers more than this in one go; a re-ask after a truncation doubles the cap up to it.
MOST_OUTPUT_TOKENS = 32_000


@dataclass(slots=True)
class Variant:
    """The pass asking all its fields, or only some of them."""

    names: tuple[str, ...]
    reader: AnswerReader
    max_output_tokens: int
    encode: Callable[[str], HttpRequest] | None
    answer: Callable[[Mapping[str, str]], Completion] | None
    overhead_tokens: int  # upper bound of what the request holds beside the user message


class PassWork:
    """One pass of the run. `rule` decides its cells, `model` says where it goes, `price` may be None (unknown)."""

    def __init__(
        self, index: int, compiled: CompiledPass, ref: PassRef, model: ResolvedModel, price: Price | None, rule: Rule
    ) -> None:
        self.index = index
        self.spec = compiled.spec
        self.name = compiled.spec.name
        self.compiled = compiled
        self.ref = ref
        self.model = model
        self.price = price
        self.rule = rule
        self.upstream: tuple[int, ...] = ()  # indexes of the passes that this one reads; set by the runner
        self.given = Given(compiled.spec.fields)
        self._variants: dict[tuple[tuple[str, ...], int], Variant] = {}

    @property
    def fields(self) -> dict[str, FieldSpec]:
        """The declared fields."""
        return self.spec.fields

    def variant(self, names: tuple[str, ...] = (), widen: int = 0) -> Variant:
        """The pass asking `names` (empty: all), with the output cap doubled `widen` times."""
        found = self._variants.get((names, widen))
        if found is None:
            found = self._variants[names, widen] = self._compile(names, widen)
        return found

    def _compile(self, names: tuple[str, ...], widen: int) -> Variant:
        fields = {name: spec for name, spec in self.fields.items() if not names or name in names}
        able = abilities(self.model.provider, self.model.name, self.spec.abilities)
        room = room_for_thinking(able, self.spec.options)
        cap = self.spec.max_output_tokens or default_max_output_tokens(fields) + room
        cap = min(max(cap, MOST_OUTPUT_TOKENS), cap * 2**widen)
        shape = CallShape(
            model=self.model.name,
            system=system_prompt(fields),
            schema=answer_schema(fields),
            schema_name=self.name[:64],
            max_output_tokens=cap,
            temperature=self.spec.temperature,
            options=self.spec.options,
            abilities=able,
        )
        reader = AnswerReader(fields)
        if self.model.local is not None:
            return Variant(names, reader, cap, None, self.model.local.answerer(shape), 0)
        assert self.model.dialect is not None
        encode = self.model.dialect.encoder(shape)
        return Variant(names, reader, cap, encode, None, estimate_tokens(encode("").body.decode())[1])

    def prepare(self, ask: Ask, values: tuple[Any, ...], upstream: Mapping[str, Mapping[str, Any]]) -> None:
        """Render the prompt and reckon the worst case. Raises InvalidRequest when this record cannot be rendered."""
        ask.texts = self.compiled.texts(values)
        ask.user = self.compiled.render(values, upstream)
        self.reckon(ask)

    def reckon(self, ask: Ask) -> None:
        """The tokens this ask may use, and the worst case to reserve for it."""
        variant = self.variant(ask.names, ask.repair)
        if variant.encode is None:
            ask.reserve_nusd, ask.tokens = 0, 0.0
            return
        typical, upper = estimate_tokens(ask.user)
        ask.tokens = typical + variant.overhead_tokens / 2 + variant.max_output_tokens
        if self.price is not None:
            ask.reserve_nusd = self.price.worst_nusd(upper + variant.overhead_tokens, variant.max_output_tokens)

    def usage_or_estimate(self, ask: Ask, completion: Completion) -> tuple[Usage, bool]:
        """What the provider told, or an upper estimate (and True) where it told nothing."""
        if completion.usage is not None:
            return completion.usage, False
        if self.model.local is not None:
            return Usage(), False
        variant = self.variant(ask.names, ask.repair)
        written = estimate_tokens(completion.text)[1]
        return Usage(estimate_tokens(ask.user)[1] + variant.overhead_tokens, written), True
