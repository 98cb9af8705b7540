"""Bringing batches through: upload, order, wait, download, apply, clean; from wherever the journal says one stands.

    PREPARED → UPLOADED → SUBMITTING → SUBMITTED → ENDED → DOWNLOADED → APPLIED → CLEANED
                              ↓ an answer was lost: look for it, never send again
                           ABSENT (not there for long enough)          FAILED (refused: nothing ran)

What stays true: an order is sent only in a state that says so durably; whether one whose answer was lost has arrived is
asked of the provider, and it is never sent a second time on a guess; every step may be cut off and done again; one
runner at a time works on a batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from inlay.batches import Batch, BatchState
from inlay.contracts import Dialect, Store
from inlay.engine.batch.applying import Applied, Applier, Settled
from inlay.engine.batch.files import Folder, lines_of
from inlay.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    RunError,
    Transient,
)
from inlay.faultpoints import reach
from inlay.providers.batch import BatchWire, Remote
from inlay.types import HttpRequest

T = TypeVar("T")
Reply = tuple[int, Mapping[str, str], bytes]

MOST_PAGES = 50
# How often results that are shorter than the provider's own count are downloaded again.
SHORT_TRIES = 3
# An order is looked for among those made since then, as far as two clocks may differ (seconds).
CLOCKS_S = 3600.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits of a driver, in seconds: between polls (growing from the first to the last), how long an order whose answer
    was lost is looked for, how long a provider that cannot be reached is waited for."""

    first_poll_s: float = 5.0
    last_poll_s: float = 60.0
    lost_order_s: float = 600.0
    search_every_s: float = 15.0
    unreachable_s: float = 900.0
    first_retry_s: float = 1.0


class Channel(Protocol):
    """The way to one provider's batch API, with its credentials."""

    wire: BatchWire
    dialect: Dialect

    async def send(self, request: HttpRequest) -> Reply:
        """A short exchange, once. May cost money."""
        ...

    async def transfer(self, request: HttpRequest) -> Reply:
        """An exchange whose request is large, with time for it."""
        ...

    async def download(self, request: HttpRequest, path: Path) -> int:
        """Write the body of a 2xx to a file, in bounded memory; the status. Raises for every other status."""
        ...


