"""A lane under a provider's limit: how much of the allowed rate is used, and how often the limit is hit.

Four runs at once, each with a simulator of its own that allows 600 requests a minute: with and without headers that
tell the limit, and with and without the limit declared.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import Line
from bench.runs import declare, run, write_rows
from inlay.testing import Call, SimulatorProcess

PER_MINUTE = 600
LATENCY_S = 0.3
START_S = 10.0  # what happens before counts as the start


def lane(folder: Path, quick: bool) -> list[Line]:
    """Sixty seconds (thirty with --quick) of each of the four."""
    seconds = 30 if quick else 60
    kinds = [(announced, declared) for announced in (True, False) for declared in (False, True)]
    with ThreadPoolExecutor(len(kinds)) as pool:
        found = list(pool.map(lambda kind: _one(folder, kind[0], kind[1], seconds), kinds))
    return [line for lines in found for line in lines]


def _one(folder: Path, announced: bool, declared: bool, seconds: int) -> list[Line]:
    place = folder / f"{announced}{declared}"
    place.mkdir()
    write_rows(place / "reviews.csv", PER_MINUTE // 60 * seconds)
    limits = "{requests_per_minute: 600}" if declared else "{}"
    with SimulatorProcess(latency=LATENCY_S, requests_per_minute=PER_MINUTE, announce_limits=announced) as simulator:
        declare(place, simulator.endpoint, limits=limits)
        done = run(place)
        calls = simulator.ledger.calls
    failed = sum(done.json["passes"][0]["failed"].values())
    share, refused, count = figures(list(calls))
    title = f"{'headers' if announced else 'no headers'}, {'declared' if declared else 'undeclared'}"
    early = sum(1 for call in calls if call.status == 429)
    return [
        Line(
            f"600 a minute, {title}: share used", share * 100, "%", target=95, most=False, note=f"{failed} rows failed"
        ),
        Line(
            f"600 a minute, {title}: 429s after {START_S:.0f} s",
            100 * refused / max(count, 1),
            "%",
            target=1,
            note=f"{early} of {len(calls)} in all",
        ),
    ]


def figures(calls: list[Call]) -> tuple[float, int, int]:
    """Share of the allowed rate after the start, refused calls and all calls in that time."""
    start = min(call.arrived_s for call in calls) + START_S
    end = max(call.arrived_s for call in calls if call.status == 200) - 1.0  # the last rows leave places empty
    late = [call for call in calls if start <= call.arrived_s < end]
    answered = sum(1 for call in late if call.status == 200)
    refused = sum(1 for call in late if call.status == 429)
    return answered / (PER_MINUTE / 60 * (end - start)), refused, len(late)
