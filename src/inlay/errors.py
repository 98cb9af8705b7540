"""Every error that Inlay raises, arranged by whose fault it is and when it shows.

    InlayError
    ├ SpecError            the declaration is wrong, or names what the source does not have: file, line, key
    ├ PlanError            the source's rows do not fit the declaration: duplicate or null keys, SQL that fails
    ├ SourceError          the source cannot be read
    ├ StoreError           the store cannot be read or written
    │ └ StoreDamaged       a stored answer does not match its checksum
    ├ TargetError          the published table cannot be written
    ├ ProviderError        .provider .model .status .request_id .possibly_paid .usage
    │ ├ Transient          worth asking again: RateLimited, Overloaded, ProviderTimeout, ConnectionFailed, Unreadable
    │ ├ CellError          this record only: InvalidRequest, TooLong, ContentFiltered, Refused, Truncated
    │ └ RunError           stop the run: AuthenticationFailed, SpendLimitReached, ModelNotFound, SchemaRejected
    ├ OutputInvalid        the answer does not fit the fields; may be asked again
    └ RunStopped           clean and resumable: BudgetReached, TooManyFailures, Interrupted, AlreadyRunning,
                           ProviderUnusable

What stays true: policy reads the type, never the text; every leaf has a stable `kind`, which is what
the store keeps; every message says what happened and what to do next; no message carries a secret;
every error pickles.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inlay.types import Usage

__all__ = [
    "CELL_KINDS",
    "AlreadyRunning",
    "AuthenticationFailed",
    "BudgetReached",
    "CellError",
    "ConnectionFailed",
    "ContentFiltered",
    "InlayError",
    "Interrupted",
    "InvalidRequest",
    "ModelNotFound",
    "OutputInvalid",
    "Overloaded",
    "PlanError",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnusable",
    "RateLimited",
    "Refused",
    "RunError",
    "RunStopped",
    "SchemaRejected",
    "SourceError",
    "SpecError",
    "SpendLimitReached",
    "StoreDamaged",
    "StoreError",
    "TargetError",
    "TooLong",
    "TooManyFailures",
    "Transient",
    "Truncated",
    "Unreadable",
]


class InlayError(Exception):
    """The root of every error that Inlay raises on purpose. `kind` is stable; `remedy` says what to do next."""

    kind = "error"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword-only details; rebuild without calling __init__ so that each of them pickles.
        return (copyreg.__newobj__, (type(self),), {**self.__dict__, "args": self.args})  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            setattr(self, name, value)


class SpecError(InlayError):
    """The declaration is wrong. Names the file, the line and the key; `problems` holds one entry a mistake."""

    kind = "spec"

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        remedy: str = "",
        problems: Sequence[SpecError] = (),
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.problems = tuple(problems)

    @property
    def where(self) -> str:
        """`file:line: key`, as far as known."""
        place = self.file or ""
        if self.line is not None:
            place = f"{place}:{self.line}" if place else f"line {self.line}"
        return ": ".join(part for part in (place, self.key or "") if part)

    def __str__(self) -> str:
        if self.problems:
            return "\n".join([self.message, *(str(problem) for problem in self.problems)])
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.remedy}" if self.remedy else text


class PlanError(InlayError):
    """The source's rows do not fit the declaration: a duplicate or null row key, SQL that DuckDB refuses."""

    kind = "plan"


class SourceError(InlayError):
    """The source cannot be found or read."""

    kind = "source"


class StoreError(InlayError):
    """The store cannot be opened, read or written. Nothing was half-written."""

    kind = "store"


class StoreDamaged(StoreError):
    """A stored row does not match its own checksum or fingerprint; it is never served."""

    kind = "store_damaged"


class TargetError(InlayError):
    """The published table cannot be written. Every answer is safe in the store."""

    kind = "target"


class ProviderError(InlayError):
    """A model call failed. `possibly_paid` says whether the provider may charge for it all the same.

    `usage` is what the provider says it charges for (a refusal or a filtered answer is paid for), else None.
    """

    kind = "provider"
    possibly_paid = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        remedy: str = "",
        possibly_paid: bool | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.usage = usage
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        if possibly_paid is not None:
            self.possibly_paid = possibly_paid


