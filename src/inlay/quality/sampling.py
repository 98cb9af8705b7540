"""Which rows are asked although their value is known: a sample that is the same every time.

    known rows ─► strata by the known value ─► so many of each ─► the first by md5(seed, key)

What stays true: the same seed over the same rows takes the same rows, on any machine; asking for more keeps those that
were taken before (within a stratum), so that growing a sample pays for what is new; a row's weight is how many known
rows it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inlay.contracts import Source
from inlay.errors import PlanError
from inlay.fingerprint_sql import key_sql, nfc_sql, plain_sql, quote_text
from inlay.spec.model import SelectSpec
from inlay.tables.choosing import ChoosingSource, local_select
from inlay.tables.select import absence_sql, select_sql
from inlay.tables.sql import connect, translate

if TYPE_CHECKING:
    import duckdb

Method = Literal["stratified", "proportional"]
# Beyond so many strata the rest are one: a stratum of which nothing is taken could not be estimated.
_MOST_STRATA = 2_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample: row keys with the weight of each, out of `known` rows. `strata` is how many were told apart, and
    `labels` how many different known values there are."""

    weights: Mapping[str, float]
    known: int
    strata: int
    labels: int
    method: Method
    seed: int


@dataclass(frozen=True, slots=True)
class KnownRow:
    """One row: the values that are known, by column (None: missing), and what the passes read, all as text."""

    key: str
    truths: Mapping[str, str | None]
    inputs: Mapping[str, str | None]


def take(
    source: Source,
    key: Sequence[str],
    select: SelectSpec,
    columns: Sequence[str],
    n: int,
    *,
    method: Method = "stratified",
    seed: int = 0,
) -> Taken:
    """Take `n` of the rows that `select.where` takes and that have a value in one of `columns`; all, if there are
    fewer. Strata are by the first of `columns`. Reads the source once, in bounded memory, of a database the key and
    these columns alone; raises PlanError where no row has a known value."""
    import duckdb

    types = source.columns()
    con = connect()
    try:
        rows_sql = _selected(con, source, select, [*key, *columns], types)
        absent = [absence_sql(name, select.placeholders, types) for name in columns]
        known = " OR ".join(f"({each}) IS NULL" for each in absent)
        label = (
            f"CASE WHEN ({absent[0]}) IS NULL THEN {nfc_sql(f'trim({plain_sql(columns[0], types[columns[0]])})')} END"
        )
        mark = quote_text(f"{seed}:")
        con.execute(
            f"CREATE TEMP TABLE known AS SELECT k, l, md5({mark} || k) AS h FROM "
            f"(SELECT {key_sql(key, types)} AS k, {label} AS l FROM ({rows_sql}) WHERE {known}) WHERE k IS NOT NULL"
        )
        total, labels = con.execute("SELECT count(*), count(DISTINCT l) FROM known").fetchall()[0]
        if not total:
            raise PlanError(
                f"{source.title}: no selected row has a known value in {' or '.join(columns)}",
                remedy="`select.where` may leave such rows out: give another with --where; or name the column with "
                "--field FIELD=COLUMN",
            )
        if method == "proportional" or n >= total:
            rows = con.execute("SELECT k FROM known ORDER BY h, k LIMIT ?", [n]).fetchall()
            weights = {name: total / len(rows) for (name,) in rows}
            return Taken(weights, total, 1, labels, method, seed)
        return _stratified(con, n, total, labels, seed)
    except duckdb.Error as error:
        raise translate(error, "select.where" if select.where else source.title) from None
    finally:
        con.close()


def _selected(
    con: duckdb.DuckDBPyConnection,
    source: Source,
    select: SelectSpec,
    columns: Sequence[str],
    types: Mapping[str, str],
) -> str:
    """The rows that `where` takes: a database selects them itself, of anything else DuckDB does. Whether a value is
    known, `take` looks at once more, so `missing` need not be exact here."""
    if isinstance(source, ChoosingSource):
        found = source.choose(con, select, columns)
        relation, left = found.relation, found.select
    else:
        relation, left = source.attach(con), local_select(source, select)
    return select_sql(relation, left.model_copy(update={"missing": None}), types)


