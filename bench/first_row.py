"""`python -m bench.first_row`: from `pip install` to the first enriched row, beside the nearest tools.

Each tool gets an empty virtual environment, the same CSV of 100 rows and the same simulated provider (100 ms a call).
Measured are the seconds that pip takes, the seconds until the first enriched row is on disk and until the last, the
commands typed and the lines of code written. Needs a package registry; not part of `make bench`.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inlay.testing import SimulatorProcess

ROOT = Path(__file__).resolve().parents[1]
NEAREST = Path(__file__).with_name("nearest")
ROWS, LATENCY_S = 100, 0.1
VOICES = ("Lovely staff and a clean pool", "駅から遠いが静か", "Terrible beds, never again", "مكان نظيف وهادئ")
COMMAND = (
    "enrich", "reviews.csv", "--key", "id", "--model", "openai:gpt-6-luna", "--prompt", "Read this review: {{ text }}",
    "--field", "sentiment: positive|neutral|negative", "--field", "topics: list[string]",
    "--budget", "1", "-o", "out.csv", "--quiet",
)  # fmt: skip
TOOLS = {
    "openai": (["openai"], "openai_sdk.py"),
    "instructor": (["instructor"], "instructor_loop.py"),
    "langchain": (["langchain-openai"], "langchain_batch.py"),
}


def main() -> None:
    """Measure what is named (all otherwise) and print one table."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_row", description=__doc__)
    known = ["inlay", *TOOLS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    names = parser.parse_args().names or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no such tool: {', '.join(unknown)}; there are {', '.join(known)}")
    print("| tool | pip install | first row | all 100 rows | commands | lines of code | packages | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        with (
            tempfile.TemporaryDirectory(prefix="inlay-first-row-") as folder,
            SimulatorProcess(latency=LATENCY_S) as simulator,
        ):
            print(measured(name, Path(folder), simulator.endpoint), flush=True)


def measured(name: str, folder: Path, endpoint: str) -> str:
    """One line of the table."""
    _rows(folder / "reviews.csv")
    env = {**os.environ, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "simulated"}
    python = folder / "venv/bin/python"
    wanted, script = ([str(_wheel(folder))], None) if name == "inlay" else TOOLS[name]
    _call([sys.executable, "-m", "venv", folder / "venv"], folder, env)
    began = time.monotonic()
    _call([python, "-m", "pip", "install", "-q", "--no-input", *wanted], folder, env)
    installed = time.monotonic() - began
    command = [python, "-m", "inlay", *COMMAND] if script is None else [python, NEAREST / script]
    first, last = _watched(command, folder, env)
    lines = 0 if script is None else _lines(NEAREST / script)
    packages = list((folder / "venv").glob("lib/python*/site-packages/*.dist-info"))
    size = sum(file.stat().st_size for file in (folder / "venv").rglob("*") if file.is_file()) / 1e6
    return (
        f"| {name} | {installed:.0f} s | {first:.1f} s | {last:.1f} s | {2 if script is None else 3} | {lines} "
        f"| {len(packages)} | {size:.0f} |"
    )


def _rows(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "text"])
        out.writerows([number, f"{VOICES[number % 4]} #{number}"] for number in range(ROWS))


def _wheel(folder: Path) -> Path:
    _call([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"], ROOT, dict(os.environ))
    return next((folder / "dist").glob("*.whl"))


def _watched(command: list[object], folder: Path, env: dict[str, str]) -> tuple[float, float]:
    """Seconds until the first enriched row could be read back, and until the end."""
    began = time.monotonic()
    first = 0.0
    process = subprocess.Popen([str(part) for part in command], cwd=folder, env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if not first and _enriched(folder):
            first = time.monotonic() - began
        time.sleep(0.02)
    last = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return first or last, last


def _enriched(folder: Path) -> bool:
    """A row with its answer is on disk: in the output, or (durable before published) in Inlay's store."""
    store = folder / ".inlay/store.db"
    if store.exists():
        import sqlite3

        try:
            with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as con:
                return con.execute("SELECT count(*) FROM answers").fetchone()[0] > 0
        except sqlite3.Error:
            return False
    out = folder / "out.csv"
    return out.exists() and out.read_bytes().count(b"\n") > 1


def _lines(script: Path) -> int:
    """Lines of code, without comments and empty ones."""
    return len([line for line in script.read_text(encoding="utf-8").splitlines() if re.match(r"\s*[^#\s]", line)])


def _call(command: list[object], folder: Path, env: dict[str, str]) -> None:
    subprocess.run([str(part) for part in command], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
