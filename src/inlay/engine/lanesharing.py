"""Limits shared by processes on one store: every runner notes its lanes about once a second, and takes its share.

What stays true: who is to take less does so as soon as it looks, who may take more does so one look later, so that
shares never add up to more than one while everybody looks in time; a runner that comes later begins no call until the
others had time to see it; one with nothing to do leaves nearly all to the others; a provider's "wait" and the limits
that its headers tell reach all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from inlay.engine.limits import Lane
from inlay.types import LaneNote

SHARE_S = 1.0  # how often runners look
SEEN_S = 1.5 * SHARE_S  # by then all have looked, late timers and a busy store included
IDLE = 0.02  # the weight of a runner that has no call to make


def share_of(busy: bool, others: Sequence[LaneNote]) -> float:
    """The part of a lane that one runner takes, beside these others. Pure."""
    own = 1.0 if busy else IDLE
    return own / (own + sum(1.0 if other.busy else IDLE for other in others))


class LaneSharing:
    """One runner's side of it. `wall` is the clock of the machine, in which notes tell of moments."""

    def __init__(self, lanes: Mapping[str, Lane[Any]], *, wall: Callable[[], float] = time.time) -> None:
        self._lanes = lanes
        self._wall = wall
        self._joined = False
        self._due: dict[str, float] = {}  # the share that follows from the last look
        self._begun: dict[str, int] = {}  # how many calls had begun by then

    def notes(self, shared: Iterable[str], now: float) -> list[LaneNote]:
        """What to tell of these lanes; `now` is the lanes' own clock."""
        return [self._note(lane, now) for name in shared if (lane := self._lanes.get(name)) is not None]

    def heard(self, notes: Sequence[LaneNote], others: Mapping[str, Sequence[LaneNote]]) -> None:
        """Take the shares that follow from what everybody noted."""
        first, self._joined = not self._joined, True
        for note in notes:
            lane, beside = self._lanes[note.lane], others.get(note.lane, ())
            due = share_of(note.busy, beside)
            before, self._due[note.lane] = self._due.get(note.lane, due), due
            lane.divide(min(due, before))
            told = max(beside, key=lambda other: other.told_at, default=None)
            if told is not None and told.told_at:
                lane.hear(told.requests_per_minute, told.tokens_per_minute)
            wait = max((other.gate_until for other in beside), default=0.0) - self._wall()
            if first and beside:
                wait = max(wait, SEEN_S)
            if wait > 0:
                lane.wait_for_others(wait)

    def _note(self, lane: Lane[Any], now: float) -> LaneNote:
        begun = lane.begun - self._begun.get(lane.name, 0)
        self._begun[lane.name] = lane.begun
        # Nobody knows yet whether a runner that has just come will have work: it will.
        busy = not self._joined or bool(lane.waiting or lane.active or begun)
        gate = self._wall() + lane.told_to_wait_until - now if lane.told_to_wait_until > now else 0.0
        if lane.told_at is None:
            return LaneNote(lane.name, busy, gate)
        told_at = self._wall() + lane.told_at - now
        return LaneNote(lane.name, busy, gate, lane.told_requests, lane.told_tokens, told_at)
