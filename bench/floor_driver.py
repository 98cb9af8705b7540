"""The floor of a plan over a database: its driver alone, reading the same columns by a server-side cursor.

python -m bench.floor_driver URL
"""

from __future__ import annotations

import sys
from urllib.parse import SplitResult, urlsplit

SELECT = "SELECT id, name, status, nationality FROM tenants"
AT_A_TIME = 5_000


def main(url: str) -> None:
    """Read every row, and do nothing with it."""
    parts = urlsplit(url)
    rows = _mysql(parts) if parts.scheme == "mysql" else _postgresql(url)
    if not rows:
        raise SystemExit("there is no row")


def _mysql(parts: SplitResult) -> int:
    import pymysql
    import pymysql.cursors

    con = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=parts.username,
        database=parts.path[1:],
        charset="utf8mb4",
    )
    rows = 0
    with con.cursor(pymysql.cursors.SSCursor) as cursor:
        cursor.execute(SELECT)
        while found := cursor.fetchmany(AT_A_TIME):
            rows += len(found)
    con.close()
    return rows


def _postgresql(url: str) -> int:
    import psycopg

    rows = 0
    with psycopg.connect(url) as con, con.cursor(name="bench") as cursor:
        cursor.itersize = AT_A_TIME
        cursor.execute(SELECT)
        while found := cursor.fetchmany(AT_A_TIME):
            rows += len(found)
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
