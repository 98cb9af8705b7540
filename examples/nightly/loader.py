"""The loader job of document A, as it would run in Glue, under cron or in Airflow: load, enrich, hand on to silver.

    python loader.py --date 2026-02-11

Enrichment is a step that may fail: the load counts, and the silver layer is triggered either way.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import inlay
from inlay import project

HERE = Path(__file__).parent
DECLARATION = HERE / "inlay.yaml"


def main() -> int:
    """One night."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--date", required=True, help="the day of the dump, such as 2026-02-11")
    day = parser.parse_args().date

    # 1 and 2: download the dump and load it into staging. This must work: without it there is no night.
    loaded = project.load_dump(DECLARATION, date=day)
    print(f"loader: {loaded.line}")

    # 3: the model's columns. Not critical: on_error="warn" gives a report, whatever happens.
    report = inlay.run(DECLARATION, yes=True, on_error="warn")
    print(f"loader: {report.line}")

    # 4: the silver layer, on success and on failure.
    silver = subprocess.run([sys.executable, str(HERE / "silver.py")], check=False, env=os.environ)  # noqa: S603
    return silver.returncode


if __name__ == "__main__":
    sys.exit(main())
