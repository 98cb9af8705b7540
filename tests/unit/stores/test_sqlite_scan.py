"""Scanning cells in chunks: the same rows whatever the chunk, uniform or mixed, all columns or a few."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.errors import StoreDamaged
from inlay.fingerprint import short_hash
from inlay.stores.scan import scan
from inlay.testing.store_contract import StoreContract
from inlay.testing.store_scene import KEYS, Scene
from inlay.types import CellState, Settlement


def rows(scene: Scene, chunk: int, columns: tuple[str, ...] = CELL_SCAN_COLUMNS) -> list[dict[str, Any]]:
    """All rows of a scan, each batch no longer than the chunk."""
    found: list[dict[str, Any]] = []
    for batch in scan(scene.store._db, scene.ref.pass_id, columns, chunk=chunk):
        assert 0 < batch.num_rows <= chunk
        assert tuple(batch.schema.names) == columns
        found += batch.to_pylist()
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 12, 13, 100])
def test_uniform_and_mixed_chunks_give_the_same_rows(
    tmp_path: Path, stores: Callable[[Path], Scene], chunk: int
) -> None:
    scene = stores(tmp_path / "store.db")
    run = scene.begin()
    for place, key in enumerate(sorted(KEYS)):
        upstream = short_hash(b"up") if place % 3 == 0 else b""
        mixed = 4 <= place < 8
        cell = scene.cell(
            key,
            key,
            CellState.FAILED if mixed else CellState.DONE,
            reason=f'"{place}", 理由' if mixed else "",
            tries=place if mixed else 0,
            upstream_hash=upstream,
        )
        answer = None if place % 4 == 1 else scene.answer(key, f"値 {place}")
        scene.store.commit([Settlement(answer=answer, cells=(cell,))], run=run)
    expected = [StoreContract.scan_row(scene.read(key)) for key in sorted(KEYS, key=str.encode)]
    assert rows(scene, chunk) == expected
    for few in (("key", "tries"), ("source_hash", "key"), ("state", "reason", "values_hash")):
        assert rows(scene, chunk, few) == [{name: row[name] for name in few} for row in expected]


def test_an_abandoned_scan_holds_nothing(tmp_path: Path, stores: Callable[..., Scene]) -> None:
    scene = stores(tmp_path / "store.db")
    run = scene.begin()
    for key in KEYS:
        scene.ask(run, key, key + "x")
    batches = scan(scene.store._db, scene.ref.pass_id, chunk=3)
    assert next(batches).num_rows == 3
    scene.store.clear(enrichment="tenants", keys=KEYS[:1])
    seen = [key for batch in scan(scene.store._db, scene.ref.pass_id, chunk=5) for key in batch["key"].to_pylist()]
    assert sorted(seen) == sorted(KEYS[1:])
    del batches
    gc.collect()
    scene.store.close()
    assert not (tmp_path / "store.db-wal").exists()


@pytest.mark.parametrize("column", ["state", "source_hash"])
def test_cells_that_no_inlay_wrote_are_refused(tmp_path: Path, stores: Callable[[Path], Scene], column: str) -> None:
    scene = stores(tmp_path / "store.db")
    scene.ask(scene.begin(), "1", "x")
    con = sqlite3.connect(tmp_path / "store.db")
    con.execute(f"UPDATE cells SET {column} = 'dnne'")
    con.commit()
    con.close()
    with pytest.raises(StoreDamaged, match="cannot be read"):
        rows(scene, 10)
