"""What is installed is what was tested: the wheel alone, in an empty environment, enriches a file.

Needs a package index, as setting up the tests did; declared dependencies are installed at the versions of
requirements/base.txt.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def call(*command: object, folder: Path, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=600, check=False, **more
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "-d", folder, folder=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    pinned = re.findall(r"^[a-z0-9_.-]+==[^\s\\;]+", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(pinned) + "\n")
    call(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    python = folder / "venv/bin/python"
    wheel = next(dist.glob("*.whl"))
    call(python, "-m", "pip", "install", "-q", "--no-input", "-c", "constraints.txt", wheel, folder=folder)
    return folder / "venv/bin"


def test_the_sdist_holds_the_sources_and_builds(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())
    assert (source / "src/inlay/py.typed").exists()
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", folder=source)

    def names(folder: Path) -> list[str]:
        return sorted(zipfile.ZipFile(next(folder.glob("*.whl"))).namelist())

    assert names(tmp_path / "again") == names(dist)


def test_the_wheel_holds_no_path_of_this_machine(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        for name in archive.namelist():
            assert str(ROOT).encode() not in archive.read(name), name


def test_it_enriches_a_file_from_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("id,text\n1,ok\n2,positive and clean\n3,très negative 🙁\n", encoding="utf-8")
    env = {**BARE, "HOME": str(tmp_path)}
    fields = ("--field", "sentiment: positive|neutral|negative", "--field", "topics: list[string]")
    command = (installed / "inlay", "enrich", "reviews.csv", "--key", "id", *fields, "-o", "out.csv", "--json")
    done = call(*command, folder=tmp_path, env=env)
    assert json.loads(done.stdout)["published_rows"] == 3
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sentiment"] for row in rows] == ["", "positive", "negative"]
    again = json.loads(call(*command, folder=tmp_path, env=env).stdout)
    assert again["rows"] == 0


def test_a_declaration_runs_reports_and_explains_from_there(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("id,text\n1,positive\n", encoding="utf-8")
    env = {**BARE, "HOME": str(tmp_path)}
    inlay = installed / "inlay"
    call(inlay, "init", "reviews.csv", "--yes", folder=tmp_path, env=env)
    call(inlay, "run", "--yes", "--quiet", folder=tmp_path, env=env)
    call(inlay, "report", "-o", "report.html", folder=tmp_path, env=env)
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert call(inlay, "explain", "1", folder=tmp_path, env=env).stdout
    assert json.loads(call(inlay, "schema", folder=tmp_path, env=env).stdout)["$schema"]
