"""Servers that restart, publishers that meet, users who may not: the table ends the same, or nothing was paid."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from durable_scene import count, texts

from inlay import project
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.errors import InlayError, TargetError
from inlay.publish import tables as publishing
from inlay.publish import wide
from inlay.testing.servers import MariaDB, PostgreSQL

STAMPS = ("created_at", "updated_at")


def without_stamps(rows: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    return {key: {name: value for name, value in row.items() if name not in STAMPS} for key, row in rows.items()}


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(wide, "BATCH_ROWS", 20)


@pytest.mark.parametrize(
    "kind", [pytest.param(MariaDB, marks=pytest.mark.mariadb), pytest.param(PostgreSQL, marks=pytest.mark.postgresql)]
)
def test_a_server_that_restarts_while_rows_are_written(kind, tmp_path, tables_in, small_batches, monkeypatch):
    tables = tables_in("sqlite")
    with kind(tmp_path / "server") as server:
        tables.url = server.url("silver")
        tables.database = Database(parse(tables.url, tmp_path))
        tables.begin(100)
        tables.run(publish=False)
        seen = 0

        def reach(name: str) -> None:
            nonlocal seen
            if name == "publish.within_upsert":
                seen += 1
                if seen in range(2, 2 + 2 * count(1, 20), 2):
                    server.restart(hard=bool(seen % 4))

        monkeypatch.setattr(publishing, "reach", reach)
        done = project.republish(tables.file)
        assert done.rows == 100
        assert len(tables.rows_of()) == 100
        assert project.republish(tables.file).unchanged == 100


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_two_publishers_at_once(tables_in, small_batches, kind):
    tables = tables_in(kind)
    tables.begin(100)
    tables.run()
    truth = without_stamps(tables.rows_of())
    tables.do("DROP TABLE answers")
    tables.do("DROP TABLE answers_history")
    failed: list[InlayError] = []

    def publish() -> None:
        try:
            project.republish(tables.file)
        except InlayError as error:
            failed.append(error)

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert without_stamps(tables.rows_of()) == truth
    assert project.republish(tables.file).unchanged == 100
    assert tables.ask("SELECT count(*) FROM answers_history") == [(300,)]


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_user_who_may_not_write_is_told_before_anything_is_paid(tables_in, sim, kind, request):
    tables = tables_in(kind)
    address = tables.database.address
    if kind == "mysql":
        tables.do("CREATE USER IF NOT EXISTS weak IDENTIFIED BY 'hush-hush'")
        tables.do(f"GRANT SELECT ON {address.database}.* TO weak")
    else:
        tables.do("DROP ROLE IF EXISTS weak")
        tables.do("CREATE ROLE weak LOGIN PASSWORD 'hush-hush'")
        tables.do("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    tables.url = f"{address.kind}://weak:hush-hush@{address.host}:{address.port}/{address.database}"
    tables.rows(texts(3))
    tables.declare(output={"table": "answers", "connection": "${WEAK_URL}"})
    before = len(sim.ledger)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEAK_URL", tables.url)
        with pytest.raises(TargetError, match="cannot write answers") as caught:
            tables.run()
    assert len(sim.ledger) == before
    assert "hush-hush" not in str(caught.value)
    assert "let the user create" in caught.value.remedy


def test_a_long_answer_widens_its_column(tables_in):
    """A `string` is VARCHAR(191) in MySQL; one that is longer makes room for itself."""
    from inlay.project.corrected import Fix

    tables = tables_in("mysql")
    tables.rows(texts(2))
    tables.declare(
        passes=[tables.one_pass(fields={"note": "string"})], output={"table": "answers", "connection": tables.url}
    )
    tables.run()
    project.correct(tables.file, [Fix("k00000", "note", "長" * 5_000)])
    tables.run()
    assert tables.rows_of()["k00000"]["note"] == "長" * 5_000
