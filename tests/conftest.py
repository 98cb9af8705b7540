"""What a machine lacks is said, never passed over in silence: tests that cannot run here are named.

With INLAY_ALL_TESTS set (as in CI) nothing is left out: a test whose means are missing then fails.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess

import pytest
from hypothesis import settings


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def _can_draw() -> bool:
    return shutil.which("chromium") is not None and importlib.util.find_spec("playwright") is not None


# The same examples each time, so that a red test is the change's own; the long proofs (`make soak`) draw new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
if "INLAY_SOAK" not in os.environ:
    settings.load_profile("steady")

# Marker -> what it needs, and whether this machine has it.
_NEEDS = {
    "chromium": ("chromium (Debian's package) and playwright", _can_draw),
    "namespaces": ("unshare -rm (util-linux), as root or with user namespaces", _can_mount),
}


def _missing() -> dict[str, str]:
    """Marker -> what it needs, for all that this machine does not have."""
    if os.environ.get("INLAY_ALL_TESTS"):
        return {}
    return {marker: needs for marker, (needs, available) in _NEEDS.items() if not available()}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker in _missing():
        marked = [item for item in items if item.get_closest_marker(marker)]
        items[:] = [item for item in items if item not in marked]
        config.hook.pytest_deselected(items=marked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for marker, needs in _missing().items():
        terminalreporter.write_line(f"left out: the tests marked {marker}, which need {needs}", yellow=True)
