"""Nothing leaves the machine but calls to the configured endpoint: a whole run with no network but loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from durable_scene import SOURCE, texts

# In a network namespace of its own there is no way out, and a name resolves to nothing.
INSIDE = """
import json, socket, subprocess, sys
from inlay.testing import Simulator

for outside in (("192.0.2.1", 443), ("1.1.1.1", 53)):
    try:
        socket.create_connection(outside, timeout=2).close()
        sys.exit("there is a way out")
    except OSError:
        pass
with Simulator(null_share=0) as sim:
    spec = json.load(open("spec.json"))
    spec["passes"][0]["endpoint"] = sim.endpoint
    json.dump(spec, open("inlay.yaml", "w"))
    done = [
        subprocess.run([sys.executable, "-m", "inlay", *words], capture_output=True, encoding="utf-8", check=False)
        for words in (["plan"], ["run", "--yes"], ["run", "--yes"], ["report"], ["doctor", "--probe", "--yes"])
    ]
    for one in done:
        print(one.stdout, one.stderr, file=sys.stderr)
    users = [call.user_sha256 for call in sim.ledger.calls if call.user_sha256]
    print(json.dumps({"codes": [one.returncode for one in done], "asked": len(set(users))}))
"""

LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))
"""


@pytest.mark.namespaces
def test_a_whole_run_needs_nothing_but_its_endpoint(tmp_path: Path) -> None:
    rows = texts(12)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = {
        "name": "cut_off",
        "source": {"files": "rows.jsonl", "key": "id"},
        "passes": [
            {
                "name": "read",
                "model": "compatible:sim",
                "prompt": "{{ text }}",
                "prices": {"input_per_million": 0.1, "output_per_million": 0.5},
                "fields": {"mood": "good|bad"},
            }
        ],
        "output": "out.jsonl",
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    (tmp_path / "inside.py").write_text(INSIDE, encoding="utf-8")
    # Loopback is brought up by its own ioctl: not every machine has `ip`.
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", f"{LOOPBACK_UP}\nexec(open('inside.py').read())"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["codes"] == [0] * 5, done.stderr
    assert found["asked"] >= len(rows)
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == len(rows)
