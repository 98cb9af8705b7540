"""One call after another: what a lane's worker does with it, and what each outcome means for the asks in it.

    answered whole            kept, the cells are done
    answered in part, or not  kept with its raw text; the missing fields are asked again once, alone
    wait and try again        rate limits wait with the lane; overloads, timeouts and resets a bounded number of times
    this record only          the cells fail with their kind, the others go on; a shared call is halved until it is one
    nobody can succeed        the run stops at once; this cell stays as it was

What stays true: a place in the lane is free only when the outcome is durable; a try that may have been paid is booked
at its worst case before the next one leaves; an error of ours in one record fails that record, never the run.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from inlay.engine.answer import Reading
from inlay.engine.limits import Lane
from inlay.engine.passwork import PassWork
from inlay.engine.settling import Settling
from inlay.engine.tally import Tally
from inlay.engine.together import Shared, apportion, apportion_usage
from inlay.engine.work import Ask, Call
from inlay.engine.writer import Writer
from inlay.errors import (
    AuthenticationFailed,
    CellError,
    ConnectionFailed,
    InlayError,
    InvalidRequest,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    RunError,
    RunStopped,
    SchemaRejected,
    StoreError,
    Transient,
    Unreadable,
)
from inlay.payload import encode_fields, values_hash
from inlay.providers.prices import estimate_tokens
from inlay.types import CellState, Completion, FieldAnswer, HttpRequest, NewAnswer, Savings, Settlement, Usage

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

    def again(self, asks: list[Ask]) -> None:
        """Claim these addresses anew, to ask what is still missing; together where they may go together."""
        ...


class Asking:
    """The workers' side of one lane."""

    def __init__(
        self,
        host: Host,
        settling: Settling,
        lane: Lane[Call],
        sender: Sender | None,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.host = host
        self.settling = settling
        self.lane = lane
        self.sender = sender
        self.clock = clock
        self.rng = rng

    async def work(self) -> None:
        """A worker: take a call, see it through, take the next."""
        lane = self.lane
        while (call := await lane.take()) is not None:
            try:
                await self.once(call)
            except StoreError:
                pass  # the writer has stopped the run already
            except Exception as error:  # noqa: BLE001 (the edge: an error of ours costs these records, not the run)
                await self._ours(call, error)
            finally:
                lane.finish()
                if not lane.active:
                    self.host.writer.nudge()  # an idle lane waits for no company

    async def once(self, call: Call) -> None:
        """One try of one call."""
        sent_at = self.clock()
        headers: Mapping[str, str] = {}
        ids: list[str] = []
        first = call.asks[0]
        work = first.work
        variant = work.variant(first.names, first.repair)
        try:
            if variant.answer is not None:
                completion = variant.answer(first.texts)
            else:
                assert variant.encode is not None
                assert self.sender is not None
                assert work.model.dialect is not None
                if call.shared is None:
                    request = variant.encode(first.user)
                else:
                    request, ids = call.shared.request(call.records)
                self.host.tally.calls += 1
                try:
                    status, headers, body = await self.sender.send(request)
                finally:
                    self.lane.returned()  # the next call is claimed while this one is being kept
                completion = work.model.dialect.read(status, headers, body)
        except Transient as error:
            await self._transient(call, error, sent_at)
        except CellError as error:
            self.lane.succeeded(sent_at, headers)
            await self._refused(call, error)
        except RunError as error:
            if isinstance(error, SchemaRejected) and call.shared is not None:
                call.shared.refused(for_good=True)
                await self._apart(call, error)
            else:
                await self._unusable(call, error)
        else:
            self.lane.succeeded(sent_at, headers)
            latency_s = self.clock() - sent_at
            if call.shared is None:
                await self._answered(first, completion, latency_s)
            else:
                await self._shared(call, call.shared, ids, completion, latency_s)

    # --- answers

    async def _answered(self, ask: Ask, completion: Completion, latency_s: float) -> None:
        work = ask.work
        variant = work.variant(ask.names, ask.repair)
        usage, estimated = work.usage_or_estimate(ask, completion)
        cost = work.price.cost_nusd(usage) if work.price is not None else 0
        if variant.answer is None:
            self.lane.used_tokens(ask.tokens, usage.input_tokens + usage.output_tokens)
        reading = variant.reader.read(completion.text, ask.texts, truncated=completion.truncated)
        said = _Said(completion, reading, usage, cost, estimated, latency_s, completion.text)
        if usage.cached_tokens or usage.cache_write_tokens:
            said.saved = Savings(cache_nusd=_cache_saved(work, usage, cost))
        await self._keep(ask, said)

    async def _shared(
        self, call: Call, shared: Shared, ids: list[str], completion: Completion, latency_s: float
    ) -> None:
        """The answer to several asks: each has its own part of it, and of what it cost."""
        host = self.host
        usage, estimated = completion.usage, False
        if usage is None:
            written = estimate_tokens(completion.text)[1]
            usage, estimated = Usage(shared.estimate(call.records)[1], written), True
        price = shared.work.price
        cost = price.cost_nusd(usage) if price is not None else 0
        self.lane.used_tokens(call.tokens, usage.input_tokens + usage.output_tokens)
        weights = shared.weights(call.records)
        costs, usages = apportion(cost, weights), apportion_usage(usage, weights)
        alone = shared.alone_nusd(call.records, usage.input_tokens, [part.output_tokens for part in usages])
        cached = apportion(_cache_saved(shared.work, usage, cost), weights)
        documents = shared.split(completion.text, ids, truncated=completion.truncated)
        shared.taken()
        keeping = []
        for place, (ask, document) in enumerate(zip(call.asks, documents, strict=True)):
            saved = Savings(cached[place], max(0, alone[place] - costs[place] - cached[place]))
            if document is None:
                # Nothing for this one: it is asked again, alone, and this part of the call was paid for nothing.
                keeping.append(self._again_alone(ask, usages[place], costs[place], estimated, len(call.asks)))
                continue
            said = _Said(completion, None, usages[place], costs[place], estimated, latency_s, "")
            said.saved, said.sharing = saved, len(call.asks)
            keeping.append(self._keep_part(ask, document, said))
        host.tally.shared += len(call.asks) - 1
        results = await asyncio.gather(*keeping, return_exceptions=True)
        broken = next((result for result in results if isinstance(result, StoreError)), None)
        if broken is not None:
            raise broken
        for ask, result in zip(call.asks, results, strict=True):
            if isinstance(result, Exception):  # an error of ours costs its own record, not the others of the call
                await self._ours(Call([[ask]]), result)

    async def _keep_part(self, ask: Ask, document: Any, said: _Said) -> None:
        """Keep what a shared answer says for one ask."""
        said.reading = ask.work.variant(ask.names, ask.repair).reader.read_document(document, ask.texts)
        if said.reading.missing:
            said.raw = json.dumps(document, default=str, ensure_ascii=False)
        await self._keep(ask, said)

    async def _keep(self, ask: Ask, said: _Said) -> None:
        """Keep what was answered to one ask; ask again for what is missing."""
        host, work = self.host, ask.work
        assert said.reading is not None
        host.tally.answers += 1
        host.tally.add_usage(said.usage)
        self.settling.book(said.cost, estimated=said.estimated)
        ask.cost_nusd += said.cost
        fields, state, missing = _merge(work, ask, said.reading)
        again = bool(missing) and ask.repair < REPAIRS and host.stopping is None and work.following is None
        whole = state is CellState.DONE
        answer = NewAnswer(
            fingerprint=ask.fingerprint,
            recipe_id=work.answer_recipe_id,
            state=state,
            payload=encode_fields(fields) if fields else b"",
            values_hash=values_hash(fields),
            input=ask.input,
            error_kind=None if whole else said.reading.error_kind or "invalid_output",
            error_message=None if whole else said.reading.error_message,
            raw=None if whole else said.raw.encode("utf-8", "replace")[:RAW_CAP],
            served_model=said.completion.served_model or work.model.name,
            usage=said.usage,
            cost_nusd=ask.cost_nusd,
            latency_ms=int(said.latency_s * 1000),
        )
        settlement = Settlement(
            attempt_id=ask.attempt_id,
            outcome="answered" if whole else answer.error_kind or "invalid_output",
            cost_nusd=said.cost,
            usage=said.usage,
            estimated=said.estimated,
            answer=answer,
            sharing=said.sharing,
            saved=said.saved,
        )
        await self.settling.settle(ask, answer, fields, settlement, final=not again)
        if again:
            # The valid fields are safe; ask once more, for the others alone, with more room if it was cut off.
            # (A cascade goes on to its next model instead.)
            ask.known = {name: value for name, value in fields.items() if name not in missing}
            ask.names = missing if len(missing) < len(work.fields) else ()
            ask.repair += 1
            ask.alone = True
            work.reckon(ask)
            host.again([ask])

    async def _again_alone(self, ask: Ask, usage: Usage, cost: int, estimated: bool, sharing: int) -> None:
        """Book an ask's part of a call that said nothing for it, and ask it by itself."""
        self.host.tally.add_usage(usage)
        self.settling.book(cost, estimated=estimated)
        ask.cost_nusd += cost
        await self.settling.keep(
            Settlement(ask.attempt_id, "invalid_output", cost, usage, estimated, mode="live", sharing=sharing)
        )
        ask.alone = True
        self._claim_anew([ask])

    def _claim_anew(self, asks: list[Ask]) -> None:
        for ask in asks:
            ask.attempt_id = 0
        self.host.again(asks)

    # --- failures

    async def _transient(self, call: Call, error: Transient, sent_at: float) -> None:
        host, lane = self.host, self.lane
        host.tally.retries[error.kind] += 1
        wait = lane.failed(error, sent_at)
        limited = isinstance(error, RateLimited)
        if not limited:
            call.tries += 1
        out_of_tries = call.tries >= _most_tries(error)
        patience = host.patience.rate_limit_s if limited else host.patience.overload_s
        nobody_there = isinstance(error, ConnectionFailed) and call.tries >= MAX_PAID_TRIES
        no_api = isinstance(error, Unreadable) and error.page and lane.failures_in_row >= MAX_UNREADABLE
        if (lane.opening and (nobody_there or no_api)) or lane.quiet_for() > patience:
            await self._unusable(call, error)
        elif out_of_tries:
            await self._refused(call, error)
        elif host.stopping is not None:
            await self._give_back(call, error)
        else:
            if error.possibly_paid and not await self._pay_again(call, error):
                return
            backoff = min(20.0, 0.5 * 2.0**call.tries) * self.rng.uniform(0.5, 1.0)
            lane.add_later(call, max(wait, 0.0 if limited else backoff))

    async def _pay_again(self, call: Call, error: ProviderError) -> bool:
        """Book the try that may have been paid and reserve the next; False if the budget does not allow all of it."""
        host = self.host
        going: list[Ask] = []
        for ask in call.asks:
            self.settling.book(ask.reserve_nusd, estimated=True)
            ask.cost_nusd += ask.reserve_nusd
            attempt = await host.writer.extend(ask.attempt_id, outcome=error.kind, cost_nusd=ask.reserve_nusd)
            if attempt is None:
                self.settling.closed()
                self._claim_anew([ask])  # the claim says whether the budget is really gone
            else:
                ask.attempt_id = attempt
                going.append(ask)
        if len(going) == len(call.asks):
            return True
        for ask in going:
            self.lane.add(Call([[ask]]))
        return False

    async def _refused(self, call: Call, error: ProviderError) -> None:
        """The call has failed for this run. Of several asks it is not known which is to blame: each half goes again."""
        if call.shared is not None:
            if isinstance(error, InvalidRequest):
                call.shared.refused()
            if isinstance(error, Transient):
                await self._apart(call, error)  # tried often enough together
            else:
                await self._halved(call, error)
            return
        ask = call.asks[0]
        work = ask.work
        usage = error.usage or Usage()
        cost, estimated = 0, False
        if error.possibly_paid:
            cost, estimated = ask.reserve_nusd, True
        elif error.usage is not None and work.price is not None:
            cost = work.price.cost_nusd(usage)
        self.host.tally.add_usage(usage)
        self.settling.book(cost, estimated=estimated)
        ask.cost_nusd += cost
        fields = dict(ask.known)
        answer = NewAnswer(
            fingerprint=ask.fingerprint,
            recipe_id=work.answer_recipe_id,
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

    async def _halved(self, call: Call, error: ProviderError) -> None:
        """Book each ask's part, then claim the records anew for calls of half as many, or the passes of one record for
        calls of their own."""
        await self._book(call, error)
        if self.host.stopping is not None:
            return
        records = call.records
        if len(records) > 1:
            for record in records:
                for ask in record:
                    ask.most = len(records) // 2
                self._claim_anew(record)
        else:
            self._alone(call)

    async def _apart(self, call: Call, error: ProviderError) -> None:
        """Book each ask's part, then claim each for a call of its own."""
        await self._book(call, error)
        if self.host.stopping is None:
            self._alone(call)

    def _alone(self, call: Call) -> None:
        for ask in call.asks:
            ask.alone = True
            self._claim_anew([ask])

    async def _book(self, call: Call, error: ProviderError) -> None:
        """Close the attempts of a call that answered nothing, at what it cost or may have cost."""
        asks = call.asks
        weights = [1] * len(asks) if call.shared is None else call.shared.weights(call.records)
        usages = apportion_usage(error.usage or Usage(), weights)
        costs, estimated = [0] * len(asks), error.possibly_paid
        price = asks[0].work.price
        if estimated:
            costs = [ask.reserve_nusd for ask in asks]
        elif error.usage is not None and price is not None:
            costs = apportion(price.cost_nusd(error.usage), weights)
        keeping = []
        for ask, usage, cost in zip(asks, usages, costs, strict=True):
            self.host.tally.add_usage(usage)
            self.settling.book(cost, estimated=estimated)
            ask.cost_nusd += cost
            keeping.append(
                self.settling.keep(Settlement(ask.attempt_id, error.kind, cost, usage, estimated, sharing=len(asks)))
            )
        await asyncio.gather(*keeping)

    async def _unusable(self, call: Call, error: ProviderError) -> None:
        remedy = error.remedy
        if isinstance(error, AuthenticationFailed):
            variable = call.asks[0].work.model.key_variable
            if variable:
                remedy = f"check the key in {variable}, and that it may use this model at this endpoint"
            elif call.asks[0].work.model.signer is None:
                remedy = "no key was sent: name the environment variable that holds it in `api_key_env`"
        stop = ProviderUnusable(
            error.message, remedy=remedy or "check the provider and the network, then type the same command again"
        )
        stop.__cause__ = error
        self.host.stop(stop)
        await self._give_back(call, error)

    async def _give_back(self, call: Call, error: ProviderError) -> None:
        """Stopping: close the attempts and leave the cells as they are, to be asked by the next run."""
        await self._book(call, error)

    async def _ours(self, call: Call, error: Exception) -> None:
        message = str(error) if isinstance(error, InlayError) else f"{type(error).__name__}: {error}"
        wrapped = CellError(message[:300], possibly_paid=True)
        wrapped.kind = "internal"
        await self._refused(call, wrapped)


class _Said:
    """What a call gave one ask."""

    __slots__ = ("completion", "cost", "estimated", "latency_s", "raw", "reading", "saved", "sharing", "usage")

    def __init__(
        self,
        completion: Completion,
        reading: Reading | None,
        usage: Usage,
        cost: int,
        estimated: bool,
        latency_s: float,
        raw: str,
    ) -> None:
        self.completion = completion
        self.reading = reading
        self.usage = usage
        self.cost = cost
        self.estimated = estimated
        self.latency_s = latency_s
        self.raw = raw
        self.saved = _NOTHING_SAVED
        self.sharing = 1


_NOTHING_SAVED = Savings()


def _cache_saved(work: PassWork, usage: Usage, cost: int) -> int:
    """What the call would have cost more had the provider cached nothing."""
    if work.price is None or not (usage.cached_tokens or usage.cache_write_tokens):
        return 0
    return work.price.cost_nusd(replace(usage, cached_tokens=0, cache_write_tokens=0)) - cost


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
