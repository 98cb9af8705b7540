"""Batches as any provider keeps them: lines that wait, a life in stages, results that cost a part of the live price.

Each provider's API (batch_openai, batch_anthropic, batch_bedrock) reads its requests into `RemoteBatch` and writes it
back in its own words. What stays true: a line gets the answer that the live call gets; each line is answered and
booked at most once, when its batch ends; an account sees its own batches only, an account being a key.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from inlay.testing.answers import mix
from inlay.testing.batch_faults import STRIKES
from inlay.testing.ledger import BatchEntry
from inlay.testing.sigv4 import access_key, is_signed
from inlay.testing.wire import Arrival, Wire

if TYPE_CHECKING:
    from inlay.testing.service import Service

Stage: TypeAlias = Literal["validating", "running", "finalizing", "cancelling", "ended"]
Outcome: TypeAlias = Literal["", "completed", "failed", "expired", "cancelled"]


@dataclass(slots=True)
class Line:
    """One line that was handed in. `body` is the parsed request."""

    custom_id: str
    body: Any
    wire: Wire


@dataclass(slots=True)
class LineResult:
    """What became of a line: its HTTP status and body, or 0 for one that was not run."""

    line: Line
    status: int
    body: bytes = b""
    number: int = 0


@dataclass(slots=True)
class RemoteBatch:
    """One batch. Times are seconds since the epoch. `problems` are (line number, code, message) of its validation."""

    number: int
    id: str
    provider: str
    account: str
    created_at: float
    lines: list[Line]
    faults: frozenset[str] = frozenset()
    problems: list[tuple[int | None, str, str]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    started_s: float = 0.0
    polls: int = 0
    cancelled_at: float | None = None
    cancel_seen: bool = False
    outcome: Outcome = ""
    ended_at: float | None = None
    results: list[LineResult] = field(default_factory=list)
    deleted: bool = False

    @property
    def done(self) -> list[LineResult]:
        """Lines that were answered."""
        return [result for result in self.results if result.status == 200]

    @property
    def failed(self) -> list[LineResult]:
        """Lines that were run and got an error."""
        return [result for result in self.results if result.status not in (0, 200)]

    @property
    def unrun(self) -> list[LineResult]:
        """Lines that were never run."""
        return [result for result in self.results if result.status == 0]


class BatchDesk:
    """All batches of a simulator. Belongs to the service's loop."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.batches: list[RemoteBatch] = []
        self.attempts = 0  # to create
        self.uploads = 0
        self._struck: dict[int, int] = {}
        self._rules: Any = None

    def clear(self) -> None:
        """Forget every batch, and how often faults struck."""
        self.batches.clear()
        self._struck.clear()
        self.attempts = self.uploads = 0

    # faults

    def strikes(self, name: str, number: int) -> bool:
        """Whether the fault strikes this time; it is counted if it does."""
        rules = self.service.spec.batch_faults
        if rules is not self._rules:
            self._rules, self._struck = rules, {}
        for index, rule in enumerate(rules):
            if rule.fault != name or (rule.numbers and number not in rule.numbers):
                continue
            so_far = self._struck.get(index, 0)
            if rule.times is None or so_far < rule.times:
                self._struck[index] = so_far + 1
                return True
        return False

    def first_strike(self, number: int, *names: str) -> str:
        """The first of the faults that strikes, or an empty text."""
        return next((name for name in names if self.strikes(name, number)), "")

    # accounts

    def account(self, arrival: Arrival, wire: Wire) -> str:
        """A name for the key that was used, from which the key cannot be found."""
        key = access_key(arrival.headers) if is_signed(arrival.headers) else wire.secret(arrival.headers)
        return hashlib.sha256(key.encode()).hexdigest()[:16] if key else ""

    def of(self, provider: str, account: str) -> list[RemoteBatch]:
        """An account's batches, newest first."""
        found = [b for b in self.batches if b.provider == provider and b.account == account and not b.deleted]
        return found[::-1]

    def find(self, provider: str, account: str, name: str) -> RemoteBatch | None:
        """A batch by its id."""
        return next((batch for batch in self.of(provider, account) if batch.id == name), None)

    # life

    def create(
        self,
        provider: str,
        account: str,
        batch_id: str,
        lines: list[Line],
        *,
        problems: Sequence[tuple[int | None, str, str]] = (),
        name: str = "",
        about: Mapping[str, Any] | None = None,
    ) -> RemoteBatch:
        """Take a batch in. One with problems will fail its validation. `name` is what the client called it."""
        number = len(self.batches) + 1
        now = time.time()
        batch = RemoteBatch(number, batch_id, provider, account, now, lines, about=dict(about or {}))
        batch.faults = frozenset(n for n, on in STRIKES.items() if on == "batch" and self.strikes(n, number))
        batch.problems = list(problems)
        limit = self.service.spec.batch_enqueued_tokens
        if "batch_token_limit" in batch.faults or (limit is not None and self._enqueued(batch) > limit):
            message = f"Enqueued token limit reached for this model. Limit: {limit or 0} enqueued tokens."
            batch.problems.append((None, "token_limit_exceeded", message))
        if "batch_fail_validation" in batch.faults:
            batch.problems.append((1, "invalid_request", "The batch was refused by its validation."))
        batch.started_s = time.monotonic()
        self.batches.append(batch)
        ids = tuple(line.custom_id for line in lines)
        self.service.recorder.batch(BatchEntry(number, batch_id, provider, account, name, now, ids))
        return batch

    def poll(self, batch: RemoteBatch) -> Stage:
        """A client asks for this very batch: the stage that it is told."""
        batch.polls += 1
        if batch.cancelled_at is not None and not batch.cancel_seen:
            batch.cancel_seen = True
            self._end(batch, "cancelled")
        return self.stage(batch)

    def stage(self, batch: RemoteBatch) -> Stage:
        """Where a batch stands; one that is due ends now."""
        if batch.outcome:
            return "ended"
        if batch.cancelled_at is not None:
            return "cancelling"
        share = self.share(batch)
        if batch.problems and share > 0:
            self._end(batch, "failed")
        elif "batch_cancel" in batch.faults and share >= 0.5:
            self._end(batch, "cancelled")
        elif share >= 1:
            self._end(batch, "expired" if _expires(batch) else "completed")
        if batch.outcome:
            return "ended"
        if share == 0:
            return "validating"
        return "finalizing" if self._finalizing(batch, share) else "running"

    def share(self, batch: RemoteBatch) -> float:
        """How far a batch is, from 0 to 1; one that is held gets half way."""
        spec = self.service.spec
        shares = [1.0]
        if spec.batch_polls:
            shares.append(max(0, batch.polls - 1) / spec.batch_polls)
        if spec.batch_seconds:
            share = (time.monotonic() - batch.started_s) / spec.batch_seconds
            shares.append(0.0 if share < 0.2 else share)
        if not spec.release_batches:
            shares.append(0.0 if batch.polls <= 1 else 0.5)
        return min(shares)

    def _finalizing(self, batch: RemoteBatch, share: float) -> bool:
        spec = self.service.spec
        if spec.batch_polls >= 3:
            return batch.polls == spec.batch_polls and spec.release_batches
        return share >= 0.85

    def cancel(self, batch: RemoteBatch) -> None:
        """A client cancels: the batch ends at its next poll, with what was done by then."""
        if not batch.outcome and batch.cancelled_at is None:
            self.stage(batch)
        if not batch.outcome and batch.cancelled_at is None:
            batch.about["begun"] = self.share(batch) > 0
            batch.cancelled_at = time.time()

    def delete(self, batch: RemoteBatch) -> None:
        """It is in no list any more; the books keep it."""
        batch.deleted = True

    def _end(self, batch: RemoteBatch, outcome: Outcome) -> None:
        batch.outcome, batch.ended_at = outcome, time.time()
        total = len(batch.lines)
        done = total
        if outcome == "failed" or "batch_expire_unbegun" in batch.faults:
            done = 0
        elif outcome in ("expired", "cancelled"):
            done = round(total * self.service.spec.batch_done_share) if batch.about.get("begun", True) else 0
        for index, line in enumerate(batch.lines):
            if index < done:
                batch.results.append(self.service.line(line.wire, line.body, batch=batch.id, line=line))
            else:
                batch.results.append(LineResult(line, 0))
        paid = sum(result.status == 200 for result in batch.results)
        self.service.recorder.batch_ended(batch.number, outcome, batch.ended_at, paid)

    def _enqueued(self, new: RemoteBatch) -> int:
        waiting = [b for b in self.of(new.provider, new.account) if not b.outcome]
        return sum(self.service.weight(line.wire, line.body) for batch in [*waiting, new] for line in batch.lines)

    # results

    def told(self, batch: RemoteBatch, results: list[LineResult]) -> list[LineResult]:
        """Results as they are handed out: in order and whole, unless a fault of the batch says otherwise."""
        out = list(results)
        if "batch_lost_line" in batch.faults and out:
            out = out[:-1]
        if "batch_foreign_line" in batch.faults and out:
            first = out[0]
            out.append(LineResult(Line(f"{first.line.custom_id}foreign", first.line.body, first.line.wire), 200))
            out[-1].body, out[-1].number = first.body, first.number
        if "batch_doubled_line" in batch.faults and out:
            out.append(out[0])
        if "batch_shuffled" in batch.faults:
            random.Random(mix(self.service.spec.seed, batch.number)).shuffle(out)  # noqa: S311 - an order, no secret
        return out


def _expires(batch: RemoteBatch) -> bool:
    return not batch.faults.isdisjoint({"batch_expire", "batch_expire_silently", "batch_expire_unbegun"})
