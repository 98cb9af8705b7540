"""Rows, asks and calls on their way through the engine.

A Row carries one row through its passes; an Ask is one address that is being asked, with every cell that waits for
it (single flight); a Call is one request to a provider, which mostly carries one ask, and several where passes are
fused or records are packed. What stays true: they live only while in the pipeline, whose length is bounded; the store
is the only memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inlay.payload import values_hash
from inlay.types import CellState, FieldAnswer, Reason, StoredCell

if TYPE_CHECKING:
    from inlay.engine.passwork import PassWork
    from inlay.engine.together import Shared

_NOTHING: Mapping[int, str] = {}


class Row:
    """One row under way. `reasons` and `source_hashes` are by pass index; None: the run does not ask that cell."""

    __slots__ = ("answers", "given", "human", "key", "open", "reasons", "source_hashes", "state", "stored", "values")

    def __init__(
        self,
        key: str,
        values: Mapping[str, Any],
        reasons: list[Reason | None],
        source_hashes: list[bytes],
        given: Mapping[int, str] = _NOTHING,
    ) -> None:
        self.key = key
        self.values = values
        self.reasons = reasons
        self.source_hashes = source_hashes
        self.given = given  # pass index -> what its rules give, as text
        self.human: dict[int, dict[str, FieldAnswer]] = {}  # pass index -> what people say
        self.answers: dict[int, Answered] = {}
        self.stored: dict[int, StoredCell] = {}  # pass index -> what the store holds, where it matters
        self.state: dict[int, CellState] = {}  # pass index -> how its cell stands in this run
        self.open = 0  # cells of this row that are not settled yet

    def answered(self, index: int, answered: Answered | None) -> None:
        """Note what a pass knows about this row, for the passes that read it; what people say lies over it."""
        if (human := self.human.get(index)) is not None:
            fields = {**answered.fields, **human} if answered is not None else dict(human)
            answered = Answered(fields, values_hash(fields), answered is None or answered.whole)
        if answered is not None:
            self.answers[index] = answered


class Answered:
    """What a pass knows about a row: its fields and the hash of their values (16 bytes)."""

    __slots__ = ("fields", "values_hash", "whole")

    def __init__(self, fields: dict[str, FieldAnswer], values_hash: bytes, whole: bool) -> None:
        self.fields = fields
        self.values_hash = values_hash
        self.whole = whole


class Target:
    """A cell that waits for an answer."""

    __slots__ = ("keeps", "row", "tries", "upstream_hash")

    def __init__(self, row: Row, upstream_hash: bytes, tries: int, keeps: bool) -> None:
        self.row = row
        self.upstream_hash = upstream_hash
        self.tries = tries
        self.keeps = keeps  # a refresh: should it fail, the present answer stays


class Ask:
    """One address being asked: of `work`, a pass or one step of its cascade.

    `known` are fields that an earlier, partial answer already holds: only the others (`names`) are asked. `cost_nusd`
    sums what all attempts for this answer have cost so far. `alone` keeps it out of fused and packed calls, and `most`
    bounds these. `others` are cells of other passes with the same address: once it is settled they find its answer.
    """

    __slots__ = (
        "alone",
        "attempt_id",
        "before",
        "call",
        "cost_nusd",
        "fingerprint",
        "input",
        "input_hash",
        "known",
        "most",
        "names",
        "others",
        "record",
        "repair",
        "reserve_nusd",
        "ruled",
        "since",
        "targets",
        "texts",
        "tokens",
        "user",
        "work",
    )

    def __init__(
        self, work: PassWork, fingerprint: bytes, canonical: bytes, input_hash: bytes, target: Target, since: float
    ) -> None:
        self.work = work
        self.fingerprint = fingerprint
        self.input = canonical
        self.input_hash = input_hash
        self.targets = [target]
        self.others: list[tuple[PassWork, Target, Outcome | None]] = []  # of passes that ask the very same
        self.since = since  # an answer this young would do
        self.known: dict[str, FieldAnswer] = {}
        self.names: tuple[str, ...] = ()  # empty: all fields
        self.ruled = False  # `known` is all: given by rules, nothing to be called for
        self.repair = 0
        self.alone = False
        self.most = 0  # records in its call, at most; 0: as the pass declares
        self.attempt_id = 0
        self.reserve_nusd = 0
        self.tokens = 0.0
        self.cost_nusd = 0
        self.user = ""
        self.texts: Mapping[str, str] = {}
        self.record: dict[str, str | None] = {}  # what the prompt reads, by name, where calls may be shared
        self.before: Outcome | None = None  # the best that earlier steps of a cascade have given
        self.call: Call | None = None  # while its claim is under way


class Outcome:
    """How an ask ended, for the cells that wait for it."""

    __slots__ = ("answer_id", "answered", "kind", "message", "state")

    def __init__(
        self, state: CellState, kind: str, message: str, answer_id: int | None, answered: Answered | None
    ) -> None:
        self.state = state
        self.kind = kind
        self.message = message
        self.answer_id = answer_id
        self.answered = answered


class Call:
    """One request. `records` are the rows in it, each with the asks of its passes, all in one order of passes.

    `shared` builds and splits a call of several asks; None where there is one.
    """

    __slots__ = ("asks", "records", "shared", "tokens", "tries")

    def __init__(self, records: list[list[Ask]], shared: Shared | None = None) -> None:
        self.records = records
        self.asks = [ask for record in records for ask in record]
        self.shared = shared
        self.tries = 0
        self.tokens = self.asks[0].tokens if shared is None else shared.tokens(records)
