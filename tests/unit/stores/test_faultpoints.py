"""A fault point kills on the named pass, and does nothing when none is armed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from inlay.faultpoints import VARIABLE

SCRIPT = """
from inlay.faultpoints import reach
for i in range(5):
    print(i, flush=True)
    reach('a.b')
    reach('c')
"""
CASES = [("a.b", 1), ("a.b:3", 3), ("c:2", 2), ("other", 5), ("", 5), ("a.b:9", 5)]


@pytest.mark.parametrize(
    ("armed", "lines"), [("a.b", 1), ("a.b:3", 3), ("c:2", 2), ("other", 5), ("", 5), ("a.b:9", 5)]
)
def test_the_named_pass_is_deadly(armed: str, lines: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, VARIABLE: armed}, capture_output=True, text=True, check=False
    )
    assert len(result.stdout.split()) == lines
    assert result.returncode == (0 if lines == 5 else -signal.SIGKILL)
