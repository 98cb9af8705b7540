"""The forms in which people and models write names, numbers, dates and times; read only where one reading is possible.

What stays true: nothing is guessed. `12%` is no number, `03/04/2024` is no date, `1.000` is no whole number (it may be
one or a thousand). Digits of every script count (`３`, `٣`). Everything is linear in the length of the text, and text
longer than any number or date is refused before it is looked at.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata

# Longer text is no number and no date.
LONGEST_FORM = 64

_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")

# Arabic separators and typographic signs that NFKC leaves alone; spaces and apostrophes may group digits.
_SIGNS = str.maketrans({"٬": ",", "٫": ".", "−": "-", "‐": "-", "‑": "-", "–": "-", "’": "'", "⁄": "/"})
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_GROUPED = {
    ",": re.compile(r"([+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+|[+-]?[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(\.[0-9]+)?"),
    ".": re.compile(r"([+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(,[0-9]+)?"),
    " ": re.compile(r"([+-]?[1-9][0-9]{0,2}(?: [0-9]{3})+)([.,][0-9]+)?"),
    "'": re.compile(r"([+-]?[1-9][0-9]{0,2}(?:'[0-9]{3})+)([.,][0-9]+)?"),
}
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_MAYBE_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")


def ascii_form(text: str) -> str:
    """Trimmed, with full-width forms, digits of other scripts and typographic signs as ASCII."""
    text = text.strip()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text).strip()


def loose(text: str) -> str:
    """A name or label without what models vary: width, case, spaces, underscores and hyphens."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text).casefold())


def parse_number(text: str, *, whole: bool = False) -> int | float | None:
    """The number that a text is, or None where it is none or may be two.

    Reads `1234`, `1,234.5`, `1.234,5`, `1 234`, `12,34,567`, `1,5`, `1e3` and one currency sign before or after.
    `1,234` is a thousand and more. A lone point is a decimal point, except where thousands could be meant and
    that matters: for `whole` numbers and for money.
    """
    if len(text) > LONGEST_FORM:
        return None
    text = ascii_form(text)
    bare = _without_currency(text)
    if _MAYBE_GROUPED.fullmatch(bare) and (whole or bare != text):
        return None
    if _PLAIN.fullmatch(bare):
        value = float(bare)
        if not math.isfinite(value):
            return None
        return int(bare) if bare.lstrip("+-").isdigit() else value
    # Two or more points group; one alone was read as decimal above. A comma before three digits groups.
    for sign, grouped in _GROUPED.items():
        if sign in bare and (match := grouped.fullmatch(bare)):
            digits = match[1].replace(sign, "")
            return float(f"{digits}.{match[2][1:]}") if match[2] else int(digits)
    if _DECIMAL_COMMA.fullmatch(bare):
        return float(bare.replace(",", "."))
    return None


def _without_currency(text: str) -> str:
    """The text without one currency sign at one end; a minus before the sign stays."""
    minus, rest = ("-", text[1:].lstrip()) if text[:1] == "-" else ("", text)
    if rest and unicodedata.category(rest[0]) == "Sc":
        return minus + rest[1:].lstrip()
    if rest and unicodedata.category(rest[-1]) == "Sc":
        return minus + rest[:-1].rstrip()
    return text


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"),
            ("february", "feb"),
            ("march", "mar"),
            ("april", "apr"),
            ("may",),
            ("june", "jun"),
            ("july", "jul"),
            ("august", "aug"),
            ("september", "sep", "sept"),
            ("october", "oct"),
            ("november", "nov"),
            ("december", "dec"),
        ),
        1,
    )
    for name in names
}
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})|([0-9]{4})([0-9]{2})([0-9]{2})")
_EAST_ASIAN = re.compile(r"([0-9]{4}) ?[年년] ?([0-9]{1,2}) ?[月월] ?([0-9]{1,2}) ?[日일]")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? )?"
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th)?"
_DAY_MONTH = re.compile(_WEEKDAY + _DAY + r"(?: of)?[ -]([a-z]{3,9})\.?,?[ -]([0-9]{4})")
_MONTH_DAY = re.compile(_WEEKDAY + r"([a-z]{3,9})\.? " + _DAY + r",? ([0-9]{4})")
_ISO_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})[Tt ]([0-9]{2}:?[0-9]{2}.*)", re.DOTALL)
_CLOCK = re.compile(r"(.+?)(?:,? at |, ?| )([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?: ?(?:UTC|(Z)))?", re.IGNORECASE)


def parse_date(text: str) -> dt.date | None:
    """The date that a text is, or None where it is none or may be two (`03/04/2024`). The year has four digits.

    A date with a time gives the date as written, whatever the time zone.
    """
    if len(text) > LONGEST_FORM:
        return None
    text = " ".join(ascii_form(text).lower().split())
    if timed := _ISO_TIME.fullmatch(text):
        return None if _iso_datetime(text) is None else _iso_day(timed[1])
    return _iso_day(text) or _named_day(text) or _year_last(text)


def _iso_day(text: str) -> dt.date | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return _day(match[1] or match[5], match[3] or match[6], match[4] or match[7])
    if match := _EAST_ASIAN.fullmatch(text):
        return _day(match[1], match[2], match[3])
    return None


def _named_day(text: str) -> dt.date | None:
    if match := _DAY_MONTH.fullmatch(text):
        return _day(match[3], _MONTHS.get(match[2], 0), match[1])
    if match := _MONTH_DAY.fullmatch(text):
        return _day(match[3], _MONTHS.get(match[1], 0), match[2])
    return None


def _year_last(text: str) -> dt.date | None:
    """`13/04/2024` can only be one date; `03/04/2024` could be two and is none."""
    match = _YEAR_LAST.fullmatch(text)
    if match is None:
        return None
    readings = {_day(match[4], match[3], match[1]), _day(match[4], match[1], match[3])} - {None}
    return readings.pop() if len(readings) == 1 else None


def _day(year: str | int, month: str | int, day: str | int) -> dt.date | None:
    try:
        return dt.date(int(year), int(month), int(day))
    except ValueError:
        return None


def parse_datetime(text: str) -> dt.datetime | None:
    """The moment that a text is: aware (in UTC) where it names its zone, else naive; a date alone is its midnight."""
    if len(text) > LONGEST_FORM:
        return None
    text = " ".join(ascii_form(text).split())
    if _ISO_TIME.fullmatch(text):
        return _iso_datetime(text)
    clock = _CLOCK.fullmatch(text)
    if clock and (day := parse_date(clock[1])):
        zone = dt.UTC if text[-1:] in "Zz" or text[-3:].upper() == "UTC" else None
        try:
            time = dt.time.fromisoformat(clock[2].rjust(8 if clock[2].count(":") > 1 else 5, "0"))
            return dt.datetime.combine(day, time, zone)
        except ValueError:
            return None
    day = parse_date(text)
    return None if day is None else dt.datetime.combine(day, dt.time())


def _iso_datetime(text: str) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(text.upper())
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def datetime_text(moment: dt.datetime) -> str:
    """ISO 8601: an aware moment in UTC with `Z`, a naive one without."""
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
