"""Limits shared by processes on one store: every runner notes its lanes about once a second, and takes its share.

What stays true: shares add up to one as soon as everybody has looked; a runner that comes later begins no call until
the others had time to see it; one with nothing to do leaves nearly all to the others; a provider's "wait" reaches all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from inlay.engine.limits import Lane
from inlay.types import LaneNote

SHARE_S = 1.0  # how often runners look
IDLE = 0.02  # the weight of a runner that has no call to make


def share_of(busy: bool, others: Sequence[LaneNote]) -> float:
    """The part of a lane that one runner takes, beside these others. Pure."""
    own = 1.0 if busy else IDLE
    return own / (own + sum(1.0 if other.busy else IDLE for other in others))


class LaneSharing:
    """One runner's side of it. `wall` is the clock of the machine, which gates are told in."""

    def __init__(self, lanes: Mapping[str, Lane[Any]], *, wall: Callable[[], float] = time.time) -> None:
        self._lanes = lanes
        self._wall = wall
        self._joined = False

    def notes(self, shared: Iterable[str], now: float) -> list[LaneNote]:
        """What to tell of these lanes; `now` is the lanes' own clock."""
        return [
            LaneNote(name, bool(lane.waiting or lane.active), self._gate(lane, now))
            for name in shared
            if (lane := self._lanes.get(name)) is not None
        ]

    def heard(self, notes: Sequence[LaneNote], others: Mapping[str, Sequence[LaneNote]]) -> None:
        """Take the shares that follow from what everybody noted."""
        first, self._joined = not self._joined, True
        for note in notes:
            lane, beside = self._lanes[note.lane], others.get(note.lane, ())
            # Nobody knows yet whether a runner that has just come will have work: it will.
            lane.divide(share_of(note.busy or first, beside))
            wait = max((other.gate_until for other in beside), default=0.0) - self._wall()
            if first and any(other.busy for other in beside):
                wait = max(wait, SHARE_S)
            if wait > 0:
                lane.wait_for_others(wait)

    def _gate(self, lane: Lane[Any], now: float) -> float:
        left = lane.told_to_wait_until - now
        return self._wall() + left if left > 0 else 0.0
