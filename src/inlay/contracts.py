"""Where rooms meet: the Protocols that adapters fulfil, each promise in its docstring.

What stays true: adapters (stores, sources, dialects) import this and never each other; a contract says what is
atomic, what is idempotent and what costs money; `inlay.testing` holds one suite a contract for every adapter,
ours and third parties'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from inlay.batches import Batch, BatchLine, BatchState
from inlay.types import (
    Attempt,
    Budget,
    CallShape,
    CellEvent,
    Claim,
    ClaimResult,
    Completion,
    Correction,
    HttpRequest,
    LaneNote,
    PassRecord,
    PassRef,
    RunRecord,
    Settlement,
    Spending,
    StoredAnswer,
    StoredCell,
    Usage,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Columns of the batches that Store.scan_cells yields. Hashes as 32 hex digits (16 bytes), so that every engine joins
# them as text; answered_at is seconds since the epoch, 0 where the cell has no answer.
CELL_SCAN_COLUMNS = (
    "key",
    "source_hash",
    "upstream_hash",
    "values_hash",
    "recipe_id",
    "state",
    "reason",
    "tries",
    "answered_at",
)


@runtime_checkable
class Store(Protocol):
    """Answers, cells, history, runs and the attempts ledger of any number of enrichments.

    Calls are synchronous and may come from several threads and several processes; a store serialises its writers.
    Every failure is a StoreError (or StoreDamaged), and a failed write changed nothing.
    """

    def close(self) -> None:
        """Release everything held. Idempotent. Leases stay as they are: `end_run` releases them."""
        ...

    # passes and runs

    def register(self, passes: Sequence[PassRecord]) -> list[PassRef]:
        """Make passes and their recipes known; one PassRef each, in order. Atomic, idempotent, append-only."""
        ...

    def recipe(self, recipe_id: int) -> str:
        """The canonical recipe text that was registered under this number."""
        ...

    def recipes(self, pass_id: int) -> dict[int, str]:
        """Every recipe that was ever registered for this pass: number to canonical text."""
        ...

    def passes(self, enrichment: str) -> dict[str, int]:
        """Name to pass_id of every pass that this enrichment ever registered."""
        ...

    def begin_run(self, enrichment: str, *, runner: str, fresh_budget: bool = False) -> RunRecord:
        """Open a run and this runner's lease on it. Atomic.

        Runners that died are recognised here: their open attempts are closed as `lost`, each counted as spent in
        full (it may have been paid), and their leases freed. The new run shares the budget of the last run of this
        enrichment when that one did not end (it died) or ended "stopped: …"; with `fresh_budget` it starts anew.
        """
        ...

    def heartbeat(self, runner: str) -> None:
        """Extend this runner's lease. Called every few seconds while a run is going. Idempotent."""
        ...

    def share_lanes(self, runner: str, notes: Sequence[LaneNote]) -> dict[str, tuple[LaneNote, ...]]:
        """Tell the other runners of this runner's lanes, and hear of theirs: lane to what each living one noted last.

        A note counts for a few seconds. Without notes, this runner leaves its lanes. Atomic, idempotent.
        """
        ...

    def end_run(self, run_id: int, *, outcome: str, summary: Mapping[str, Any]) -> None:
        """Close a run, free its runner's leases and lanes; open attempts of this run are closed as `lost`. Atomic."""
        ...

    def runs(self, enrichment: str, limit: int = 20) -> list[RunRecord]:
        """The latest runs, newest first."""
        ...

    # the hot path

    def claim(self, claims: Sequence[Claim], *, run: RunRecord, budget: Budget | None) -> list[ClaimResult]:
        """Lease addresses and reserve their worst case, in the order given; one result each. Atomic, durable.

        An address answered whole (`done`) at or after the claim's `since` is Known; one leased by a live other runner
        is Held; one whose reservation would pass the cap is Unaffordable, and so are all that follow it in this
        call. Claiming costs no money; what follows a Claimed does. The same address twice in one call is an error.
        """
        ...

    def release(self, attempt_ids: Sequence[int]) -> None:
        """Give back claims that were never sent: leases and reservations vanish, nothing counts as spent. Atomic."""
        ...

    def extend(
        self, attempt_id: int, *, outcome: str, cost_nusd: int, run: RunRecord, budget: Budget | None
    ) -> int | None:
        """Close a possibly paid try and open the next one on the same lease, reserving the same amount again.

        Returns the new attempt's number, or None where the budget does not allow it (the first is closed and the
        lease freed all the same). Atomic, durable.
        """
        ...

    def commit(self, settlements: Sequence[Settlement], *, run: RunRecord) -> list[int | None]:
        """Keep answers, cells, history and costs, and free the leases; the answer's number for each settlement.

        One transaction for the whole group, durable (fsync) when it returns; after a crash either all of it is
        there or nothing. An answer is never replaced: asking again adds another. Accepted even from a runner whose
        lease was taken over meanwhile, since the answer was paid for.
        """
        ...

    # reading

    def find_answers(self, fingerprints: Sequence[bytes]) -> dict[bytes, StoredAnswer]:
        """The newest whole (`done`) answer of each address that has one."""
        ...

    def answers(self, answer_ids: Sequence[int]) -> dict[int, StoredAnswer]:
        """Answers by number."""
        ...

    def answer_input(self, answer_id: int) -> bytes:
        """The canonical input that an answer was given for."""
        ...

    def answer_raw(self, answer_id: int) -> bytes | None:
        """The raw text of an answer that was not whole (capped), or None."""
        ...

    def scan_cells(self, pass_id: int, columns: Sequence[str] = CELL_SCAN_COLUMNS) -> Iterator[pa.RecordBatch]:
        """Every cell of a pass as Arrow, in no order, in bounded memory; for planning at scale.

        `columns` are some of CELL_SCAN_COLUMNS: what is not needed is not read.
        """
        ...

    def read_cells(self, pass_id: int, keys: Sequence[str]) -> dict[str, StoredCell]:
        """Cells with their present answers, by row key; keys without a cell are left out."""
        ...

    def history(self, pass_id: int, key: str) -> list[CellEvent]:
        """All that ever happened to a cell, oldest first."""
        ...

    def events(self, pass_id: int, *, after: int = 0, limit: int = 5000) -> list[tuple[str, CellEvent]]:
        """(row key, line) of the history of all cells of a pass, in order of `seq`, from the first one behind `after`.

        Read on from the last `seq` that came. A line that is told once never changes; `prune`, `clear` and `forget`
        may take it away."""
        ...

    def counts(self, pass_id: int) -> dict[tuple[str, str], int]:
        """(state, reason) to number of cells."""
        ...

    def stale(self, pass_id: int, recipe_id: int) -> int:
        """How many done cells of a pass were answered under another recipe than this one."""
        ...

    def failures(self, pass_id: int, *, kind: str | None = None, limit: int = 100) -> list[StoredCell]:
        """Cells that are partial or failed, newest first."""
        ...

    def reset_tries(
        self, pass_id: int, *, kinds: Sequence[str] | None = None, keys: Sequence[str] | None = None
    ) -> int:
        """Make partial and failed cells worth asking again (`inlay retry`): tries back to 0, reason `asked_again`
        where it was terminal. Returns how many. Atomic, idempotent; costs nothing until the next run."""
        ...

    def spending(self, run: RunRecord, per: str) -> Spending:
        """What a budget scope has spent and reserved so far, over all runners."""
        ...

    def ledger(self, enrichment: str, *, run_id: int | None = None, days: bool = False) -> list[dict[str, Any]]:
        """Attempts summed by run, pass, model, outcome and mode (live or batch): attempts, calls, input_tokens,
        output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, cost_nusd, answers, latency_ms (mean), and
        what was saved: saved_cache_nusd, saved_shared_nusd, saved_batch_nusd.

        `calls` counts an attempt that shared its call with others as its part of it, to three digits. With `days`, a
        line for each `day` (YYYY-MM-DD, UTC) on which attempts were opened."""
        ...

    def attempts(self, fingerprints: Sequence[bytes]) -> list[Attempt]:
        """The closed attempts for these addresses that are kept in detail, oldest first. For looking at single rows:
        it may read the whole ledger."""
        ...

    def recent_usage(self, pass_id: int, recipe_id: int, limit: int = 500) -> list[Usage]:
        """The tokens of the latest calls of a pass that gave an answer under this recipe, newest first; fewer than
        `limit` where there are fewer, or where they lie far back in a long ledger. Bounded in time, for plans."""
        ...

    # what people say

    def correct(self, enrichment: str, corrections: Sequence[Correction]) -> None:
        """Keep corrections; of several for one field of one row the last one counts. Atomic, durable, append-only:
        an earlier one stays in the history. `at` of what is given is ignored: the store's clock sets it. A value that
        is no plain JSON, a null without a reason or a value with one is a StoreError, and nothing is kept. The pass
        need not be registered."""
        ...

    def corrections(
        self, enrichment: str, *, keys: Sequence[str] | None = None, history: bool = False
    ) -> list[Correction]:
        """The corrections in force, oldest first (of all rows, or of these keys); with `history` every one ever made,
        withdrawals included. Fast where there are none: a run asks for every batch of rows."""
        ...

    # batches

    @property
    def journal(self) -> Journal:
        """The batches of this store."""
        ...

    # care

    def stats(self) -> dict[str, Any]:
        """Size and row counts of everything, in plain numbers."""
        ...

    def verify(self) -> list[str]:
        """Recompute every fingerprint, values hash and checksum; one sentence for each thing that is wrong."""
        ...

    def prune(self, *, enrichment: str, dry_run: bool = False, keep_days: float = 0) -> dict[str, int]:
        """Delete answers that no cell refers to any more and that are older than `keep_days`, with their history
        and closed attempts' details (sums of money are kept). Destructive, atomic. Counts of what went."""
        ...

    def clear(
        self, *, enrichment: str, pass_name: str | None = None, keys: Sequence[str] | None = None
    ) -> dict[str, int]:
        """Forget cells (and answers that only they referred to), so that they are new again. Destructive, atomic;
        the next run pays for them. Corrections stay. Counts of what went."""
        ...

    def forget(self, enrichment: str, keys: Sequence[str]) -> dict[str, int]:
        """Erase rows for good, a person's for example: their cells, history, corrections (withdrawn ones too), every
        answer they ever had that no other cell of any enrichment refers to (its input and raw text with it), and
        their part in open batches. Attempts lose the address of what went, and keep their money.

        Destructive, atomic, idempotent; unknown keys are no error. When it returns, the bytes are gone from the
        store's own file too. Failed answers that no row refers to go along; whole ones (an earlier name of a row that
        was cleared since) are for `prune`. Counts of what went: cells, history, corrections, answers, batch_lines,
        attempts. Files of batches, published tables and backups are not the store's to mend."""
        ...


