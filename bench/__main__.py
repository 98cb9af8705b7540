"""`python -m bench [names…] [--quick] [--json]`: run the sections, print one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import databases, lanes, loading, planning, publishing, runs, sharing, starting, storing
from bench.measure import Line

Section = Callable[[Path, bool], list[Line]]

SECTIONS: dict[str, Section] = {
    "help": starting.help_,
    "commit": storing.commit,
    "rows5k": runs.rows5k,
    "second": runs.second,
    "rows50k": runs.rows50k,
    "tokens": runs.tokens,
    "add1": planning.add1,
    "noop10m": planning.noop10m,
    "plan1m": databases.plan1m,
    "lane": lanes.lane,
    "sharing4": sharing.sharing4,
    "publish100k": publishing.publish100k,
    "load": loading.load,
}


def main() -> None:
    """Run what is named (everything otherwise) and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sections: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--folder", type=Path, help="where the temporary data goes (default: the system's)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in SECTIONS]
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    lines: list[Line] = []
    for name in chosen.names or SECTIONS:
        print(f"{name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="inlay-bench-", dir=chosen.folder) as folder:
            found = SECTIONS[name](Path(folder), chosen.quick)
        lines += found
        if not chosen.json:
            print(table(found), file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps({"machine": machine(), "lines": [line.to_json() for line in lines]}, indent=2))
    else:
        print(f"\n{machine()}\n\n{table(lines)}")


def machine() -> str:
    """What this ran on, and how busy it was."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}{load}"


def table(lines: list[Line]) -> str:
    """The lines in columns."""
    head = ("what", "measured", "floor", "ratio", "target", "", "note")
    rows = [head, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    out = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5], strict=True)),
        ]
        out.append("  ".join([*cells, row[5].ljust(widths[5]), row[6]]).rstrip())
    return "\n".join(out)


def _cells(line: Line) -> tuple[str, ...]:
    target = ""
    if line.target is not None:
        number = f"{line.target:g} x" if line.judged == "ratio" else figure(line.target, line.unit)
        target = f"{'≤' if line.most else '≥'} {number}"
    floor = "" if line.floor is None else figure(line.floor, line.unit)
    ratio = "" if line.ratio is None else f"{line.ratio:.2f} x"
    return (line.name, figure(line.measured, line.unit), floor, ratio, target, line.verdict, line.note)


def figure(value: float, unit: str) -> str:
    """A number with three meaningful digits, and its unit."""
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value)} {unit}".rstrip()
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f} {unit}".rstrip()


if __name__ == "__main__":
    main()
