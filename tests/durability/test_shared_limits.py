"""Processes on one store keep one rate between them: judged by what the provider had to refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from durable_scene import SOURCE, texts

from inlay.testing import Simulator
from inlay.testing.ledger import Call

EACH, PER_MINUTE = 100, 1200
# The same command for a process that never hears of others.
ALONE = """
from inlay.engine.lanesharing import LaneSharing
LaneSharing.heard = lambda self, notes, others: None
from inlay.cli.main import main
main()
"""


def two_runs(folder: Path, endpoint: str, *, declared: bool, alone: bool) -> None:
    """Two declarations on one store, run at the same time to their end."""
    for name in ("one", "two"):
        rows = [{**row, "text": f"{name} {row['text']}"} for row in texts(EACH)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        spec = {
            "name": name,
            "store": "shared.db",
            "source": {"files": f"{name}.jsonl", "key": "id"},
            "limits": {"requests_per_minute": PER_MINUTE} if declared else {},
            "passes": [
                {
                    "name": "read",
                    "model": "compatible:sim",
                    "endpoint": endpoint,
                    "prompt": "{{ text }}",
                    "prices": {"input_per_million": 0, "output_per_million": 0},
                    "fields": {"mood": "good|bad"},
                }
            ],
        }
        (folder / f"{name}.yaml").write_text(json.dumps(spec), encoding="utf-8")
    running = [
        subprocess.Popen(
            [sys.executable, *(("-c", ALONE) if alone else ("-m", "inlay")), "run", f"{name}.yaml", "--yes", "--quiet"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        for name in ("one", "two")
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]


def refused(folder: Path, *, declared: bool, alone: bool = False) -> list[Call]:
    """The calls that the provider refused; every row was answered once all the same."""
    # A quarter of a second's worth at once: a provider that counts in small windows.
    with Simulator(null_share=0, requests_per_minute=PER_MINUTE * 1.05, burst_s=0.25) as sim:
        two_runs(folder, sim.endpoint, declared=declared, alone=alone)
        calls = sim.ledger.calls
    assert len({call.user_sha256 for call in calls if call.status == 200}) == 2 * EACH
    return [call for call in calls if call.status == 429]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "learnt"])
def test_two_processes_keep_one_rate(tmp_path: Path, declared: bool) -> None:
    assert len(refused(tmp_path, declared=declared)) <= 0.02 * 2 * EACH


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "learnt"])
def test_two_that_hear_nothing_of_each_other_do_not(tmp_path: Path, declared: bool) -> None:
    assert len(refused(tmp_path, declared=declared, alone=True)) > 0.02 * 2 * EACH, "or the test above proves nothing"
