"""Whether a runner is still alive: what lets a second `inlay run` start at once after a kill -9.

A runner's name carries its identity: a random token, the machine (boot and process namespace), the process and the
moment it started. Where that process can be looked at, a dead one is recognised immediately; everywhere else its
heartbeat decides. What stays true: a runner is never declared dead because of a number that was given out again
(a start time stands beside each process number, a namespace beside each boot), and an unknown identity is trusted
for as long as its heartbeat is fresh.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from functools import lru_cache
from pathlib import Path

LEASE_MS = 60_000  # a runner whose heartbeat is older than this is dead
HEARTBEAT_S = 5.0  # how often a running engine renews it

_VERSION = "r1"
_here: set[str] = set()  # runners of this very process that have not been retired


def new_runner() -> str:
    """A name for a runner of this process, unlike any other: `r1.TOKEN.MACHINE.PID.START`."""
    pid = os.getpid()
    runner = ".".join((_VERSION, secrets.token_hex(8), _machine(), str(pid), _start_of(pid)))
    _here.add(runner)
    return runner


def keep(runner: str) -> None:
    """Count a runner as one of this process's living ones (again). Idempotent."""
    _here.add(runner)


def retire(runner: str) -> None:
    """Declare that nobody in this process works as this runner any more. Idempotent."""
    _here.discard(runner)


def alive(runner: str, expires_ms: int, now_ms: int) -> bool:
    """True while nothing proves the runner dead: its heartbeat is fresh and its process, where visible, exists."""
    if expires_ms <= now_ms:
        return False
    parts = runner.split(".")
    if len(parts) != 5 or parts[0] != _VERSION or not parts[3].isdigit():
        return True  # a name that was chosen by somebody else: its heartbeat is all there is
    machine, pid, start = parts[2], int(parts[3]), parts[4]
    if not machine or machine != _machine():
        return True
    if pid == os.getpid() and start == _start_of(pid):
        return runner in _here
    return _process_lives(pid, start)


@lru_cache(maxsize=4)
def _machine_of(pid: int) -> str:
    """A name for everything that sees the same process numbers; empty where no such name can be had.

    The boot id tells machines and reboots apart, the namespace tells the containers of one machine apart (their
    process numbers repeat, and often their host names too).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        if sys.platform == "linux":
            return ""  # without /proc two containers could not be told apart
        return "host-" + socket.gethostname().encode().hex()
    return f"{boot}-{namespace}" if boot and namespace else ""


def _machine() -> str:
    return _machine_of(os.getpid())  # asked again after a fork into another namespace


def _stat_of(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on; None where it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the second field, the name, may hold spaces and brackets


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty where the system does not tell."""
    fields = _stat_of(pid)
    return fields[19] if fields and len(fields) > 19 else ""


def _process_lives(pid: int, start: str) -> bool:
    fields = _stat_of(pid)
    if fields and len(fields) > 19:
        if fields[0] in ("Z", "X", "x"):
            return False  # killed, and not yet collected by its parent
        return not start or fields[19] == start
    # No /proc entry: really gone, or hidden from other users (hidepid). Signal 0 only asks whether it exists.
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
