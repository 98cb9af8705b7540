"""Numbers, truth values and dates compiled to functions, and how a value that does not fit is shown.

What stays true: nothing is rounded or guessed; a number that lost digits on its way is refused; dates and times come
out as ISO 8601 text, moments with a time zone in UTC.
"""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Callable
from typing import Any

from inlay.engine.forms import datetime_text, parse_date, parse_datetime, parse_number
from inlay.engine.salvage import Unreadable
from inlay.errors import SpecError
from inlay.spec.fields import FieldSpec

MAX_INT = 2**63 - 1
# Beyond this a JSON number that arrived as a float may have lost digits.
EXACT_FLOAT = 2**53

_YES_NO = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
_LONGEST_WORD = 32


class Unfit(Exception):
    """The value does not fit its field; the text says why, in one line. Stays inside the reading of an answer."""


def one_line(text: str, limit: int) -> str:
    """The text cut to `limit` characters on one line; control, bidi and broken characters are escaped."""
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return cut if len(text) <= limit and len(cut) <= limit else cut[: limit - 1] + "…"


def shown(raw: Any, limit: int = 40) -> str:
    """A raw value for a message: short, one line, whatever it is and however deep."""
    if isinstance(raw, Unreadable):
        return raw.problem
    if isinstance(raw, str):
        return f"'{one_line(raw, limit)}'"
    if isinstance(raw, list):
        return f"a list of {len(raw)}"
    if isinstance(raw, dict):
        return "an object"
    if raw is None or isinstance(raw, bool):
        return {None: "null", True: "true", False: "false"}[raw]
    if isinstance(raw, int) and abs(raw) > MAX_INT:
        return "a number beyond 64 bits"
    return repr(raw)


def scalar(raw: Any) -> Any:
    """The raw value, or the one scalar that a list holds."""
    if type(raw) is list and len(raw) == 1 and not isinstance(raw[0], list | dict):
        return raw[0]
    return raw


# --- numbers and truth -----------------------------------------------------------------------------------------------


def _bounds(name: str, spec: FieldSpec) -> tuple[float | int | None, float | int | None]:
    for bound in (spec.min, spec.max):
        if isinstance(bound, dt.date):
            raise SpecError(f"`min` and `max` of {name} must be numbers", key=name, remedy=f"it is {spec.type}")
    return spec.min, spec.max  # type: ignore[return-value]


def compile_integer(name: str, spec: FieldSpec) -> Callable[[Any], Any]:
    """Whole numbers that fit 64 bits, within min and max."""
    low, high = _bounds(name, spec)

    def read(raw: Any) -> int:
        value = raw if type(raw) is int else _whole(scalar(raw))
        if (low is not None and value < low) or (high is not None and value > high):
            raise Unfit(_out_of_range(value, low, high))
        if not -MAX_INT <= value <= MAX_INT:
            raise Unfit("does not fit 64 bits")
        return value

    return read


def _whole(raw: Any) -> int:
    number = parse_number(raw, whole=True) if type(raw) is str else raw
    if type(number) is int:
        return number
    if type(number) is float and number.is_integer() and abs(number) <= EXACT_FLOAT:
        return int(number)
    raise Unfit(f"{shown(raw)} is not a whole number")


def compile_number(name: str, spec: FieldSpec) -> Callable[[Any], Any]:
    """Finite numbers as floats, within min and max."""
    low, high = _bounds(name, spec)

    def read(raw: Any) -> float:
        value = raw if type(raw) is float else _real(scalar(raw))
        if not math.isfinite(value):
            raise Unfit("is not a finite number")
        if (low is not None and value < low) or (high is not None and value > high):
            raise Unfit(_out_of_range(value, low, high))
        return value + 0.0  # -0.0 becomes 0.0

    return read


def _real(raw: Any) -> float:
    number = parse_number(raw) if type(raw) is str else raw
    if type(number) is int or type(number) is float:
        try:
            return float(number)
        except OverflowError:
            raise Unfit("is not a finite number") from None
    raise Unfit(f"{shown(raw)} is not a number")


def _out_of_range(value: Any, low: Any, high: Any) -> str:
    if low is not None and value < low:
        return f"{shown(value)} is below min {low}"
    return f"{shown(value)} is above max {high}"


def compile_boolean(name: str, spec: FieldSpec) -> Callable[[Any], Any]:
    """true and false, also as yes, no, 1 and 0."""

    def read(raw: Any) -> bool:
        if type(raw) is bool:
            return raw
        value = scalar(raw)
        if type(value) is bool:
            return value
        if type(value) is str and len(value) <= _LONGEST_WORD:
            word = unicodedata.normalize("NFKC", value).strip().casefold()
            if word in _YES_NO:
                return _YES_NO[word]
        elif (type(value) is int or type(value) is float) and value in (0, 1):
            return value == 1
        raise Unfit(f"{shown(value)} is neither true nor false")

    return read


# --- dates and times -------------------------------------------------------------------------------------------------


def _moment(value: dt.date) -> dt.datetime:
    """For comparison: a date is its midnight, a time without a zone is UTC."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)


def compile_date(name: str, spec: FieldSpec) -> Callable[[Any], Any]:
    """Dates (or, for `datetime`, moments) with one clear reading, within min and max."""
    timed = spec.type == "datetime"
    bounds: list[dt.datetime | None] = []
    for bound in (spec.min, spec.max):
        if bound is not None and not isinstance(bound, dt.date):
            raise SpecError(f"`min` and `max` of {name} must be dates", key=name, remedy="write them as 2024-01-31")
        day = bound if timed or not isinstance(bound, dt.datetime) else bound.date()
        bounds.append(None if day is None else _moment(day))
    low, high = bounds

    def read(raw: Any) -> str:
        value = scalar(raw)
        found = (parse_datetime if timed else parse_date)(value) if type(value) is str else None
        if found is None:
            raise Unfit(f"{shown(value)} is not {'a time' if timed else 'a date'} with one clear reading")
        if low is not None and _moment(found) < low:
            raise Unfit(f"{shown(value)} is before min {spec.min}")
        if high is not None and _moment(found) > high:
            raise Unfit(f"{shown(value)} is after max {spec.max}")
        return datetime_text(found) if isinstance(found, dt.datetime) else found.isoformat()

    return read
