"""Planning at scale: nothing to do in ten million rows, one row more in a million, beside bare DuckDB."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import Finished, Line, child, inlay, median
from bench.runs import PHRASES, PRICES, run
from inlay.testing import SimulatorProcess

DECLARATION = """\
name: reviews
source: {{files: rows/*.parquet, key: id}}
passes:
  - name: read
    model: compatible:sim
    endpoint: {endpoint}
    prompt: "Read this review: {{{{ text }}}}"
    {prices}
    fields:
      sentiment: {{type: enum, values: [positive, neutral, negative]}}
budget: {{usd: 1}}
"""
TEXT_BYTES = 284


def noop10m(folder: Path, quick: bool) -> list[Line]:
    """`inlay plan` over 10 million rows of 284 bytes (1 million with --quick), none of which changed."""
    rows = 1_000_000 if quick else 10_000_000
    _prepare(folder, rows, "http://127.0.0.1:9/v1")
    times = 3 if quick else 1
    ours = [inlay(folder, "plan", "--json") for _ in range(times)]
    for plan in ours:
        if plan.json["rows_to_do"] or plan.json["rows_selected"] != rows:
            raise SystemExit(f"the plan found {plan.json['rows_to_do']} rows to do")
    bare = [_floor(folder) for _ in range(times)]
    title = f"no-op plan of {rows:,} rows"
    return [
        Line(f"{title}: CPU", *_pair(ours, bare, "cpu_s", "s"), 1.5, judged="ratio"),
        _alone(f"{title}: CPU, start-up apart", folder, ours, bare),
        Line(f"{title}: wall", *_pair(ours, bare, "wall_s", "s")),
        Line(f"{title}: peak memory", *_pair(ours, bare, "rss_mb", "MB"), 1_500),
    ]


def add1(folder: Path, quick: bool) -> list[Line]:
    """One row more in a million (100,000 with --quick): what the next run asks, and what its plan costs."""
    rows = 100_000 if quick else 1_000_000
    with SimulatorProcess(latency=0.0) as simulator:
        _prepare(folder, rows, simulator.endpoint)
        _generate(folder / "rows" / "more.parquet", rows, rows + 1)
        ours = [inlay(folder, "plan", "--json") for _ in range(3)]
        bare = [_floor(folder) for _ in range(3)]
        asked = run(folder, "--no-publish")
        calls = len(simulator.ledger)
    if asked.json["passes"][0]["done"] != 1:
        raise SystemExit(f"the added row has no answer: {asked.out}")
    title = f"one row added to {rows:,}"
    return [
        Line(f"{title}: requests", calls, "", target=1),
        Line(f"{title}: CPU of the plan", *_pair(ours, bare, "cpu_s", "s"), 1.5, judged="ratio"),
        _alone(f"{title}: CPU, start-up apart", folder, ours, bare),
        Line(f"{title}: wall of the plan", *_pair(ours, bare, "wall_s", "s")),
    ]


def _pair(ours: list[Finished], bare: list[Finished], figure: str, unit: str) -> tuple[float, str, float]:
    return median([getattr(item, figure) for item in ours]), unit, median([getattr(item, figure) for item in bare])


def _alone(title: str, folder: Path, ours: list[Finished], bare: list[Finished]) -> Line:
    """CPU beyond what either process needs for a table of one row: interpreter, imports, the declaration."""
    one = folder / "one"
    one.mkdir()
    _prepare(one, 1, "http://127.0.0.1:9/v1")
    measured, unit, floor = _pair(ours, bare, "cpu_s", "s")
    start, _, start_bare = _pair(
        [inlay(one, "plan", "--json") for _ in range(3)], [_floor(one) for _ in range(3)], "cpu_s", "s"
    )
    note = f"start-up: {start:.2f} s, floor {start_bare:.2f} s"
    return Line(title, measured - start, unit, floor - start_bare, note=note)


def _floor(folder: Path) -> Finished:
    return child(["-m", "bench.floor_plan", "rows/*.parquet", "cells.parquet"], folder=folder)


def _prepare(folder: Path, rows: int, endpoint: str) -> None:
    """Rows, the declaration, and a store that holds an answer's cell for every row."""
    (folder / "rows").mkdir()
    (folder / "inlay.yaml").write_text(DECLARATION.format(endpoint=endpoint, prices=PRICES), encoding="utf-8")
    _generate(folder / "rows" / "first.parquet", 0, rows)
    _fill_store(folder)


def _generate(path: Path, first: int, last: int) -> None:
    import duckdb

    phrases = "[" + ", ".join(f"'{phrase}. '" for phrase in PHRASES) + "]"
    # Ten phrases and a number make every text of about 284 bytes its own; shorter ones are filled up with a hash.
    words = " || ".join(f"{phrases}[1 + (hash(i, {turn}) % {len(PHRASES)})::INTEGER]" for turn in range(9))
    text = f"rpad('Stay ' || i || ': ' || {words}, 230, 'x') || md5(i::VARCHAR)"
    con = duckdb.connect()
    con.execute(f"COPY (SELECT i AS id, {text} AS text FROM range({first}, {last}) r(i)) TO '{path}' (FORMAT parquet)")
    con.close()


def _fill_store(folder: Path) -> None:
    from inlay.fingerprint_sql import canonical_sql, hash_sql

    fill_store(folder, f"'{folder}/rows/*.parquet'", hash_sql(canonical_sql("text", "VARCHAR")))


def fill_store(folder: Path, rows: str, digest: str) -> None:
    """Cells as if every row had been answered; the plan that follows says whether it agrees. `rows` is what to select
    FROM, `digest` the hash of a row's input."""
    import duckdb

    from inlay.project.session import Session

    with Session(folder / "inlay.yaml") as session:
        [ref] = session.register()
        _, path = session.store_place
    con = duckdb.connect()
    con.execute(
        f"COPY (SELECT CAST(id AS VARCHAR) AS key, {digest} AS source_hash FROM {rows} ORDER BY key) "
        f"TO '{folder}/cells.parquet' (FORMAT parquet)"
    )
    con.execute(f"SELECT key, source_hash FROM '{folder}/cells.parquet'")
    store = sqlite3.connect(path, isolation_level=None)
    store.execute("PRAGMA synchronous = OFF")
    store.execute("BEGIN")
    store.executemany(
        "INSERT INTO cells (pass_id, key, recipe_id, state, reason, message, tries, answer_id, answered_at, "
        "source_hash, input_hash, upstream_hash, values_hash, updated_at, check_sum, last_seq) "
        f"VALUES ({ref.pass_id}, ?, {ref.recipe_id}, 'done', '', '', 0, NULL, 1760000000000, ?, ?, NULL, ?, "
        "1760000000000, 0, 0)",
        _cells(con),
    )
    store.execute("COMMIT")
    store.close()
    con.close()


def _cells(con: Any) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    while found := con.fetchmany(50_000):
        for key, text in found:
            digest = bytes.fromhex(text)
            yield key, digest, digest, digest
