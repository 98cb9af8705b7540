"""The simulator's books: every call that reached it, what it cost, and the questions that tests ask of them.

`Recorder` keeps the books while the server runs; a `Ledger` is a snapshot that never changes. What stays true: money is
whole nano-dollars, rounded up once a call; no key and no header is ever written; with a file, each finished call is
there before its answer's last byte could make a client act on it, and survives the end of this process.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from inlay.errors import StoreError


def sha256_of(text: str) -> str:
    """The 64 hex digits under which the ledger knows a message."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class Call:
    """One call. `…_at` are seconds since the epoch, `…_s` seconds of the server's monotonic clock.

    `status` is the HTTP status that was sent, 0 while none was. `outcome`: open, answered, abandoned (the client left
    first), broken (a fault broke the connection), cut (the simulator stopped). `prompt_tokens` and the like are what a
    provider would bill, 0 where it bills nothing. `concurrency` is calls in flight at arrival, this one included.
    `tries` counts admitted calls with the same user message, 0 for one that was refused. `wire` is the API that was
    asked; `mode` is live or batch, and then `batch` is the batch's id and `custom_id` the line's.
    """

    number: int
    wire: str = ""
    mode: str = "live"
    batch: str = ""
    custom_id: str = ""
    model: str = ""
    user_sha256: str = ""
    system_sha256: str = ""
    key: str = ""
    tries: int = 0
    concurrency: int = 1
    fault: str = ""
    status: int = 0
    outcome: str = "open"
    prompt_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    completion_tokens: int = 0
    cost_nusd: int = 0
    arrived_at: float = 0.0
    ended_at: float = 0.0
    arrived_s: float = 0.0
    ended_s: float = 0.0
    system: str | None = None
    user: str | None = None


@dataclass(slots=True)
class BatchEntry:
    """One batch that was created: `provider` is openai, azure, anthropic or bedrock; `account` names the key.

    `name` is what the client called it. `outcome` is empty until the batch has ended, then completed, failed, expired
    or cancelled; `paid_lines` were answered. Times are seconds since the epoch.
    """

    number: int
    id: str
    provider: str
    account: str
    name: str
    created_at: float
    custom_ids: tuple[str, ...]
    outcome: str = ""
    ended_at: float = 0.0
    paid_lines: int = 0


@dataclass(slots=True)
class BatchRequest:
    """One HTTP request of a batch API, files and S3 included; none costs anything. `status` 0: none was sent."""

    number: int
    method: str
    path: str
    status: int
    at: float


_CALL_FIELDS = frozenset(item.name for item in fields(Call))


