"""A store with one registered pass, and short words for what a run does with it: what the contract suite is written in.

What stays true: everything goes through `inlay.contracts.Store`, every address and hash is the true one, and time
passes only when told.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from inlay.contracts import Store
from inlay.errors import StoreError
from inlay.fingerprint import address, canonical, recipe_digest, recipe_text, short_hash
from inlay.payload import encode_fields, values_hash
from inlay.types import (
    Budget,
    CellState,
    CellWrite,
    Claim,
    FieldAnswer,
    NewAnswer,
    NullReason,
    PassRecord,
    PassRef,
    RunRecord,
    Settlement,
    StoredCell,
    Usage,
)

RECIPE = recipe_text({"prompt": "国籍は? {{ full_name }}", "fields": {"nationality": {"type": "text"}}})
KEYS = (
    "1",
    "田中 太郎",
    "株式会社ステーション",
    "محمد علي",
    "👩‍👩‍👧‍👦",
    unicodedata.normalize("NFC", "が é"),
    unicodedata.normalize("NFD", "が é"),
    'it\'s "quoted"; DROP TABLE cells; --',
    "a,b\x1f\x1e\t\n\r\x01|\\",
    "",
    " ",
    "%_*?",
    "x" * 2000,
)


class ManualClock:
    """Seconds since the epoch that pass only when told. Starts at noon (UTC) of 2026-11-20."""

    def __init__(self) -> None:
        self.now = 1_795_176_000.0

    def __call__(self) -> float:
        return self.now


class Scene:
    """A store with one registered pass, and short words for what a run does with it."""

    def __init__(self, store: Store, clock: ManualClock, *, enrichment: str = "tenants", name: str = "nationality"):
        self.store = store
        self.clock = clock
        self.record = PassRecord(enrichment, name, RECIPE, recipe_digest(RECIPE))
        self.ref: PassRef = store.register([self.record])[0]

    def begin(self, runner: str = "a", **options: Any) -> RunRecord:
        """Begin a run of this enrichment."""
        return self.store.begin_run(self.record.enrichment, runner=runner, **options)

    def input(self, text: str) -> bytes:
        """The canonical input of a text."""
        return canonical([text])

    def address(self, text: str) -> bytes:
        """The address of the answer for a text."""
        return address(self.record.recipe_digest, self.input(text))

    def claim(
        self, run: RunRecord, *texts: str, reserve: int = 100, budget: Budget | None = None, fresh: bool = False
    ) -> list[Any]:
        """Claim the answers for some texts."""
        since = math.inf if fresh else 0.0
        wishes = [Claim(self.address(text), self.ref.pass_id, reserve, since) for text in texts]
        return self.store.claim(wishes, run=run, budget=budget)

    def answer(self, text: str, value: str | None, state: CellState = CellState.DONE, **more: Any) -> NewAnswer:
        """An answer for a text; its hashes and address are the true ones."""
        fields = {"nationality": FieldAnswer(value, None if value is not None else NullReason.NOT_STATED)}
        return NewAnswer(
            fingerprint=self.address(text),
            recipe_id=self.ref.recipe_id,
            state=state,
            payload=encode_fields(fields),
            values_hash=values_hash(fields),
            input=self.input(text),
            served_model="sim-1",
            **more,
        )

    def cell(self, key: str, text: str, state: CellState = CellState.DONE, **more: Any) -> CellWrite:
        """The new state of the cell of a row whose input is this text."""
        hashes = {"source_hash": short_hash(text.encode()), "input_hash": short_hash(self.input(text))}
        whole: dict[str, Any] = {"recipe_id": self.ref.recipe_id, **hashes, "upstream_hash": b"", **more}
        return CellWrite(pass_id=self.ref.pass_id, key=key, state=state, **whole)

    def settle(
        self, run: RunRecord, attempt_id: int | None, key: str, text: str, value: str, cost: int = 60
    ) -> int | None:
        """Commit one whole answer for one row."""
        usage = Usage(input_tokens=10, output_tokens=2)
        answer = self.answer(text, value, usage=usage, cost_nusd=cost, latency_ms=500)
        settlement = Settlement(attempt_id, cost_nusd=cost, usage=usage, answer=answer, cells=(self.cell(key, text),))
        return self.store.commit([settlement], run=run)[0]

    def ask(self, run: RunRecord, key: str, text: str, value: str = "日本", cost: int = 60) -> int:
        """Claim and settle one row: the number of its answer."""
        [claimed] = self.claim(run, text, fresh=True)
        number = self.settle(run, claimed.attempt_id, key, text, value, cost)
        assert number is not None
        return number

    def read(self, key: str) -> StoredCell:
        """The cell of a row."""
        return self.store.read_cells(self.ref.pass_id, [key])[key]

    def money(self, run: RunRecord, per: str = "run") -> tuple[int, int]:
        """(spent, reserved) of a scope."""
        spending = self.store.spending(run, per)
        return spending.spent_nusd, spending.reserved_nusd


def refused(action: Callable[[], Any]) -> StoreError:
    """The StoreError that an action must raise, with a message and a remedy."""
    try:
        action()
    except StoreError as error:
        caught = error
    else:
        raise AssertionError("a StoreError was expected")
    assert caught.message
    assert caught.remedy
    return caught


def kinds(results: Iterable[Any]) -> list[str]:
    """The class names of claim results."""
    return [type(result).__name__ for result in results]


class StoreOpening:
    """What a suite needs to know: how a store is opened, and the longest row key that it holds (None: any)."""

    longest_key: int | None = None

    @property
    def keys(self) -> list[str]:
        """Row keys in every script, and odd ones."""
        return [key for key in KEYS if self.longest_key is None or len(key) <= self.longest_key]

    def open_store(self, place: Path, *, clock: Callable[[], float], alive: Callable[[str, int, int], bool]) -> Store:
        """A new store in an empty folder."""
        raise AssertionError("say how the store is opened")

    def scene(self, place: Path, dead: set[str] | None = None) -> Scene:
        """A scene over a new store. Runners named in `dead` are dead; others live while their heartbeat is fresh."""
        gone = set() if dead is None else dead
        clock = ManualClock()
        store = self.open_store(
            place, clock=clock, alive=lambda runner, expires, now: runner not in gone and expires > now
        )
        assert isinstance(store, Store)
        return Scene(store, clock)
