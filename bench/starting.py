"""Start-up: how long `inlay --help` takes, and that it imports nothing which only a run needs."""

from __future__ import annotations

from pathlib import Path

from bench.measure import Line, child, inlay, median

HEAVY = (
    "aiohttp",
    "duckdb",
    "httptools",
    "inlay.engine",
    "inlay.providers",
    "inlay.stores",
    "inlay.tables",
    "jinja2",
    "pyarrow",
    "pydantic",
    "pyreqwest",
    "rich",
    "ruamel",
    "sqlite3",
    "uvloop",
)
LOADED = """
import sys
from inlay.cli.main import cli
cli.main(["--help"], standalone_mode=False)
print("\\n".join(sys.modules), file=sys.stderr)
"""


def help_(folder: Path, quick: bool) -> list[Line]:
    """`inlay --help`, beside an interpreter that imports click and nothing else."""
    times = 5 if quick else 10
    shown = median([inlay(folder, "--help").wall_s for _ in range(times)]) * 1000
    bare = median([child(["-c", "import click"], folder=folder).wall_s for _ in range(times)]) * 1000
    loaded = set(child(["-c", LOADED], folder=folder).err.split())
    heavy = [name for name in HEAVY if name in loaded]
    return [
        Line("inlay --help", shown, "ms", bare, 150),
        Line("inlay --help: heavy packages imported", len(heavy), "", target=0, note=", ".join(heavy)),
    ]
