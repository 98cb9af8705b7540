"""The batch APIs of providers, without I/O: requests to send, and what their answers mean. One module a provider.

What stays true: a wire keeps no state (all it needs to know of a batch stands in the batch); nothing that a server
sends, of whatever shape, raises anything but a ProviderError; an unknown state counts as running.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from inlay.batches import Batch
from inlay.types import HttpRequest

Phase = Literal["running", "ended", "failed"]

# Provider to its batch API. A dialect of a third party names its own in `batch_wire`.
WIRES: Mapping[str, str] = {
    "openai": "inlay.providers.batch.openai:OpenAIBatch",
    "azure": "inlay.providers.batch.openai:AzureBatch",
    "anthropic": "inlay.providers.batch.anthropic:AnthropicBatch",
    "bedrock": "inlay.providers.batch.bedrock:BedrockBatch",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a provider reads and writes its files, where it wants a place of the user's own."""

    bucket: str = ""
    prefix: str = "inlay"
    role_arn: str = ""
    window_hours: int = 24
    endpoint: str = ""  # of S3, where it is not AWS's own


@dataclass(frozen=True, slots=True)
class Remote:
    """What a provider says of one batch. `phase` is ours, `state` its own word; `details` are merged into the batch's.

    `failed` means that nothing ran; an ended batch may hold results whatever its state is called.
    """

    remote_id: str
    phase: Phase
    state: str
    total: int = 0
    done: int = 0
    errors: int = 0
    submission: str = ""
    created_at: float = 0.0
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """One line of what a batch gave: a response as the live wire would have brought it; `unrun`: it never ran."""

    custom_id: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    unrun: str = ""


class BatchWire(Protocol):
    """A provider's batch API. Pure: it makes requests and reads answers.

    `most_requests` and `most_bytes` are the provider's limits of one batch, `fewest_requests` is the least it takes;
    `serial`: an order that may have been lost can only be told from others by being alone; `idempotent`: the same
    order sent twice is one.
    """

    most_requests: ClassVar[int]
    most_bytes: ClassVar[int]
    fewest_requests: ClassVar[int]
    serial: ClassVar[bool]
    idempotent: ClassVar[bool]

    def is_stored(self, request: HttpRequest) -> bool:
        """Whether a request is for the user's own storage (S3), which has a signature of its own."""
        ...

    def url(self, request: HttpRequest) -> str:
        """The endpoint that a batch of such requests names. All its lines have the same one."""
        ...

    def line(self, custom_id: str, request: HttpRequest) -> bytes:
        """One request as a line of the file, with its line feed."""
        ...

    def upload(self, batch: Batch, data: bytes) -> HttpRequest | None:
        """Bring the file to the provider. Free, may be repeated. None: it goes with the order."""
        ...

    def uploaded(self, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        """What is to be remembered of the upload, for `details`."""
        ...

    def create(self, batch: Batch, data: bytes) -> HttpRequest:
        """The order. Costs money."""
        ...

    def created(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        """The answer to the order. Raises a ProviderError; a status of 4xx means that nothing was created."""
        ...

    def poll(self, batch: Batch) -> HttpRequest:
        """Ask how far it is."""
        ...

    def polled(self, status: int, headers: Mapping[str, str], body: bytes) -> Remote:
        """The answer to that."""
        ...

    def search(self, batch: Batch, after: str) -> HttpRequest:
        """List batches, the newest first; `after` is where the page before ended ("": the first page)."""
        ...

    def found(self, status: int, headers: Mapping[str, str], body: bytes) -> tuple[Sequence[Remote], str]:
        """One page, and where it ended ("": it was the last one)."""
        ...

    def is_ours(self, batch: Batch, remote: Remote) -> bool | None:
        """Whether a listed batch is what this submission made; None: it may be, and only its results can tell."""
        ...

    def outputs(self, batch: Batch) -> Sequence[tuple[str, HttpRequest]]:
        """What to download of an ended batch: a short name and a request each."""
        ...

    def read(self, line: bytes) -> Result | None:
        """One downloaded line; None where it is no result (an empty line)."""
        ...

    def cancel(self, batch: Batch) -> HttpRequest:
        """Ask the provider to stop it. What has run is paid, and its results are there."""
        ...

    def clean(self, batch: Batch) -> Sequence[HttpRequest]:
        """Delete the provider's files. Whatever comes back is taken as it is."""
        ...


def wire_for(provider: str, dialect: object) -> str | None:
    """Where the batch API of a provider is found ("module:Class"); None where it has none that Inlay knows."""
    return getattr(dialect, "batch_wire", None) or WIRES.get(provider)


def load_wire(provider: str, dialect: object, endpoint: str, region: str, storage: Storage) -> BatchWire | None:
    """The batch API of a provider at an endpoint, or None."""
    target = wire_for(provider, dialect)
    if target is None:
        return None
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)(endpoint, region, storage, dialect)
