"""Planning over a database, beside its driver alone: a million rows of MariaDB and of PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from bench.measure import Finished, Line, child, inlay, median
from bench.planning import fill_store
from inlay.fingerprint_sql import canonical_row_sql, hash_sql
from inlay.testing.servers import MariaDB, PostgreSQL, mariadb_is_here, postgresql_is_here

DECLARATION = """\
name: tenants
source: {connection: "${BENCH_URL:-sqlite:///none.db}", table: tenants, key: id}
passes:
  - name: nationality
    model: lexical
    prompt: "The nationality of {{ name }}, {{ status }}, {{ nationality }}"
    fields: {guess: {type: enum, values: [日本, ガーナ]}}
"""
DDL = "CREATE TABLE tenants (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(60), status INT, nationality VARCHAR(20))"
TARGET = 2.5


VALUES = (
    "CONCAT('氏名 ', {n} % 700000, ' さん') AS name, {n} % 20 AS status, "
    "CASE {n} % 25 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'レソト' ELSE '日本' END AS nationality"
)


def plan1m(folder: Path, quick: bool) -> list[Line]:
    """`inlay plan` over 1 million answered rows of about 40 bytes (100,000 with --quick), against the bare driver."""
    rows = 100_000 if quick else 1_000_000
    folder.chmod(0o755)  # PostgreSQL's server is another user
    lines = []
    for name, server, there in (
        ("MariaDB", MariaDB, mariadb_is_here()),
        ("PostgreSQL", PostgreSQL, postgresql_is_here()),
    ):
        if there:
            with server(folder / name) as running:
                url = running.url("bench")
                _fill(running, rows)
                lines += _measured(folder / f"{name}.d", name, url, rows)
    return lines


def _measured(place: Path, name: str, url: str, rows: int) -> list[Line]:
    place.mkdir()
    (place / "inlay.yaml").write_text(DECLARATION, encoding="utf-8")
    first = inlay(place, "plan", "--json", env={"BENCH_URL": url})
    types = {"name": "VARCHAR", "status": "BIGINT", "nationality": "VARCHAR"}
    source = f"(SELECT n AS id, {VALUES.format(n='n')} FROM range({rows}) AS r(n))"
    fill_store(place, source, hash_sql(canonical_row_sql(types)))
    ours: list[Finished] = []
    bare: list[Finished] = []
    for _ in range(3):  # by turns, so that whatever else the machine does disturbs both
        bare.append(child(["-m", "bench.floor_driver", url], folder=place))
        ours.append(inlay(place, "plan", "--json", env={"BENCH_URL": url}))
        if ours[-1].json["rows_selected"] != rows or ours[-1].json["rows_to_do"]:
            raise SystemExit(f"the plan found {ours[-1].json['rows_to_do']} of {ours[-1].json['rows_selected']} rows")
    title = f"no-op plan of {rows:,} rows in {name}"
    return [
        Line(f"{title}: wall", *_pair(ours, bare, "wall_s", "s"), TARGET, judged="ratio"),
        Line(f"{title}: CPU", *_pair(ours, bare, "cpu_s", "s")),
        Line(f"{title}: peak memory", *_pair(ours, bare, "rss_mb", "MB")),
        Line(f"first plan of {rows:,} rows in {name}: wall", first.wall_s, "s", bare[0].wall_s),
    ]


def _pair(ours: list[Finished], bare: list[Finished], figure: str, unit: str) -> tuple[float, str, float]:
    return median([getattr(item, figure) for item in ours]), unit, median([getattr(item, figure) for item in bare])


def _fill(server: MariaDB | PostgreSQL, rows: int) -> None:
    if isinstance(server, MariaDB):
        fill = f"INSERT INTO tenants SELECT seq, {VALUES.format(n='seq')} FROM seq_0_to_{rows - 1}"
        server.sql("USE bench", DDL, fill)
    else:
        fill = f"INSERT INTO tenants SELECT n, {VALUES.format(n='n')} FROM generate_series(0, {rows - 1}) AS s(n)"
        server.sql(DDL, fill, "ANALYZE tenants", database="bench")
