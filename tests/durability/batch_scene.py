"""The scene of batches: the same folder, rows and judging, with a provider that has a batch API."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from durable_scene import Scene

from inlay import project
from inlay.batches import Batch
from inlay.testing import Simulator

KEY = {"OPENAI_API_KEY": "sk-batch-0123456789"}
MODEL = "openai:gpt-6-luna"


class BatchScene(Scene):
    """`mode: batch` at the simulator's OpenAI."""

    provider, model, key = "openai", MODEL, KEY

    def __init__(self, folder: Path, sim: Simulator) -> None:
        super().__init__(folder, sim)
        self.document = {
            "name": "reviews",
            "mode": "batch",
            "batch": {"poll_s": 0.05, "lost_after_s": 30},
            "source": {"files": "rows.csv", "key": "id"},
            "passes": [self.one_pass()],
            "budget": {"usd": 50},
            "output": {"files": self.output},
        }

    def one_pass(self, name: str = "read", prompt: str = "Read this review: {{ text }}", **more: Any) -> dict[str, Any]:
        place = {"model": self.model, "endpoint": self.sim.endpoints[self.provider]}
        return {**super().one_pass(name, prompt), "prices": None, **place, **more}

    def declare(self, **changes: Any) -> Path:
        given = changes.get("passes") or self.document["passes"]
        changes["passes"] = [{key: value for key, value in part.items() if value is not None} for part in given]
        return super().declare(**changes)

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**self.key, **more)

    # --- judging

    def batches(self, *, closed: bool = True) -> list[Batch]:
        return project.batches(self.file, closed=closed)

    def paid_once(self) -> None:
        """Every question was run once, and every batch that was made is known here."""
        asked = Counter(f"{call.system_sha256}/{call.user_sha256}" for call in self.ledger.calls if call.cost_nusd)
        assert not [number for number in asked.values() if number > 1]
        ours = [batch.remote_id for batch in self.batches() if batch.remote_id]
        assert sorted(ours) == sorted(batch.id for batch in self.ledger.batches)

    def booked(self) -> tuple[int, int]:
        """(what the store booked, how much of it is worst-case), in nano-dollars."""
        with self.open_store() as store, store._db.read() as con:
            total = con.execute("SELECT coalesce(sum(cost), 0) FROM attempts").fetchone()[0]
            lost = con.execute("SELECT coalesce(sum(cost), 0) FROM attempts WHERE estimated = 1").fetchone()[0]
            scope = con.execute("SELECT spent FROM spending WHERE scope = 'total'").fetchone()
        assert total == (scope[0] if scope else 0)
        return total, lost
