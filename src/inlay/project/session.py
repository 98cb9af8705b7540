"""A declaration opened for work: its source, its store, its models and its passes, wired together once.

What stays true: opening reads and never writes (`register` is what a run calls to write its passes down); everything
opened is closed by `close()`; a declaration that does not fit its source is refused here, before anything is paid.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from inlay import registry
from inlay.contracts import Source, Store
from inlay.engine.ask import answer_schema, default_max_output_tokens, estimate_output_tokens, system_prompt
from inlay.engine.given import settled
from inlay.errors import SourceError, SpecError
from inlay.planning.decide import Rule
from inlay.planning.estimate import Pricing
from inlay.planning.planner import PlannedPass, Planner, rule_for
from inlay.providers.models import ResolvedModel
from inlay.providers.models import resolve as resolve_model
from inlay.providers.prices import Price, estimate_tokens, find_price
from inlay.spec.check import check_columns
from inlay.spec.compiled import CompiledPass
from inlay.spec.graph import ordered
from inlay.spec.load import load
from inlay.spec.model import Enrichment, PassSpec
from inlay.spec.price_file import FILE as PRICE_FILE
from inlay.spec.price_file import read_price_file
from inlay.spec.problems import Problems, join_key
from inlay.spec.resolve import resolve as resolve_spec
from inlay.tables.files import FileSource
from inlay.tables.paths import takes
from inlay.types import CallShape, PassRecord, PassRef, Reason

STORE_FOLDER = ".inlay"
STORE_FILE = "store.db"
# A pass or recipe that the store has never seen, while nothing may be written.
UNKNOWN = -1


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
        self.models: list[ResolvedModel] = [self._model(spec, need_key=need_keys) for spec in self.passes]
        self._price_file = read_price_file(self.enrichment.folder)
        self.prices: list[Price | None] = [
            self.price_of(spec, model) for model, spec in zip(self.models, self.passes, strict=True)
        ]
        self.source: Source = FileSource(self.enrichment.source, self.enrichment.folder) if source is None else source
        self._store: Store | None = None
        self._durable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _model(self, spec: PassSpec, *, need_key: bool) -> ResolvedModel:
        """The model of a pass; a mistake names the line of the declaration."""
        try:
            return resolve_model(
                spec.model,
                spec.endpoint,
                spec.api_key_env,
                self.env,
                need_key=need_key,
                region=spec.region,
                wire=spec.wire,
            )
        except SpecError as error:
            index = next(number for number, other in enumerate(self.enrichment.passes) if other.name == spec.name)
            problems = Problems(self.enrichment.file)
            problems.lines = self.enrichment.lines
            key = join_key(f"passes[{index}]", error.key or "model")
            line = problems.line_of(key)
            raise SpecError(
                error.message, file=self.enrichment.file, line=line, key=key, remedy=error.remedy
            ) from error

    def price_of(self, spec: PassSpec, model: ResolvedModel, mode: str = "live") -> Price | None:
        """What a call of this pass costs ("live" or "batch"): its own `prices`, prices.yaml's, or the table's."""
        override = spec.prices
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

    def close(self) -> None:
        """Close the store. Idempotent."""
        if self._store is not None:
            self._store.close()
            self._store = None

    # --- the store

    @property
    def store_place(self) -> tuple[str, str | Path]:
        """Which store (a name of `registry.stores`) and where: the SQLite file, an address, or nothing for memory."""
        declared = self.enrichment.store
        if declared is None:
            return "sqlite", self.enrichment.folder / STORE_FOLDER / STORE_FILE
        if declared.strip(":") == "memory":
            return "memory", ""
        scheme, mark, _ = declared.partition("://")
        if mark and scheme != "sqlite":
            return scheme, declared
        path = self.enrichment.folder / Path(declared.removeprefix("sqlite:///")).expanduser()
        return "sqlite", path / STORE_FILE if path.is_dir() else path

    def store(self, *, write: bool = False) -> Store:
        """The store; without `write`, a file that does not exist yet is an empty store in memory: nothing is made."""
        name, place = self.store_place
        absent = isinstance(place, Path) and not place.exists()
        if self._store is not None and (self._durable or not write or name == "memory"):
            return self._store
        self.close()
        if name == "memory" or (absent and not write):
            from inlay.stores.memory import MemoryStore

            self._store, self._durable = MemoryStore(), False
        else:
            kind = registry.stores.load(name, key="store")
            self._store, self._durable = kind(place), True
        assert self._store is not None
        return self._store

    def register(self) -> list[PassRef]:
        """Write the passes and their recipes down. Idempotent."""
        records = []
        for spec, model in zip(self.passes, self.models, strict=True):
            recipe = spec.recipe(model.full_name)
            records.append(PassRecord(self.enrichment.name, spec.name, recipe, spec.digest(model.full_name)))
        return self.store(write=True).register(records)

    def refs(self) -> list[PassRef]:
        """The store's numbers of the passes, without writing; UNKNOWN where it has never seen one."""
        store = self.store()
        known = store.passes(self.enrichment.name)
        out = []
        for spec, model in zip(self.passes, self.models, strict=True):
            pass_id = known.get(spec.name, UNKNOWN)
            mine = spec.recipe(model.full_name)
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
        planned = [
            PlannedPass(
                compiled=compiled,
                ref=ref,
                model=model.full_name,
                rule=rule,
                pricing=self._pricing(compiled, model, price),
                upstream=tuple(index[name] for name in compiled.spec.upstream_passes),
            )
            for compiled, ref, model, rule, price in zip(
                self.compiled, refs, self.models, rules, self.prices, strict=True
            )
        ]
        return Planner(self.enrichment, source or self.source, store or self.store(), planned, limit=limit)

    def shape(self, compiled: CompiledPass, model: ResolvedModel) -> CallShape:
        """What every call of a pass has in common."""
        spec = compiled.spec
        return CallShape(
            model=model.name,
            system=system_prompt(spec.fields),
            schema=answer_schema(spec.fields),
            schema_name=spec.name[:64],
            max_output_tokens=spec.max_output_tokens or default_max_output_tokens(spec.fields),
            temperature=spec.temperature,
            options=spec.options,
        )

    def _pricing(self, compiled: CompiledPass, model: ResolvedModel, price: Price | None) -> Pricing:
        spec = compiled.spec
        typical = estimate_output_tokens(spec.fields)[0]
        if model.local is not None or model.dialect is None:
            return Pricing(estimate_tokens, (0, 0), (typical, typical), None, None, free=True)
        shape = self.shape(compiled, model)
        overhead = estimate_tokens(model.dialect.encoder(shape)("").body.decode())
        return Pricing(
            tokens=estimate_tokens,
            overhead=overhead,
            output=(min(typical, shape.max_output_tokens), shape.max_output_tokens),
            cost=None if price is None else price.cost_nusd,
            worst=None if price is None else price.worst_nusd,
        )

    def target(self, path: str) -> Path:
        """A path of the declaration, seen from its folder."""
        return self.enrichment.folder / Path(path).expanduser()

    def notes(self) -> list[str]:
        """Sentences a user should read before a run: which model `auto` became, and why."""
        return list(dict.fromkeys(model.why for model in self.models if model.why))
