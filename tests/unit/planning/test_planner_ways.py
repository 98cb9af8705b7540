"""Every way through the planner (few cells or many, few rows or many) gives the same plan and the same rows."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import duckdb
import pytest

import inlay
from inlay.errors import PlanError
from inlay.fingerprint import canonical, short_hash
from inlay.planning import judging, planner
from inlay.planning.plan import Plan
from inlay.planning.planner import PlannedRow
from inlay.project.session import Session
from inlay.types import Reason

WAYS = pytest.mark.parametrize("few", [True, False], ids=["fetched", "streamed"])
CELLS = pytest.mark.parametrize("held", [True, False], ids=["held", "sifted"])
TEXTS = ["plain, four stars", "部屋はとても静かでした 🙂", "كان الموظفون لطفاء جدا", "café, Ångström and が", "", None]

DECLARATION = """\
name: reviews
source: {{files: rows.parquet, key: {key}}}
{select}
passes:
  - name: read
    model: lexical
    prompt: "Read this: {{{{ text }}}}"
    fields: {{stars: {{type: integer, min: 1, max: 5, description: stars}}}}
  - name: judge
    model: lexical
    prompt: "Judge {{{{ text }}}} of {{{{ day }}}} by {{{{ passes.read.stars }}}}"
    fields: {{good: {{type: boolean, description: good}}}}