class Driver:
    """Works on batches of one store as `runner`. `channel` gives the way to a batch's provider, or raises."""

    def __init__(
        self,
        store: Store,
        folder: Folder,
        runner: str,
        channel: Callable[[Batch], Channel],
        *,
        patience: Patience | None = None,
        moved: Callable[[Batch], None] = lambda batch: None,
        note: Callable[[Batch, Settled], None] = lambda batch, settled: None,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._journal = store.journal
        self._folder = folder
        self.runner = runner
        self._channel = channel
        self.patience = patience or Patience()
        self._moved = moved
        self._note = note
        self._stopping = stopping
        self._clock = clock
        self._refused_since: dict[str, float] = {}

    def take(self, submission: str) -> Batch | None:
        """Become the one who works on it; None while another live runner is."""
        return self._journal.take(submission, self.runner)

    async def onward(self, batch: Batch) -> Batch:
        """Take a batch that is ours as far as it goes without waiting for the provider to finish it.

        Returns it as it stands then: SUBMITTED (running), UPLOADED or SUBMITTING (to be looked at again), or closed.
        Raises RunStopped where nothing can go on for now.
        """
        steps: dict[BatchState, Callable[[Batch], Awaitable[Batch]]] = {
            BatchState.PREPARED: self._upload,
            BatchState.UPLOADED: self._order,
            BatchState.SUBMITTING: self._reconcile,
            BatchState.SUBMITTED: self._poll,
            BatchState.ENDED: self._download,
            BatchState.DOWNLOADED: self._apply,
            BatchState.APPLIED: self._clean,
        }
        while (step := steps.get(batch.state)) is not None and not self._stopping():
            before = batch.state
            batch = await self._unless_unusable(batch, step(batch))
            if batch.state is before:
                break
        return batch

    async def cancel(self, batch: Batch) -> Batch:
        """Ask the provider to stop a batch that runs, or give one back that was never ordered."""
        if batch.state in (BatchState.PREPARED, BatchState.UPLOADED):
            return await self._close(batch, BatchState.ABSENT, "cancelled before it was ordered")
        if batch.state is BatchState.SUBMITTED:
            channel = self._channel(batch)
            status, headers, body = await self._patiently(lambda: channel.send(channel.wire.cancel(batch)))
            if 200 <= status < 300:
                try:
                    return self._told(batch, channel.wire.polled(status, headers, body))
                except ProviderError:
                    pass  # what it says is asked anew below
            return await self._poll(batch)
        return batch

    # --- steps

    async def _upload(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        data = await asyncio.to_thread(self._folder.requests, batch.submission, batch.sha256)
        request = channel.wire.upload(batch, data)
        details: dict[str, Any] = dict(batch.details)
        if request is not None:
            reply = await self._patiently(lambda: channel.transfer(request), channel.wire.uploaded)
            details.update(reply)
        return await self._move(batch, BatchState.UPLOADED, details=details)

    async def _order(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        wire = channel.wire
        data = await asyncio.to_thread(self._folder.requests, batch.submission, batch.sha256)
        request = wire.create(batch, data)
        ordered = await asyncio.to_thread(
            self._journal.move, batch.submission, BatchState.SUBMITTING, alone=wire.serial, tried_at=self._clock()
        )
        if ordered is None:
            return batch  # another order of this account is not settled yet: this one waits for it
        batch = ordered
        self._moved(batch)
        try:
            status, headers, body = await channel.transfer(request)
            reach("batch.ordered")
            remote = wire.created(status, headers, body)
        except ConnectionFailed as error:
            if error.possibly_paid:
                return await self._reconcile(batch)
            return await self._later(batch, error)  # it never left
        except RateLimited as error:
            return await self._later(batch, error)
        except Transient:
            return await self._reconcile(batch)
        except RunError:
            await self._move(batch, BatchState.UPLOADED)
            raise
        except ProviderError as error:
            if error.status is not None and 400 <= error.status < 500 and error.status != 409:
                return await self._close(batch, BatchState.FAILED, f"refused: {error.message}")
            return await self._reconcile(batch)
        return await self._adopt(batch, remote)

    async def _later(self, batch: Batch, error: Transient) -> Batch:
        """An order that was surely not taken: it is tried again with the next look, for as long as patience lasts."""
        batch = await self._move(batch, BatchState.UPLOADED, message=error.message)
        if time.monotonic() - self._refused_since.setdefault(batch.submission, time.monotonic()) > (
            self.patience.unreachable_s
        ):
            raise error
        return batch

    async def _adopt(self, batch: Batch, remote: Remote) -> Batch:
        return await self._move(
            batch,
            BatchState.SUBMITTED,
            remote_id=remote.remote_id,
            submitted_at=self._clock(),
            details={**batch.details, **remote.details},
            remote_state=remote.state,
            message="",
        )

    async def _reconcile(self, batch: Batch) -> Batch:
        """Look for an order that may have arrived: adopt it, or declare it absent once that has taken long enough."""
        channel = self._channel(batch)
        if channel.wire.idempotent:
            request = channel.wire.create(batch, b"")
            try:
                remote = await self._patiently(lambda: channel.send(request), channel.wire.created)
            except ProviderError as error:
                if error.status != 409:
                    raise
            else:
                return await self._adopt(batch, remote)
        tried = batch.tried_at or batch.made_at
        since, after = tried - CLOCKS_S, ""
        maybe: list[Remote] = []
        for _ in range(MOST_PAGES):
            page = channel.wire.search(batch, after)
            remotes, after = await self._patiently(lambda page=page: channel.send(page), channel.wire.found)
            for remote in remotes:
                ours = channel.wire.is_ours(batch, remote)
                if ours:
                    return await self._adopt(batch, remote)
                if ours is None and remote.created_at >= since and await self._unknown(batch, remote):
                    maybe.append(remote)
            if not after or (remotes and 0 < min(remote.created_at for remote in remotes) < since):
                break
        if len(maybe) == 1:
            details = {**maybe[0].details, "adopted": True}
            return await self._adopt(batch, replace(maybe[0], details=details))
        if self._clock() - tried > self.patience.lost_order_s:
            if maybe:
                raise ProviderUnusable(
                    f"the order for batch {batch.submission} was lost, and {len(maybe)} batches may be it",
                    remedy="wait until they have ended and run the same command again",
                )
            return await self._close(batch, BatchState.ABSENT, "the order did not arrive: its rows are asked again")
        return batch

    async def _unknown(self, batch: Batch, remote: Remote) -> bool:
        """Whether no batch of this enrichment is known to be this one, nor was it found to be another's."""
        if remote.remote_id in (batch.details.get("not") or ()):
            return False
        known = await asyncio.to_thread(self._journal.batches, batch.enrichment, closed=True)
        return all(each.remote_id != remote.remote_id for each in known)

    async def _poll(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        request = channel.wire.poll(batch)
        remote = await self._patiently(lambda: channel.send(request), channel.wire.polled)
        return self._told(batch, remote)

    def _told(self, batch: Batch, remote: Remote) -> Batch:
        facts: dict[str, Any] = {
            "remote_state": remote.state,
            "done": remote.done,
            "errors": remote.errors,
            "message": remote.message,
            "details": {**batch.details, **remote.details},
        }
        state = BatchState.SUBMITTED
        if remote.phase == "ended":
            state, facts["ended_at"] = BatchState.ENDED, self._clock()
        elif remote.phase == "failed":
            state, facts["ended_at"] = BatchState.FAILED, self._clock()
        elif all(getattr(batch, name) == value for name, value in facts.items()):
            return batch
        moved = self._journal.move(batch.submission, state, **facts)
        assert moved is not None
        self._moved(moved)
        return moved

    async def _download(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        names: list[str] = []
        for name, request in channel.wire.outputs(batch):
            path = self._folder.results(batch.submission, name)
            partial = path.with_name(path.name + ".part")
            partial.parent.mkdir(parents=True, exist_ok=True)
            try:
                await self._patiently(lambda request=request, partial=partial: channel.download(request, partial))
            except ProviderError as error:
                if error.status != 404 or batch.done + batch.errors:
                    raise
                continue  # nothing of it ran, so there is no such file
            await asyncio.to_thread(self._folder.keep, partial, path)
            names.append(name)
        return await self._move(batch, BatchState.DOWNLOADED, details={**batch.details, "results": names})

    async def _apply(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        paths = [self._folder.results(batch.submission, name) for name in batch.details.get("results") or ()]
        if any(not path.exists() for path in paths):  # downloaded on another machine, or deleted since
            return await self._move(batch, BatchState.ENDED)
        if batch.details.get("adopted") and not await asyncio.to_thread(self._is_own, batch, channel.wire, paths):
            # What was taken for this order has another's lines.
            others = [*(batch.details.get("not") or ()), batch.remote_id]
            return await self._move(batch, BatchState.SUBMITTING, remote_id="", details={"not": others})
        found = await asyncio.to_thread(self._count, channel.wire, paths)
        tries = int(batch.details.get("short") or 0)
        if found < batch.done + batch.errors and tries < SHORT_TRIES:
            # Cut short on its way, or not all there yet.
            await asyncio.sleep(self.patience.first_retry_s * tries)
            return await self._move(batch, BatchState.ENDED, details={**batch.details, "short": tries + 1})
        notes: list[Settled] = []
        applier = Applier(self._store, batch, channel.wire, channel.dialect, notes.append)
        applied = await asyncio.to_thread(applier.apply, _lines(paths))
        ran = max(0, batch.done + batch.errors - found)
        rest = await asyncio.to_thread(applier.missing, ran)
        for settled in notes:
            self._note(batch, settled)
        unrun = applied.unrun + rest.unrun
        said = f"{unrun} lines did not run: they are asked again" if unrun else batch.message
        if rest.lost:
            said = f"{rest.lost} lines ran and are missing from the results: counted as paid, asked again"
        batch = await self._move(batch, BatchState.APPLIED, message=said)
        self._trouble(applied)
        return batch

    @staticmethod
    def _count(wire: BatchWire, paths: list[Path]) -> int:
        """How many different lines ran, by what was downloaded."""
        names: set[str] = set()
        for line in _lines(paths):
            try:
                result = wire.read(line)
            except (ProviderError, ValueError, RecursionError):
                continue
            if result is not None and not result.unrun:
                names.add(result.custom_id)
        return len(names)

    def _is_own(self, batch: Batch, wire: BatchWire, paths: list[Path]) -> bool:
        for line in _lines(paths):
            try:
                result = wire.read(line)
            except (ProviderError, ValueError):
                continue
            if result is not None:
                return result.custom_id.startswith(batch.submission)
        return True

    @staticmethod
    def _trouble(applied: Applied) -> None:
        if applied.trouble is not None:
            raise applied.trouble

    async def _clean(self, batch: Batch) -> Batch:
        channel = self._channel(batch)
        for request in channel.wire.clean(batch):
            try:
                await channel.send(request)
            except ProviderError:
                continue  # it expires by itself
        self._folder.remove(batch.submission)
        return await self._move(batch, BatchState.CLEANED)

    # --- parts

    async def _move(self, batch: Batch, state: BatchState, **facts: Any) -> Batch:
        moved = await asyncio.to_thread(self._journal.move, batch.submission, state, **facts)
        assert moved is not None
        self._moved(moved)
        return moved

    async def _close(self, batch: Batch, state: BatchState, message: str) -> Batch:
        batch = await self._move(batch, state, message=message, ended_at=self._clock())
        self._folder.remove(batch.submission)
        return batch

    async def _unless_unusable(self, batch: Batch, step: Awaitable[Batch]) -> Batch:
        try:
            return await step
        except ProviderError as error:
            remedy = error.remedy or "check the provider and the network, then run the same command again"
            if isinstance(error, AuthenticationFailed):
                remedy = "check the key, and that it may use the batch API; then run the same command again"
            stop = ProviderUnusable(f"batch {batch.submission}: {error.message}", remedy=remedy)
            raise stop from error

    async def _patiently(
        self, send: Callable[[], Awaitable[Any]], read: Callable[[int, Mapping[str, str], bytes], Any] | None = None
    ) -> Any:
        """Send what may be sent again, and read it, until it works or the provider was out of reach for too long."""
        begun = time.monotonic()
        wait = self.patience.first_retry_s
        while True:
            try:
                reply = await send()
                return reply if read is None else read(*reply)
            except Transient as error:
                if self._stopping() or time.monotonic() - begun > self.patience.unreachable_s:
                    raise
                await asyncio.sleep(min(60.0, max(wait, error.retry_after_s or 0.0)))
                wait = min(wait * 2, 30.0)


def _lines(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        yield from lines_of(path)