class Transient(ProviderError):
    """Worth asking again unchanged, after a wait."""

    kind = "transient"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class RateLimited(Transient):
    """The provider asks to slow down (429). Not billed."""

    kind = "rate_limited"


class Overloaded(Transient):
    """The provider is overloaded or broken for now (5xx, 529)."""

    kind = "overloaded"


class ProviderTimeout(Transient):
    """No whole answer within the deadline; the provider may have been paid for one."""

    kind = "timeout"
    possibly_paid = True


class ConnectionFailed(Transient):
    """The connection could not be made or broke. `possibly_paid` when bytes of the request had left."""

    kind = "connection"


class Unreadable(Transient):
    """A reply arrived that is no answer: not JSON, empty, garbled, above the size cap. Paid; ask once more at most.

    `page` says that it is a web page: where no call has succeeded yet, `endpoint` is not the API.
    """

    kind = "unreadable"
    possibly_paid = True

    def __init__(self, message: str, *, page: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.page = page


class CellError(ProviderError):
    """Concerns this record alone; the others go on."""

    kind = "cell"


class InvalidRequest(CellError):
    """The provider rejects this request (400, 422)."""

    kind = "invalid_request"


class TooLong(CellError):
    """The record does not fit the model's context."""

    kind = "too_long"


class ContentFiltered(CellError):
    """A content filter stopped the request or the answer."""

    kind = "content_filtered"


class Refused(CellError):
    """The model declined to answer."""

    kind = "refused"


class Truncated(CellError):
    """The answer ended at `max_output_tokens`; it was paid for in full."""

    kind = "truncated"


class RunError(ProviderError):
    """No record can succeed until somebody acts: the run stops at once, every row kept."""

    kind = "run"


class AuthenticationFailed(RunError):
    """The key is missing, wrong or not allowed (401, 403)."""

    kind = "authentication"


class SpendLimitReached(RunError):
    """The provider account's own money is exhausted (402, or a 429 that says so)."""

    kind = "spend_limit"


class ModelNotFound(RunError):
    """The provider does not know this model or deployment (404)."""

    kind = "model_not_found"


class SchemaRejected(RunError):
    """The endpoint rejects the answer schema or an option for every record."""

    kind = "schema_rejected"


class OutputInvalid(InlayError):
    """The answer does not fit the declared fields. It was paid for, its raw text is kept, and it may be asked again."""

    kind = "invalid_output"


class RunStopped(InlayError):
    """The run ended early, cleanly: everything answered is saved, and the same command goes on.

    `report` is how far it came (a Report), where one was made: by `inlay.enrich`.
    """

    kind = "stopped"
    report: Any = None


class BudgetReached(RunStopped):
    """The next call might exceed the budget, so it was not sent."""

    kind = "budget"


class TooManyFailures(RunStopped):
    """More cells failed than `failures` allows."""

    kind = "too_many_failures"


class Interrupted(RunStopped):
    """Ctrl-C or SIGTERM."""

    kind = "interrupted"


class AlreadyRunning(RunStopped):
    """Another run of the same enrichment is going on the same store, and this one was to wait for it, in vain."""

    kind = "already_running"


class ProviderUnusable(RunStopped):
    """A RunError or an endless overload: no record can succeed for now. `__cause__` is the provider's error."""

    kind = "provider_unusable"


# Every kind that a cell may have failed in, as the store keeps it, and what it means in a few words.
CELL_KINDS: dict[str, str] = {
    Unreadable.kind: "the reply was no answer: not JSON, empty, garbled",
    Overloaded.kind: "the provider was overloaded or broken",
    ProviderTimeout.kind: "no whole answer within the deadline",
    ConnectionFailed.kind: "the connection broke",
    InvalidRequest.kind: "the provider rejected this request",
    TooLong.kind: "the record does not fit the model's context",
    ContentFiltered.kind: "a content filter stopped it",
    Refused.kind: "the model declined to answer",
    Truncated.kind: "the answer was cut off",
    OutputInvalid.kind: "the answer does not fit the fields",
    "internal": "an error of Inlay's own in this record",
}
