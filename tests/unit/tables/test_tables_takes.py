"""A published table must not become a part of its own source."""

from __future__ import annotations

from pathlib import Path

import pytest

from inlay.tables.paths import takes


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.csv", "/data/out.csv", True),
        ("*.csv", "/data/out.parquet", False),
        ("*.csv", "/data/sub/out.csv", False),
        ("**/*.csv", "/data/a/b/out.csv", True),
        ("**/*.csv", "/data/out.csv", True),
        ("./in.csv", "/data/in.csv", True),
        ("day=*/x.parquet", "/data/day=2026-01-01/x.parquet", True),
        ("*.csv", "/data/.out.csv", False),
        ("../data/表.csv", "/data/表.csv", True),
    ],
)
def test_what_a_glob_would_find(pattern, path, expected):
    assert takes(Path("/data"), pattern, Path(path)) is expected