def _stratified(con: duckdb.DuckDBPyConnection, n: int, total: int, labels: int, seed: int) -> Taken:
    """Strata as far as `n` allows two rows of each; what is rarer is one stratum together."""
    most = max(1, min(_MOST_STRATA, n // 2))
    found = con.execute(
        "SELECT l, count(*) AS n FROM known GROUP BY l ORDER BY n DESC, l NULLS LAST LIMIT ?", [most + 1]
    ).fetchall()
    if len(found) > most:
        found = found[: most - 1]
    sizes = [count for _, count in found]
    rest = total - sum(sizes)
    parts = allocation([*sizes, *([rest] if rest else [])], n)
    con.execute("CREATE TEMP TABLE strata (l VARCHAR, s INTEGER)")
    if found:
        con.executemany("INSERT INTO strata VALUES (?, ?)", [[name, place] for place, (name, _) in enumerate(found)])
    con.execute("CREATE TEMP TABLE parts (s INTEGER, n INTEGER)")
    con.executemany("INSERT INTO parts VALUES (?, ?)", [[place, part] for place, part in enumerate(parts)])
    rows = con.execute(
        f"""SELECT k, s FROM (
            SELECT k, s, row_number() OVER (PARTITION BY s ORDER BY h, k) AS r FROM (
                SELECT k, h, coalesce(strata.s, {len(found)}) AS s
                FROM known LEFT JOIN strata ON known.l IS NOT DISTINCT FROM strata.l))
        JOIN parts USING (s) WHERE r <= parts.n ORDER BY s, r"""
    ).fetchall()
    whole = [*sizes, rest]
    return Taken(
        {name: whole[place] / parts[place] for name, place in rows}, total, len(parts), labels, "stratified", seed
    )


def allocation(sizes: Sequence[int], n: int) -> list[int]:
    """How many of `n` rows each stratum gives: in proportion to the square root of its size, so that rare ones are
    seen and large ones still weigh; at least one and at most what there is. Adds up to min(n, sum of sizes), where
    there are no more strata than rows."""
    n = min(n, sum(sizes))
    parts = [0] * len(sizes)
    open_ = set(range(len(sizes)))
    left = n
    while open_ and left > 0:
        whole = sum(math.sqrt(sizes[place]) for place in open_)
        wanted = {place: max(1.0, left * math.sqrt(sizes[place]) / whole) for place in open_}
        full = [place for place in open_ if wanted[place] >= sizes[place]]
        if not full:
            break
        # What a small stratum cannot give goes to the others.
        for place in sorted(full):
            parts[place] = sizes[place]
            left -= sizes[place]
            open_.remove(place)
    if open_ and left > 0:
        _share_out(parts, {place: math.sqrt(sizes[place]) for place in sorted(open_)}, left)
    return parts


def _share_out(parts: list[int], shares: Mapping[int, float], left: int) -> None:
    """Whole numbers that add up to `left`, one at least; the largest remainders are rounded up."""
    whole = sum(shares.values())
    exact = {place: left * share / whole for place, share in shares.items()}
    for place, value in exact.items():
        parts[place] = max(1, math.floor(value))
    over = sum(parts[place] for place in shares) - left
    order = sorted(shares, key=lambda place: (exact[place] - math.floor(exact[place]), shares[place], -place))
    while over > 0:  # the ones that were given to the smallest come from the largest
        largest = max(shares, key=lambda place: (parts[place], -place))
        parts[largest] -= 1
        over -= 1
    for place in reversed(order):
        if over == 0:
            break
        parts[place] += 1
        over += 1


def read_rows(
    source: Source,
    key: Sequence[str],
    truths: Sequence[str],
    inputs: Sequence[str],
    placeholders: Sequence[str],
    *,
    batch: int = 2_000,
) -> Iterator[list[KnownRow]]:
    """The rows of a source with what is known of them, in batches, in source order; missing values are None."""
    import duckdb

    types = source.columns()
    con = connect()
    try:
        relation = source.attach(con)
        known = [
            f"CASE WHEN ({absence_sql(name, placeholders, types)}) IS NULL THEN {plain_sql(name, types[name])} END"
            for name in truths
        ]
        read = [plain_sql(name, types[name]) for name in inputs]
        cursor = con.execute(f"SELECT {', '.join([key_sql(key, types), *known, *read])} FROM {relation}")
        end = 1 + len(truths)
        while rows := cursor.fetchmany(batch):
            yield [
                KnownRow(row[0], dict(zip(truths, row[1:end], strict=True)), dict(zip(inputs, row[end:], strict=True)))
                for row in rows
            ]
    except duckdb.Error as error:
        raise translate(error, source.title) from None
    finally:
        con.close()
