"""Rate limits as a provider keeps them: token buckets, the headers that tell of them, and headers that lie.

A bucket holds `burst_s` seconds' worth of its limit, starts full and refills evenly. What stays true: over any stretch
of t seconds it admits at most limit/60 x (burst_s + t), and a single call larger than the bucket waits for a full one.
"""

from __future__ import annotations

import math
import time
from email.utils import formatdate

from inlay.testing.settings import SimulatorSpec
from inlay.testing.wire import Announcing, Failure

_LIES = ("zero", "negative", "day", "text", "past_date", "missing", "remaining_negative")


class Bucket:
    """One token bucket. Times are seconds of any one clock."""

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.per_minute = per_minute
        self.rate = per_minute / 60.0
        self.size = max(1.0, self.rate * burst_s)
        self.level = self.size
        self.at = now

    def refill(self, now: float) -> None:
        """Bring the level up to date."""
        self.level = min(self.size, self.level + (now - self.at) * self.rate)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Seconds until so much may be taken: 0.0 for now. Refill first."""
        missing = min(amount, self.size) - self.level
        # A whisker of tolerance: 0.1 s x 10/s must make a whole request in floating point too.
        return missing / self.rate if missing > 1e-9 else 0.0

    def headers(self, noun: str, announcing: Announcing) -> list[tuple[str, str]]:
        """The three headers about this bucket, as that wire writes them."""
        left = max(0, math.floor(self.level + 1e-9))
        wait = (self.size - self.level) / self.rate
        if announcing == "anthropic":
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + math.ceil(wait)))
            stem, reset = f"anthropic-ratelimit-{noun}-", at
            return [
                (f"{stem}limit", f"{self.per_minute:.0f}"),
                (f"{stem}remaining", f"{left}"),
                (f"{stem}reset", reset),
            ]
        reset = duration(wait) if announcing == "openai" else str(math.ceil(wait))
        return [
            (f"x-ratelimit-limit-{noun}", f"{self.per_minute:.0f}"),
            (f"x-ratelimit-remaining-{noun}", f"{left}"),
            (f"x-ratelimit-reset-{noun}", reset),
        ]


class Limits:
    """The buckets of one simulator: requests a minute and tokens a minute."""

    def __init__(self, spec: SimulatorSpec, now: float) -> None:
        self.spec = spec
        self.requests = _bucket(spec.requests_per_minute, spec.burst_s, now)
        self.tokens = _bucket(spec.tokens_per_minute, spec.burst_s, now)
        self._turn = 0

    def admit(self, model: str, tokens: int, now: float) -> Failure | None:
        """Take one request and so many tokens, or say why not; nothing is taken then, unless rejected calls count."""
        buckets = [(b, noun, amount) for b, noun, amount in self._each(tokens) if b is not None]
        waits = []
        for bucket, noun, amount in buckets:
            bucket.refill(now)
            waits.append((bucket.wait_s(amount), noun, bucket, amount))
        worst = max(waits, key=lambda wait: wait[0], default=None)
        refused = worst is not None and worst[0] > 0
        if not refused or self.spec.count_rejected:
            for bucket, _, amount in buckets:
                # Never deeper than one full bucket in debt, or refused calls would shut the door for good.
                bucket.level = max(-bucket.size, bucket.level - amount)
        if worst is None or not refused:
            return None
        return self._failure(model, *worst)

    def _each(self, tokens: int) -> list[tuple[Bucket | None, str, float]]:
        return [(self.requests, "requests", 1.0), (self.tokens, "tokens", float(tokens))]

    def _failure(self, model: str, wait: float, noun: str, bucket: Bucket, amount: float) -> Failure:
        short = "RPM" if noun == "requests" else "TPM"
        used = max(0.0, bucket.per_minute - max(0.0, bucket.level))
        message = (
            f"Rate limit reached for {model} in organization org-simulator on {noun} per min ({short}): "
            f"Limit {bucket.per_minute:.0f}, Used {used:.0f}, Requested {amount:.0f}. "
            f"Please try again in {duration(wait)}."
        )
        return Failure(429, f"rate_{noun}", message, retry_after_s=wait)

    def headers(self, announcing: Announcing = "openai") -> list[tuple[str, str]]:
        """The rate-limit headers of every answer; none where nothing is limited."""
        out: list[tuple[str, str]] = []
        if announcing == "nothing":
            return out
        for bucket, noun, _ in self._each(0):
            if bucket is not None and self.spec.announce_limits:
                out += bucket.headers(noun, announcing)
        if self.spec.lying_headers in ("remaining_negative", "rotate"):
            out = [(name, "-1" if "remaining" in name else value) for name, value in out] or [
                ("x-ratelimit-remaining-requests", "-1")
            ]
        return out

    def retry_headers(self, retry_after_s: float | None, announcing: Announcing = "openai") -> list[tuple[str, str]]:
        """What a 429 or 503 says about waiting: the truth, or the lie that was asked for."""
        if announcing == "nothing":
            return []
        lie = self.spec.lying_headers
        if lie == "rotate":
            lie = _LIES[self._turn % len(_LIES)]
            self._turn += 1
        if lie is None or lie == "remaining_negative":
            if retry_after_s is None:
                return []
            millis = math.ceil(retry_after_s * 1000)
            seconds = ("retry-after", str(math.ceil(retry_after_s)))
            return [seconds] if announcing == "anthropic" else [seconds, ("retry-after-ms", str(millis))]
        if lie == "missing":
            return []
        past = formatdate(time.time() - 3600, usegmt=True)
        says = {"zero": "0", "negative": "-1", "day": "86400", "text": "in a little while", "past_date": past}
        return [("retry-after", says[lie])]


def _bucket(per_minute: float | None, burst_s: float, now: float) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute, burst_s, now)


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: 120ms, 1s, 1.5s, 6m0s."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    whole = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{minutes:.0f}m{whole}s" if minutes else f"{whole}s"
