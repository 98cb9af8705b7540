"""A plan in a process of its own does not wait for pandas; whoever calls a command from Python notices nothing."""

from __future__ import annotations

import subprocess
import sys

SEEN = """
import sys
import pyarrow as pa
from inlay.cli import lean
if {ours}:
    lean.this_process_is_ours()
lean.without_pandas()
array = pa.array(["a", None]), pa.array(["a"], pa.string())
print("pandas" in sys.modules, [part.to_pylist() for part in array])
import pandas
print(pa.table({{"x": [1, 2]}}).to_pandas()["x"].sum())
"""


def said(*, ours: bool) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SEEN.format(ours=ours)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_pandas_is_left_out_where_the_process_is_ours_and_still_to_be_had() -> None:
    assert said(ours=True) == ["False [['a', None], ['a']]", "3"]


def test_nothing_is_hidden_in_anybody_elses_process() -> None:
    assert said(ours=False) == ["True [['a', None], ['a']]", "3"]
