"""Batches as frozen values: what was handed to a provider's batch API, and what waits for its lines.

What stays true: a batch and its lines are all that is needed to collect it, in any process and under any later
declaration; no value here holds a secret, and an account is known by a fingerprint of its key alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# What stands before a submission in the name of the runner that holds the leases of its lines.
RUNNER = "batch:"


class BatchState(StrEnum):
    """How far a batch has come. Each state is durable before the step after it begins."""

    PREPARED = "prepared"  # the file and the lines are on disk, nothing was sent
    UPLOADED = "uploaded"  # the provider has the file
    SUBMITTING = "submitting"  # the order may have left: only the provider can say whether it arrived
    SUBMITTED = "submitted"  # the provider works on it
    ENDED = "ended"  # the provider is through with it
    DOWNLOADED = "downloaded"  # what it gave is on disk
    APPLIED = "applied"  # every line is settled
    CLEANED = "cleaned"  # the provider's files are deleted too
    FAILED = "failed"  # refused whole: nothing ran
    ABSENT = "absent"  # was never created


# Nothing more is to be done for these; what they held is settled or given back.
CLOSED = (BatchState.CLEANED, BatchState.FAILED, BatchState.ABSENT)
# The leases of these are held.
HOLDING = (
    BatchState.PREPARED,
    BatchState.UPLOADED,
    BatchState.SUBMITTING,
    BatchState.SUBMITTED,
    BatchState.ENDED,
    BatchState.DOWNLOADED,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """One submission (32 hex digits) to a provider. Times are seconds since the epoch (UTC), None: not yet.

    `account` is `account_of(key)`. Its requests are in SUBMISSION.jsonl in the folder of batches; `sha256` is that
    file's digest. `url` is the endpoint that its lines name. `rates` are the prices, by pass, that it was reserved at.
    `details` holds what only its provider knows (file ids). `done` and `errors` count lines as the provider told last.
    """

    submission: str
    enrichment: str
    run_id: int
    provider: str
    model: str
    wire: str
    endpoint: str
    region: str
    url: str
    account: str
    requests: int
    size: int
    sha256: str
    rates: Mapping[str, Any] = field(default_factory=dict)
    state: BatchState = BatchState.PREPARED
    remote_id: str = ""
    remote_state: str = ""
    done: int = 0
    errors: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    made_at: float = 0.0
    tried_at: float | None = None
    submitted_at: float | None = None
    ended_at: float | None = None
    driver: str = ""

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done for it."""
        return self.state not in CLOSED

    @property
    def runner(self) -> str:
        """The name under which it holds the leases of its lines."""
        return RUNNER + self.submission

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return {name: getattr(self, name) for name in _TOLD}


@dataclass(frozen=True, slots=True)
class LineCell:
    """One cell that waits for a line; as in CellWrite."""

    key: str
    source_hash: bytes
    upstream_hash: bytes = b""
    tries: int = 0
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request of a batch, with all that its answer is to be settled with.

    `names` are the fields that were asked (empty: all); `known` the stored form of those that were there before;
    `input` the canonical input. `reserve_nusd` is what is reserved for it, `cost_nusd` what earlier attempts cost.
    """

    custom_id: str
    attempt_id: int
    fingerprint: bytes
    pass_id: int
    recipe_id: int
    input: bytes
    cells: tuple[LineCell, ...]
    names: tuple[str, ...] = ()
    known: bytes = b""
    repair: int = 0
    reserve_nusd: int = 0
    cost_nusd: int = 0


_TOLD = [
    "submission",
    "enrichment",
    "run_id",
    "provider",
    "model",
    "endpoint",
    "requests",
    "size",
    "state",
    "remote_id",
    "remote_state",
    "done",
    "errors",
    "message",
    "made_at",
    "submitted_at",
    "ended_at",
]


def account_of(identity: str) -> str:
    """What stands for an account in the store: 16 hex digits that its key or credential cannot be found from."""
    return hashlib.sha256(b"inlay account\0" + identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def custom_id(submission: str, number: int) -> str:
    """The id of a line: letters and digits alone, 40 of them, so that every provider takes it."""
    return f"{submission}{number:08x}"
