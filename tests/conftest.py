"""What a machine lacks is said, never passed over in silence: tests that cannot run here are named.

With INLAY_ALL_TESTS set (as in CI) nothing is left out: a test whose means are missing then fails.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from inlay.testing.servers import MariaDB, PostgreSQL, mariadb_is_here, postgresql_is_here


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def _can_draw() -> bool:
    return shutil.which("chromium") is not None and importlib.util.find_spec("playwright") is not None


def _has_dbt() -> bool:
    return (Path(__file__).resolve().parents[1] / ".venv-dbt" / "bin" / "dbt").exists()


# The same examples each time, so that a red test is the change's own; the long proofs (`make soak`) draw new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
if "INLAY_SOAK" not in os.environ:
    settings.load_profile("steady")

# Marker -> what it needs, and whether this machine has it.
_NEEDS = {
    "chromium": ("chromium (Debian's package) and playwright", _can_draw),
    "mariadb": ("mariadb-server (Debian's package)", mariadb_is_here),
    "postgresql": ("postgresql (Debian's package)", postgresql_is_here),
    "dbt": ("dbt in .venv-dbt (`make test` puts it there)", _has_dbt),
    "namespaces": ("unshare -rm (util-linux), as root or with user namespaces", _can_mount),
}


def _missing() -> dict[str, str]:
    """Marker -> what it needs, for all that this machine does not have."""
    if os.environ.get("INLAY_ALL_TESTS"):
        return {}
    return {marker: needs for marker, (needs, available) in _NEEDS.items() if not available()}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:  # a test that takes a server needs it
        for server in ("mariadb", "postgresql"):
            if server in getattr(item, "fixturenames", ()):
                item.add_marker(server)
    for marker in _missing():
        marked = [item for item in items if item.get_closest_marker(marker)]
        items[:] = [item for item in items if item not in marked]
        config.hook.pytest_deselected(items=marked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for marker, needs in _missing().items():
        terminalreporter.write_line(f"left out: the tests marked {marker}, which need {needs}", yellow=True)


# What a server wrote is in the system's hands, which outlives it: enough for a test, at a tenth of the time.
QUICK = {
    "mariadb": ("--innodb-flush-log-at-trx-commit=2",),
    "postgresql": ("-c", "fsync=off", "-c", "full_page_writes=off"),
}


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A MariaDB that the tests of this process share; each takes a database of its own."""
    with MariaDB(tmp_path_factory.mktemp("mariadb"), options=QUICK["mariadb"]) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A PostgreSQL that the tests of this process share; each takes a database of its own."""
    with PostgreSQL(tmp_path_factory.mktemp("postgresql"), options=QUICK["postgresql"]) as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("mysql", marks=pytest.mark.mariadb),
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        "sqlite",
        "duckdb",
    ]
)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Every kind of database, one after the other."""
    return request.param


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """A function from a kind to the address of an empty database of its own."""

    def make(kind: str) -> str:
        name = f"t_{secrets.token_hex(4)}"
        if kind == "mysql":
            return request.getfixturevalue("mariadb").url(name)
        if kind == "postgresql":
            return request.getfixturevalue("postgresql").url(name)
        return f"{kind}:////{str(tmp_path / name).lstrip('/')}.db"

    return make


@pytest.fixture
def database_url(database_kind: str, new_database: Callable[[str], str]) -> str:
    """The address of an empty database of each kind."""
    return new_database(database_kind)
