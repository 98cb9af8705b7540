"""Two processes on one store keep one declared rate between them: judged by what the provider had to refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from durable_scene import SOURCE, texts

from inlay.testing import Simulator

EACH = 70


def test_two_processes_keep_one_rate(tmp_path: Path) -> None:
    with Simulator(null_share=0, requests_per_minute=1260) as sim:
        running = []
        for name in ("one", "two"):
            rows = [{**row, "text": f"{name} {row['text']}"} for row in texts(EACH)]
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            spec = {
                "name": name,
                "store": "shared.db",
                "source": {"files": f"{name}.jsonl", "key": "id"},
                "limits": {"requests_per_minute": 1200},
                "passes": [
                    {
                        "name": "read",
                        "model": "compatible:sim",
                        "endpoint": sim.endpoint,
                        "prompt": "{{ text }}",
                        "prices": {"input_per_million": 0, "output_per_million": 0},
                        "fields": {"mood": "good|bad"},
                    }
                ],
            }
            (tmp_path / f"{name}.yaml").write_text(json.dumps(spec), encoding="utf-8")
        for name in ("one", "two"):
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "inlay", "run", f"{name}.yaml", "--yes", "--quiet"],
                    cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(SOURCE)},
                )
            )
        assert [process.wait(timeout=120) for process in running] == [0, 0]
        calls = sim.ledger.calls
    answered = [call for call in calls if call.status == 200]
    refused = [call for call in calls if call.status == 429]
    assert len({call.user_sha256 for call in answered}) == 2 * EACH
    # Each at the full rate, half of all calls would be refused.
    assert len(refused) <= 0.1 * len(calls)
