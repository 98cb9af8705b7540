"""Loading a dump: `inlay load` into MariaDB beside MariaDB's own client, and into files of SQLite and DuckDB."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from bench.measure import Finished, Line, inlay
from inlay.testing.servers import MariaDB, mariadb_is_here

MEMO = "メモ 12 it\\'s\\n"
NAMES = ("山田 太郎", "Maria Silva", "O\\'Brien", "محمد علي", "Anna 😀", "株式会社")


def load(folder: Path, quick: bool) -> list[Line]:
    """A dump of 600,000 rows (60,000 with --quick) into each kind of database; megabytes of dump a second."""
    client = shutil.which("mariadb")
    if client is None or not mariadb_is_here():
        raise SystemExit("needs MariaDB: apt-get install mariadb-server mariadb-client")
    dump = _dump(folder / "big.sql", 60_000 if quick else 600_000)
    size = dump.stat().st_size / 1e6
    lines = [Line(f"list a dump of {size:.0f} MB", inlay(folder, "load", "--list", "big.sql").wall_s, "s")]
    with MariaDB(folder / "server") as server:
        url = server.url("theirs")
        began = time.perf_counter()
        with dump.open("rb") as file:
            words = [client, "--no-defaults", "--protocol=tcp", "-h127.0.0.1", f"-P{server.port}", "-uroot", "theirs"]
            subprocess.run(words, stdin=file, check=True)
        theirs = time.perf_counter() - began
        ours = _loaded(folder, server.url("ours"))
        same = server.sql("CHECKSUM TABLE theirs.tenants, ours.tenants")
        if same[0][1] != same[1][1]:
            raise SystemExit(f"the tables differ: {same} ({url})")
    note = f"{size / ours.wall_s:.0f} MB/s, {ours.rss_mb:.0f} MB of memory; floor: mariadb < dump"
    lines.append(Line("load into MariaDB", ours.wall_s, "s", theirs, 2.0, "ratio", note=note))
    for kind in ("sqlite", "duckdb"):
        done = _loaded(folder, f"{kind}:///look.{kind}")
        note = f"{size / done.wall_s:.0f} MB/s, {done.rss_mb:.0f} MB of memory"
        lines.append(Line(f"load into {kind}", done.wall_s, "s", note=note))
    return lines


def _loaded(folder: Path, url: str) -> Finished:
    return inlay(folder, "load", "big.sql", "--into", url, "--quiet")


def _dump(file: Path, rows: int) -> Path:
    with file.open("w", encoding="utf-8") as out:
        out.write(
            "-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8mb4 */;\nCREATE TABLE `tenants` (`id` int unsigned NOT NULL,"
            "`full_name` varchar(120),`email` varchar(200),`status` int,`rent` decimal(10,2),`updated_at` datetime,"
            "`memo` text,PRIMARY KEY (`id`),KEY `status` (`status`)) DEFAULT CHARSET=utf8mb4;\n"
        )
        for start in range(1, rows + 1, 5000):
            out.write("INSERT INTO `tenants` VALUES\n")
            out.write(",\n".join(_row(number) for number in range(start, min(start + 5000, rows + 1))))
            out.write(";\n")
        out.write("-- Dump completed\n")
    return file


def _row(number: int) -> str:
    return (
        f"({number},'{NAMES[number % len(NAMES)]}','user{number}@example.com',{number % 20},{number % 900000}.25,"
        f"'2026-01-01 00:00:{number % 60:02}','{MEMO * (number % 7)}')"
    )