@runtime_checkable
class Journal(Protocol):
    """Batches handed to providers, and the lines of each, so that none is ever paid twice or lost.

    While a batch is open, its lines hold the leases and the reservations of their attempts, whatever process dies;
    other runners see Held with a runner that begins with `batches.RUNNER`. Each method is one durable transaction.
    """

    def prepare(self, batch: Batch, lines: Sequence[BatchLine], *, run: RunRecord) -> None:
        """Write a batch and its lines down, and hand the leases of their attempts over from this run's runner.

        StoreError, and nothing changed, where one of the attempts is not this runner's own any more.
        """
        ...

    def batch(self, submission: str) -> Batch | None:
        """One batch; None where there is none of this name."""
        ...

    def batches(self, enrichment: str, *, closed: bool = False) -> list[Batch]:
        """Open batches, oldest first; with `closed` all of them."""
        ...

    def take(self, submission: str, driver: str) -> Batch | None:
        """Become, or go on being, the one runner that works on a batch, for a minute; None while another live one is.

        A driver that died is recognised as runners are."""
        ...

    def let_go(self, driver: str) -> None:
        """Work on none of the batches any more. Idempotent."""
        ...

    def move(self, submission: str, state: BatchState, *, alone: bool = False, **facts: Any) -> Batch | None:
        """Write a state down, with facts: remote_id, remote_state, done, errors, message, details (replaced whole),
        tried_at, submitted_at, ended_at. With `alone`, None and no change while another batch of the same account is
        SUBMITTING. A batch that is moved to FAILED or ABSENT gives back all of its lines: nothing counts as spent."""
        ...

    def lines(self, submission: str, custom_ids: Sequence[str]) -> dict[str, BatchLine]:
        """Those of these lines that are not settled yet, by custom id."""
        ...

    def left(self, submission: str) -> int:
        """How many lines are not settled yet."""
        ...

    def some(self, submission: str, most: int) -> list[str]:
        """The custom ids of some lines that are not settled yet, in order."""
        ...

    def settle(self, submission: str, settlements: Sequence[tuple[str, Settlement]]) -> list[bool]:
        """Commit the settlements of lines (by custom id), each under the run that made the batch; whether it counted.

        A line is settled once: what comes for it later is passed over. Cells that have changed since the batch was
        made are left alone; the answer is kept all the same. Atomic with the marks of the lines.
        """
        ...

    def give_back(self, submission: str, custom_ids: Sequence[str] | None = None) -> int:
        """Release lines that never ran (None: all that are not settled), so that they are asked again. How many."""
        ...

    def waiting(self, enrichment: str) -> dict[int, int]:
        """Pass number to cells that wait in open batches."""
        ...


