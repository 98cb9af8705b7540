"""Numbers and dates as the lexical model finds them in folded text: amounts, ranges, currencies, units, periods.

What stays true: one linear walk a source; a span is a span of the original text; a number that could be read in two
ways (03/04/2024) is not read at all.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from dataclasses import dataclass

from inlay.providers.lexical_text import Record, Sentence

_CODES = re.findall(
    r"[a-z]{3}",
    "usd eur gbp jpy cny krw inr cad aud nzd sgd hkd chf sek nok dkk pln czk huf ron try brl mxn cop clp ars pen aed "
    "sar qar omr kwd bhd egp mad ils zar ngn kes thb vnd idr myr php twd",
)
_SIGNS = {
    "us$": "USD", "r$": "BRL", "c$": "CAD", "ca$": "CAD", "a$": "AUD", "s$": "SGD", "hk$": "HKD", "nz$": "NZD",
    "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "円": "JPY", "₹": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY",
    "₪": "ILS", "₫": "VND", "฿": "THB", "rm": "MYR", "euros": "EUR", "euro": "EUR", "dollars": "USD", "zł": "PLN",
    "元": "CNY", "원": "KRW",
}  # fmt: skip
CURRENCY = {**_SIGNS, **{code: code.upper() for code in _CODES}}
_BEFORE = r"(?:us\$|ca\$|hk\$|nz\$|[rcas]\$|[$€£¥₹₩₽₺₪₫฿]|(?<![a-z])(?:rm|" + "|".join(_CODES) + r")(?![a-z]))"
_AFTER = r"(?:[$€£¥円元원₹₩₽₺₪₫฿]|zł|(?:euros?|dollars|" + "|".join(_CODES) + r")(?![a-z]))"
_NUMBER = r"\d{1,3}(?:[,.'’\u00a0\u202f ]\d{3})+(?!\d)(?:[.,]\d{1,2}(?!\d))?|\d{1,15}(?!\d)(?:[.,]\d{1,6}(?!\d))?"
_SCALE = r"(?:k|mm|mn|m|bn|million|thousand|billion|万|億)(?![a-z])|万|億"
_TO = r"(?:-|–|—|~|〜|～|to|and|or|bis|a|y|à|até|hasta|から)"
_QUANTITY = re.compile(
    rf"(?<![0-9a-zà-ÿ.,])(?:(?P<c1>{_BEFORE})\s{{0,6}})?(?P<n1>{_NUMBER})(?:\s?(?P<s1>{_SCALE}))?(?:\s?(?P<c2>{_AFTER}))?(?P<plus>\+)?"
    rf"(?:\s?{_TO}\s{{0,7}}(?:(?P<c3>{_BEFORE})\s{{0,6}})?(?P<n2>{_NUMBER})(?:\s?(?P<s2>{_SCALE}))?(?:\s?(?P<c4>{_AFTER}))?)?"
    rf"(?P<plus2>\+)?"
)
_MULTIPLIER = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mm": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9, "万": 1e4,
    "億": 1e8,
}  # fmt: skip
_UNITS = {
    "year": r"years?|yrs?|años?|anos?|jahren?|ans|年",
    "month": r"months?|mos?|meses|mês|monaten?|mois|か月|ヶ月|カ月",
    "week": r"weeks?|wks?|semanas?|wochen?|semaines?|週間?",
    "day": r"days?|días?|dias?|tagen?|jours?|日",
    "hour": r"hours?|hrs?|horas?|stunden?|heures?|h|時間",
    "minute": r"minutes?|mins?|minutos?|分",
    "percent": r"%|percent|per cent|％",
}
_UNIT = re.compile(
    r"\s?-?\s?(?:\(\d+\)\s)?(?:" + "|".join(f"(?P<{unit}>{words})" for unit, words in _UNITS.items()) + r")(?![a-z])"
)
_PERIOD = re.compile(
    r"(?P<year>(?:per|a|an|each|/)\s?(?:year|yr|annum)\b|annual(?:ly)?\b|yearly\b|\bp\.?a\."
    r"|年収|por año|al año|por ano|base\b)"
    r"|(?P<month>(?:per|a|each|/)\s?(?:month|mo)\b|monthly\b|月給|月収|mensual(?:es)?\b"
    r"|por m[eê]s\b|mensais\b|im monat)"
    r"|(?P<day>(?:per|a|/)\s?day\b|daily\b|日給)"
    r"|(?P<week>(?:per|a|/)\s?(?:week|wk)\b|weekly\b)"
    r"|(?P<hour>(?:per|an|each|/)\s?(?:hour|hr|h)\b|hourly\b|時給|por hora)"
)
_COUNTED = re.findall(
    r"\w+", "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
)
_WORD_NUMBER = re.compile(
    rf"\b(?P<n>{'|'.join(_COUNTED[1:])})(?:\s?(?:-|–|to|or)\s?(?P<m>{'|'.join(_COUNTED[1:])}))?\b"
)
_LOW_CUE = re.compile(
    r"(?:at least|minimum(?: of)?|min\.?|not less than|from|mínimo(?: de)?|mindestens|over|more than)\s*$"
)
_HIGH_CUE = re.compile(
    r"(?:up to|at most|maximum(?: of)?|max\.?|not more than|no more than|below|under|hasta|até|bis zu)\s*$"
)
_OR_MORE = re.compile(r"\s*\S{0,12}\s?(?:or more|or longer|and more|minimum|以上|o más|ou mais|plus\b)")


@dataclass(slots=True, eq=False)
class Quantity:
    """A number in a text, or a range of two. `currency` is an ISO code; `unit` and `period` are English singulars."""

    sentence: Sentence
    start: int
    end: int
    low: float | None
    high: float | None
    currency: str | None = None
    unit: str | None = None
    period: str | None = None
    is_range: bool = False
    at_least: bool = False


@dataclass(slots=True, eq=False)
class Day:
    """A date in a text; `time` is HH:MM:SS where one stands beside it."""

    sentence: Sentence
    start: int
    end: int
    date: dt.date
    time: str | None


def parse_number(text: str) -> float:
    """`1,234.5`, `7.500.000`, `98 000`, `1,5`: the last sign of two kinds is the decimal one; three digits group."""
    text = re.sub(r"['’\u00a0\u202f ]", "", text)
    marks = [char for char in text if char in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1]
        text = text.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    elif len(marks) > 1:
        text = text.replace(marks[0], "")
    elif marks:
        whole, part = text.split(marks[0])
        grouped = len(part) == 3 and whole.strip("0") != "" and len(whole) <= 3
        text = whole + part if grouped else f"{whole}.{part}"
    return float(text)


def find_quantities(record: Record) -> list[Quantity]:
    """Every number of a record, in order."""
    out: list[Quantity] = []
    for source in record.sources:
        sentences = [one for one in record.sentences if one.source is source]
        begins = [one.start for one in sentences]
        if not sentences:
            continue
        for match in _QUANTITY.finditer(source.folded):
            sentence = sentences[max(0, bisect_right(begins, match.start()) - 1)]
            out.append(_quantity(source.folded, match, sentence))
        for match in _WORD_NUMBER.finditer(source.folded):
            if (unit := _UNIT.match(source.folded, match.end())) is not None:
                sentence = sentences[max(0, bisect_right(begins, match.start()) - 1)]
                low = float(_COUNTED.index(match["n"]))
                high = float(_COUNTED.index(match["m"])) if match["m"] else low
                found = Quantity(sentence, match.start(), unit.end(), low, high, unit=unit.lastgroup)
                found.is_range = match["m"] is not None
                out.append(_bounded(source.folded, found, unit.end()))
    return out


def _quantity(text: str, match: re.Match[str], sentence: Sentence) -> Quantity:
    n1, n2 = match["n1"], match["n2"]
    low = parse_number(n1)
    high = low
    scale1, scale2 = match["s1"], match["s2"]
    end = match.end()
    if n2 is not None:
        high = parse_number(n2)
        if scale2:
            high *= _MULTIPLIER[scale2]
        scale1 = scale1 or (scale2 if low * 50 < high else None)  # "120-150k"
        if scale1:
            low *= _MULTIPLIER[scale1]
        if high < low:  # not a range after all: "since 2019 and 3 more"
            n2, high, end = None, low, max(match.end("n1"), match.end("s1"), match.end("c2"), match.end("plus"))
    elif scale1:
        low = high = low * _MULTIPLIER[scale1]
    signs = [sign for name in ("c1", "c2", "c3", "c4") if (sign := match[name])] if n2 or match["n2"] is None else []
    if not signs and match["c1"]:
        signs = [match["c1"]]
    found = Quantity(sentence, match.start(), end, low, high, CURRENCY.get(signs[0]) if signs else None)
    found.is_range = n2 is not None
    found.at_least = bool(match["plus"] or match["plus2"])
    if not found.currency and (unit := _UNIT.match(text, end)) is not None:
        found.unit, found.end = unit.lastgroup, unit.end()
    return _bounded(text, found, found.end)


def _bounded(text: str, found: Quantity, end: int) -> Quantity:
    """Read the words around: "at least", "up to", "or more", "per year", "monthly salary"."""
    before = text[max(found.sentence.start, found.start - 30) : found.start]
    if not found.is_range:
        if _LOW_CUE.search(before) or _OR_MORE.match(text, end):
            found.at_least = True
        elif _HIGH_CUE.search(before):
            found.low = None
        if found.at_least:
            found.high = None
    if found.currency:
        period = _PERIOD.search(text, end, min(len(text), end + 45)) or _PERIOD.search(before)
        found.period = period.lastgroup if period else None
    return found


# --- dates ---------------------------------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janvier enero janeiro",
            "february feb februar février febrero fevereiro",
            "march mar märz mars marzo março",
            "april apr avril abril",
            "may mai mayo maio",
            "june jun juni juin junio junho",
            "july jul juli juillet julio julho",
            "august aug août agosto",
            "september sep sept septembre septiembre setembro",
            "october oct oktober octobre octubre outubro",
            "november nov novembre noviembre novembro",
            "december dec dezember décembre diciembre dezembro",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATES = re.compile(
    r"(?<![\d.])(?:(?P<y1>\d{4})(?P<sep>[-/.])(?P<m1>\d{1,2})(?P=sep)(?P<d1>\d{1,2})(?!\d)"
    r"|(?P<y2>\d{4})\s?年\s?(?P<m2>\d{1,2})\s?月\s?(?P<d2>\d{1,2})\s?日"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th|\.)?\s(?:of\s|de\s)?(?P<m3>{_MONTH})\.?,?\s(?:de\s)?(?P<y3>\d{{4}})(?!\d)"
    r"|(?P<a>\d{1,2})(?P<sep2>[/.])(?P<b>\d{1,2})(?P=sep2)(?P<y5>\d{4})(?!\d))"
    rf"|\b(?P<m4>{_MONTH})\.?\s(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,?\s(?P<y4>\d{{4}})(?!\d)"
)
_TIME = re.compile(r"(?:t|,|\sat|\s)?\s?(\d{1,2}):(\d{2})(?::(\d{2}))?\s?(am|pm)?(?!\d)")


def find_days(record: Record) -> list[Day]:
    """Every full date of a record that can be read in one way only, in order."""
    out: list[Day] = []
    for sentence in record.sentences:
        text = sentence.source.folded
        for match in _DATES.finditer(text, sentence.start, sentence.end):
            if (date := _date(match)) is not None:
                clock = _TIME.match(text, match.end(), sentence.end)
                out.append(Day(sentence, match.start(), match.end(), date, _time(clock)))
    return out


def _date(match: re.Match[str]) -> dt.date | None:
    for way in "1234":
        if match["y" + way]:
            month = match["m" + way]
            number = int(month) if month.isdigit() else _MONTHS[month]
            return _real(int(match["y" + way]), number, int(match["d" + way]))
    first, second, year = int(match["a"]), int(match["b"]), int(match["y5"])
    if match["sep2"] == "." or first > 12 or first == second:
        return _real(year, second, first)
    return _real(year, first, second) if second > 12 else None


def _real(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _time(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[4] and hour <= 12:
        hour = hour % 12 + (12 if match[4] == "pm" else 0)
    return f"{hour:02d}:{minute:02d}:{second:02d}" if hour < 24 and minute < 60 and second < 60 else None
