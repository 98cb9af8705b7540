"""A turn on a server that keeps the store: one session has it, and it is free as soon as that one is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inlay.databases.address import parse
from inlay.errors import StoreError
from inlay.project.session import Session
from inlay.project.turns import Turn


def turn(name: str, url: str) -> Turn:
    session: Any = SimpleNamespace(enrichment=SimpleNamespace(name=name), store_place=("server", parse(url, Path())))
    return Turn(cast("Session", session))


@pytest.mark.parametrize(
    "kind",
    [pytest.param("mysql", marks=pytest.mark.mariadb), pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def test_one_session_has_the_turn(kind: str, new_database: Callable[[str], str]) -> None:
    url, elsewhere = new_database(kind), new_database(kind)
    first, second, other, another = turn("夜", url), turn("夜", url), turn("昼", url), turn("夜", elsewhere)
    with first, second, other, another:
        assert first.take()
        assert not second.take()
        assert not second.wait(0.3, lambda: False)
        assert not second.wait(60, lambda: True)
        assert other.take()
        assert another.take()
        # A process that dies closes its connection; so does a server that restarts.
        assert first._con is not None
        first._con.close()
        assert second.wait(30, lambda: False)


def test_a_server_that_is_away_is_a_store_error() -> None:
    with turn("n", "mysql://root@127.0.0.1:1/none") as one, pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        one.take()
