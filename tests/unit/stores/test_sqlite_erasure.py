"""Who is forgotten is gone from the file itself: not a byte of a name is left, wherever it once stood."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from inlay.stores import database
from inlay.testing.store_scene import Scene, refused
from inlay.types import CellState, Correction, Settlement

NAMES = ("Wilhelmina Quastenflosser", "クアステン ヴィルヘルミナ")


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def fill(scene: Scene) -> None:
    """A row that was renamed, failed once, was corrected and cleared before, among others."""
    run = scene.begin()
    for number in range(300):
        scene.ask(run, f"other {number}", f"somebody else {number}")
    for name in NAMES:
        scene.ask(run, "key-of-hers", name)
    [claimed] = scene.claim(run, NAMES[0] + " II")
    bad = scene.answer(NAMES[0] + " II", None, CellState.FAILED, raw=NAMES[0].encode(), error_message=NAMES[1])
    note = scene.cell("key-of-hers", NAMES[0], CellState.FAILED, message=NAMES[1], keep_answer=True)
    scene.store.commit([Settlement(claimed.attempt_id, answer=bad, cells=(note,))], run=run)
    scene.store.correct("tenants", [Correction("nationality", "key-of-hers", "nationality", "日本", note=NAMES[0])])
    scene.ask(run, "cleared", NAMES[0] + " as she was")
    scene.store.clear(enrichment="tenants", keys=["cleared"])


def test_no_byte_of_a_forgotten_row_is_left_in_the_files(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(tmp_path / "store.db")
    fill(scene)
    for trace in ("key-of-hers", *NAMES):
        assert trace.encode() in bytes_on_disk(tmp_path)
    scene.store.forget("tenants", ["key-of-hers"])
    for trace in ("key-of-hers", *NAMES):
        assert trace.encode() not in bytes_on_disk(tmp_path)
    assert scene.store.verify() == []
    assert scene.read("other 7").answer is not None


def test_a_reader_that_keeps_the_bytes_alive_is_told_and_again_mends_it(
    tmp_path: Path, stores: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    scene = stores(tmp_path / "store.db")
    fill(scene)
    reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM answers").fetchone()
    assert "a reader kept" in refused(lambda: scene.store.forget("tenants", ["key-of-hers"])).message
    reader.close()
    assert sum(scene.store.forget("tenants", ["key-of-hers"]).values()) == 0
    assert NAMES[0].encode() not in bytes_on_disk(tmp_path)
