"""Token buckets: how a rate is kept. What stays true: time comes from the caller, and waiting is left to it."""

from __future__ import annotations

# By so much timers wake late on a busy machine; what passes meanwhile is not lost.
LATE_S = 0.05


class Bucket:
    """A token bucket: `rate` units a second, at most `capacity` saved up. Time comes from the caller."""

    __slots__ = ("capacity", "level", "rate", "updated")

    def __init__(self, rate: float, capacity: float, now: float, level: float | None = None) -> None:
        self.rate = rate
        self.capacity = capacity
        self.level = capacity if level is None else level
        self.updated = now

    def wait(self, units: float, now: float) -> float:
        """Seconds until `units` may go (0: now). More than the capacity goes when the bucket is full."""
        self._fill(now)
        missing = min(units, self.capacity) - self.level
        return 0.0 if missing <= 1e-9 else missing / self.rate

    def take(self, units: float) -> None:
        """Take `units`; the level may go below zero (a call larger than the capacity)."""
        self.level -= units

    def change(self, rate: float, capacity: float) -> None:
        """From the last look at the bucket on it fills at this rate, to this capacity."""
        self.rate, self.capacity = rate, capacity
        self.level = min(self.level, capacity)

    def _fill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.updated) * self.rate)
        self.updated = now


def paced(per_second: float, now: float) -> Bucket:
    """A bucket for a declared rate: evenly spaced, with just enough slack for timers that wake late."""
    return Bucket(per_second, 1.0 + per_second * LATE_S, now, level=1.0)
