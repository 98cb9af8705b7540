"""What a batch gave becomes answers and cells, line by line, without the rows it was asked for.

A line is read with the fields of the recipe that it was asked under, and settled at the prices that its batch was made
at: the declaration may have changed since. What stays true: each line is settled once, in one transaction with its
cells and its cost; a line that never ran gives its reservation back and is asked again; nothing that a line says,
of whatever shape, costs another line anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from inlay.batches import Batch, BatchLine
from inlay.contracts import Dialect, Store
from inlay.engine.answer import AnswerReader
from inlay.engine.batch import rates
from inlay.errors import CellError, InlayError, ProviderError, RunError
from inlay.fingerprint import read_canonical, short_hash
from inlay.payload import decode_fields, encode_fields, values_hash
from inlay.providers.batch import BatchWire, Result
from inlay.providers.prices import Price, estimate_tokens
from inlay.spec.fields import FieldSpec
from inlay.types import CellState, CellWrite, Completion, FieldAnswer, NewAnswer, Savings, Settlement, Usage

GROUP = 200
RAW_CAP = 64 * 1024


@dataclass(slots=True)
class Settled:
    """How one line ended, for a run's figures."""

    pass_id: int
    keys: tuple[str, ...]
    state: CellState
    kind: str
    fields: Mapping[str, FieldAnswer]
    usage: Usage
    cost_nusd: int
    estimated: bool


@dataclass(slots=True)
class Applied:
    """What applying one batch came to."""

    settled: int = 0
    unrun: int = 0
    lost: int = 0
    trouble: RunError | None = None  # a line says that no line can succeed


