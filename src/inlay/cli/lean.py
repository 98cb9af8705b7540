"""What `inlay plan` does without: pandas, which pyarrow would import with its very first array.

What stays true: this is for a process that is the command's own and ends with it (`main` says so), never for whoever
calls a command from their own Python. `to_pandas` would still find pandas afterwards; but that pandas' own nulls are
nulls, Arrow would not know.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

_ours = False


def this_process_is_ours() -> None:
    """Say that this process does nothing but the command."""
    global _ours
    _ours = True


class _Hidden:
    """Says that there is no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def without_pandas() -> None:
    """Let pyarrow look for pandas now, and not find it: 0.2 s of CPU (300 modules). Idempotent; does nothing in a
    process that is not ours."""
    if not _ours or "pandas" in sys.modules:
        return
    import pyarrow as pa

    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([""])  # without a type: where Arrow guesses one it looks for pandas' nulls, too
    finally:
        sys.meta_path.remove(hidden)
