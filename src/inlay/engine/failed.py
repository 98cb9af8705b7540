"""What was not answered: waited for, taken apart, given up for this run, or the end of the run.

What stays true: a try that may have been paid is booked at its worst case before the next one leaves; a call that is
taken apart books each ask's part first, and nothing is asked again under an attempt that is closed.
"""

from __future__ import annotations

import asyncio
import random

from inlay.engine.host import Host, claim_anew
from inlay.engine.limits import Lane
from inlay.engine.settling import Settling
from inlay.engine.together import apportion, apportion_usage
from inlay.engine.work import Ask, Call
from inlay.errors import (
    AuthenticationFailed,
    CellError,
    ConnectionFailed,
    InlayError,
    InvalidRequest,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    Transient,
    Unreadable,
)
from inlay.payload import encode_fields, values_hash
from inlay.types import CellState, NewAnswer, Settlement, Usage

MAX_TRIES = 6  # of one request in one run, rate limits not counted
MAX_PAID_TRIES = 3  # of those, the ones that may have been paid
MAX_UNREADABLE = 2  # a whole reply that is no answer was surely paid


class Failures:
    """Failures of one lane's calls."""

    def __init__(self, host: Host, settling: Settling, lane: Lane[Call], rng: random.Random) -> None:
        self.host = host
        self.settling = settling
        self.lane = lane
        self.rng = rng

    async def transient(self, call: Call, error: Transient, sent_at: float) -> None:
        """Wait and try again, as long as that makes sense."""
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
            await self.unusable(call, error)
        elif out_of_tries:
            await self.refused(call, error)
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
                claim_anew(self.host, [ask])  # the claim says whether the budget is really gone
            else:
                ask.attempt_id = attempt
                going.append(ask)
        if len(going) == len(call.asks):
            return True
        for ask in going:
            self.lane.add(Call([[ask]]))
        return False

    async def refused(self, call: Call, error: ProviderError) -> None:
        """The call has failed for this run. Of several asks it is not known which is to blame: each half goes again."""
        if call.shared is not None:
            if isinstance(error, InvalidRequest):
                call.shared.refused()
            if isinstance(error, Transient):
                await self.apart(call, error)  # tried often enough together
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
                claim_anew(self.host, record)
        else:
            self._alone(call)

    async def apart(self, call: Call, error: ProviderError) -> None:
        """Book each ask's part, then claim each for a call of its own."""
        await self._book(call, error)
        if self.host.stopping is None:
            self._alone(call)

    def _alone(self, call: Call) -> None:
        for ask in call.asks:
            ask.alone = True
            claim_anew(self.host, [ask])

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

    async def unusable(self, call: Call, error: ProviderError) -> None:
        """No call can succeed for now: the run stops."""
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

    async def ours(self, call: Call, error: Exception) -> None:
        """An error of Inlay's own: it fails these records, and is booked at its worst case."""
        message = str(error) if isinstance(error, InlayError) else f"{type(error).__name__}: {error}"
        wrapped = CellError(message[:300], possibly_paid=True)
        wrapped.kind = "internal"
        await self.refused(call, wrapped)


def _most_tries(error: Transient) -> int:
    """How often a request may fail this way in one run."""
    if isinstance(error, Unreadable):
        return MAX_UNREADABLE
    return MAX_PAID_TRIES if error.possibly_paid else MAX_TRIES
