"""The nightly example's own ground: who its tenants are, what its model says, and that its declaration is one.

The story itself (`make example-nightly`) starts a MariaDB, plays a month and judges itself.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inlay.spec.load import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "nightly"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module
    for name in ("names", "tenants"):
        sys.modules.pop(name, None)


def test_the_tenants_are_those_of_the_document(example: Any) -> None:
    tenants = example("tenants")
    rows = list(tenants.first_day())
    assert len(rows) == 50_425
    lacking = [row for row in rows if row[4] in (None, "", tenants.PLACEHOLDER)]
    assert Counter(row[4] for row in lacking) == {None: 654, "": 545, tenants.PLACEHOLDER: 802}
    assert len({row[3] for row in lacking}) == 2_001, "each of another person"
    assert len({row[3] for row in rows}) < len(rows) - 20_000, "all others share names, as people do"
    assert rows == list(tenants.first_day())
    later = tenants.newcomers(50_426, 100, 5, seed=29)
    assert [row[4] for row in later[:6]][:5] == [None] * 5
    assert not {row[3] for row in later[:5]} & {row[3] for row in rows}


def test_the_model_knows_most_names_and_its_labels(example: Any) -> None:
    names, tenants = example("names"), example("tenants")
    spec = load(EXAMPLE / "inlay.yaml", env={"STAGING_URL": "sqlite:///x.db"}).get_pass("nationality")
    assert spec.fields["nationality"].values == names.LABELS
    known = [row for row in tenants.first_day() if row[4] in names.PEOPLE][:3000]
    right = sum(names.guess(row[3])[0] == row[4] for row in known)
    assert 0.85 < right / len(known) < 1.0
    assert any(names.guess(row[3])[1] < 0.7 for row in known), "some answers stay below the threshold"
