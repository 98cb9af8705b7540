"""What an enrichment has cost, by what, what was saved, and what more of it would cost, here or on another model.

What stays true: figures come from the ledger, which keeps every attempt ever paid; a saving is an estimate at list
prices and says so; another model's figure takes the same tokens at that model's price, without its cache, each call
priced at the mean size of its pass; nothing is asked and nothing is written.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from inlay.errors import SpecError
from inlay.types import NANO, Usage, usd

if TYPE_CHECKING:
    from inlay.project.session import Session

BY = ("run", "pass", "model", "day", "record")
RECORDS = 20
_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class CostLine:
    """Attempts of one run, pass, model, day or record. `calls` are requests: a shared one counts in parts. Money in
    US dollars; `input_tokens` include cached and written ones, `output_tokens` reasoning."""

    name: str
    calls: float
    attempts: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Saved:
    """What was not paid. `cache`: the provider's cache (negative: writing it cost more than it gave). `shared`: fused
    and packed requests. `batch`: batches instead of live calls. `reuse`: answers given to more than one cell, priced at
    the mean answer of their pass. Dollars are estimates; calls are those that were not made."""

    cache_usd: float
    shared_usd: float
    shared_calls: float
    batch_usd: float
    reuse_usd: float
    reuse_calls: int


@dataclass(frozen=True, slots=True)
class OnModel:
    """The same tokens on another model, in US dollars; None where its price is unknown."""

    model: str
    live_usd: float | None
    batch_usd: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Costs:
    """The whole account. `rows` are those that runs have reached; `projected_usd` is for `project` rows like them, and
    `models` are for as many, or for what was done where `project` is None."""

    enrichment: str
    by: str
    lines: tuple[CostLine, ...]
    total: CostLine
    saved: Saved
    rows: int
    project: int | None
    projected_usd: float | None
    models: tuple[OnModel, ...]
    unpriced: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return asdict(self)


def costs_of(
    session: Session, *, by: str = "pass", project: int | None = None, on: Sequence[str] = (), records: int = RECORDS
) -> Costs:
    """Count it all up; see `inlay.project.costs`."""
    if by not in BY:
        raise SpecError(f"costs cannot be shown by {by!r}", key="--by", remedy=f"choose one of: {', '.join(BY)}")
    store, name = session.store(), session.enrichment.name
    ledger = store.ledger(name, days=by == "day")
    asked = [line for line in ledger if is_paid(line)]
    passes = store.passes(name)
    cells = {place: _answered(store.counts(number)) for place, number in passes.items()}
    rows = max(cells.values(), default=0)
    scale = 1.0 if project is None or not rows else project / rows
    total = _line("total", asked)
    lines = _records(session, passes, records) if by == "record" else _lines(asked, by)
    unpriced = tuple(spec.name for spec, priced in zip(session.passes, session.priced, strict=True) if not priced)
    # By pass, since passes have reached different numbers of rows.
    spent = _sums(asked, lambda line: str(line["pass"]))
    projected = None
    if project is not None and rows and not unpriced:
        projected = sum(line.cost_usd * project / cells[place] for place, line in spent.items() if cells.get(place))
    return Costs(
        enrichment=name,
        by=by,
        lines=tuple(lines),
        total=total,
        saved=_saved(asked, ledger, cells),
        rows=rows,
        project=project,
        projected_usd=projected,
        models=tuple(_on(model, spent.values(), scale) for model in on),
        unpriced=unpriced,
    )


def saved_of(session: Session) -> Saved:
    """What an enrichment has saved so far. Reads the store; costs nothing."""
    store, name = session.store(), session.enrichment.name
    ledger = store.ledger(name)
    cells = {place: _answered(store.counts(number)) for place, number in store.passes(name).items()}
    return _saved([line for line in ledger if is_paid(line)], ledger, cells)


def is_paid(line: Mapping[str, Any]) -> bool:
    """Whether a line of the ledger is of calls that were paid for: what rules and earlier answers gave is none."""
    return bool(line["input_tokens"] or line["output_tokens"] or line["cost_nusd"])


def _answered(counts: Mapping[tuple[str, str], int]) -> int:
    return sum(number for (state, _), number in counts.items() if state in ("done", "partial", "failed"))


def _line(name: str, lines: Iterable[Mapping[str, Any]]) -> CostLine:
    lines = list(lines)

    def total(key: str) -> Any:
        return sum(line[key] for line in lines)

    return CostLine(
        name,
        round(total("calls"), 3),
        total("attempts"),
        total("input_tokens"),
        total("output_tokens"),
        total("cached_tokens"),
        total("cache_write_tokens"),
        total("reasoning_tokens"),
        usd(total("cost_nusd")),
    )


def _sums(ledger: Iterable[Mapping[str, Any]], name: Callable[[Mapping[str, Any]], str]) -> dict[str, CostLine]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in ledger:
        groups.setdefault(name(line), []).append(line)
    return {key: _line(key, group) for key, group in groups.items()}


def _lines(ledger: Sequence[Mapping[str, Any]], by: str) -> list[CostLine]:
    key = "run_id" if by == "run" else by
    found = list(_sums(ledger, lambda line: str(line[key] or "no answer")).values())
    return sorted(found, key=lambda line: int(line.name) if by == "run" else line.name)


def _records(session: Session, passes: Mapping[str, int], most: int) -> list[CostLine]:
    """The rows whose present answers cost most. An answer that several rows share is shown with each."""
    store = session.store()
    paid: dict[str, int] = {}
    for number in passes.values():
        keys = [key for batch in store.scan_cells(number, ["key"]) for key in batch.column(0).to_pylist()]
        for start in range(0, len(keys), _CHUNK):
            for key, cell in store.read_cells(number, keys[start : start + _CHUNK]).items():
                if cell.answer is not None:
                    paid[key] = paid.get(key, 0) + cell.answer.cost_nusd
    dearest = heapq.nsmallest(most, paid.items(), key=lambda item: (-item[1], item[0]))
    return [CostLine(key, 0.0, 0, 0, 0, 0, 0, 0, usd(cost)) for key, cost in dearest]


def _saved(asked: Sequence[Mapping[str, Any]], ledger: Sequence[Mapping[str, Any]], cells: Mapping[str, int]) -> Saved:
    reuse_calls, reuse = 0, 0.0
    for place, count in cells.items():
        answers = sum(line["answers"] for line in ledger if line["pass"] == place)
        paid = [line for line in asked if line["pass"] == place and line["answers"]]
        bought = sum(line["answers"] for line in paid)
        # Re-asked cells have several answers: what is counted here is at least what was saved.
        extra = max(0, count - answers) if bought else 0
        reuse_calls += extra
        reuse += extra * sum(line["cost_nusd"] for line in paid) / NANO / bought if extra else 0.0
    return Saved(
        cache_usd=usd(sum(line["saved_cache_nusd"] for line in asked)),
        shared_usd=usd(sum(line["saved_shared_nusd"] for line in asked)),
        shared_calls=round(sum(line["attempts"] - line["calls"] for line in asked), 3),
        batch_usd=usd(sum(line["saved_batch_nusd"] for line in asked)),
        reuse_usd=reuse,
        reuse_calls=reuse_calls,
    )


def _on(model: str, spent: Iterable[CostLine], scale: float) -> OnModel:
    from inlay.project.pricing import price_named

    live = price_named(model)
    batch = price_named(model, mode="batch")

    def cost(price: Any) -> float | None:
        if price is None:
            return None
        total = 0
        for line in spent:
            calls = max(1, round(line.calls))
            one = Usage(-(-line.input_tokens // calls), -(-line.output_tokens // calls))
            total += price.cost_nusd(one) * calls
        return usd(round(total * scale))

    spent = list(spent)
    return OnModel(model, cost(live), cost(batch), "" if live is None else live.source)
