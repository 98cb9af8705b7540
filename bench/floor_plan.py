"""The floor of a plan: one DuckDB statement over two Parquet files that scans, hashes and joins.

    python -m bench.floor_plan ROWS.parquet CELLS.parquet

It looks for neither double keys nor failed cells, and reads its cells from Parquet instead of from a store.
"""

from __future__ import annotations

import sys

import duckdb


def main(rows: str, cells: str) -> None:
    """Join, and count what would have to be asked."""
    con = duckdb.connect()
    con.execute("SET memory_limit = '1GB'")
    found = con.execute(
        "SELECT count(*) FROM (SELECT CAST(id AS VARCHAR) AS k, left(sha256('s' || strlen(text) || ':' || text || ';'),"
        f" 32) AS h FROM '{rows}') s LEFT JOIN '{cells}' c ON c.key = s.k "
        "WHERE c.source_hash IS NULL OR c.source_hash <> s.h"
    ).fetchall()
    if found[0][0] > 1:
        raise SystemExit(f"the floor finds {found[0][0]} changed rows")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
