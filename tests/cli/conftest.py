"""What the command line's tests share: a project folder, a simulated provider, and `inlay` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import inlay
from inlay.testing import Simulator

SOURCE = Path(inlay.__file__).resolve().parents[1]

# Keys and texts in several scripts.
ROWS: tuple[tuple[str, str], ...] = (
    ("r1", "Lovely place, very clean. 5 stars"),
    ("r2", "駅から遠いが静かで快適。星4つ"),
    ("r3", "خدمة سيئة للغاية"),
    ("r4", "Mediocre 😐 at best"),
    ("r5", 'She said "never again", twice'),
    ("r6", "Nothing to say"),
)


class Project:
    """A folder with a declaration and a CSV file; `inlay(...)` runs the command there."""

    ROWS = ROWS

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.started: list[subprocess.Popen[str]] = []
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI", "INLAY", "COLUMNS", "NO_COLOR", "FORCE_COLOR"))
        }
        self.env["PYTHONPATH"] = str(SOURCE)
        self.rows(ROWS)
        self.declare()

    def rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Replace the source."""
        lines = [f'{key},"{text.replace(chr(34), chr(34) * 2)}"' for key, text in rows]
        (self.folder / "reviews.csv").write_text("\n".join(["id,text", *lines]) + "\n", encoding="utf-8")

    def declare(self, file: str = "inlay.yaml", **changes: Any) -> Path:
        """Write a declaration (JSON is YAML); `changes` replace whole sections, None removes one."""
        document: dict[str, Any] = {
            "name": "reviews",
            "source": {"files": "reviews.csv", "key": "id"},
            "passes": [
                {
                    "name": "read",
                    "model": "compatible:sim",
                    "endpoint": self.endpoint,
                    "prompt": "Read this review: {{ text }}",
                    "prices": {"input_per_million": 0.1, "output_per_million": 0.5},
                    "fields": {
                        "sentiment": {"type": "enum", "values": ["positive", "neutral", "negative"]},
                        "stars": {"type": "integer", "min": 1, "max": 5},
                    },
                }
            ],
            "output": {"files": "out.jsonl"},
        }
        document.update(changes)
        document = {name: value for name, value in document.items() if value is not None}
        path = self.folder / file
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "inlay", *arguments]

    def inlay(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; no terminal on any stream."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start and go on; what still runs when the test ends is killed."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """Leave no process and no pipe behind."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def output(self) -> list[dict[str, Any]]:
        """The published rows."""
        return [json.loads(line) for line in (self.folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(null_share=0) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, simulator: Simulator) -> Iterator[Project]:
    """A project whose model is the simulator."""
    made = Project(tmp_path, simulator.endpoint)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _nobodys_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parallel test workers are told a width of their own; tables here are as wide as their content."""
    monkeypatch.delenv("COLUMNS", raising=False)
