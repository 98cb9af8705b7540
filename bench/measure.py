"""How things are measured: one process from its start to its end, and lines that put a figure beside its floor.

What stays true: CPU and memory are what the kernel says of the finished child (wait4), start-up and threads included,
the simulator not; a line without a target is shown for orientation and judges nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Line:
    """One measured figure. `ratio` is measured ÷ floor; `judged` is what `target` bounds: "ratio" or "measured".

    `most` says whether the target is an upper bound. Units stand in `unit`; figures are plain numbers.
    """

    name: str
    measured: float
    unit: str
    floor: float | None = None
    target: float | None = None
    judged: str = "measured"
    most: bool = True
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the floor was needed."""
        return self.measured / self.floor if self.floor else None

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        value = self.ratio if self.judged == "ratio" else self.measured
        if self.target is None or value is None:
            return ""
        return "ok" if (value <= self.target if self.most else value >= self.target) else "MISSED"

    def to_json(self) -> dict[str, Any]:
        """The line as plain values."""
        return {
            "name": self.name,
            "measured": self.measured,
            "unit": self.unit,
            "floor": self.floor,
            "ratio": self.ratio,
            "target": self.target,
            "judged": self.judged,
            "bound": "most" if self.most else "least",
            "verdict": self.verdict,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Finished:
    """A child process that has ended. `cpu_s` is user and system time of all its threads, `rss_mb` its peak."""

    code: int
    wall_s: float
    cpu_s: float
    rss_mb: float
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What it printed, read as JSON."""
        return json.loads(self.out)


def child(arguments: Sequence[str], *, folder: Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run this Python with these arguments and wait for its end. A code other than 0 or 1 ends the benchmark."""
    paths = [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **(env or {}), "PYTHONPATH": os.pathsep.join(paths)}
    # As an installed package is: compiled once, whatever this environment says of byte code (0.13 s a start without).
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / f"inlay-bench-{os.getuid()}-bytecode")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complaint = out.read().decode(), err.read().decode(errors="replace")
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{complaint[-3000:]}")
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024  # Linux tells kilobytes
    cpu = usage.ru_utime + usage.ru_stime
    return Finished(process.returncode, wall, cpu, usage.ru_maxrss / scale, said, complaint)


def inlay(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Finished:
    """The command `inlay`, as a user types it in that folder."""
    return child(["-m", "inlay", *arguments], folder=folder, env=env)


def other_cpu() -> int | None:
    """A CPU for the simulator, so that it does not share ours; None where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1] if len(cpus) > 1 else None


def median(values: Sequence[float]) -> float:
    """The middle one (the lower of two)."""
    return sorted(values)[(len(values) - 1) // 2]
