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

import random
from collections.abc import Callable, Mapping

from inlay.engine.answered import Answers
from inlay.engine.failed import Failures
from inlay.engine.host import Host, Sender
from inlay.engine.limits import Lane
from inlay.engine.settling import Settling
from inlay.engine.work import Call
from inlay.errors import CellError, RunError, SchemaRejected, StoreError, Transient


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
        self.lane = lane
        self.sender = sender
        self.clock = clock
        self.failed = Failures(host, settling, lane, rng)
        self.answers = Answers(host, settling, lane, self.failed)

    async def work(self) -> None:
        """A worker: take a call, see it through, take the next."""
        lane = self.lane
        while (call := await lane.take()) is not None:
            try:
                await self.once(call)
            except StoreError:
                pass  # the writer has stopped the run already
            except Exception as error:  # noqa: BLE001 (the edge: an error of ours costs these records, not the run)
                await self.failed.ours(call, error)
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
            await self.failed.transient(call, error, sent_at)
        except CellError as error:
            self.lane.succeeded(sent_at, headers)
            await self.failed.refused(call, error)
        except RunError as error:
            if isinstance(error, SchemaRejected) and call.shared is not None:
                call.shared.refused(for_good=True)
                await self.failed.apart(call, error)
            else:
                await self.failed.unusable(call, error)
        else:
            self.lane.succeeded(sent_at, headers)
            latency_s = self.clock() - sent_at
            if call.shared is None:
                await self.answers.answered(first, completion, latency_s)
            else:
                await self.answers.shared(call, call.shared, ids, completion, latency_s)
