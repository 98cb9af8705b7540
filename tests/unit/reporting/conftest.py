"""A small enrichment in a folder, answered by the simulated provider, and its facts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inlay import project, run
from inlay.reporting.facts import Facts
from inlay.testing import Simulator

FIELDS: dict[str, Any] = {
    "mood": {"type": "enum", "values": ["good", "fair", "bad"], "confidence": True, "evidence": True},
    "stars": {"type": "integer", "min": 1, "max": 5, "confidence": True},
    "price": {"type": "number"},
    "day": {"type": "date"},
    "at": {"type": "datetime"},
    "nice": {"type": "boolean"},
    "tags": {"type": "list"},
    "note": {"type": "text", "evidence": True},
    "place": {"type": "object", "fields": {"city": {"type": "string"}, "far": {"type": "boolean"}}},
}
TEXTS = (
    "Lovely place, very clean. 5 stars",
    "駅から遠いが静かで快適。星4つ",
    "خدمة سيئة للغاية ولكن الموقع ممتاز",
    "Mediocre 😐 at best",
    "She said “never again”, twice",
    "Nothing to say",
)
COLUMN = "guest's text"  # a name with a space and a quote


class Place:
    """A folder with a declaration of two passes over a CSV file."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.declaration = folder / "inlay.yaml"
        self.rows([(f"r{index:02}", f"{TEXTS[index % 6]} ({index})") for index in range(24)])
        self.declare()

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        with (self.folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", COLUMN])
            writer.writerows(rows)

    def declare(self, **changes: Any) -> None:
        shared = {
            "model": "compatible:sim",
            "endpoint": self.endpoint,
            "prices": {"input_per_million": 0.1, "output_per_million": 0.5},
        }
        document: dict[str, Any] = {
            "name": "reviews",
            "source": {"files": "reviews.csv", "key": "id"},
            "passes": [
                {"name": "read", "prefix": "rv_", "prompt": f'{{{{ row["{COLUMN}"] }}}}', "fields": FIELDS, **shared},
                {
                    "name": "judge",
                    "prompt": f'{{{{ passes.read.mood }}}}: {{{{ row["{COLUMN}"] }}}}',
                    "fields": {"answer": {"type": "boolean", "confidence": True, "evidence": True}},
                    **shared,
                },
            ],
            "failures": {"max_percent": 100},
            "output": {"files": "out.jsonl", "confidence": False, "evidence": False, "null_reasons": False},
            **changes,
        }
        self.declaration.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    def run(self, **options: Any) -> None:
        run(self.declaration, **options)

    def facts(self, samples: int = 12) -> Facts:
        return project.report_facts(self.declaration, samples=samples)

    def table(self) -> list[dict[str, Any]]:
        """The published rows."""
        lines = (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(null_share=0.2) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, sim: Simulator) -> Place:
    return Place(tmp_path, sim.endpoint)


@pytest.fixture(scope="session")
def place_kind() -> type[Place]:
    """For fixtures that outlive a test."""
    return Place
