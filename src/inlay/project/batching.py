"""Batches of one opened declaration: how they are made, the way to their providers, and waiting for them.

What stays true: a batch is only ever worked on with the key of the account that made it; one that a living process
works on is left to it; whatever ends the waiting, the next run goes on from the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from inlay.batches import Batch, BatchState, account_of
from inlay.contracts import Dialect
from inlay.engine.batch.applying import Settled
from inlay.engine.batch.driver import Driver, Patience
from inlay.engine.batch.files import Folder
from inlay.engine.batch.lane import Filling
from inlay.engine.events import BatchMoved, Listener
from inlay.errors import ProviderUnusable, RunStopped, SpecError
from inlay.planning.plan import Plan
from inlay.project.session import Session
from inlay.providers.abilities import abilities
from inlay.providers.batch import BatchWire, Storage, load_wire, wire_for
from inlay.providers.endpoint import parse_endpoint
from inlay.providers.models import ResolvedModel
from inlay.providers.models import resolve as resolve_model
from inlay.providers.transport import Transport
from inlay.registry import load_target
from inlay.types import HttpRequest

# What a large file may take on its way (seconds), each part of it a sign of life.
TRANSFER_S = 1800.0
CONNECTIONS = 4
HEARTBEAT_S = 5.0
# Where some batches have ended and others go on, what has become ready is planned after this long (seconds).
PLAN_AGAIN_S = 60.0
_ORDERING = (BatchState.PREPARED, BatchState.UPLOADED)


def batchable(session: Session) -> list[int]:
    """The passes, by number, that could go into batches: one model, of a provider with a batch API."""
    return [index for index in range(len(session.steps)) if _has_batches(session, index)]


def _has_batches(session: Session, index: int) -> bool:
    steps = session.steps[index]
    model = steps[0].model
    if len(steps) > 1 or model.local is not None or wire_for(model.provider, model.dialect) is None:
        return False
    return abilities(model.provider, model.name, session.passes[index].abilities).batch


def fewest(model: ResolvedModel) -> int:
    """The least calls that the model's provider takes in one batch."""
    target = wire_for(model.provider, model.dialect)
    return 1 if target is None else load_target(target).fewest_requests


def refuse_without(session: Session) -> None:
    """Raise a SpecError where batches were asked for and no pass can have them."""
    if batchable(session):
        return
    names = ", ".join(dict.fromkeys(step.model.full_name for steps in session.steps for step in steps))
    raise SpecError(
        f"there is no batch API for {names}",
        file=session.enrichment.file,
        line=session.enrichment.lines.get("mode"),
        key="mode",
        remedy="batches are for openai, azure, anthropic and bedrock, and for passes with one model: use mode: live",
    )


def mode_notes(session: Session, plan: Plan) -> list[str]:
    """What is different about a plan whose calls go into batches, for people."""
    asked = [part.name for part in plan.passes if part.calls]
    into = [session.passes[index].name for index in sorted(session.batched) if session.passes[index].name in asked]
    if not into:
        return []
    live = [name for name in asked if name not in into]
    note = f"in batches, each call alone: {', '.join(into)}; answers come within a day, by the provider's word"
    return [note, *([f"asked live, since it has no batches: {', '.join(live)}"] if live else [])]


def storage_of(session: Session) -> Storage:
    """What the declaration says of a provider's storage, and AWS's own variable for another S3."""
    spec = session.enrichment.batch
    at = session.env.get("AWS_ENDPOINT_URL_S3") or ""
    return Storage(spec.bucket or "", spec.prefix.strip("/"), spec.role_arn or "", spec.window_hours, at)


def account(model: ResolvedModel) -> str:
    """The fingerprint of the account that a model is asked with."""
    if model.signer is not None:
        return account_of(f"{model.provider} {getattr(model.signer, 'identity', '')}")
    return account_of("\n".join(f"{name}: {value}" for name, value in model.auth_headers))


def fillings(session: Session) -> dict[str, Filling]:
    """How the batches of each lane are made. Raises SpecError where a provider needs more than is declared."""
    out: dict[str, Filling] = {}
    spec = session.enrichment.batch
    for index in session.batched:
        model = session.steps[index][0].model
        assert model.endpoint is not None
        region = session.passes[index].region or ""
        wire = load_wire(model.provider, model.dialect, model.endpoint.url, region, storage_of(session))
        assert wire is not None
        out[f"{model.lane}, in batches"] = Filling(
            wire=wire,
            folder=Folder(session.batch_folder),
            account=account(model),
            region=region,
            most_requests=min(spec.requests, wire.most_requests),
            most_bytes=min(int(spec.megabytes * 1_000_000), wire.most_bytes),
        )
    return out


