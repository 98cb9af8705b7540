"""Frozen values that travel between the rooms: cells, calls, answers, attempts, usage, money.

What stays true: a value here has no behaviour beyond itself and imports no other room. Money is counted
in whole nano-dollars (1 USD = 1,000,000,000), rounded up, so that sums are exact; `usd()` is for display.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

NANO = 1_000_000_000


def usd(nanos: int) -> float:
    """Nano-dollars as dollars, for display and for published tables."""
    return nanos / NANO


class CellState(StrEnum):
    """Where a cell (one pass for one row) stands. A cell without a row in the store is `pending`."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why the plan asks a cell or leaves it alone. Every selected cell has exactly one."""

    NEW = "new"
    INPUT_CHANGED = "input_changed"
    RETRY = "retry"
    STALE = "stale"
    EXPIRED = "expired"
    CACHED = "cached"
    GIVEN_UP = "given_up"  # failed for good: not worth asking again unchanged, or out of tries
    UPSTREAM = "upstream"  # decided only once an earlier pass has answered


class NullReason(StrEnum):
    """Why a field has no value. A null without one of these does not exist."""

    NOT_STATED = "not_stated"
    AMBIGUOUS = "ambiguous"
    NOT_APPLICABLE = "not_applicable"
    INVALID = "invalid"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote that should support a value. `verified` says whether it was found in the text that was sent.

    `source` is the input it was found in and `start`/`end` the span there, in characters; all None if not found.
    """

    quote: str
    verified: bool = False
    source: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class FieldAnswer:
    """One field of an answer: a value, or None with a reason.

    `value` is JSON-shaped: str, int, float, bool, list or dict; dates and datetimes as ISO 8601 text.
    `confidence` is in 0..1, or None where it was not asked or not given. `problem` says why `invalid`.
    `source` is "rule" or "human" where no model gave the value.
    """

    value: Any
    null_reason: NullReason | None = None
    confidence: float | None = None
    evidence: Evidence | None = None
    problem: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `input_tokens` includes the cached ones; `output_tokens` includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


# --- calls ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can do, as far as a request depends on it; the defaults suit a model that nothing is known of.

    `structured` are the ways to ask for an answer of a given shape, best first: "json_schema" (the provider holds the
    model to it), "forced_tool" (the answer comes as the input of a tool), "prompt" (the schema stands in the system
    message). `thinking`: "none", "asked" (off unless asked for), "default" (on, and can be switched off),
    "between_tools" (on, and that word is what switches it off), "always". `efforts` empty: any word goes.
    `cache_marks`: the prompt cache wants marks, and keeps nothing below `cache_min_tokens`. `as_of` is the day of
    these facts, "" for the defaults.
    """

    structured: tuple[str, ...] = ("json_schema", "prompt")
    temperature: bool = True
    thinking: str = "none"
    efforts: tuple[str, ...] = ()
    cache_marks: bool = False
    cache_min_tokens: int = 1024
    cache_ttls: tuple[str, ...] = ()
    batch: bool = True
    max_output_tokens: int | None = None
    as_of: str = ""


@dataclass(frozen=True, slots=True)
class CallShape:
    """What every call of one pass has in common; a dialect turns it once into the constant bytes of its requests.

    `schema` is a JSON Schema in the widest subset; the dialect lowers it to what its provider accepts.
    `temperature` is sent only when it is not None. `options` are the declaration's extra body keys. Every user message
    begins with `user_prefix` (maybe empty): with `system` and the schema it is what a provider can cache. `cache` says
    whether marks for the provider's prompt cache are worth their price. `abilities` are the model's.
    """

    model: str
    system: str
    schema: Mapping[str, Any]
    schema_name: str
    max_output_tokens: int
    temperature: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    user_prefix: str = ""
    cache: bool = True
    abilities: Abilities = field(default_factory=Abilities)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `headers` holds no secret: the transport adds those of the lane."""

    url: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model said. `usage` is None when the provider told none; `served_model` is the name it answered under."""

    text: str
    usage: Usage | None = None
    served_model: str = ""
    request_id: str | None = None
    truncated: bool = False


# --- what the store keeps ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PassRecord:
    """A pass as the store knows it. `recipe` is the canonical JSON text whose SHA-256 is `recipe_digest` (32 bytes)."""

    enrichment: str
    name: str
    recipe: str
    recipe_digest: bytes


@dataclass(frozen=True, slots=True)
class PassRef:
    """The store's own numbers for a pass and its present recipe."""

    pass_id: int
    recipe_id: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One `inlay run`. `budget_run` is the run whose budget this one shares: itself, or the stopped run it goes on.

    Times are seconds since the epoch (UTC). `outcome` is "" while running, then "done", "failures", "stopped: KIND".
    """

    run_id: int
    enrichment: str
    runner: str
    started_at: float
    ended_at: float | None
    outcome: str
    budget_run: int
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to pay for one address. Only an answer given at or after `since` (seconds, UTC) makes that unnecessary."""

    fingerprint: bytes
    pass_id: int
    reserve_nusd: int
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """The address is leased to this runner and its worst case is reserved: ask now."""

    attempt_id: int


@dataclass(frozen=True, slots=True)
class Known:
    """The answer is already in the store."""

    answer: StoredAnswer


@dataclass(frozen=True, slots=True)
class Held:
    """Another live runner is asking this address; look again soon."""

    runner: str


@dataclass(frozen=True, slots=True)
class Unaffordable:
    """Reserving this would exceed the budget. Nothing was leased."""

    spent_nusd: int
    reserved_nusd: int


