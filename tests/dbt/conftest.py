"""dbt itself, in an environment of its own, on every database: a project, its commands, and what it built.

MariaDB is reached by dbt-duckdb with DuckDB's mysql extension (the adapter made for MySQL ended with dbt 1.7): one
attachment reads every schema, one of a single schema takes the models.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inlay.databases.address import Address, parse
from inlay.databases.connection import Database
from inlay.project import write_dbt
from inlay.project.dbt import DbtChanges

sys.path.insert(0, str(Path(__file__).parent))  # the rows of the silver rule are beside
ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-dbt" / "bin" / "python"
DRIVER = Path(__file__).with_name("driver.py")


class Dbt:
    """A process of dbt's own environment that runs commands, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-W", "ignore", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": "", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        )

    def run(self, folder: Path, command: Sequence[str]) -> tuple[dict[str, Any], str]:
        """One command in a project; its result, and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), command]) + "\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith("RESULT "):
                return json.loads(line[7:]), "".join(said)
            said.append(line)
        raise AssertionError("dbt ended: " + "".join(said))

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


class DbtProject:
    """A dbt project on an empty database, with a schema for what is loaded and another for what dbt makes."""

    def __init__(self, folder: Path, kind: str, url: str, dbt: Dbt) -> None:
        self.folder = folder
        self._dbt = dbt
        self.kind = kind
        self.address: Address = parse(url, folder)
        self.database = Database(self.address)
        folder.mkdir()
        (folder / "dbt_project.yml").write_text(
            "name: warehouse\nversion: '1.0'\nprofile: warehouse\nmodels: {warehouse: {+materialized: table}}\n"
            "flags: {send_anonymous_usage_stats: false}\n"
        )
        (folder / "profiles.yml").write_text(
            json.dumps({"warehouse": {"target": "t", "outputs": {"t": self._output()}}})
        )

    @property
    def schema(self) -> str:
        """Where the source and the published table are."""
        return {"mysql": self.address.database, "sqlite": "main"}.get(self.kind, "staging")

    def table(self, name: str) -> str:
        """A table there, as a declaration names it."""
        return name if self.kind == "sqlite" else f"{self.schema}.{name}"

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last."""
        rows: list[tuple[Any, ...]] = []
        with self.database.connect() as con:
            for statement in statements:
                cursor = con.run(statement)
                rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        return rows

    def write(self, declaration: Path, **named: Any) -> DbtChanges:
        """`inlay dbt`."""
        return write_dbt(declaration, self.folder, **named)

    def dbt(self, *command: str, fails: bool = False) -> dict[str, Any]:
        """A dbt command: what came of each node."""
        found, said = self._dbt.run(self.folder, command)
        assert found["success"] != fails, (found["error"], said, list(found["nodes"].items()))
        return found

    def model(self, name: str, columns: str, order: str = "id") -> list[tuple[Any, ...]]:
        """Rows that a model holds."""
        schema = {"sqlite": "main", "mysql": self.address.database}.get(self.kind, "analytics")
        return self.sql(f"SELECT {columns} FROM {schema}.{name} ORDER BY {order}")

    def _output(self) -> dict[str, Any]:
        at = self.address
        if self.kind == "postgresql":
            return {
                "type": "postgres",
                "host": at.host,
                "port": at.port,
                "user": at.user,
                "password": at.password or "none",
                "dbname": at.database,
                "schema": "analytics",
                "threads": 1,
            }
        if self.kind == "duckdb":
            return {"type": "duckdb", "path": str(at.path), "schema": "analytics", "threads": 1}
        if self.kind == "sqlite":
            return {
                "type": "sqlite",
                "threads": 1,
                "database": "main",
                "schema": "main",
                "schemas_and_paths": {"main": str(at.path)},
                "schema_directory": str(self.folder),
            }
        server = f"host={at.host} port={at.port} user={at.user}"
        return {
            "type": "duckdb",
            "path": str(self.folder / "lake.duckdb"),
            "threads": 1,
            "database": "maria",
            "schema": at.database,
            "config_options": {"extension_directory": str(_extensions(self.folder))},
            "attach": [{"path": f"{server} database={at.database}", "type": "mysql", "alias": "maria"}],
        }


def _extensions(folder: Path) -> Path:
    """DuckDB's extensions as it looks for them, from the packages that bring them."""
    into = folder / "extensions"
    for found in (ROOT / ".venv-dbt").glob("lib/*/site-packages/duckdb_extension_*/extensions/*/*.duckdb_extension"):
        machine = {"linux": "linux_amd64"}.get(sys.platform, "")
        machine = machine if os.uname().machine == "x86_64" else "linux_arm64"
        target = into / found.parent.name / machine
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, target / found.name)
    return into


@pytest.fixture(scope="session")
def dbt() -> Iterator[Dbt]:
    """One dbt for all tests of this process."""
    process = Dbt()
    yield process
    process.close()


@pytest.fixture
def dbt_project(tmp_path: Path, new_database: Callable[[str], str], dbt: Dbt) -> Callable[[str], DbtProject]:
    """A function from a kind of database to a dbt project on an empty one."""

    def make(kind: str) -> DbtProject:
        return DbtProject(tmp_path / "warehouse", kind, new_database(kind), dbt)

    return make
