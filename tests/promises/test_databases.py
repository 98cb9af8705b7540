"""A table of a database, night after night: selected again only if its input changed, or it failed retryably.

Every proof is judged by the simulator's ledger. The last one records every statement that is handed to a driver.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from durable_scene import Scene

import inlay
from inlay import project
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.project.corrected import Fix
from inlay.testing import Simulator
from inlay.testing.wire import SimRequest
from inlay.types import Reason

DDL = (
    "CREATE TABLE tenants (id INTEGER NOT NULL PRIMARY KEY, full_name VARCHAR(191), status INTEGER, "
    "nationality VARCHAR(50), day DATE)"
)
Row = tuple[int, str | None, int, str | None, str]


def tenants(count: int = 60) -> list[Row]:
    """Every third one lacks a nationality, in one of four ways; names come twice, and some are null."""
    ways = [None, "", " \u3000", "レソト "]
    return [
        (
            n,
            None if n % 20 == 18 else f"氏名 {n // 6 % 7} 🍎",
            n % 20,
            ways[n // 3 % 4] if n % 3 == 0 else "日本",
            f"2026-02-{1 + n % 28:02}",
        )
        for n in range(count)
    ]


class Table:
    """A table that is loaded anew every night."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.rows: list[Row] = tenants()

    def load(self) -> None:
        """DROP, CREATE, INSERT."""
        with Database(parse(self.url, Path("/"))).connect() as con:
            con.run("DROP TABLE IF EXISTS tenants")
            con.run(DDL)
            con.executemany("INSERT INTO tenants VALUES (?, ?, ?, ?, ?)", self.rows)


