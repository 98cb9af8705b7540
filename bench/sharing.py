"""Four processes on one store under one provider's limit: how much of it they use, and how often they hit it.

The limit is kept by a simulator in a process of its own: 600 requests a minute, two seconds' worth at once. Each
process has a declaration and rows of its own; they begin together. What stays true: the provider's books judge.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.lanes import LATENCY_S, PER_MINUTE, START_S, figures
from bench.measure import Line
from bench.runs import declare, run, write_rows
from inlay.testing import SimulatorProcess

PROCESSES = 4


def sharing4(folder: Path, quick: bool) -> list[Line]:
    """Sixty seconds (thirty with --quick): the limit declared, then learnt from the provider's headers."""
    seconds = 30 if quick else 60
    return [line for declared in (True, False) for line in _one(folder, declared, seconds)]


def _one(folder: Path, declared: bool, seconds: int) -> list[Line]:
    place = folder / ("declared" if declared else "learnt")
    rows = PER_MINUTE // 60 * seconds // PROCESSES
    limits = f"{{requests_per_minute: {PER_MINUTE}}}" if declared else "{}"
    with SimulatorProcess(latency=LATENCY_S, requests_per_minute=PER_MINUTE) as simulator:
        folders = [place / str(number) for number in range(PROCESSES)]
        for number, each in enumerate(folders):
            each.mkdir(parents=True)
            write_rows(each / "reviews.csv", rows, seed=number)
            declare(each, simulator.endpoint, limits=limits, store="../shared.db")
        with ThreadPoolExecutor(PROCESSES) as pool:
            done = list(pool.map(run, folders))
        calls = list(simulator.ledger.calls)
    failed = sum(sum(one.json["passes"][0]["failed"].values()) for one in done)
    share, refused, count = figures(calls)
    early = sum(1 for call in calls if call.status == 429)
    title = f"{PROCESSES} processes, {PER_MINUTE} a minute, {'declared' if declared else 'learnt from headers'}"
    return [
        Line(f"{title}: share used", share * 100, "%", target=95, most=False, note=f"{failed} rows failed"),
        Line(
            f"{title}: 429s after {START_S:.0f} s",
            100 * refused / max(count, 1),
            "%",
            target=1,
            note=f"{early} of {len(calls)} in all",
        ),
    ]
