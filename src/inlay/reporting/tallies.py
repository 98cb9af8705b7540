"""Counting values in bounded memory: batches of the wide table go in, distributions come out.

Each batch is reduced to (slot, value, how often) by Arrow and added to a table of DuckDB, which spills what does not
fit; a slot is one thing that is counted of one field. What stays true: the memory of this process does not grow with
the number of rows; every count is exact; texts are told apart by their first LONGEST characters.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from inlay.reporting.facts import Bar, Confidence, Distribution
from inlay.spec.fields import FieldSpec
from inlay.tables.sql import connect

if TYPE_CHECKING:
    import duckdb

pc: Any = pyarrow.compute  # its functions are made when it is imported: no type checker sees them
LONGEST = 160
MOST_BARS = 20
BINS = 12
MEMORY = "256MB"
_MERGE_ABOVE = 400_000  # rows of counts that are summed up once there are so many more
_SCHEMA = pa.schema([("slot", pa.int32()), ("text", pa.string()), ("number", pa.float64()), ("n", pa.int64())])
_DAY = 86_400.0
_MANY_TIMES = 1_000  # largest over smallest, from where bins follow the powers of ten


class Tallies:
    """Counts by slot. Use as a context manager, or close it."""

    def __init__(self) -> None:
        self._con: duckdb.DuckDBPyConnection = connect(memory_limit=MEMORY, threads=1)
        self._con.execute("CREATE TABLE counts (slot INTEGER, text VARCHAR, number DOUBLE, n BIGINT)")
        self._slots: dict[tuple[str, ...], int] = {}
        self._pending: list[pa.RecordBatch] = []
        self._added = 0

    def __enter__(self) -> Tallies:
        return self

    def __exit__(self, *details: object) -> None:
        self._con.close()

    def slot(self, *name: str) -> int:
        """The number of a slot of this name."""
        return self._slots.setdefault(name, len(self._slots))

    def add_texts(self, slot: int, values: pa.Array) -> None:
        """Count texts (or booleans); nulls do not count."""
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.string())
        found = pc.value_counts(pc.utf8_slice_codeunits(values.drop_null(), 0, LONGEST))
        self._add(slot, found.field("values"), None, found.field("counts"))

    def add_numbers(self, slot: int, values: pa.Array) -> None:
        """Count numbers; nulls do not count."""
        found = pc.value_counts(values.drop_null().cast(pa.float64(), safe=False))
        self._add(slot, None, found.field("values"), found.field("counts"))

    def _add(self, slot: int, texts: pa.Array | None, numbers: pa.Array | None, counts: pa.Array) -> None:
        length = len(counts)
        if length:
            columns = [
                pa.repeat(pa.scalar(slot, pa.int32()), length),
                pa.nulls(length, pa.string()) if texts is None else texts,
                pa.nulls(length, pa.float64()) if numbers is None else numbers,
                counts,
            ]
            self._pending.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))

    def flush(self) -> None:
        """Take in what was added since; call it once a batch, and before anything is read."""
        if not self._pending:
            return
        table = pa.Table.from_batches(self._pending, _SCHEMA)
        self._pending = []
        self._con.register("fresh", table)
        self._con.execute("INSERT INTO counts SELECT * FROM fresh")
        self._con.unregister("fresh")
        self._added += table.num_rows
        if self._added > _MERGE_ABOVE:
            self._con.execute(
                "CREATE OR REPLACE TABLE counts AS "
                "SELECT slot, text, number, sum(n)::BIGINT AS n FROM counts GROUP BY slot, text, number"
            )
            self._added = 0

    # --- what comes out

    def texts(self, *name: str) -> dict[str, int]:
        """Every text of a slot and its count, the most frequent first; for slots of few different texts."""
        return {bar.text: bar.count for bar in self._top(self.slot(*name), None)}

    def values(self, label: str, *name: str) -> Distribution:
        """The most frequent texts of a slot."""
        slot = self.slot(*name)
        counted, distinct = self._one("coalesce(sum(n), 0)::BIGINT, count(DISTINCT text)", slot)
        bars = tuple(self._top(slot, MOST_BARS))
        return Distribution(label, "values", counted, distinct, bars, counted - sum(bar.count for bar in bars))

    def numbers(self, label: str, kind: str, *name: str, whole: bool) -> Distribution:
        """A histogram of a slot's numbers; whole ones get bins that begin and end at whole numbers."""
        slot = self.slot(*name)
        counted, distinct, low, high, mean = self._one(
            "coalesce(sum(n), 0)::BIGINT, count(DISTINCT number), min(number), max(number), sum(number * n) / sum(n)",
            slot,
        )
        if not counted:
            return Distribution(label, kind, 0, 0, ())
        left, right = self._middle(slot, counted, low, high)
        edges = _edges(left, right, whole=whole)
        counts = self._between(slot, edges[:-1], left, right)
        single = whole and all(after - before == 1 for before, after in pairwise(edges))
        bars = tuple(
            Bar("", count, start, start if single else end)
            for count, (start, end) in zip(counts, pairwise(edges), strict=True)
        )
        others = counted - sum(counts)
        return Distribution(label, kind, counted, distinct, bars, others, low=low, mean=mean, high=high)

    def _middle(self, slot: int, counted: int, low: float, high: float) -> tuple[float, float]:
        """Where to draw: everything, unless a few values far out would press all others into one bin."""
        query = (
            f"SELECT number, sum(sum(n)) OVER (ORDER BY number)::BIGINT FROM counts WHERE slot = {slot} GROUP BY number"
        )
        bounds = (
            f"SELECT min(number) FILTER (WHERE upto > {counted} * 0.02), min(number) FILTER (WHERE upto >= {counted} * "
            f"0.98) FROM ({query}) t(number, upto)"
        )
        left, right = self._con.execute(bounds).fetchall()[0]
        return (left, right) if right > left and high - low > 4 * (right - left) else (low, high)

    def moments(self, label: str, *name: str, time: bool) -> Distribution:
        """A histogram of days or moments (seconds since the epoch) by day, month or year, or some of these at once."""
        slot = self.slot(*name)
        counted, distinct, low, high = self._one(
            "coalesce(sum(n), 0)::BIGINT, count(DISTINCT number), min(number), max(number)", slot
        )
        if not counted:
            return Distribution(label, "moments", 0, 0, ())
        begin, end = (_moment(place).replace(tzinfo=None).isoformat(" ", "seconds") for place in (low, high))
        low, high = self._middle(slot, counted, low, high)
        first, last = _moment(low), _moment(high)
        days, months = (high - low) / _DAY, (last.year - first.year) * 12 + last.month - first.month
        if days <= 31:
            midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
            edges = [midnight + dt.timedelta(days=n) for n in range((last - midnight).days + 1)]
            shown = len("2026-01-31")
        elif months <= 36:
            edges = [_month(first.year, first.month + n) for n in range(months + 1)]
            shown = len("2026-01")
        else:
            years = max(1, -(-(last.year - first.year + 1) // 30))
            edges = [_month(year, 1) for year in range(first.year, last.year + 1, years)]
            shown = len("2026")
        starts = [edge.timestamp() for edge in edges]
        counts = self._between(slot, starts, low, high)
        bars = tuple(
            Bar(edge.isoformat()[:shown], count, start)
            for edge, start, count in zip(edges, starts, counts, strict=True)
        )
        day = None if time else len("2026-01-31")
        others = counted - sum(counts)
        return Distribution(label, "moments", counted, distinct, bars, others, first=begin[:day], last=end[:day])

    def confidence(self, *name: str) -> Confidence | None:
        """Ten bins over 0 to 1 and the mean; None where there is no confidence."""
        slot = self.slot(*name)
        counted, mean = self._one("coalesce(sum(n), 0)::BIGINT, sum(number * n) / sum(n)", slot)
        if not counted:
            return None
        query = (
            "SELECT least(greatest(floor(number * 10 + 1e-9), 0), 9)::INTEGER, sum(n)::BIGINT FROM counts "
            f"WHERE slot = {slot} GROUP BY 1"
        )
        found: Mapping[int, int] = dict(self._con.execute(query).fetchall())
        return Confidence(tuple(found.get(index, 0) for index in range(10)), counted, mean)

    def _one(self, what: str, slot: int) -> tuple[Any, ...]:
        row = self._con.execute(f"SELECT {what} FROM counts WHERE slot = {slot}").fetchone()
        assert row is not None
        return row

    def _top(self, slot: int, most: int | None) -> Iterator[Bar]:
        limit = "" if most is None else f" LIMIT {most}"
        query = f"SELECT text, sum(n)::BIGINT AS n FROM counts WHERE slot = {slot} GROUP BY text ORDER BY n DESC, text"
        for text, count in self._con.execute(query + limit).fetchall():
            yield Bar(text, count)

    def _between(self, slot: int, starts: Sequence[float], low: float, high: float) -> list[int]:
        """How many values from low to high stand in each bin, the last of which has no end."""
        listed = ", ".join(f"({number}, {start!r}::DOUBLE)" for number, start in enumerate(starts))
        found: Mapping[int, int] = dict(
            self._con.execute(
                f"SELECT b.i, sum(c.n)::BIGINT FROM counts c ASOF JOIN (VALUES {listed}) b(i, s) ON c.number >= b.s "
                f"WHERE c.slot = {slot} AND c.number BETWEEN {low!r} AND {high!r} GROUP BY b.i"
            ).fetchall()
        )
        return [found.get(number, 0) for number in range(len(starts))]


class Counter:
    """Counts the values of one field, its parts included; made for the type that the declaration gives it."""

    def __init__(self, tallies: Tallies, spec: FieldSpec, name: tuple[str, ...], label: str = "") -> None:
        self._tallies = tallies
        self._spec = spec
        self._name = name
        self._label = label
        self._items: Counter | None = None
        self._parts: list[Counter] = []
        if spec.type == "list" and spec.item.type not in ("list", "object"):
            self._items = Counter(tallies, spec.item, (*name, "item"), label)
        if spec.type == "object":
            self._parts = [
                Counter(tallies, part, (*name, "part", key), f"{label}.{key}".strip("."))
                for key, part in spec.fields.items()
            ]

    def add(self, values: pa.Array) -> None:
        """Count a batch of the field's column."""
        kind, slot = self._spec.type, self._tallies.slot(*self._name)
        if kind == "object":
            for index, part in enumerate(self._parts):
                part.add(pc.struct_field(values, [index]))
        elif kind == "list":
            self._tallies.add_numbers(slot, pc.list_value_length(values))
            if self._items is not None:
                self._items.add(pc.list_flatten(values))
        elif kind == "text":
            self._tallies.add_numbers(slot, pc.utf8_length(values))
        elif kind == "date":
            days = values.cast(pa.int32()).cast(pa.float64())
            self._tallies.add_numbers(slot, pc.multiply(days, _DAY))
        elif kind == "datetime":
            micros = values.cast(pa.int64()).cast(pa.float64(), safe=False)
            self._tallies.add_numbers(slot, pc.divide(micros, 1e6))
        elif kind in ("integer", "number"):
            self._tallies.add_numbers(slot, values)
        else:
            self._tallies.add_texts(slot, values)

    def distributions(self) -> tuple[Distribution, ...]:
        """What was counted, parts after each other."""
        kind, tallies = self._spec.type, self._tallies
        if kind == "object":
            return tuple(found for part in self._parts for found in part.distributions())
        if kind == "list":
            lengths = tallies.numbers(f"{self._label} items a row".strip(), "lengths", *self._name, whole=True)
            return (lengths,) if self._items is None else (*self._items.distributions(), lengths)
        if kind == "text":
            return (tallies.numbers(f"{self._label} characters".strip(), "lengths", *self._name, whole=True),)
        if kind in ("integer", "number"):
            return (tallies.numbers(self._label, "numbers", *self._name, whole=kind == "integer"),)
        if kind in ("date", "datetime"):
            return (tallies.moments(self._label, *self._name, time=kind == "datetime"),)
        return (tallies.values(self._label, *self._name),)


def _edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Where the bins begin, and where the last one ends: round numbers, by decades where values span many of them."""
    if whole and high - low < BINS:
        return [low + step for step in range(int(high - low) + 2)]
    if low > 0 and high / low >= _MANY_TIMES:
        lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
        powers = range(lowest, highest + 1, max(1, (highest - lowest) // (2 * BINS)))
        steps = (1.0,) if len(powers) > 6 else (1.0, 2.0, 5.0)
        edges = [step * 10.0**power for power in powers for step in steps]
        first = max(place for place, edge in enumerate(edges) if edge <= low)
        last = next((place for place, edge in enumerate(edges) if edge > high), None)
        return edges[first:] if last is None else edges[first : last + 1]
    step = _nice((high - low) / BINS, whole=whole) if high > low else 1.0
    start = math.floor(low / step) * step
    return [start + step * number for number in range(int((high - start) / step + 1e-9) + 2)]


def _nice(step: float, *, whole: bool) -> float:
    """The next width of a bin that people count in: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    found = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))
    return float(math.ceil(found)) if whole else found


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)


def _month(year: int, month: int) -> dt.datetime:
    years, index = divmod(month - 1, 12)
    return dt.datetime(year + years, index + 1, 1, tzinfo=dt.UTC)
