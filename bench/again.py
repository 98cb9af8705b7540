"""`python -m bench.again`: what a second run, an edit, a kill and bad answers cost, beside the nearest tools.

Each tool gets the same CSV of 200 rows, three fields, twenty calls at a time and the same simulated provider, whose
ledger counts the requests. Needs a package registry for the other tools; not part of `make bench`.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inlay.testing import Simulator

NEAREST = Path(__file__).with_name("nearest")
ROWS = [
    (f"r{n}", f"Stay {n}: the room was clean and quiet, breakfast came late. {n * 7919 % 1000}") for n in range(200)
]
PACKAGES = {
    "openai": ["openai", "pandas"],
    "instructor": ["instructor", "pandas"],
    "langchain": ["langchain-openai", "langchain-community", "pandas"],
}
DECLARATION = """\
name: reviews
source: {files: reviews.csv, key: id}
passes:
  - name: read
    model: openai:gpt-6-luna
    prompt: "Read this review: {{ text }}"
    fields:
      sentiment: positive|neutral|negative
      stars: integer
      topics: list[string]
output: out.csv
limits: {concurrency: 20}
"""


class Tool:
    """One way to do it, in a folder of its own."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.folder = root / name
        self.env = {**os.environ, "OPENAI_API_KEY": "simulated"}
        if name == "inlay":
            self.command = [sys.executable, "-m", "inlay", "run", "--quiet"]
            self.script, text = "inlay.yaml", DECLARATION
        else:
            python = root / f"{name}-venv/bin/python"
            subprocess.run([sys.executable, "-m", "venv", root / f"{name}-venv"], check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "--no-input", *PACKAGES[name]], check=True)
            self.command = [str(python), "again.py"]
            self.script, text = "again.py", (NEAREST / f"again_{name}.py").read_text(encoding="utf-8")
        self.text = text

    def fresh(self) -> None:
        """Forget everything; the first 200 rows."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / self.script).write_text(self.text, encoding="utf-8")
        self.rows(ROWS)

    def rows(self, rows: list[tuple[str, str]]) -> None:
        """Replace the source."""
        with (self.folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "text"), *rows])

    def start(self, simulator: Simulator) -> subprocess.Popen[bytes]:
        """Run it against this provider."""
        env = {**self.env, "OPENAI_BASE_URL": simulator.endpoint}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self.command, cwd=self.folder, env=env, stdout=quiet, stderr=quiet)

    def requests(self, simulator: Simulator) -> int:
        """Run to the end; what that asked."""
        before = simulator.summary()["calls"]
        self.start(simulator).wait()
        return simulator.summary()["calls"] - before

    def answered(self) -> str:
        """How many rows of the output have an answer."""
        out = self.folder / "out.csv"
        if not out.exists():
            return "no table"
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return f"{sum(1 for row in rows if row['topics'])} of {len(rows)} rows"


def figures(tool: Tool) -> list[object]:
    """One column of the table."""
    out: list[object] = [sum(1 for line in tool.text.splitlines() if line.strip() and not line.startswith("#"))]
    tool.fresh()
    with Simulator(latency=0.05, null_share=0) as simulator:
        out += [tool.requests(simulator), tool.requests(simulator)]
        edited = [("new", "Nice"), *ROWS]
        edited[51] = (edited[51][0], "Terrible, as it turned out")
        tool.rows(edited)
        out.append(tool.requests(simulator))
    tool.fresh()
    with Simulator(latency=0.3, null_share=0) as simulator:
        process = tool.start(simulator)
        while simulator.summary()["calls"] < 120 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        tool.requests(simulator)
        out.append(simulator.summary()["calls"])
    tool.fresh()
    with Simulator(latency=0.05, null_share=0) as simulator:
        tool.requests(simulator)
        script = tool.folder / tool.script
        script.write_text(tool.text.replace("Read this review", "Please read this review"), encoding="utf-8")
        out.append(tool.requests(simulator))
    tool.fresh()
    bad = [
        {"fault": "truncated", "record": r"Stay (17|107):"},
        {"fault": "http_429", "share": 0.1, "retry_after_s": 0.5},
    ]
    with Simulator(latency=0.05, null_share=0, faults=bad) as simulator:
        code = tool.start(simulator).wait()
        out.append(f"{tool.answered()}, exit code {code}")
    return out


WHAT = (
    "lines",
    "first run",
    "the same again",
    "one row edited, one inserted",
    "killed after 120, run again: in all",
    "a word of the prompt edited",
    "two bad records, 10% 429",
)


def main() -> None:
    """Measure what is named (all otherwise) and print one table."""
    parser = argparse.ArgumentParser(prog="python -m bench.again", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*PACKAGES, 'inlay'])}")
    names = parser.parse_args().names or [*PACKAGES, "inlay"]
    if unknown := set(names) - {*PACKAGES, "inlay"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="inlay-again-") as folder:
        columns = [figures(Tool(name, Path(folder))) for name in names]
    print("| | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for what, *line in zip(WHAT, *columns, strict=True):
        print(f"| {what} | " + " | ".join(map(str, line)) + " |")


if __name__ == "__main__":
    main()
