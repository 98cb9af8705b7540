"""What the command line's tests share: a project folder, a simulated provider, and `inlay` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import inlay
from inlay.cli.main import cli
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


SECRET = "sk-live-0123456789abcdefghij"


class Answer:
    """How one command ended. Making it checks what holds for every mistake."""

    def __init__(self, folder: Path, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err
        assert SECRET not in out + err
        assert SECRET[8:] not in out + err
        assert not list(folder.rglob(".inlay-*.part")), "nothing is half-written"
        said = [line for line in err.splitlines() if line.startswith(("error: ", "stopped: ", "Error: "))]
        assert len(said) == 1, err

    @property
    def told(self) -> str:
        """The answer without what a run says while it goes."""
        return self.err[re.search(r"^(?:error|stopped|Error): ", self.err, re.MULTILINE).start() :]  # type: ignore[union-attr]

    def check(self, code: int, says: str, remedy: str, *, most: int = 5) -> None:
        """The exit code, what is said (a pattern), and what is said to be done."""
        assert self.code == code, self.err
        assert re.search(says, self.told), self.told
        if remedy:
            after = self.told[self.told.index("→") :]
            assert re.search(remedy, after), self.told
        assert len(self.told.splitlines()) <= most, self.told


class Project:
    """A folder with a declaration and a CSV file; `inlay(...)` runs the command there."""

    ROWS = ROWS
    SECRET = SECRET

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

    def ask(self, *arguments: str, **env: str) -> Answer:
        """One command in this process that ends in a mistake; no terminal on any stream."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "INLAY_LOG_FORMAT", "NO_COLOR"):
                patch.delenv(name, raising=False)
            done = CliRunner().invoke(cli, list(arguments), prog_name="inlay", env=env)
        return Answer(self.folder, done.exit_code, done.stdout, done.stderr)

    def ended(self, code: int, err: str) -> Answer:
        """A command that ended elsewhere."""
        return Answer(self.folder, code, "", err)

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
