"""What every store shares: the scopes that money is counted in, the reasons that end a cell for good, and what a
correction may say.

What stays true: an attempt counts in the scopes of its run and of the moment it was opened, from reservation to
settlement, so that a call that ends after midnight settles where it was reserved. Days and months are UTC.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import orjson

from inlay.errors import CellError, StoreError
from inlay.payload import decode_fields, values_hash
from inlay.stores.rows import clean
from inlay.types import Claim, Correction, NullReason, StoredAnswer

DAY_MS = 86_400_000
LOST = "lost"  # outcome of an attempt whose runner died: it may have been paid for
STOPPED_LOST = "stopped: lost"  # outcome of a run whose runner died
ASKED_AGAIN = "asked_again"  # the reason of a terminal failure that `inlay retry` reopened


def _kinds(error: type[CellError]) -> set[str]:
    return {error.kind}.union(*(_kinds(leaf) for leaf in error.__subclasses__()))


# The same record asked again unchanged would fail again: these stay failed until somebody asks for them.
TERMINAL_REASONS = frozenset(_kinds(CellError))


@lru_cache(maxsize=256)
def _day(day: int) -> tuple[str, str]:
    stamp = time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))
    return f"day:{stamp}", f"month:{stamp[:7]}"


def scopes(budget_run: int, at_ms: int) -> tuple[str, str, str, str]:
    """The scopes that money reserved at this moment counts in: its run, its day, its month, all time."""
    day, month = _day(at_ms // DAY_MS)
    return f"run:{budget_run}", day, month, "total"


def scope_of(per: str, budget_run: int, at_ms: int) -> str:
    """The one scope that a budget `per` run, day, month or total looks at."""
    try:
        return scopes(budget_run, at_ms)[("run", "day", "month", "total").index(per)]
    except ValueError:
        raise StoreError(
            f"a budget cannot be counted per {per!r}", remedy="use one of: run, day, month, total"
        ) from None


def young_enough(found: Mapping[bytes, StoredAnswer], wish: Claim) -> bool:
    """Whether an answer that is there already will do for this claim."""
    answer = found.get(wish.fingerprint)
    return answer is not None and answer.created_at >= wish.since


def refuse_twice(fingerprints: list[bytes]) -> None:
    """Raise a StoreError where one address stands twice in a single call to `claim`."""
    if len(set(fingerprints)) != len(fingerprints):
        raise StoreError(
            "the same address was claimed twice in one call",
            remedy="claim each address once and share its answer between the cells that want it",
        )


def values_match(payload: bytes, expected: bytes) -> bool:
    """Whether a values hash follows from its payload. A failed answer may have neither fields nor hash."""
    if not payload and not expected:
        return True
    try:
        return values_hash(decode_fields(payload)) == expected
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # not what encode_fields writes
        return False


def correction_place(correction: Correction) -> tuple[str, str, str]:
    """(pass, row key, field): of several corrections of one place the last one counts."""
    return correction.pass_name, correction.key, correction.field


def correction_kept(correction: Correction, at_ms: int) -> Correction:
    """A correction as every store gives it back: its value the plain JSON it stands for, its time the store's.

    StoreError where the value is no JSON, or a null has no reason, or a value has one.
    """
    try:
        value = orjson.loads(orjson.dumps(correction.value))
        same = value == correction.value
    except (TypeError, ValueError) as error:
        raise _no_value(correction, f"has a value that cannot be kept ({error})") from None
    if not same:  # a number that is none, a tuple, a date
        raise _no_value(correction, "has a value that is no plain JSON")
    if not correction.withdrawn and (value is None) != (correction.null_reason is not None):
        raise _no_value(correction, "has both a value and a reason for none" if value is not None else "has no reason")
    return replace(
        correction, value=value, note=clean(correction.note), author=clean(correction.author), at=at_ms / 1000
    )


def _no_value(correction: Correction, what: str) -> StoreError:
    return StoreError(
        f"the correction of {correction.field!r} in pass {correction.pass_name!r} for row {correction.key!r} {what}",
        remedy="give text, a finite number, true or false, a list or an object; or null with one of: "
        + ", ".join(NullReason),
    )
