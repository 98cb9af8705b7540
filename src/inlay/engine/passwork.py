"""A pass made ready for the engine: prompt, schema, reader, wire and price, compiled once a run.

A cascade is a chain of these, one a model: they share the cells of the pass, and each has answers of its own. What
stays true: what is sent is exactly what the address covers; the worst case that is reserved is never below what a call
can cost; asking only some fields uses the same wording for those fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inlay.engine.answer import AnswerReader
from inlay.engine.ask import answer_schema, default_max_output_tokens, system_prompt
from inlay.engine.given import Given
from inlay.engine.work import Ask
from inlay.fingerprint import plain
from inlay.planning.decide import Rule
from inlay.providers.abilities import abilities, room_for_thinking
from inlay.providers.models import ResolvedModel
from inlay.providers.prices import Price, estimate_tokens
from inlay.spec.compiled import CompiledPass
from inlay.spec.fields import FieldSpec
from inlay.types import CallShape, Completion, HttpRequest, PassRef, Usage

# No model here answers more than this in one go; a re-ask after a truncation doubles the cap up to it.
MOST_OUTPUT_TOKENS = 32_000


@dataclass(slots=True, eq=False)
class Variant:
    """The pass asking all its fields, or only some of them. `overhead` is what the request holds beside the user
    message, in tokens (typical, upper)."""

    work: PassWork
    names: tuple[str, ...]
    fields: dict[str, FieldSpec]
    reader: AnswerReader
    max_output_tokens: int
    encode: Callable[[str], HttpRequest] | None
    answer: Callable[[Mapping[str, str]], Completion] | None
    overhead: tuple[int, int]


class PassWork:
    """One pass of the run, or one step of its cascade.

    `rule` decides its cells, `model` says where it goes, `price` may be None (unknown). `following` is the next step,
    for cells whose answer here does not suffice. `ref` numbers the cells' recipe, `answer_recipe_id` that of the
    answers, which is another one in a cascade.
    """

    def __init__(
        self,
        index: int,
        compiled: CompiledPass,
        ref: PassRef,
        model: ResolvedModel,
        price: Price | None,
        rule: Rule,
        *,
        answer_recipe_id: int | None = None,
        following: PassWork | None = None,
    ) -> None:
        self.index = index
        self.spec = compiled.spec
        self.name = compiled.spec.name
        self.compiled = compiled
        self.ref = ref
        self.model = model
        self.abilities = abilities(model.provider, model.name, compiled.spec.abilities)
        self.price = price
        self.rule = rule
        self.answer_recipe_id = ref.recipe_id if answer_recipe_id is None else answer_recipe_id
        self.following = following
        self.digest = compiled.spec.digest(model.full_name)
        self.abilities = abilities(model.provider, model.name, compiled.spec.abilities)
        self.room = room_for_thinking(self.abilities, compiled.spec.options)  # output tokens beside the answer
        self.upstream: tuple[int, ...] = ()  # indexes of the passes that this one reads; set by the runner
        self.given = Given(compiled.spec.fields)
        self.batch = False  # whether its calls go into batches, each alone; `price` is that of a batch then
        self.live_price = price
        self.fuse: int | None = None  # passes of the same number go out together; set by the runner
        self._variants: dict[tuple[tuple[str, ...], int], Variant] = {}

    @property
    def fields(self) -> dict[str, FieldSpec]:
        """The declared fields."""
        return self.spec.fields

    @property
    def lane(self) -> str:
        """What shares one set of limits with this pass."""
        return f"{self.model.lane}, in batches" if self.batch else self.model.lane

    @property
    def shares(self) -> bool:
        """Whether its asks may go out together with others, as far as the declaration says."""
        return self.fuse is not None or (self.spec.pack != 1 and self.model.local is None and not self.batch)

    def steps(self) -> Iterator[PassWork]:
        """This step and all that follow it."""
        step: PassWork | None = self
        while step is not None:
            yield step
            step = step.following

    def variant(self, names: tuple[str, ...] = (), widen: int = 0) -> Variant:
        """The pass asking `names` (empty: all), with the output cap doubled `widen` times."""
        found = self._variants.get((names, widen))
        if found is None:
            found = self._variants[names, widen] = self._compile(names, widen)
        return found

    def _compile(self, names: tuple[str, ...], widen: int) -> Variant:
        fields = {name: spec for name, spec in self.fields.items() if not names or name in names}
        cap = self.spec.max_output_tokens or default_max_output_tokens(fields) + self.room
        cap = min(max(cap, MOST_OUTPUT_TOKENS), cap * 2**widen)
        shape = self.shape(system_prompt(fields), answer_schema(fields), cap, self.compiled.prompt.head)
        reader = AnswerReader(fields)
        if self.model.local is not None:
            return Variant(self, names, fields, reader, cap, None, self.model.local.answerer(shape), (0, 0))
        assert self.model.dialect is not None
        encode = self.model.dialect.encoder(shape)
        overhead = estimate_tokens(encode("").body.decode())
        return Variant(self, names, fields, reader, cap, encode, None, overhead)

    def shape(self, system: str, schema: dict[str, Any], max_output_tokens: int, user_prefix: str) -> CallShape:
        """What calls of this pass have in common, for whatever they ask."""
        return CallShape(
            model=self.model.name,
            system=system,
            schema=schema,
            schema_name=self.name[:64],
            max_output_tokens=max_output_tokens,
            temperature=self.spec.temperature,
            options=self.spec.options,
            user_prefix=user_prefix,
            abilities=self.abilities,
        )

    def prepare(self, ask: Ask, values: tuple[Any, ...], upstream: Mapping[str, Mapping[str, Any]]) -> None:
        """Render the prompt and reckon the worst case. Raises InvalidRequest when this record cannot be rendered."""
        ask.texts = self.compiled.texts(values)
        ask.user = self.compiled.render(values, upstream)
        if self.shares:
            ask.record = {name: ask.texts.get(name) for name in self.compiled.prompt.columns}
            for name, part in upstream.items():
                for field, value in part.items():
                    ask.alone = ask.alone or f"{name}.{field}" in ask.record  # a column of that very name
                    ask.record[f"{name}.{field}"] = plain(value)
        self.reckon(ask)

    def reckon(self, ask: Ask) -> None:
        """The tokens this ask may use, and the worst case to reserve for it."""
        variant = self.variant(ask.names, ask.repair)
        if variant.encode is None:
            ask.reserve_nusd, ask.tokens = 0, 0.0
            return
        typical, upper = estimate_tokens(ask.user)
        ask.tokens = typical + variant.overhead[0] + variant.max_output_tokens
        if self.price is not None:
            ask.reserve_nusd = self.price.worst_nusd(upper + variant.overhead[1], variant.max_output_tokens)

    def usage_or_estimate(self, ask: Ask, completion: Completion) -> tuple[Usage, bool]:
        """What the provider told, or an upper estimate (and True) where it told nothing."""
        if completion.usage is not None:
            return completion.usage, False
        if self.model.local is not None:
            return Usage(), False
        variant = self.variant(ask.names, ask.repair)
        written = estimate_tokens(completion.text)[1]
        return Usage(estimate_tokens(ask.user)[1] + variant.overhead[1], written), True
