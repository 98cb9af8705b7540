"""Runs in threads that end, one after another, as in notebooks and servers: the process lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import inlay

CODE = """
import asyncio, threading
from inlay.providers.transport import Transport

async def open_and_close():
    async with Transport("http://127.0.0.1:1/v1"):
        pass

for _ in range(6):
    thread = threading.Thread(target=lambda: asyncio.run(open_and_close()))
    thread.start()
    thread.join()
assert [thread.name for thread in threading.enumerate() if thread.daemon] == ["inlay-pyreqwest"]
print("alive")
"""


def test_clients_are_made_in_one_thread_after_another() -> None:
    source = str(Path(inlay.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")
