"""Numbers, money and time in words, for pages and terminals alike."""

from __future__ import annotations

import datetime as dt


def count(number: int) -> str:
    """12,345."""
    return f"{number:,}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def dollars(amount: float | None) -> str:
    """US dollars with as many digits as the amount needs; None is a price that nobody knows."""
    if amount is None:
        return "price unknown"
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if abs(amount) >= 1 else f"${amount:.4f}" if abs(amount) >= 0.01 else f"${amount:.6f}"


def percent(part: float, whole: float) -> str:
    """`12.5%`; never 100% or 0% of what is not quite all or nothing."""
    if not whole:
        return "–"
    share = part * 100 / whole
    if 0 < part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.1f}%"


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def when(epoch_s: float) -> str:
    """A moment in UTC, to the second."""
    return f"{dt.datetime.fromtimestamp(epoch_s, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(number: float) -> str:
    """A number in little room: `12`, `0.25`, `1,250`, `45k`, `1.2M`."""
    size = abs(number)
    for above, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= above:
            scale = 1e3 if unit == "k" else above
            return f"{number / scale:.1f}".removesuffix(".0") + unit
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:,.1f}".removesuffix(".0") if size >= 100 else f"{number:.3g}"
