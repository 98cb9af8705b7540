"""Fixtures of the dumps' tests."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # these tests share one module beside them

from dumps_scene import FOOT, HEAD


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a dump file: text between a head and a foot of mysqldump's."""

    def written(text: str | bytes, name: str = "d.sql", *, bare: bool = False) -> Path:
        data = text.encode() if isinstance(text, str) else text
        if not bare:
            data = HEAD.encode() + data + FOOT.encode()
        file = tmp_path / name
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return file

    return written
