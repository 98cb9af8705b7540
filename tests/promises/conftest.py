"""The promises share the scene of the durability proofs: one simulator, one folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inlay.testing import Simulator

sys.path.insert(0, str(Path(__file__).parents[1] / "durability"))  # where the scene is

from durable_scene import Scene


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(null_share=0.1) as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path, sim: Simulator) -> Scene:
    made = Scene(tmp_path, sim)
    made.rows([{"id": "k0", "text": "今日は晴れ", "other": "o"}])
    made.declare()
    return made
