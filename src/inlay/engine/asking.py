"""One call after another: what a lane's worker does with an ask, and what each outcome means.

    answered whole            kept, the cells are done
    answered in part, or not  kept with its raw text; the missing fields are asked again once
    wait and try again        rate limits wait with the lane; overloads, timeouts and resets a bounded number of times
    this record only          the cells fail with their kind, the others go on
    nobody can succeed        the run stops at once; this cell stays as it was

What stays true: a place in the lane is free only when the outcome is durable; a try that may have been paid is booked
at its worst case before the next one leaves; an error of ours in one record fails that record, never the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inlay.engine.answer import Reading
from inlay.engine.limits import Lane
from inlay.engine.passwork import PassWork
from inlay.engine.settling import Settling
from inlay.engine.tally import Tally
from inlay.engine.work import Ask
from inlay.engine.writer import Writer
from inlay.errors import (
    AuthenticationFailed,
    CellError,
    ConnectionFailed,
    InlayError,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    RunError,
    RunStopped,
    StoreError,
    Transient,
    Unreadable,
)
from inlay.payload import encode_fields, values_hash
from inlay.types import CellState, Completion, FieldAnswer, HttpRequest, NewAnswer, Settlement, Usage

MAX_TRIES = 6  # of one request in one run, rate limits not counted
MAX_PAID_TRIES = 3  # of those, the ones that may have been paid
MAX_UNREADABLE = 2  # a whole reply that is no answer was surely paid
RAW_CAP = 64 * 1024
REPAIRS = 1


class Sender(Protocol):
    """What a lane sends through; fulfilled by providers.transport.Transport."""

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange: status, headers (lower case), body."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a lane without any success is waited for before the run stops, resumably (seconds)."""

    overload_s: float = 180.0
    rate_limit_s: float = 900.0


class Host(Protocol):
    """What the asking needs of the run around it; the Runner."""

    tally: Tally
    writer: Writer
    patience: Waiting
    stopping: RunStopped | None

    def stop(self, error: RunStopped) -> None:
        """End the run cleanly for this reason (the first one counts)."""
        ...

    def again(self, ask: Ask) -> None:
        """Claim this address anew, to ask what is still missing."""
        ...


