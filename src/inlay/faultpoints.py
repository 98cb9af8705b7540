"""Named points at which a durability test can kill this process, as a power cut would.

`INLAY_FAULTPOINT="commit.before_commit"` kills the process when it first reaches that point, and
`"commit.before_commit:3"` when it does so for the third time. The variable is read once, at import; where it is not
set, a point costs one look at a module global.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "INLAY_FAULTPOINT"


def _armed(text: str) -> tuple[str, int] | None:
    name, _, times = text.partition(":")
    return (name, int(times) if times.isdigit() else 1) if name else None


_point = _armed(os.environ.get(VARIABLE, ""))
_seen = 0


def reach(name: str) -> None:
    """Say that the point `name` is reached: nothing happens, unless a test armed it, and then the process dies."""
    if _point is not None:
        _strike(name, *_point)


def _strike(name: str, armed: str, times: int) -> None:
    global _seen
    if name == armed:
        _seen += 1
        if _seen == times:
            # SIGKILL cannot be caught: no finally, no atexit, no flush. Windows knows only a hard exit.
            if hasattr(signal, "SIGKILL"):
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(137)
