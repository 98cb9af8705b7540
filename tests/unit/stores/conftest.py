"""What the tests of the SQLite store share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import ManualClock, Scene


@pytest.fixture
def stores() -> Iterator[Callable[..., Scene]]:
    """Opens scenes over files, and closes them."""
    opened: list[SqliteStore] = []

    def make(path: Path, **options: Any) -> Scene:
        opened.append(SqliteStore(path, **options))
        return Scene(opened[-1], ManualClock())

    yield make
    for store in opened:
        store.close()