"""

Rows = dict[int, str | None]


def texts(count: int) -> Rows:
    return {number: None if number % 6 == 5 else f"{TEXTS[number % 6]}{number}" for number in range(count)}


def write(folder: Path, rows: Rows, *, key: str = "id", select: str = "") -> Path:
    """Rows with an integer key, a text key and a key of both."""
    con = duckdb.connect()
    con.execute("CREATE TABLE rows (id BIGINT, name VARCHAR, text VARCHAR, day TIMESTAMPTZ, rank INTEGER)")
    con.executemany(
        "INSERT INTO rows VALUES (?, '鍵' || ?, ?, TIMESTAMPTZ '2026-01-02 03:04:05+00' + INTERVAL 1 DAY * ?, ?)",
        [(number, number, text, number, number * 7 % 101) for number, text in rows.items()],
    )
    con.execute(f"COPY rows TO '{folder / 'rows.parquet'}' (FORMAT parquet)")
    con.close()
    (folder / "inlay.yaml").write_text(DECLARATION.format(key=key, select=select), encoding="utf-8")
    return folder / "inlay.yaml"


def planned(file: Path, limit: int | None = None) -> tuple[Plan, list[PlannedRow]]:
    with Session(file) as session:
        refs = session.refs()
        made = session.planner(refs, session.rules(refs, frozenset()), limit=limit)
        try:
            return made.plan, [row for batch in made.rows() for row in batch]
        finally:
            made.close()


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch, held: bool, few: bool) -> None:
    monkeypatch.setattr(judging, "HELD_CELLS", 1_000 if held else 0)
    monkeypatch.setattr(planner, "FEW_ROWS", 1_000 if few else -1)


@WAYS
@CELLS
@pytest.mark.parametrize("key", ["id", "name", "[name, id]"])
@pytest.mark.usefixtures("ways")
def test_what_changed_is_found_with_its_values_and_hashes(tmp_path: Path, key: str) -> None:
    rows = texts(60)
    inlay.run(write(tmp_path, rows, key=key))
    # One text in another form, one changed, one that became null, one gone, two new ones.
    rows[3] = unicodedata.normalize("NFD", str(rows[3]))
    rows[8] = "変わりました 🌸"
    rows[13] = None
    del rows[20]
    rows |= {1_000: "جديد", 70: "новый"}
    plan, found = planned(write(tmp_path, rows, key=key))
    assert plan.rows_source == plan.rows_selected == len(rows)
    assert plan.rows_to_do == plan.rows_taken == 4
    assert {reason: count for reason, count in plan.passes[0].reasons.items() if count} == {
        Reason.CACHED: len(rows) - 4,
        Reason.INPUT_CHANGED: 2,
        Reason.NEW: 2,
    }
    assert [row.values["text"] for row in found] == ["変わりました 🌸", None, "جديد", "новый"]
    assert [row.reasons[0] for row in found] == [Reason.INPUT_CHANGED] * 2 + [Reason.NEW] * 2
    for row in found:
        assert set(row.values) == {"text", "day"}
        assert row.source_hashes[0] == short_hash(canonical([row.values["text"]]))
        assert row.source_hashes[1] == short_hash(canonical([row.values["day"], row.values["text"]]))


@WAYS
@CELLS
@pytest.mark.usefixtures("ways")
def test_only_the_pass_that_reads_a_changed_column_is_asked(tmp_path: Path) -> None:
    file = write(tmp_path, texts(30))
    inlay.run(file)
    con = duckdb.connect()
    con.execute(f"CREATE TABLE rows AS FROM '{tmp_path / 'rows.parquet'}'")
    con.execute("UPDATE rows SET day = day + INTERVAL 1 HOUR WHERE id IN (4, 17)")
    con.execute(f"COPY rows TO '{tmp_path / 'rows.parquet'}' (FORMAT parquet)")
    con.close()
    plan, found = planned(file)
    assert [(row.key, row.reasons) for row in found] == [
        ("4", [None, Reason.INPUT_CHANGED]),
        ("17", [None, Reason.INPUT_CHANGED]),
    ]
    assert [part.reasons[Reason.CACHED] for part in plan.passes] == [30, 28]


@WAYS
@CELLS
@pytest.mark.usefixtures("ways")
def test_a_limit_takes_the_most_urgent_of_the_selected_in_their_order(tmp_path: Path) -> None:
    rows = texts(60)
    inlay.run(write(tmp_path, dict(list(rows.items())[:20])))
    select = 'select: {where: "id % 2 = 0", order_by: rank DESC}'
    plan, found = planned(write(tmp_path, rows, select=select), limit=5)
    waiting = sorted((number for number in rows if number >= 20 and number % 2 == 0), key=lambda n: -(n * 7 % 101))
    assert [int(row.key) for row in found] == waiting[:5]
    assert (plan.rows_source, plan.rows_selected, plan.rows_to_do, plan.rows_taken) == (60, 30, 20, 5)
    assert plan.passes[0].asked == 5


@WAYS
@CELLS
@pytest.mark.usefixtures("ways")
def test_rows_selected_by_what_is_missing_add_up(tmp_path: Path) -> None:
    rows: Rows = {0: None, 1: "", 2: "　 ", 3: "不明", 4: "filled", 5: None}
    select = "select: {missing: text, placeholders: [不明]}"
    plan, found = planned(write(tmp_path, rows, select=select))
    assert plan.missing == {"null": 2, "empty": 1, "blank": 1, "placeholder": 1}
    assert plan.rows_selected == sum(plan.missing.values()) == len(found) == 5


@WAYS
@CELLS
@pytest.mark.usefixtures("ways")
def test_a_key_that_repeats_is_refused_though_its_cell_is_known(tmp_path: Path) -> None:
    file = write(tmp_path, texts(12))
    inlay.run(file)
    con = duckdb.connect()
    con.execute(f"CREATE TABLE rows AS FROM '{tmp_path / 'rows.parquet'}'")
    con.execute("INSERT INTO rows FROM rows WHERE id = 7")
    con.execute(f"COPY rows TO '{tmp_path / 'rows.parquet'}' (FORMAT parquet)")
    con.close()
    with pytest.raises(PlanError, match="'7'"):
        planned(file)


def test_rows_of_much_text_are_streamed_and_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, texts(24))
    fetched = planned(file)
    monkeypatch.setattr(planner, "FEW_BYTES", 100)
    assert planned(file) == fetched
    assert len(fetched[1]) == 24