@dataclass(frozen=True, slots=True)
class Ledger:
    """A snapshot of the books, in order of arrival: model calls, batches, and the requests of the batch APIs."""

    calls: tuple[Call, ...] = ()
    batches: tuple[BatchEntry, ...] = ()
    batch_requests: tuple[BatchRequest, ...] = ()

    def __len__(self) -> int:
        return len(self.calls)

    @classmethod
    def read(cls, source: str | Path | bytes) -> Ledger:
        """Books from JSON lines: a ledger file, or its bytes. A last line that was cut off is left out."""
        try:
            data = source if isinstance(source, bytes) else Path(source).read_bytes()
        except OSError as error:
            raise StoreError(
                f"the ledger cannot be read: {error}", remedy="check the path of the ledger file"
            ) from None
        calls: list[Call] = []
        lines = data.split(b"\n")
        for index, line in enumerate(lines):
            if not line:
                continue
            try:
                row = orjson.loads(line)
                calls.append(Call(**{name: value for name, value in row.items() if name in _CALL_FIELDS}))
            except (orjson.JSONDecodeError, AttributeError, TypeError):
                if index == len(lines) - 1:
                    break
                raise StoreError(
                    f"line {index + 1} of the ledger is no call", remedy="give a file that a simulator wrote"
                ) from None
        return cls(tuple(sorted(calls, key=lambda call: call.number)))

    @property
    def billed_nusd(self) -> int:
        """What a provider would charge for all of it, in nano-dollars."""
        return sum(call.cost_nusd for call in self.calls)

    @property
    def distinct(self) -> int:
        """How many different user messages were asked."""
        return len({call.user_sha256 for call in self.calls if call.user_sha256})

    @property
    def max_concurrency(self) -> int:
        """The most calls that were in flight at once."""
        return max((call.concurrency for call in self.calls), default=0)

    @property
    def by_status(self) -> dict[int, int]:
        """HTTP status to number of calls; 0 where none was sent."""
        return dict(sorted(Counter(call.status for call in self.calls).items()))

    @property
    def by_fault(self) -> dict[str, int]:
        """Fault to number of calls that it struck."""
        return dict(sorted(Counter(call.fault for call in self.calls if call.fault).items()))

    @property
    def by_outcome(self) -> dict[str, int]:
        """Outcome to number of calls."""
        return dict(sorted(Counter(call.outcome for call in self.calls).items()))

    @property
    def first_arrival_at(self) -> float:
        """When the first call came, seconds since the epoch; 0.0 without calls."""
        return min((call.arrived_at for call in self.calls), default=0.0)

    @property
    def last_end_at(self) -> float:
        """When the last finished call ended, seconds since the epoch; 0.0 without any."""
        return max((call.ended_at for call in self.calls), default=0.0)

    @property
    def span_s(self) -> float:
        """Seconds from the first arrival to the last end."""
        ends = [call.ended_s for call in self.calls if call.outcome != "open"]
        return max(0.0, max(ends) - min(call.arrived_s for call in self.calls)) if ends else 0.0

    def rate_per_s(self, *, status: int | None = None) -> float:
        """Arrivals a second between the first and the last, of all calls or of those with this status."""
        times = sorted(call.arrived_s for call in self.calls if status is None or call.status == status)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def per_second(self, *, status: int | None = None) -> list[int]:
        """Arrivals in each second since the first call."""
        chosen = [call.arrived_s for call in self.calls if status is None or call.status == status]
        if not chosen:
            return []
        start = min(call.arrived_s for call in self.calls)
        counts = Counter(int(at - start) for at in chosen)
        return [counts[second] for second in range(max(counts) + 1)]

    def calls_for(self, text: str) -> tuple[Call, ...]:
        """Calls with exactly this user message."""
        wanted = sha256_of(text)
        return tuple(call for call in self.calls if call.user_sha256 == wanted)

    def calls_with_key(self, key: str) -> tuple[Call, ...]:
        """Calls whose user message carried this key (`key_pattern`)."""
        return tuple(call for call in self.calls if call.key == key)

    def batches_with(self, custom_id: str) -> tuple[BatchEntry, ...]:
        """The batches that hold a line with this id."""
        return tuple(batch for batch in self.batches if custom_id in batch.custom_ids)

    def paid_again(self) -> dict[str, int]:
        """User messages (as sha256) that were billed more than once, with how often."""
        billed = Counter(call.user_sha256 for call in self.calls if call.cost_nusd)
        return {message: count for message, count in billed.items() if count > 1}

    def summary(self) -> dict[str, Any]:
        """The figures above in one dict, JSON-shaped; the same as the running server's `/ledger/summary`."""
        tally = Tally()
        for call in self.calls:
            tally.opened(call)
            if call.outcome != "open":
                tally.closed(call)
        return tally.summary()

    def to_jsonl(self) -> bytes:
        """One JSON line a call; `Ledger.read` takes it back."""
        return b"".join([orjson.dumps(call, option=orjson.OPT_APPEND_NEWLINE) for call in self.calls])

    def batches_json(self) -> bytes:
        """Batches and the requests of their APIs as JSON; `with_batches` takes it back."""
        return orjson.dumps({"batches": self.batches, "batch_requests": self.batch_requests})

    def with_batches(self, data: bytes) -> Ledger:
        """These calls with the batches that another ledger wrote down."""
        found = orjson.loads(data)
        batches = tuple(BatchEntry(**{**row, "custom_ids": tuple(row["custom_ids"])}) for row in found["batches"])
        return Ledger(self.calls, batches, tuple(BatchRequest(**row) for row in found["batch_requests"]))