@pytest.fixture
def table(scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setenv("STAGING_URL", database_url)
    declare(scene)
    made = Table(database_url)
    made.load()
    return made


def declare(scene: Scene, **changes: Any) -> None:
    select = {"missing": "nationality", "placeholders": ["レソト"], "order_by": "status DESC, id"}
    scene.declare(
        source={"connection": "${STAGING_URL}", "table": "tenants", "key": "id"},
        select={**select, **changes.pop("select", {})},
        passes=[
            scene.one_pass(
                "nationality",
                "The nationality of {{ full_name }}",
                fields={"guess": {"type": "enum", "values": ["日本", "ガーナ"], "original": "nationality"}},
            )
        ],
        **changes,
    )


def test_night_after_night(scene: Scene, table: Table) -> None:
    plan = project.plan(scene.file)
    assert (plan.rows_source, plan.rows_selected, plan.source) == (60, 20, "tenants")
    assert plan.missing == {"null": 5, "empty": 5, "blank": 5, "placeholder": 5}
    names = {row[1] for row in table.rows if row[0] % 3 == 0}
    assert scene.calls_of() == len(names)  # two tenants with one name are one call
    published = scene.rows_out()
    assert [row["id"] for row in published] == list(range(60))
    assert sum(row["nationality_success"] for row in published) == 20
    assert published[1]["guess"] == "日本"
    assert published[1]["guess_source"] == "original"

    table.load()
    assert scene.calls_of() == 0

    day = "2026-03-01"
    more: list[Row] = [(100, "氏名 0 🍎", 3, None, day), (101, "新しい", 3, "", day), (102, "x", 1, "日本", day)]
    table.rows += more
    table.rows[3] = (3, "改名", *table.rows[3][2:])  # type: ignore[assignment]
    table.rows[6] = (6, None, *table.rows[6][2:])  # type: ignore[assignment]
    table.load()
    plan = project.plan(scene.file)
    reasons = {reason: count for reason, count in plan.passes[0].reasons.items() if count}
    assert reasons == {Reason.CACHED: 18, Reason.INPUT_CHANGED: 2, Reason.NEW: 2}
    assert scene.calls_of() == 2  # the two names that nobody had; a name that is null was asked before
    assert scene.calls_of() == 0
    table.rows[6] = (6, None, 19, "placeholder no more", "2026-03-03")
    table.load()
    assert scene.calls_of() == 0
    assert project.plan(scene.file).rows_selected == 21
    scene.is_sound()


def test_the_most_urgent_first_within_a_window(scene: Scene, table: Table) -> None:
    window = "day >= '2026-02-15' AND (full_name LIKE '氏名 %' OR full_name IS NULL)"
    declare(scene, select={"where": window, "limit": 4})
    inside = [row for row in table.rows if row[0] % 3 == 0 and row[4] >= "2026-02-15"]
    ordered = sorted(inside, key=lambda row: (-row[2], row[0]))
    report = scene.run()
    assert report.plan.rows_selected == len(inside)
    published = {row["id"]: row for row in scene.rows_out()}
    assert len(published) == 60
    assert sorted(n for n, row in published.items() if row["nationality_success"]) == sorted(
        row[0] for row in ordered[:4]
    )
    outside = next(row[0] for row in table.rows if row[0] % 3 == 0 and row[4] < "2026-02-15")
    assert published[outside]["guess_null_reason"] == "not_selected"
    told = inlay.explain(scene.file, outside)
    assert told.left_out == "where"
    assert inlay.explain(scene.file, 16).left_out == "missing"
    assert inlay.explain(scene.file, ordered[0][0]).selected
    with pytest.raises(inlay.SpecError, match="no row of tenants has the key '8888'"):
        inlay.explain(scene.file, 8888)


def test_what_is_known_is_taken_by_the_databases_own_sql(scene: Scene, table: Table) -> None:
    where = "full_name LIKE '氏名 %' AND CAST(status AS CHAR(2)) <> '7'"
    declare(scene, select={"where": where})
    report = project.evaluate(scene.file, shadow=6, where="status BETWEEN 1 AND 5", budget_usd=1)
    assert report.run.summary["passes"][0]["cells"] == 6
    assert report.sample.known == sum(1 <= row[2] <= 5 and row[0] % 3 != 0 for row in table.rows)
    assert project.evaluate(scene.file, shadow=2, budget_usd=1).run.stopped is None
    assert project.plan(scene.file).rows_to_do > 0  # nothing of it is published


def _answer(request: SimRequest) -> Any:
    return "no such JSON" if "悪" in request.user else {"guess": "ガーナ"}


def test_rows_that_always_fail_do_not_starve_a_capped_run(scene: Scene, table: Table) -> None:
    with Simulator(answer=_answer) as sim:
        scene.sim = sim
        declare(scene, select={"limit": 5}, failures={"max_tries": 2, "max_percent": 100})
        bad = sorted((row for row in table.rows if row[0] % 3 == 0), key=lambda row: (-row[2], row[0]))[:5]
        for row in bad:
            table.rows[row[0]] = (row[0], f"悪 {row[0]}", *row[2:])  # type: ignore[assignment]
        table.load()
        firsts = [scene.run().summary["passes"][0] for _ in range(2)]
        assert [sum(part["failed"].values()) for part in firsts] == [5, 5]  # the five most urgent ones fail twice …
        for _ in range(3):
            scene.run()
        rows = scene.rows_out()
    assert sum(row["nationality_success"] for row in rows) == 15  # … and then all the others have their turn


def test_the_database_itself_is_no_place_for_the_output(scene: Scene, new_database: Any, monkeypatch: Any) -> None:
    url = new_database("sqlite")
    monkeypatch.setenv("STAGING_URL", url)
    Table(url).load()
    name = url.rpartition("/")[2]
    declare(scene)
    with pytest.raises(inlay.SpecError, match="the database that the rows are in"):
        project.export(scene.file, scene.folder / name, format="csv")


HOSTILE = "zq7'; DROP TABLE tenants; -- \" ` \\ %s ? ${x} {{ x }} $1 \u202e名"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that is handed to a driver from here on."""
    import psycopg
    import pymysql.cursors

    said: list[str] = []

    def recorded(cls: Any, name: str) -> None:
        real = getattr(cls, name)

        def record(self: Any, query: Any, *args: Any, **named: Any) -> Any:
            said.append(query if isinstance(query, str) else str(query))
            return real(self, query, *args, **named)

        monkeypatch.setattr(cls, name, record)

    for cls, names in {
        pymysql.cursors.Cursor: ("execute", "executemany"),
        pymysql.cursors.SSCursor: ("execute",) if "execute" in vars(pymysql.cursors.SSCursor) else (),
        psycopg.Connection: ("execute",),
        psycopg.Cursor: ("execute", "executemany"),
        psycopg.ServerCursor: ("execute",),
    }.items():
        for name in names:
            recorded(cls, name)

    class Recorded(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            said.append(sql)
            return super().execute(sql, *args)

        def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
            said.append(sql)
            return super().executemany(sql, *args)

    real_connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **named: real_connect(*args, **{"factory": Recorded, **named})
    )
    return said


def test_records_travel_as_bound_values_alone(
    scene: Scene, database_kind: str, new_database: Callable[[str], str], statements: list[str], monkeypatch: Any
) -> None:
    url = new_database(database_kind)
    monkeypatch.setenv("STAGING_URL", url)
    rows = [(f"{HOSTILE}{n}", f"{HOSTILE} name {n}", 1, None if n % 2 else HOSTILE, "2026-02-01") for n in range(8)]
    with Database(parse(url, Path("/"))).connect() as con:
        con.run(
            DDL.replace("id INTEGER", "id VARCHAR(100)").replace("nationality VARCHAR(50)", "nationality VARCHAR(100)")
        )
        con.executemany("INSERT INTO tenants VALUES (?, ?, ?, ?, ?)", rows)
    declare(scene)
    statements.clear()
    assert scene.calls_of() == 4
    assert scene.calls_of() == 0
    assert inlay.explain(scene.file, rows[1][0]).selected
    project.correct(scene.file, [Fix(rows[1][0], "guess", "日本", note=HOSTILE)])
    assert len(project.show(scene.file, limit=3)) == 3
    assert {row["id"] for row in scene.rows_out()} == {row[0] for row in rows}
    assert len(statements) > 5
    assert not [text for text in statements if "zq7" in text]
    with Database(parse(url, Path("/"))).connect() as con:
        assert con.execute("SELECT count(*) FROM tenants").fetchone() == (8,)