class Asking:
    """The workers' side of one lane."""

    def __init__(
        self,
        host: Host,
        settling: Settling,
        lane: Lane[Ask],
        sender: Sender | None,
        passes: list[PassWork],
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.host = host
        self.settling = settling
        self.lane = lane
        self.sender = sender
        self.passes = passes
        self.clock = clock
        self.rng = rng

    async def work(self) -> None:
        """A worker: take a call, see it through, take the next."""
        lane = self.lane
        while (ask := await lane.take()) is not None:
            try:
                await self.once(ask)
            except StoreError:
                pass  # the writer has stopped the run already
            except Exception as error:  # noqa: BLE001 (the edge: an error of ours costs this record, not the run)
                await self._ours(ask, error)
            finally:
                lane.finish()

    async def once(self, ask: Ask) -> None:
        """One try of one ask."""
        part = self.passes[ask.pass_index]
        host = self.host
        sent_at = self.clock()
        variant = part.variant(ask.names, ask.repair)
        headers: Mapping[str, str] = {}
        try:
            if variant.answer is not None:
                completion = variant.answer(ask.texts)
            else:
                assert variant.encode is not None
                assert self.sender is not None
                assert part.model.dialect is not None
                host.tally.calls += 1
                try:
                    status, headers, body = await self.sender.send(variant.encode(ask.user))
                finally:
                    self.lane.returned()  # the next call is claimed while this one is being kept
                completion = part.model.dialect.read(status, headers, body)
        except Transient as error:
            await self._transient(ask, part, error, sent_at)
        except CellError as error:
            self.lane.succeeded(sent_at, headers)
            await self._refused(ask, part, error)
        except RunError as error:
            await self._unusable(ask, error)
        else:
            self.lane.succeeded(sent_at, headers)
            await self._answered(ask, part, completion, self.clock() - sent_at)

    # --- outcomes

    async def _answered(self, ask: Ask, part: PassWork, completion: Completion, latency_s: float) -> None:
        host = self.host
        variant = part.variant(ask.names, ask.repair)
        usage, estimated = part.usage_or_estimate(ask, completion)
        cost = part.price.cost_nusd(usage) if part.price is not None else 0
        if variant.answer is None:
            self.lane.used_tokens(ask.tokens, usage.input_tokens + usage.output_tokens)
        host.tally.answers += 1
        host.tally.add_usage(usage)
        self.settling.book(cost, estimated=estimated)
        ask.cost_nusd += cost
        reading = variant.reader.read(completion.text, ask.texts, truncated=completion.truncated)
        fields, state, missing = _merge(part, ask, reading)
        again = bool(missing) and ask.repair < REPAIRS and host.stopping is None
        whole = state is CellState.DONE
        answer = NewAnswer(
            fingerprint=ask.fingerprint,
            recipe_id=part.ref.recipe_id,
            state=state,
            payload=encode_fields(fields) if fields else b"",
            values_hash=values_hash(fields),
            input=ask.input,
            error_kind=None if whole else reading.error_kind or "invalid_output",
            error_message=None if whole else reading.error_message,
            raw=None if whole else completion.text.encode("utf-8", "replace")[:RAW_CAP],
            served_model=completion.served_model or part.model.name,
            usage=usage,
            cost_nusd=ask.cost_nusd,
            latency_ms=int(latency_s * 1000),
        )
        settlement = Settlement(
            attempt_id=ask.attempt_id,
            outcome="answered" if whole else answer.error_kind or "invalid_output",
            cost_nusd=cost,
            usage=usage,
            estimated=estimated,
            answer=answer,
        )
        await self.settling.settle(ask, answer, fields, settlement, final=not again)
        if again:
            # The valid fields are safe; ask once more, for the others alone, with more room if it was cut off.
            ask.known = {name: value for name, value in fields.items() if name not in missing}
            ask.names = missing if len(missing) < len(part.fields) else ()
            ask.repair += 1
            part.reckon(ask)
            host.again(ask)

    async def _transient(self, ask: Ask, part: PassWork, error: Transient, sent_at: float) -> None:
        host, lane = self.host, self.lane
        host.tally.retries[error.kind] += 1
        wait = lane.failed(error, sent_at)
        limited = isinstance(error, RateLimited)
        if not limited:
            ask.tries += 1
        out_of_tries = ask.tries >= _most_tries(error)
        patience = host.patience.rate_limit_s if limited else host.patience.overload_s
        nobody_there = isinstance(error, ConnectionFailed) and ask.tries >= MAX_PAID_TRIES
        no_api = isinstance(error, Unreadable) and error.page and lane.failures_in_row >= MAX_UNREADABLE
        if (lane.opening and (nobody_there or no_api)) or lane.quiet_for() > patience:
            await self._unusable(ask, error)
        elif out_of_tries:
            await self._refused(ask, part, error)
        elif host.stopping is not None:
            await self._give_back(ask, error)
        else:
            if error.possibly_paid and not await self._pay_again(ask, error):
                return
            backoff = min(20.0, 0.5 * 2.0**ask.tries) * self.rng.uniform(0.5, 1.0)
            lane.add_later(ask, max(wait, 0.0 if limited else backoff))

    async def _pay_again(self, ask: Ask, error: ProviderError) -> bool:
        """Book the try that may have been paid, and reserve the next; False when the budget does not allow it."""
        host = self.host
        self.settling.book(ask.reserve_nusd, estimated=True)
        ask.cost_nusd += ask.reserve_nusd
        attempt = await host.writer.extend(ask.attempt_id, outcome=error.kind, cost_nusd=ask.reserve_nusd)
        if attempt is None:
            ask.attempt_id = 0
            self.settling.closed()
            host.again(ask)  # the claim says whether the budget is really gone
            return False
        ask.attempt_id = attempt
        return True

    async def _refused(self, ask: Ask, part: PassWork, error: ProviderError) -> None:
        """This record has failed for this run; what was valid of an earlier part stays."""
        host = self.host
        usage = error.usage or Usage()
        cost, estimated = 0, False
        if error.possibly_paid:
            cost, estimated = ask.reserve_nusd, True
        elif error.usage is not None and part.price is not None:
            cost = part.price.cost_nusd(usage)
        host.tally.add_usage(usage)
        self.settling.book(cost, estimated=estimated)
        ask.cost_nusd += cost
        fields = dict(ask.known)
        answer = NewAnswer(
            fingerprint=ask.fingerprint,
            recipe_id=part.ref.recipe_id,
            state=CellState.PARTIAL if fields else CellState.FAILED,
            payload=encode_fields(fields) if fields else b"",
            values_hash=values_hash(fields),
            input=ask.input,
            error_kind=error.kind,
            error_message=error.message[:300],
            usage=usage,
            cost_nusd=ask.cost_nusd,
        )
        settlement = Settlement(
            attempt_id=ask.attempt_id,
            outcome=error.kind,
            cost_nusd=cost,
            usage=usage,
            estimated=estimated,
            answer=answer,
        )
        await self.settling.settle(ask, answer, fields, settlement, final=True)

    async def _unusable(self, ask: Ask, error: ProviderError) -> None:
        remedy = error.remedy
        if isinstance(error, AuthenticationFailed):
            variable = self.passes[ask.pass_index].model.key_variable
            remedy = "no key was sent: name the environment variable that holds it in `api_key_env`"
            if variable:
                remedy = f"check the key in {variable}, and that it may use this model at this endpoint"
        stop = ProviderUnusable(
            error.message, remedy=remedy or "check the provider and the network, then type the same command again"
        )
        stop.__cause__ = error
        self.host.stop(stop)
        await self._give_back(ask, error)

    async def _give_back(self, ask: Ask, error: ProviderError) -> None:
        """Stopping: close the attempt and leave the cells as they are, to be asked by the next run."""
        cost = ask.reserve_nusd if error.possibly_paid else 0
        self.settling.book(cost, estimated=error.possibly_paid)
        await self.settling.keep(
            Settlement(attempt_id=ask.attempt_id, outcome=error.kind, cost_nusd=cost, estimated=error.possibly_paid)
        )

    async def _ours(self, ask: Ask, error: Exception) -> None:
        message = str(error) if isinstance(error, InlayError) else f"{type(error).__name__}: {error}"
        wrapped = CellError(message[:300], possibly_paid=True)
        wrapped.kind = "internal"
        await self._refused(ask, self.passes[ask.pass_index], wrapped)


def _most_tries(error: Transient) -> int:
    """How often a request may fail this way in one run."""
    if isinstance(error, Unreadable):
        return MAX_UNREADABLE
    return MAX_PAID_TRIES if error.possibly_paid else MAX_TRIES


def _merge(part: PassWork, ask: Ask, reading: Reading) -> tuple[dict[str, FieldAnswer], CellState, tuple[str, ...]]:
    """Join a re-ask with what was valid before: fields in declared order, the state of the whole, what is missing."""
    if not ask.known:
        return reading.fields, reading.state, reading.missing
    fields: dict[str, Any] = {}
    for name in part.fields:
        answer = reading.fields.get(name) or ask.known.get(name)
        if answer is not None:
            fields[name] = answer
    missing = tuple(name for name in part.fields if name in reading.missing or name not in fields)
    return fields, CellState.PARTIAL if missing else CellState.DONE, missing