class Way:
    """engine.batch.driver.Channel: one provider's batch API, with the credentials of one model."""

    def __init__(
        self, model: ResolvedModel, wire: BatchWire, timeout_s: float, *, region: str | None, env: Mapping[str, str]
    ) -> None:
        assert model.dialect is not None
        self.wire = wire
        self.dialect: Dialect = model.dialect
        self._model = model
        self._timeout_s = timeout_s
        self._region = region
        self._env = env
        self._transports: dict[tuple[str, float, bool], Transport] = {}

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        return await self._transport(request, self._timeout_s).send(request)

    async def transfer(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        large = len(request.body) > 1_000_000
        return await self._transport(request, TRANSFER_S if large else self._timeout_s).send(request)

    async def download(self, request: HttpRequest, path: Path) -> int:
        return await self._transport(request, TRANSFER_S).download(request, path)

    def _transport(self, request: HttpRequest, timeout_s: float) -> Transport:
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        stored = self.wire.is_stored(request)
        found = self._transports.get((origin, timeout_s, stored))
        if found is None:
            headers, signer = self._model.auth_headers, self._model.signer
            if stored:
                from inlay.providers.bedrock_signing import AwsSigner, find_region

                headers, signer = (), AwsSigner(find_region(self._region, self._env), service="s3", env=self._env)
            found = self._transports[origin, timeout_s, stored] = Transport(
                parse_endpoint(origin),
                headers,
                concurrency=CONNECTIONS,
                timeout_s=timeout_s,
                provider="s3" if stored else self._model.provider,
                signer=signer,
            )
        return found

    async def close(self) -> None:
        """Close its connections."""
        for transport in self._transports.values():
            await transport.close()


@dataclass(slots=True)
class Waited:
    """What a look at the open batches, or a wait for them, has come to.

    `open` go on; `settled` counts lines; `blocked` says why those that nothing can be done for now stay as they are.
    """

    settled: int = 0
    closed: list[Batch] = field(default_factory=list)
    open: list[Batch] = field(default_factory=list)
    blocked: list[RunStopped] = field(default_factory=list)
    elsewhere: int = 0  # open batches that another process works on
    stopped: RunStopped | None = None


class Batching:
    """Works on the open batches of a session, as `runner`. Use as an async context manager, on one event loop.

    `note` hears how each line ended. Without `order`, nothing that costs money is sent: what was ordered is collected.
    `run`: the runner has begun a run, and its heartbeat is kept up.
    """

    def __init__(
        self,
        session: Session,
        runner: str,
        *,
        listener: Listener | None = None,
        note: Callable[[Batch, Settled], None] = lambda batch, settled: None,
        order: bool = True,
        run: bool = False,
    ) -> None:
        self._session = session
        self._store = session.store(write=True)
        self._runner = runner
        self._listener = listener or (lambda event: None)
        self._note = note
        self._order = order
        self._run = run
        self._ways: dict[tuple[str, ...], Way] = {}
        self._stop: RunStopped | None = None
        self._woken = asyncio.Event()
        self._settled = 0
        spec = session.enrichment.batch
        self._patience = Patience(
            first_poll_s=spec.poll_s,
            last_poll_s=12 * spec.poll_s,
            lost_order_s=spec.lost_after_s,
            first_retry_s=min(1.0, spec.poll_s),
        )
        self._driver = Driver(
            self._store,
            Folder(session.batch_folder),
            runner,
            self._way,
            patience=self._patience,
            moved=self._moved,
            note=self._noted,
            stopping=lambda: self._stop is not None,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for way in self._ways.values():
            await way.close()
        await asyncio.to_thread(self._store.journal.let_go, self._runner)

    def stop(self, error: RunStopped) -> None:
        """End the waiting. The batches go on at their providers."""
        if self._stop is None:
            self._stop = error
        self._woken.set()

    # --- looking and waiting

    async def look(self) -> Waited:
        """Take every open batch as far as it goes now."""
        out = Waited()
        before = self._settled
        journal = self._store.journal
        for known in await asyncio.to_thread(journal.batches, self._session.enrichment.name):
            if self._stop is not None:
                break
            if not self._order and known.state in _ORDERING:
                out.open.append(known)
                continue
            batch = await asyncio.to_thread(self._driver.take, known.submission)
            if batch is None:
                out.elsewhere += 1
                continue
            if not batch.is_open:
                continue
            try:
                batch = await self._onward(batch)
            except RunStopped as error:  # of this batch; the others may go on
                out.blocked.append(error)
                continue
            (out.open if batch.is_open else out.closed).append(batch)
        out.settled = self._settled - before
        out.stopped = self._stop
        return out

    async def wait(self) -> Waited:
        """Wait until no batch is open any more, or until some have ended and others take their time.

        Looks politely: soon at first, then ever more seldom, sooner again when something has happened.
        """
        total = Waited()
        wait = self._patience.first_poll_s
        ended_at: float | None = None
        while True:
            seen = await self.look()
            total.settled += seen.settled
            total.closed += seen.closed
            total.open, total.elsewhere, total.stopped = seen.open, seen.elsewhere, seen.stopped
            total.blocked = seen.blocked
            if seen.stopped is not None or not (seen.open or seen.elsewhere):
                return total
            if seen.closed:
                wait = self._patience.first_poll_s
                ended_at = ended_at or time.monotonic()
            if ended_at is not None and time.monotonic() - ended_at >= PLAN_AGAIN_S:
                return total
            await self._sleep(wait)
            wait = min(wait * 1.5, self._patience.last_poll_s)

    async def _sleep(self, seconds: float) -> None:
        """Wait, and go on being alive for others meanwhile."""
        until = time.monotonic() + seconds
        while self._stop is None and (left := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, HEARTBEAT_S)):
                    await self._woken.wait()
            except TimeoutError:
                pass
            await self._beat()

    async def cancel(self, submission: str) -> Batch | None:
        """Cancel one batch; as it stands then. None where another process works on it."""
        batch = await asyncio.to_thread(self._driver.take, submission)
        if batch is None or not batch.is_open:
            return batch
        batch = await self._driver.cancel(batch)
        return await self._driver.onward(batch) if batch.is_open and batch.state not in _ORDERING else batch

    # --- parts

    async def _onward(self, batch: Batch) -> Batch:
        """Take a batch on, and go on being its driver however long that takes."""
        renewing = asyncio.create_task(self._renew(batch.submission))
        try:
            return await self._driver.onward(batch)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, submission: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await asyncio.to_thread(self._driver.take, submission)
            await self._beat()

    async def _beat(self) -> None:
        if self._run:
            await asyncio.to_thread(self._store.heartbeat, self._runner)

    def _noted(self, batch: Batch, settled: Settled) -> None:
        self._settled += 1
        self._note(batch, settled)

    def _moved(self, batch: Batch) -> None:
        self._listener(
            BatchMoved(
                batch.submission,
                batch.provider,
                batch.state.value,
                batch.remote_state,
                batch.requests,
                batch.done,
                batch.errors,
                batch.message,
            )
        )

    def _way(self, batch: Batch) -> Way:
        place = (batch.provider, batch.endpoint, batch.wire, batch.region)
        found = self._ways.get(place)
        if found is None:
            found = self._ways[place] = self._open(batch)
        if account(found._model) != batch.account:
            raise ProviderUnusable(
                f"batch {batch.submission} was ordered with another key of {batch.provider}",
                remedy="set the key that it was ordered with, or cancel it: "
                f"`inlay batch cancel {batch.submission}` (with that key, too)",
            )
        return found

    def _open(self, batch: Batch) -> Way:
        session = self._session
        model: ResolvedModel | None = None
        for spec, steps in zip(session.passes, session.steps, strict=True):
            for step in steps:
                own = step.model
                at = own.endpoint.url if own.endpoint is not None else ""
                mine = (own.provider, at, spec.wire or "", spec.region or "")
                if model is None and mine == (batch.provider, batch.endpoint, batch.wire, batch.region):
                    model = own
        if model is None:
            # The declaration has moved on; the batch has not.
            model = resolve_model(
                f"{batch.provider}:{batch.model}",
                batch.endpoint,
                None,
                session.env,
                region=batch.region or None,
                wire=batch.wire or None,
            )
        storage = storage_of(session)
        wire = load_wire(batch.provider, model.dialect, batch.endpoint, batch.region, storage)
        if wire is None:
            raise SpecError(f"{batch.provider} has no batch API that this Inlay knows", remedy="upgrade Inlay")
        timeout_s = session.enrichment.limits.timeout_s
        return Way(model, wire, timeout_s, region=batch.region or None, env=session.env)
