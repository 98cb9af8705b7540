"""A declaration opened for work: its source, its store, its models and its passes, wired together once.

What stays true: opening reads and never writes (`register` is what a run calls to write its passes down); everything
opened is closed by `close()`; a declaration that does not fit its source is refused here, before anything is paid.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from inlay import registry
from inlay.contracts import Source, Store
from inlay.databases.address import KINDS, PORTS, Address
from inlay.engine.ask import estimate_output_tokens
from inlay.engine.given import settled
from inlay.engine.passwork import PassWork
from inlay.engine.sharing import Sharing, expected_pack
from inlay.engine.together import Shared
from inlay.errors import SourceError, SpecError
from inlay.planning.decide import Rule
from inlay.planning.estimate import Pricing
from inlay.planning.planner import PlannedPass, Planner, rule_for
from inlay.project.places import address_of, filled_in
from inlay.project.probes import PROBES_FILE, has_forms, recall
from inlay.providers import price_table
from inlay.providers.abilities import abilities, check_temperature
from inlay.providers.models import ResolvedModel, runs_here
from inlay.providers.models import resolve as resolve_model
from inlay.providers.prices import Price, estimate_tokens, find_price
from inlay.spec.check import check_columns
from inlay.spec.compiled import CompiledPass
from inlay.spec.graph import ordered
from inlay.spec.load import load
from inlay.spec.model import Enrichment, LimitsSpec, ModelSpec, PassSpec, PriceSpec
from inlay.spec.price_file import FILE as PRICE_FILE
from inlay.spec.price_file import read_price_file
from inlay.spec.problems import Problems, join_key, show_text
from inlay.spec.resolve import resolve as resolve_spec
from inlay.tables.files import FileSource
from inlay.tables.paths import takes
from inlay.types import PassRecord, PassRef, Reason, Usage

STORE_FOLDER = ".inlay"
STORE_FILE = "store.db"
BATCH_FOLDER = "batches"
# A pass or recipe that the store has never seen, while nothing may be written.
UNKNOWN = -1
# The part of the cells that an estimate expects to go on from one model of a cascade to the next.
ESCALATED = 0.25


@dataclass(frozen=True, slots=True)
class Step:
    """A model of a pass, what it costs (None: unknown) and how hard it may be pressed."""

    model: ResolvedModel
    price: Price | None
    limits: LimitsSpec
    live_price: Price | None = None  # where `price` is that of a batch


class Session:
    """One declaration, opened. Use as a context manager."""

    def __init__(
        self,
        declaration: str | Path | Enrichment,
        *,
        env: Mapping[str, str] | None = None,
        need_keys: bool = False,
        source: Source | None = None,
    ) -> None:
        """`need_keys`: calls will be made, so a missing key is refused now. `source` stands in for the declaration's
        files. Raises SpecError."""
        self.env = os.environ if env is None else env
        self.enrichment = settled(
            resolve_spec(declaration) if isinstance(declaration, Enrichment) else load(declaration, env=env)
        )
        self.passes: tuple[PassSpec, ...] = ordered(self.enrichment.passes)
        self.compiled = [CompiledPass(spec) for spec in self.passes]
        self.learnt: list[str] = []  # what this run found out about its servers, in sentences
        self._price_file = read_price_file(self.enrichment.folder)
        self.steps: list[tuple[Step, ...]] = [self._steps(spec, need_key=need_keys) for spec in self.passes]
        self.source: Source = self._source() if source is None else source
        self._own_source = source is None
        self.batched: frozenset[int] = frozenset()  # the passes, by number, whose calls go into batches
        # Pass number -> rows whose input was found changed, by key; None where nobody wants to know.
        self.altered: dict[int, set[str]] | None = None
        self._store: Store | None = None
        self._durable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def models(self) -> list[ResolvedModel]:
        """The model of each pass; of a cascade the first."""
        return [steps[0].model for steps in self.steps]

    @property
    def labels(self) -> list[str]:
        """What each pass is asked with, as recipes and reports write it: `provider:name`, or the cascade."""
        return [
            " > ".join(step.model.full_name for step in steps)
            + (f" below {spec.suffices_from:g}" if len(steps) > 1 else "")
            for spec, steps in zip(self.passes, self.steps, strict=True)
        ]

    @property
    def priced(self) -> list[bool]:
        """Whether the price of every model of each pass is known, or none is asked for."""
        return [all(step.price is not None or step.model.local is not None for step in steps) for steps in self.steps]

    def _steps(self, spec: PassSpec, *, need_key: bool) -> tuple[Step, ...]:
        steps = []
        for number, name in enumerate(spec.models or (spec.model,)):
            named = self.enrichment.models.get(name) if spec.models else None
            at = f"models[{number}]" if spec.models else "model"
            model = self._model(spec, name, at, named, need_key=need_key)
            price = self.price_of(spec, model, prices=named.prices if named is not None else None)
            if price is None and spec.priced_as is not None:
                self._check_priced_as(spec, model)
            steps.append(Step(model, price, self.enrichment.limits_of(name if named is not None else spec.named)))
        return tuple(steps)

    def _check_priced_as(self, spec: PassSpec, model: ResolvedModel) -> None:
        """Raise SpecError where `priced_as` names nothing that has a price."""
        assert spec.priced_as is not None
        owner, mark, other = spec.priced_as.partition(":")
        if not mark or owner not in price_table.PROVIDERS:
            owner, other = model.provider, spec.priced_as
        if price_table.find_row(owner, other) is None:
            near = ", ".join(price_table.nearest(owner, other))
            remedy = f"known: {near}" if near else "write a model of the price list, such as openai:gpt-6-luna"
            message = f"no price is known for `{show_text(spec.priced_as)}`"
            raise self._located(spec, SpecError(message, key="priced_as", remedy=remedy), "priced_as")

    def _model(self, spec: PassSpec, name: str, at: str, named: ModelSpec | None, *, need_key: bool) -> ResolvedModel:
        """A model of a pass; a mistake names the line of the declaration. In a cascade `endpoint` and its like are
        meant for the models that are called; `named` is what the declaration says of this one."""
        full = name if named is None else named.model
        here = bool(spec.models) and runs_here(full)
        said = {key: getattr(spec, key) or getattr(named, key, None) for key in ("endpoint", "api_key_env")}
        try:
            model = resolve_model(
                full,
                None if here else said["endpoint"],
                None if here else said["api_key_env"],
                self.env,
                need_key=need_key,
                region=spec.region or getattr(named, "region", None),
                wire=spec.wire or getattr(named, "wire", None),
            )
            check_temperature(model.full_name, spec.temperature, abilities(model.provider, model.name, spec.abilities))
        except SpecError as error:
            key = at if error.key in (None, "model") else error.key
            own = spec.named or (name if named is not None else "")
            raise self._located(spec, error, key, own) from error
        if has_forms(model) and (form := recall(self.probes_file, model)) is not None:
            model.dialect.structured = form  # type: ignore[union-attr]
        return model

    def _located(self, spec: PassSpec, error: SpecError, key: str | None, own: str = "") -> SpecError:
        """A mistake in a pass, with its place in the declaration: in the pass, or in the named model `own` it asks."""
        index = next(number for number, other in enumerate(self.enrichment.passes) if other.name == spec.name)
        problems = Problems(self.enrichment.file)
        problems.lines = self.enrichment.lines
        place = f"passes[{index}].{key}" if key else f"passes[{index}]"  # a key that an error names is a path already
        if own and (error.key in (None, "model") or place not in problems.lines):
            place = problems.known_key(join_key(join_key("models", own), error.key or "model"))
        return SpecError(
            error.message,
            file=self.enrichment.file,
            line=problems.line_of(place),
            key=place,
            remedy=error.remedy,
            problems=error.problems,
        )

    def into_batches(self, passes: Iterable[int]) -> None:
        """From here on the calls of these passes go into batches, at the price of a batch."""
        chosen = frozenset(passes)
        for index in self.batched - chosen:
            self.steps[index] = tuple(replace(s, price=s.live_price, live_price=None) for s in self.steps[index])
        for index in chosen - self.batched:
            spec = self.passes[index]
            self.steps[index] = tuple(
                replace(step, price=self.price_of(spec, step.model, "batch"), live_price=step.price)
                for step in self.steps[index]
            )
        self.batched = chosen

    def with_credential(self, model: ResolvedModel) -> ResolvedModel:
        """The same model with what lets its requests in. Raises SpecError, or AuthenticationFailed where it is
        missing or cannot be one."""
        for spec in self.passes:
            for number, name in enumerate(spec.models or (spec.model,)):
                named = self.enrichment.models.get(name) if spec.models else None
                at = f"models[{number}]" if spec.models else "model"
                if self._model(spec, name, at, named, need_key=False).lane == model.lane:
                    return self._model(spec, name, at, named, need_key=True)
        return model

    def price_of(
        self, spec: PassSpec, model: ResolvedModel, mode: str = "live", *, prices: PriceSpec | None = None
    ) -> Price | None:
        """What a call of this pass costs ("live" or "batch"): its own `prices` or those of the named model that it asks
        (`prices`), prices.yaml's, or the table's."""
        override = spec.prices or prices
        source = ""
        if override is None:
            today = datetime.now(UTC).date()
            override = self._price_file.find(model.full_name, today)
            if override is None and spec.priced_as is not None:
                named = spec.priced_as if ":" in spec.priced_as else f"{model.provider}:{spec.priced_as}"
                override = self._price_file.find(named, today)
            source = PRICE_FILE
        price = find_price(
            model.provider, model.name, override, options=spec.options, mode=mode, priced_as=spec.priced_as
        )
        return price if override is None or not source or price is None else replace(price, source=source)

    def _source(self) -> Source:
        """Where the declaration says that the rows are; nothing is opened yet."""
        enrichment = self.enrichment
        connection = enrichment.source.connection
        if connection is None:
            return FileSource(enrichment.source, enrichment.folder)
        from inlay.tables.databases import DatabaseSource

        return DatabaseSource(
            enrichment.source,
            lambda: address_of(enrichment, connection, "source.connection", self.env),
            enrichment.select,
        )

    def close(self) -> None:
        """Close the store, and remove what was read of a database. Idempotent."""
        closing = getattr(self.source, "close", None)
        if self._own_source and closing is not None:
            closing()
        self._close_store()

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    # --- the store

    @property
    def batch_folder(self) -> Path:
        """Where the files of batches are: beside the store, or beside the declaration where the store is elsewhere."""
        _, place = self.store_place
        beside = place.parent if isinstance(place, Path) else self.enrichment.folder / STORE_FOLDER
        return beside / BATCH_FOLDER

    @property
    def store_place(self) -> tuple[str, str | Path | Address]:
        """Which store (a name of `registry.stores`) and where: the SQLite file, a server's address (which holds its
        secret), what another store's URL says, or nothing for memory. Raises SpecError at `store`."""
        declared = self.enrichment.store
        if declared is None:
            return "sqlite", self.enrichment.folder / STORE_FOLDER / STORE_FILE
        declared = filled_in(self.enrichment, declared, "store", self.env)
        if declared.strip(":") == "memory":
            return "memory", ""
        scheme, mark, _ = declared.partition("://")
        name = scheme.partition("+")[0].lower() if mark else "sqlite"
        if KINDS.get(name) in PORTS:
            return name, address_of(self.enrichment, self.enrichment.store or "", "store", self.env)
        if name != "sqlite":
            return name, declared
        path = self.enrichment.folder / Path(declared.removeprefix(f"{scheme}:///" if mark else "")).expanduser()
        return "sqlite", path / STORE_FILE if path.is_dir() else path

    @property
    def store_shown(self) -> str:
        """Where the store is, for messages: a path, or an address without its secret."""
        name, place = self.store_place
        if isinstance(place, Address):
            return place.shown
        return str(place) if isinstance(place, Path) else name

    @property
    def probes_file(self) -> Path | None:
        """Where verdicts on servers are remembered: beside the store's file; None where the store is no file."""
        _, place = self.store_place
        return place.parent / PROBES_FILE if isinstance(place, Path) else None

    def store(self, *, write: bool = False) -> Store:
        """The store; without `write`, one that was never made is an empty store in memory: nothing is made."""
        if self._store is not None and (self._durable or not write):
            return self._store
        name, place = self.store_place
        if self._store is not None and name == "memory":
            return self._store
        self._close_store()
        absent = isinstance(place, Path) and not place.exists()
        if name != "memory" and (write or not absent):
            store = registry.stores.load(name, key="store")(place)
            if write or not isinstance(place, Address) or store.is_there():
                self._store, self._durable = store, True
                return store
            store.close()
        from inlay.stores.memory import MemoryStore

        self._store, self._durable = MemoryStore(), False
        return self._store

    def register(self) -> list[PassRef]:
        """Write the passes and their recipes down. Idempotent. What each step of a cascade is asked with is a recipe of
        its own, so that its answers are the same as those of a pass with that model alone."""
        store = self.store(write=True)
        records = [
            PassRecord(self.enrichment.name, spec.name, spec.recipe(name), spec.digest(name))
            for spec, label, steps in zip(self.passes, self.labels, self.steps, strict=True)
            for name in (*(step.model.full_name for step in steps if len(steps) > 1), label)
        ]
        made = iter(store.register(records))
        return [[next(made) for _ in range(len(steps) + 1 if len(steps) > 1 else 1)][-1] for steps in self.steps]

    def works(self, refs: Sequence[PassRef], rules: Sequence[Rule]) -> list[PassWork]:
        """Each pass made ready for the engine, a cascade as a chain."""
        store = self.store()
        out = []
        for index, (compiled, ref, rule, steps) in enumerate(zip(self.compiled, refs, rules, self.steps, strict=True)):
            known: dict[str, int] = {}
            if len(steps) > 1 and ref.pass_id != UNKNOWN:
                known = {text: number for number, text in store.recipes(ref.pass_id).items()}
            work: PassWork | None = None
            for step in reversed(steps):
                recipe_id = None
                if len(steps) > 1:
                    recipe_id = known.get(compiled.spec.recipe(step.model.full_name), UNKNOWN)
                work = PassWork(
                    index,
                    compiled,
                    ref,
                    step.model,
                    step.price,
                    rule,
                    answer_recipe_id=recipe_id,
                    following=work,
                )
            assert work is not None
            if index in self.batched:
                work.batch, work.live_price = True, next(iter(steps)).live_price
            out.append(work)
        return out

    def refs(self) -> list[PassRef]:
        """The store's numbers of the passes, without writing; UNKNOWN where it has never seen one."""
        store = self.store()
        known = store.passes(self.enrichment.name)
        out = []
        for spec, label in zip(self.passes, self.labels, strict=True):
            pass_id = known.get(spec.name, UNKNOWN)
            mine = spec.recipe(label)
            recipes = store.recipes(pass_id) if pass_id != UNKNOWN else {}
            out.append(PassRef(pass_id, next((number for number, text in recipes.items() if text == mine), UNKNOWN)))
        return out

    # --- planning

    def check(self) -> None:
        """Hold the declaration against the source's real columns. Raises SpecError or SourceError."""
        columns = self.source.columns()
        try:
            check_columns(self.enrichment, columns)
        except SpecError:
            if not (isinstance(self.source, FileSource) and self.source.empty):
                raise
            raise SourceError(
                f"{self.source.title}: the file is empty: not even its columns are known",
                remedy="check that it was written; a CSV file begins with the names of its columns",
            ) from None
        if self.enrichment.output.table is not None:
            from inlay.project.tables import check_table

            check_table(self)
        files = self.enrichment.output.files
        if files is not None:
            at = "output.files" if "output.files" in self.enrichment.lines else "output"
            self.refuse_own_source(self.target(files), key="output.files", line=self.enrichment.lines.get(at))

    def refuse_own_source(self, target: Path, *, key: str, line: int | None = None) -> None:
        """A published table must not replace the source or the declaration, nor be read as a part of the source by the
        next run. Raises SpecError."""
        place = Path(os.path.abspath(target))  # noqa: PTH100 (resolve() would follow a link that is to be replaced)
        if self.enrichment.file is not None and place.resolve() == self.enrichment.file.resolve():
            raise SpecError(f"{target.name!r} is the declaration itself", key=key, remedy="write under another name")
        if not isinstance(self.source, FileSource):
            connection = self.enrichment.source.connection
            if connection is not None:
                database = address_of(self.enrichment, connection, "source.connection", self.env).path
                if database is not None and place.resolve() == database.resolve():
                    raise SpecError(
                        f"{target.name!r} is the database that the rows are in",
                        key=key,
                        remedy="write under another name",
                    )
            return
        inside = place.resolve() in {path.resolve() for path in self.source.paths()}
        if inside or any(takes(self.enrichment.folder, pattern, place) for pattern in self.enrichment.source.files):
            raise SpecError(
                f"{target.name!r} would be read as a part of the source",
                file=self.enrichment.file if line is not None else None,
                line=line,
                key=key,
                remedy="write to another folder or under another name",
            )

    def rules(self, refs: Sequence[PassRef], refresh: frozenset[Reason]) -> list[Rule]:
        """Each pass's rule."""
        store = self.store()
        return [
            rule_for(
                self.enrichment,
                compiled,
                ref,
                recipes=store.recipes(ref.pass_id) if ref.pass_id != UNKNOWN else {},
                refresh=refresh,
            )
            for compiled, ref in zip(self.compiled, refs, strict=True)
        ]

    def planner(
        self,
        refs: Sequence[PassRef],
        rules: Sequence[Rule],
        *,
        limit: int | None = None,
        source: Source | None = None,
        store: Store | None = None,
    ) -> Planner:
        """Judge every row, or those of a narrower `source`. Close the planner when its rows are read."""
        self.check()
        index = {spec.name: number for number, spec in enumerate(self.passes)}
        works = self.works(refs, rules)
        for work in works:
            try:
                for step in work.steps():
                    step.variant()  # what a provider cannot be asked is a mistake of the declaration
            except SpecError as error:
                raise self._located(work.spec, error, error.key) from error
        sharing = Sharing(works)
        together = [sharing.together(work, works) for work in works]
        planned = [
            PlannedPass(
                compiled=work.compiled,
                ref=work.ref,
                model=work.model.full_name,
                rule=work.rule,
                pricing=self._pricing(work, shared),
                upstream=tuple(index[name] for name in work.spec.upstream_passes),
                label=label,
                fused=None if shared is None else work.fuse,
            )
            for work, label, shared in zip(works, self.labels, together, strict=True)
        ]
        return Planner(self.enrichment, source or self.source, store or self.store(), planned, limit=limit)

    def _pricing(self, work: PassWork, together: Shared | None) -> Pricing:
        typical = estimate_output_tokens(work.spec.fields)[0]
        called = [step for step in work.steps() if step.model.local is None]
        if not called:
            return Pricing(estimate_tokens, (0, 0), (typical, typical), None, None, free=True)
        variant = called[0].variant()
        share, overhead = 1, variant.overhead
        if together is not None:
            share = len(together.variants)
            overhead = (together.overhead[0] // share, overhead[1])
        cost, worst = _costs([step.price for step in called], 0 if called[0] is work else 1)
        return Pricing(
            tokens=estimate_tokens,
            overhead=overhead,
            output=(min(typical, variant.max_output_tokens), variant.max_output_tokens),
            cost=cost,
            worst=worst,
            share=share,
            pack=lambda tokens: expected_pack(work, tokens),
        )

    def target(self, path: str) -> Path:
        """A path of the declaration, seen from its folder."""
        return self.enrichment.folder / Path(path).expanduser()

    def notes(self) -> list[str]:
        """Sentences a user should read: which model `auto` became and why, and what a run learnt of a server."""
        chosen = (step.model.why for steps in self.steps for step in steps if step.model.why)
        return list(dict.fromkeys([*chosen, *self.learnt]))


def _costs(
    prices: Sequence[Price | None], first: int
) -> tuple[Callable[[Usage], int] | None, Callable[[int, int], int] | None]:
    """What a cell is expected to cost, and its worst case, over the models that it may go through; `first` is how many
    free ones stand before them. None where a price is unknown."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None, None
    if len(known) == 1 and not first:
        return known[0].cost_nusd, known[0].worst_nusd

    def cost(usage: Usage) -> int:
        return int(sum(ESCALATED ** (place + first) * price.cost_nusd(usage) for place, price in enumerate(known)))

    return cost, lambda given, written: sum(price.worst_nusd(given, written) for price in known)