class Tally:
    """Running sums over calls, so that a summary costs nothing however many there were."""

    def __init__(self) -> None:
        self.calls = self.open = self.billed_nusd = self.max_concurrency = 0
        self.prompt_tokens = self.cached_tokens = self.written_tokens = self.completion_tokens = 0
        self.status: Counter[int] = Counter()
        self.fault: Counter[str] = Counter()
        self.outcome: Counter[str] = Counter()
        self.messages: set[str] = set()
        self.first_s = self.last_s = self.first_at = self.last_end_at = self.last_end_s = 0.0

    def opened(self, call: Call) -> None:
        """Count an arrival."""
        if not self.calls:
            self.first_s, self.first_at = call.arrived_s, call.arrived_at
        self.calls += 1
        self.open += 1
        self.last_s = call.arrived_s
        if call.concurrency > self.max_concurrency:
            self.max_concurrency = call.concurrency
        if call.user_sha256:
            self.messages.add(call.user_sha256)

    def closed(self, call: Call) -> None:
        """Count an end."""
        self.open -= 1
        self.status[call.status] += 1
        self.outcome[call.outcome] += 1
        if call.fault:
            self.fault[call.fault] += 1
        self.billed_nusd += call.cost_nusd
        self.prompt_tokens += call.prompt_tokens
        self.cached_tokens += call.cached_tokens
        self.written_tokens += call.written_tokens
        self.completion_tokens += call.completion_tokens
        self.last_end_at = max(self.last_end_at, call.ended_at)
        self.last_end_s = max(self.last_end_s, call.ended_s)

    def summary(self) -> dict[str, Any]:
        """The sums, JSON-shaped: keys of `by_status` are text, as JSON has it. Statuses are those of finished calls."""
        stretch = self.last_s - self.first_s
        return {
            "calls": self.calls,
            "open": self.open,
            "distinct": len(self.messages),
            "billed_nusd": self.billed_nusd,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "written_tokens": self.written_tokens,
            "completion_tokens": self.completion_tokens,
            "max_concurrency": self.max_concurrency,
            "by_status": {str(status): count for status, count in sorted(self.status.items())},
            "by_fault": dict(sorted(self.fault.items())),
            "by_outcome": dict(sorted(self.outcome.items())),
            "first_arrival_at": self.first_at,
            "last_end_at": self.last_end_at,
            "span_s": max(0.0, self.last_end_s - self.first_s),
            "rate_per_s": (self.calls - 1) / stretch if stretch > 0 else 0.0,
        }


class Recorder:
    """Keeps the books of a running server: written by its loop alone, read from any thread."""

    def __init__(self, *, file: str | Path | None = None, keep_calls: bool = True) -> None:
        self._calls: list[Call] = []
        self._open: dict[int, Call] = {}
        self._keep = keep_calls
        self._tally = Tally()
        self._batches: dict[int, BatchEntry] = {}
        self._requests: list[BatchRequest] = []
        self._lock = threading.Lock()
        try:
            # Unbuffered: each line is one write, in the kernel's hands before the next call is looked at.
            self._file = None if file is None else Path(file).open("ab", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise StoreError(
                f"the ledger file cannot be written: {error}", remedy="choose a path in a folder that exists"
            ) from None

    def opened(self, call: Call) -> None:
        """Enter a call that has arrived."""
        with self._lock:
            self._open[call.number] = call
            if self._keep:
                self._calls.append(call)
            self._tally.opened(call)

    def closed(self, call: Call) -> None:
        """Enter a call's end; the call is complete and changes no more."""
        with self._lock:
            del self._open[call.number]
            self._tally.closed(call)
            if self._file is not None:
                self._file.write(orjson.dumps(call, option=orjson.OPT_APPEND_NEWLINE))

    def snapshot(self, *, since: int = 0) -> Ledger:
        """The books as they stand, from call number `since` on (all without). Only open calls where none are kept."""
        with self._lock:
            calls = self._calls if self._keep else list(self._open.values())
            kept = tuple([replace(c) if c.outcome == "open" else c for c in calls if c.number >= since])
            batches = tuple([replace(batch) for batch in self._batches.values()])
            return Ledger(kept, batches, tuple(self._requests))

    def batch(self, entry: BatchEntry) -> None:
        """Enter a batch that was created."""
        with self._lock:
            self._batches[entry.number] = entry

    def batch_ended(self, number: int, outcome: str, at: float, paid_lines: int) -> None:
        """Enter a batch's end."""
        with self._lock:
            if (entry := self._batches.get(number)) is not None:
                entry.outcome, entry.ended_at, entry.paid_lines = outcome, at, paid_lines

    def batch_request(self, method: str, path: str, status: int) -> None:
        """Enter a request of a batch API."""
        with self._lock:
            self._requests.append(BatchRequest(len(self._requests) + 1, method, path, status, time.time()))

    def summary(self) -> dict[str, Any]:
        """Running sums; the same keys as `Ledger.summary`."""
        with self._lock:
            return self._tally.summary()

    def clear(self) -> None:
        """Forget finished calls; the file keeps them, and calls in flight stay."""
        with self._lock:
            self._tally = Tally()
            self._batches.clear()
            self._requests.clear()
            self._calls = list(self._open.values()) if self._keep else []
            for call in self._open.values():
                self._tally.opened(call)

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
