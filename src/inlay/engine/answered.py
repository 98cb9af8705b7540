"""What was answered: read, kept with its cost, and what is missing of it asked once more, alone.

What stays true: an answer is durable before anything builds on it; each ask of a shared call is read, kept and paid by
itself, and the parts of the bill add up to it exactly; an error of ours in one record costs that record alone.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from inlay.engine.answer import Reading
from inlay.engine.failed import Failures
from inlay.engine.host import Host, claim_anew
from inlay.engine.limits import Lane
from inlay.engine.passwork import PassWork
from inlay.engine.settling import Settling
from inlay.engine.together import Shared, apportion, apportion_usage
from inlay.engine.work import Ask, Call
from inlay.errors import StoreError
from inlay.payload import encode_fields, values_hash
from inlay.providers.prices import estimate_tokens
from inlay.types import CellState, Completion, FieldAnswer, NewAnswer, Savings, Settlement, Usage

RAW_CAP = 64 * 1024
REPAIRS = 1


class Answers:
    """Answers of one lane's calls."""

    def __init__(self, host: Host, settling: Settling, lane: Lane[Call], failed: Failures) -> None:
        self.host = host
        self.settling = settling
        self.lane = lane
        self.failed = failed

    async def answered(self, ask: Ask, completion: Completion, latency_s: float) -> None:
        """The answer to one ask."""
        work = ask.work
        variant = work.variant(ask.names, ask.repair)
        usage, estimated = work.usage_or_estimate(ask, completion)
        cost = work.price.cost_nusd(usage) if work.price is not None else 0
        if variant.answer is None:
            self.lane.used_tokens(ask.tokens, usage.input_tokens + usage.output_tokens)
        reading = variant.reader.read(completion.text, ask.texts, truncated=completion.truncated)
        said = Said(completion, reading, usage, cost, estimated, latency_s, completion.text)
        if usage.cached_tokens or usage.cache_write_tokens:
            said.saved = Savings(cache_nusd=_cache_saved(work, usage, cost))
        await self._keep(ask, said)

    async def shared(
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
            said = Said(completion, None, usages[place], costs[place], estimated, latency_s, "")
            said.saved, said.sharing = saved, len(call.asks)
            keeping.append(self._keep_part(ask, document, said))
        host.tally.shared += len(call.asks) - 1
        results = await asyncio.gather(*keeping, return_exceptions=True)
        broken = next((result for result in results if isinstance(result, StoreError)), None)
        if broken is not None:
            raise broken
        for ask, result in zip(call.asks, results, strict=True):
            if isinstance(result, Exception):  # an error of ours costs its own record, not the others of the call
                await self.failed.ours(Call([[ask]]), result)

    async def _keep_part(self, ask: Ask, document: Any, said: Said) -> None:
        """Keep what a shared answer says for one ask."""
        said.reading = ask.work.variant(ask.names, ask.repair).reader.read_document(document, ask.texts)
        if said.reading.missing:
            said.raw = json.dumps(document, default=str, ensure_ascii=False)
        await self._keep(ask, said)

    async def _keep(self, ask: Ask, said: Said) -> None:
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
        claim_anew(self.host, [ask])


class Said:
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
    return 0 if work.price is None else work.price.uncached_nusd(usage) - cost


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