ClaimResult: TypeAlias = Claimed | Known | Held | Unaffordable


@dataclass(frozen=True, slots=True)
class LaneNote:
    """What a runner tells the others of a lane (provider, endpoint, model): whether it has calls to make, until when
    (seconds since the epoch, UTC; 0: no) the provider asked everybody to wait, and which limits the headers of its own
    answers told last (of the whole lane, a minute; 0: none), and when that was."""

    lane: str
    busy: bool
    gate_until: float = 0.0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    told_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap on money. `per` is "run", "day", "month" or "total"; days and months are UTC."""

    cap_nusd: int
    per: str = "run"


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer to be kept forever. `state` is done, partial or failed; a failed one keeps its `raw` text (capped).

    `payload` is `encode_fields(...)`; `values_hash` (16 bytes) covers the values alone, so that a later pass knows
    whether what it read has changed. `input` is the canonical input that `fingerprint` covers.
    """

    fingerprint: bytes
    recipe_id: int
    state: CellState
    payload: bytes
    values_hash: bytes
    input: bytes
    error_kind: str | None = None
    error_message: str | None = None
    raw: bytes | None = None
    served_model: str = ""
    usage: Usage = Usage()
    cost_nusd: int = 0
    latency_ms: int = 0


class StoredAnswer(NamedTuple):
    """An answer as it comes back from the store; its checksum was verified on the way.

    A tuple, as a StoredCell is: publishing makes one of each a row, and setting a dozen frozen slots takes 2 µs.
    """

    answer_id: int
    fingerprint: bytes
    recipe_id: int
    state: CellState
    payload: bytes
    values_hash: bytes
    error_kind: str | None
    error_message: str | None
    served_model: str
    cost_nusd: int
    run_id: int
    created_at: float


@dataclass(frozen=True, slots=True)
class CellWrite:
    """The new state of one cell. `answer_id` None means: the answer of the settlement that carries this write.

    `keep_answer` leaves the cell's present answer and recipe in place and notes only the failure of a refresh.
    Hashes are 16 bytes; `upstream_hash` is empty for a pass that reads no earlier one. `tries` counts the runs
    in a row that ended without a whole answer. `reason` is the error kind, or why it was skipped.
    """

    pass_id: int
    key: str
    recipe_id: int
    source_hash: bytes
    input_hash: bytes
    upstream_hash: bytes
    state: CellState
    reason: str = ""
    message: str = ""
    tries: int = 0
    answer_id: int | None = None
    keep_answer: bool = False


@dataclass(frozen=True, slots=True)
class Savings:
    """What one attempt would have cost more, in nano-dollars: without the provider's cache, alone in its call (neither
    fused nor packed), and live instead of in a batch. Estimates at list prices; `cache` may be negative, since writing
    into a cache costs more than reading past it."""

    cache_nusd: int = 0
    shared_nusd: int = 0
    batch_nusd: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """One finished attempt with all that it changes; committed whole or not at all.

    `attempt_id` None: nothing was reserved (a known answer, a skipped cell). `outcome` is "answered" or an error
    kind. `cost_nusd` is what the attempt cost, which may be a worst-case booking when the truth is unknown
    (`estimated`). `cells` may be empty: a paid failure that will be tried again at once. `mode` is live or batch, and
    `sharing` is how many attempts went out in the same call (fused or packed), this one included.
    """

    attempt_id: int | None = None
    outcome: str = "answered"
    cost_nusd: int = 0
    usage: Usage = Usage()
    estimated: bool = False
    answer: NewAnswer | None = None
    cells: tuple[CellWrite, ...] = ()
    mode: str = "live"
    sharing: int = 1
    saved: Savings = Savings()


class StoredCell(NamedTuple):
    """A cell with its present answer (None: none yet)."""

    pass_id: int
    key: str
    recipe_id: int
    source_hash: bytes
    input_hash: bytes
    upstream_hash: bytes
    state: CellState
    reason: str
    message: str
    tries: int
    updated_at: float
    answer: StoredAnswer | None


@dataclass(frozen=True, slots=True)
class CellEvent:
    """One line of a cell's history, oldest first."""

    seq: int
    at: float
    run_id: int
    state: CellState
    reason: str
    message: str
    answer_id: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One closed call for one address, as the ledger keeps it. Times are seconds since the epoch (UTC)."""

    attempt_id: int
    fingerprint: bytes
    run_id: int
    opened_at: float
    closed_at: float
    outcome: str
    cost_nusd: int
    estimated: bool
    usage: Usage
    model: str
    latency_ms: int | None
    answer_id: int | None
    mode: str = "live"
    sharing: int = 1
    saved: Savings = Savings()


@dataclass(frozen=True, slots=True)
class Correction:
    """A human's value for one field of one row: published in place of the model's, whatever is asked later.

    `value` is JSON-shaped, as in FieldAnswer; a null has its `null_reason`. `withdrawn` takes the earlier correction
    of this field back. `at` (seconds since the epoch, UTC) is set by the store.
    """

    pass_name: str
    key: str
    field: str
    value: Any
    null_reason: NullReason | None = None
    note: str = ""
    author: str = ""
    withdrawn: bool = False
    at: float = 0.0

    @property
    def answer(self) -> FieldAnswer:
        """The same as a field of an answer."""
        return FieldAnswer(self.value, self.null_reason, source="human")


@dataclass(frozen=True, slots=True)
class Spending:
    """Money of one budget scope: settled for certain, and reserved by attempts that are open."""

    spent_nusd: int = 0
    reserved_nusd: int = 0