class Source(Protocol):
    """Rows that are to be enriched, as a relation that DuckDB can read. Reading changes nothing."""

    @property
    def title(self) -> str:
        """What messages call it."""
        ...

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """Make the rows readable on this connection; the name (or parenthesised query) to select FROM."""
        ...

    def columns(self) -> dict[str, str]:
        """Column name to DuckDB type, in source order."""
        ...


class Dialect(Protocol):
    """One provider's wire, without I/O: shapes to request bytes, response bytes to a completion or a typed error."""

    name: str

    def auth(self, secret: str) -> tuple[tuple[str, str], ...]:
        """The headers that carry the secret; given to the transport alone, never stored or shown."""
        ...

    def encoder(self, shape: CallShape) -> Callable[[str], HttpRequest]:
        """Build once a pass what every call shares; the result turns a user message into a request. Pure."""
        ...

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Completion:
        """Read one response (header names in lower case). Raises a ProviderError subclass by what it means. Pure."""
        ...


class Signer(Protocol):
    """Credentials that are made for each request: a signature, or a token that expires."""

    async def headers(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        """The headers that let this request in; given to the transport alone, never stored or shown.

        May fetch or renew a token from the cloud's own credential chain (free). Raises AuthenticationFailed, naming
        what is missing and how to set it.
        """
        ...


class LocalModel(Protocol):
    """A model that runs inside this process: no wire, no key, no cost."""

    name: str

    def answerer(self, shape: CallShape) -> Callable[[Mapping[str, str]], Completion]:
        """Compile a pass once; the result answers one record (input name to text) as JSON text of the schema.

        Deterministic: the same record gives the same text. Never raises for any text.
        """
        ...
