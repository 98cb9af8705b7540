"""A key is sent to its provider and appears nowhere else: not in the store, the table, a report, an error or a log."""

from __future__ import annotations

import json
import signal

import pytest
from durable_scene import Scene, texts

from inlay.testing import Simulator

CANARY = "sk-canary-7f3a9d1e5b8c2046-Zq"
OTHER = "kanarienvogel-ohne-form-88"  # a key that looks like none

FAULTS = [
    {"fault": name, "record": f"#{index}$"}
    for index, name in enumerate(
        ["empty_content", "refusal", "http_400_filter", "html_200", "huge_body", "hang_up", "malformed", "http_413"]
    )
]


def look_everywhere(scene: Scene, *said: str) -> None:
    """Fail where a key, or a piece of it that would do, is found."""
    places = {str(path): path.read_bytes() for path in scene.folder.rglob("*") if path.is_file()}
    assert any(name.endswith("store.db") for name in places)
    places |= {f"stream {index}": text.encode() for index, text in enumerate(said)}
    for key in (CANARY, OTHER):
        for word in (key, key[:-4], key[6:], key[::-1]):
            found = [name for name, data in places.items() if word.encode() in data]
            assert found == []


@pytest.mark.parametrize("key", [CANARY, OTHER])
@pytest.mark.parametrize("end", ["failures", "refused", "killed", "interrupted", "stopped"])
def test_a_key_is_found_nowhere(scene: Scene, end: str, key: str) -> None:
    accepted = "another-key-1234567" if end == "refused" else key
    with Simulator(api_keys={accepted}, faults=FAULTS, latency=0.02) as sim:
        scene.sim = sim
        scene.rows(texts(40))
        scene.declare(
            passes=[scene.one_pass(api_key_env="CANARY_KEY")],
            limits={"concurrency": 4, "timeout_s": 5},
            failures={"max_percent": 100 if end != "stopped" else 1, "min_cells": 1},
        )
        process = scene.start(CANARY_KEY=key, INLAY_TRACEBACK="1")
        if end in ("killed", "interrupted"):
            scene.asked(10, process)
            process.send_signal(signal.SIGKILL if end == "killed" else signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        wanted = {"failures": 1, "refused": 3, "killed": -signal.SIGKILL, "interrupted": 3, "stopped": 3}
        assert process.returncode == wanted[end], err
        assert len(sim.ledger) >= 1
        look_everywhere(scene, out, err)
        if end == "failures":
            assert json.loads(out)["exit_code"] == 1
            again, said = scene.start("--dry-run", CANARY_KEY=key).communicate(timeout=60)
            look_everywhere(scene, again, said)


def test_a_missing_key_is_named_by_its_variable(scene: Scene, sim: Simulator) -> None:
    scene.declare(passes=[scene.one_pass(api_key_env="CANARY_KEY")])
    ended = scene.command_run()
    assert ended.code in (2, 3)
    assert "CANARY_KEY" in ended.err
    assert len(sim.ledger) == 0


def test_a_key_inside_an_endpoint_is_refused_and_not_repeated(scene: Scene, sim: Simulator) -> None:
    place = sim.endpoint.replace("http://", f"http://me:{CANARY}@")
    scene.declare(passes=[scene.one_pass(endpoint=place)])
    ended = scene.command_run()
    assert ended.code == 2
    assert CANARY not in ended.err
    assert "api_key_env" in ended.err