class Applier:
    """Applies what was downloaded for one batch."""

    def __init__(
        self, store: Store, batch: Batch, wire: BatchWire, dialect: Dialect, note: Callable[[Settled], None]
    ) -> None:
        self._store = store
        self._batch = batch
        self._wire = wire
        self._dialect = dialect
        self._note = note
        self._recipes = lru_cache(maxsize=64)(self._recipe)
        self._readers = lru_cache(maxsize=256)(self._reader)
        self._prices = lru_cache(maxsize=64)(self._price)

    def apply(self, lines: Iterable[bytes]) -> Applied:
        """Settle every line that is there, in groups of one transaction each. Idempotent."""
        out = Applied()
        for group in _groups(self._results(lines)):
            self._group(group, out)
        return out

    def missing(self, ran: int) -> Applied:
        """See to the lines that no result came for, once all was applied: those that the provider says it ran (so many)
        are booked as paid in full, the others are given back. All are asked again."""
        journal, name = self._store.journal, self._batch.submission
        out = Applied()
        while ran > 0 and (some := journal.lines(name, journal.some(name, min(ran, GROUP)))):
            lost = [
                Settlement(line.attempt_id, "lost", line.reserve_nusd, estimated=True, mode="batch")
                for line in some.values()
            ]
            journal.settle(name, list(zip(some, lost, strict=True)))
            for line in some.values():
                self._note(Settled(line.pass_id, (), CellState.FAILED, "lost", {}, Usage(), line.reserve_nusd, True))
            ran -= len(some)
            out.lost += len(some)
        out.unrun = journal.give_back(name)
        return out

    def _results(self, lines: Iterable[bytes]) -> Iterator[Result]:
        for line in lines:
            try:
                result = self._wire.read(line)
            except (ProviderError, ValueError, RecursionError):
                continue  # it names no line of ours: that one is given back with all that are missing
            if result is not None:
                yield result

    def _group(self, group: list[Result], out: Applied) -> None:
        journal = self._store.journal
        name = self._batch.submission
        waiting = journal.lines(name, [result.custom_id for result in group])
        settlements: list[tuple[str, Settlement]] = []
        notes: list[Settled] = []
        unrun: list[str] = []
        for result in group:
            line = waiting.pop(result.custom_id, None)
            if line is None:
                continue  # settled before, doubled, or not ours
            if result.unrun:
                unrun.append(line.custom_id)
                continue
            try:
                settlement, note = self.settlement(line, result)
            except RunError as error:
                out.trouble = out.trouble or error
                unrun.append(line.custom_id)
                continue
            settlements.append((line.custom_id, settlement))
            notes.append(note)
        if settlements:
            counted = journal.settle(name, settlements)
            for note, own in zip(notes, counted, strict=True):
                if own:
                    out.settled += 1
                    self._note(note)
        if unrun:
            out.unrun += journal.give_back(name, unrun)

    # --- one line

    def settlement(self, line: BatchLine, result: Result) -> tuple[Settlement, Settled]:
        """What one line comes to. Raises RunError where the provider says that no line can succeed."""
        try:
            completion = self._dialect.read(result.status, result.headers, result.body)
        except RunError:
            raise
        except ProviderError as error:
            return self._refused(line, error)
        except Exception as error:  # noqa: BLE001 (an error of ours costs this line, not the batch)
            return self._ours(line, error)
        try:
            return self._answered(line, completion)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._ours(line, error)

    def _ours(self, line: BatchLine, error: Exception) -> tuple[Settlement, Settled]:
        message = str(error) if isinstance(error, InlayError) else f"{type(error).__name__}: {error}"
        wrapped = CellError(message[:300], possibly_paid=True)
        wrapped.kind = "internal"
        return self._refused(line, wrapped)

    def _answered(self, line: BatchLine, completion: Completion) -> tuple[Settlement, Settled]:
        names, texts = self._texts(line)
        usage, estimated = completion.usage, False
        if usage is None:
            usage = Usage(
                estimate_tokens(line.input.decode("utf-8", "replace"))[1], estimate_tokens(completion.text)[1]
            )
            estimated = True
        asked = line.names or names
        reading = self._readers(line.recipe_id, asked).read(completion.text, texts, truncated=completion.truncated)
        known = decode_fields(line.known)
        fields = {name: got for name in names if (got := reading.fields.get(name) or known.get(name)) is not None}
        missing = [name for name in names if name in reading.missing or name not in fields]
        state = reading.state if not known else CellState.PARTIAL if missing else CellState.DONE
        whole = state is CellState.DONE
        kind = "" if whole else reading.error_kind or "invalid_output"
        return self._kept(
            line,
            fields,
            state,
            kind,
            "" if whole else reading.error_message or "",
            usage,
            *self._cost(line, usage, estimated=estimated),
            raw=None if whole else completion.text.encode("utf-8", "replace")[:RAW_CAP],
            served_model=completion.served_model or self._batch.model,
        )

    def _refused(self, line: BatchLine, error: ProviderError) -> tuple[Settlement, Settled]:
        usage = error.usage or Usage()
        cost, estimated, saved = 0, False, 0
        # A response of the provider's own says 4xx or 5xx: such lines are not charged, whatever a live call would be.
        if error.usage is not None or (error.possibly_paid and error.kind in ("unreadable", "internal")):
            cost, estimated, saved = self._cost(line, usage, estimated=error.usage is None)
        fields = decode_fields(line.known)
        state = CellState.PARTIAL if fields else CellState.FAILED
        return self._kept(
            line,
            fields,
            state,
            error.kind,
            error.message[:300],
            usage,
            cost,
            estimated,
            saved,
            raw=None,
            served_model="",
        )

    def _cost(self, line: BatchLine, usage: Usage, *, estimated: bool) -> tuple[int, bool, int]:
        """(cost, whether it is an estimate, what it saved) of a line."""
        price, live = self._prices(line.pass_id)
        if estimated:
            return line.reserve_nusd, True, 0
        if price is None:
            return 0, False, 0
        cost = price.cost_nusd(usage)
        return cost, False, 0 if live is None else max(0, live.cost_nusd(usage) - cost)

    def _kept(
        self,
        line: BatchLine,
        fields: Mapping[str, FieldAnswer],
        state: CellState,
        kind: str,
        message: str,
        usage: Usage,
        cost: int,
        estimated: bool,
        saved: int,
        *,
        raw: bytes | None,
        served_model: str,
    ) -> tuple[Settlement, Settled]:
        answer = NewAnswer(
            fingerprint=line.fingerprint,
            recipe_id=line.recipe_id,
            state=state,
            payload=encode_fields(fields) if fields else b"",
            values_hash=values_hash(fields),
            input=line.input,
            error_kind=kind or None,
            error_message=message or None,
            raw=raw,
            served_model=served_model,
            usage=usage,
            cost_nusd=line.cost_nusd + cost,
        )
        hashed = short_hash(line.input)
        cells = tuple(
            CellWrite(
                pass_id=line.pass_id,
                key=cell.key,
                recipe_id=line.recipe_id,
                source_hash=cell.source_hash,
                input_hash=hashed,
                upstream_hash=cell.upstream_hash,
                state=state,
                reason=kind,
                message=message,
                tries=0 if state is CellState.DONE else cell.tries + 1,
                keep_answer=cell.keeps and state is CellState.FAILED,
            )
            for cell in line.cells
        )
        settlement = Settlement(
            attempt_id=line.attempt_id,
            outcome=kind or "answered",
            cost_nusd=cost,
            usage=usage,
            estimated=estimated,
            answer=answer,
            cells=cells,
            mode="batch",
            saved=Savings(batch_nusd=saved),
        )
        keys = tuple(cell.key for cell in line.cells)
        return settlement, Settled(line.pass_id, keys, state, kind, fields, usage, cost, estimated)

    # --- what the recipe says

    def _recipe(self, recipe_id: int) -> tuple[dict[str, FieldSpec], tuple[str, ...]]:
        recipe: dict[str, Any] = orjson.loads(self._store.recipe(recipe_id))
        fields = {name: FieldSpec.model_validate(definition) for name, definition in recipe["fields"]}
        return fields, tuple(sorted(recipe["inputs"]))

    def _reader(self, recipe_id: int, names: tuple[str, ...]) -> AnswerReader:
        fields, _ = self._recipes(recipe_id)
        return AnswerReader({name: spec for name, spec in fields.items() if name in names})

    def _price(self, pass_id: int) -> tuple[Price | None, Price | None]:
        written = self._batch.rates.get(str(pass_id)) or {}
        return rates.read(written, "batch"), rates.read(written, "live")

    def _texts(self, line: BatchLine) -> tuple[tuple[str, ...], dict[str, str]]:
        """The names of the fields of a line's recipe, and the texts of its record, which quotes are looked up in."""
        fields, inputs = self._recipes(line.recipe_id)
        values = read_canonical(line.input).values
        texts = {name: form[1] for name, form in zip(inputs, values, strict=False) if form is not None}
        return tuple(fields), texts


def _groups(results: Iterator[Result]) -> Iterator[list[Result]]:
    group: list[Result] = []
    for result in results:
        group.append(result)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
