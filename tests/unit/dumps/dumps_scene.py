"""Dumps: made by the real mariadb-dump where one is wanted, by hand where MySQL 8's own words or a mistake are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.dumps.loading import LoadReport, Wishes, load, look, target_of
from inlay.dumps.places import opened
from inlay.testing.servers import MariaDB

HEAD = "-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n/*!50503 SET NAMES utf8mb4 */;\n"
FOOT = "\n-- Dump completed on 2026-02-11  3:00:01\n"
TENANTS = (
    "DROP TABLE IF EXISTS `tenants`;\nCREATE TABLE `tenants` (\n  `id` int NOT NULL,\n"
    "  `name` varchar(50) DEFAULT NULL,"
    "\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\nINSERT INTO `tenants` VALUES (1,'山田 太郎'),(2,'O\\'Brien'),(3,NULL);\n"
)


def into(url: str, file: Path | str, **wishes: object) -> LoadReport:
    """Load a dump into a database."""
    dry_run = bool(wishes.pop("dry_run", False))
    with opened(str(file), Path.cwd()) as dump:
        return load(dump, target_of(parse(url, Path.cwd())), Wishes(**wishes), dry_run=dry_run)  # type: ignore[arg-type]


def seen(file: Path | str, **wishes: object) -> LoadReport:
    """Look at a dump."""
    with opened(str(file), Path.cwd()) as dump:
        return look(dump, Wishes(**wishes))  # type: ignore[arg-type]


def rows(url: str, sql: str) -> list[tuple[object, ...]]:
    """What a query gives in a database."""
    with Database(parse(url, Path.cwd())).connect() as con:
        return [tuple(row) for row in con.run(sql).fetchall()]


def run_sql(url: str, *statements: str) -> None:
    """Run statements in a database."""
    with Database(parse(url, Path.cwd())).connect() as con:
        for statement in statements:
            con.run(statement)


def dumped(server: MariaDB, database: str, file: Path, *options: str) -> Path:
    """What the real mariadb-dump writes of a database."""
    program = shutil.which("mariadb-dump")
    assert program is not None
    with file.open("wb") as out:
        subprocess.run(
            [
                program,
                "--no-defaults",
                "--protocol=tcp",
                "-h127.0.0.1",
                f"-P{server.port}",
                "-uroot",
                *options,
                database,
            ],
            stdout=out,
            check=True,
        )
    return file
