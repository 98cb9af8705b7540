"""A declaration opened for work: its source, its store, its models and its passes, wired together once.

What stays true: opening reads and never writes (`register` is what a run calls to write its passes down); everything
opened is closed by `close()`; a declaration that does not fit its source is refused here, before anything is paid.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inlay.contracts import Store
from inlay.engine.ask import answer_schema, default_max_output_tokens, estimate_output_tokens, system_prompt
from inlay.errors import SpecError
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
        self, declaration: str | Path | Enrichment, *, env: Mapping[str, str] | None = None, need_keys: bool = False
    ) -> None:
        """`need_keys`: calls will be made, so a missing key is refused now. Raises SpecError."""
        self.env = os.environ if env is None else env
        self.enrichment = (
            resolve_spec(declaration) if isinstance(declaration, Enrichment) else load(declaration, env=env)
        )
        self.passes: tuple[PassSpec, ...] = ordered(self.enrichment.passes)
        self.compiled = [CompiledPass(spec) for spec in self.passes]
        self.models: list[ResolvedModel] = [
            resolve_model(spec.model, spec.endpoint, spec.api_key_env, self.env, need_key=need_keys)
            for spec in self.passes
        ]
        self.prices: list[Price | None] = [
            find_price(model.provider, model.name, spec.prices, options=spec.options)
            for model, spec in zip(self.models, self.passes, strict=True)
        ]
        self.source = FileSource(self.enrichment.source, self.enrichment.folder)
        self._store: Store | None = None
        self._durable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store. Idempotent."""
        if self._store is not None:
            self._store.close()
            self._store = None

    # --- the store

    @property
    def store_path(self) -> Path | None:
        """The SQLite file, or None for a store in memory."""
        declared = self.enrichment.store
        if declared in ("memory", "memory:", ":memory:"):
            return None
        if declared is None:
            return self.enrichment.folder / STORE_FOLDER / STORE_FILE
        text = declared.removeprefix("sqlite:///")
        if "://" in text:
            raise SpecError(
                f"a store of this kind is not known: {text.split('://', 1)[0]}://…",
                key="store",
                remedy="name a file (store: answers.db), or leave `store` out for .inlay/ beside the declaration",
            )
        path = self.enrichment.folder / Path(text).expanduser()
        return path / STORE_FILE if path.is_dir() else path

    def store(self, *, write: bool = False) -> Store:
        """The store; without `write`, one that does not exist yet is an empty one in memory, so nothing is made."""
        path = self.store_path
        if self._store is not None and (path is None or self._durable or not write):
            return self._store
        self.close()
        store: Store
        if path is None or not (write or path.exists()):
            from inlay.stores.memory import MemoryStore

            store, self._durable = MemoryStore(), False
        else:
            from inlay.stores.sqlite import SqliteStore

            store, self._durable = SqliteStore(path), True
        self._store = store
        return store

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
        check_columns(self.enrichment, self.source.columns())
        files = self.enrichment.output.files
        if files is not None:
            self._refuse_own_source(self.target(files))

    def _refuse_own_source(self, target: Path) -> None:
        """A published table must not replace the source, nor be read as a part of it by the next run."""
        place = Path(os.path.abspath(target))  # noqa: PTH100 (resolve() would follow a link that is to be replaced)
        inside = place.resolve() in {path.resolve() for path in self.source.paths()}
        if inside or any(takes(self.enrichment.folder, pattern, place) for pattern in self.enrichment.source.files):
            raise SpecError(
                f"{target.name!r} would be read as a part of the source",
                file=self.enrichment.file,
                line=self.enrichment.lines.get("output.files") or self.enrichment.lines.get("output"),
                key="output.files",
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

    def planner(self, refs: Sequence[PassRef], rules: Sequence[Rule], *, limit: int | None = None) -> Planner:
        """Judge every row. Close the planner when its rows are read."""
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
        return Planner(self.enrichment, self.source, self.store(), planned, limit=limit)

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


def summary_cells(session: Session) -> dict[str, dict[tuple[str, str], int]]:
    """(state, reason) counts of every pass that the store knows."""
    store = session.store()
    known = store.passes(session.enrichment.name)
    return {spec.name: store.counts(known[spec.name]) if spec.name in known else {} for spec in session.passes}


def plain_values(values: Any) -> Any:
    """Values of a summary as JSON can carry them."""
    if isinstance(values, Mapping):
        return {str(key): plain_values(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain_values(value) for value in values]
    return values
