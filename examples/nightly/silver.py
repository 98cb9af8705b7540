"""The silver layer: `inlay dbt` keeps the staging model up to date, and dbt builds it in the same MariaDB.

dbt has an environment of its own (.venv-dbt); it reaches MariaDB through DuckDB's mysql extension, since the adapter
that was made for MySQL ended with dbt 1.7.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROJECT = HERE / ".play" / "warehouse"
DBT = ROOT / ".venv-dbt"


def make_project() -> None:
    """An empty dbt project on the staging database, once."""
    if PROJECT.exists():
        return
    PROJECT.mkdir(parents=True)
    (PROJECT / "dbt_project.yml").write_text(
        "name: warehouse\nversion: '1.0'\nprofile: warehouse\nmodels: {warehouse: {+materialized: table}}\n"
    )
    at = urlsplit(os.environ["STAGING_URL"])
    extensions = PROJECT / "extensions"
    for found in DBT.glob("lib/*/site-packages/duckdb_extension_*/extensions/*/*.duckdb_extension"):
        machine = "linux_amd64" if os.uname().machine == "x86_64" else "linux_arm64"
        target = extensions / found.parent.name / machine
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, target / found.name)
    output = {
        "type": "duckdb",
        "path": str(PROJECT / "lake.duckdb"),
        "threads": 1,
        "database": "maria",
        "schema": at.path.lstrip("/"),
        "config_options": {"extension_directory": str(extensions)},
        "attach": [
            {
                "path": f"host={at.hostname} port={at.port} user={at.username} database={at.path.lstrip('/')}",
                "type": "mysql",
                "alias": "maria",
            }
        ],
    }
    profile = {"warehouse": {"target": "play", "outputs": {"play": output}}}
    (PROJECT / "profiles.yml").write_text(json.dumps(profile))


def main() -> int:
    """Write what the declaration means for dbt, then build it and run its tests."""
    make_project()
    inlay = [sys.executable, "-m", "inlay", "dbt", str(HERE / "inlay.yaml"), "--project", str(PROJECT), "--quiet"]
    subprocess.run(inlay, check=True)  # noqa: S603 (our own words)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603
        [str(DBT / "bin" / "dbt"), "--quiet", "build", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)],
        check=False,
        capture_output=True,
        text=True,
        env={**clean, "DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
    )
    if done.returncode:
        sys.stdout.write(done.stdout[-3000:] + done.stderr[-1000:])
        sys.stdout.write("silver: dbt build FAILED\n")
    else:
        sys.stdout.write("silver: dbt build passed, with its tests\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
