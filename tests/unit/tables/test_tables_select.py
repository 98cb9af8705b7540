"""`select` as SQL: what counts as missing, and what SQL of the declaration may and may not do."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from inlay.errors import PlanError, SourceError
from inlay.spec.model import SelectSpec
from inlay.tables.select import condition_sql, missing_reason_sql, missing_reasons, order_sql, select_sql
from inlay.tables.sql import connect, translate

TYPES = {"id": "BIGINT", "nation": "VARCHAR", 'a "b"': "VARCHAR"}
NATIONS = ["日本", None, "", " \t\u3000", "レソト", " レソト ", "ガーナ", "カ\u3099ーナ", "x'y", "n/a"]


@pytest.fixture
def con():
    connection = connect(threads=1)
    connection.register(
        "t", pa.table({"id": list(range(len(NATIONS))), "nation": NATIONS, 'a "b"': ["x"] * len(NATIONS)})
    )
    yield connection
    connection.close()


def chosen(con, **select):
    return [row[0] for row in con.execute(select_sql("t", SelectSpec(**select), TYPES)).fetchall()]


def test_without_conditions_all_rows(con):
    assert select_sql("t", SelectSpec(), TYPES) == "SELECT * FROM t"
    assert condition_sql(SelectSpec(), TYPES) == "true"


def test_missing_is_null_empty_blank_or_placeholder(con):
    assert chosen(con, missing="nation") == [1, 2, 3]
    select = SelectSpec(missing="nation", placeholders=("レソト", "x'y", "ガーナ"))
    assert chosen(con, missing="nation", placeholders=select.placeholders) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert missing_reasons(con, "t", select, TYPES) == {"null": 1, "empty": 1, "blank": 1, "placeholder": 5}
    assert chosen(con, missing="id", placeholders=("3",)) == [3]
    assert chosen(con, missing='a "b"') == []
    assert chosen(con, missing='a "b"', placeholders=("x",), where="id < 2") == [0, 1]


def test_where_is_null_safe_and_may_end_in_a_comment(con):
    assert chosen(con, where="nation <> '日本' AND id < 3 -- ;)") == [2]
    assert chosen(con, where="nation = ');--' OR id = 1 /* ) */") == [1]
    assert chosen(con, where="id = 0 OR id = 1", missing="nation") == [1]
    assert chosen(con, where='"a ""b""" = \'x\' AND id = 5') == [5]


@pytest.mark.parametrize(
    "where", ["id = 1) OR (1 = 1", "id = 1; DROP TABLE t", "(id = 1", "", " ", "名 = 1)", "é = 1;"]
)
def test_where_cannot_leave_its_place(where):
    with pytest.raises(PlanError, match="is not one SQL expression"):
        condition_sql(SelectSpec(where=where), TYPES)
    with pytest.raises(PlanError, match="order_by"):
        order_sql(SelectSpec(order_by=where))


def test_order_by(con):
    order = order_sql(SelectSpec(order_by="nation IN ('レソト', 'n/a') DESC, id DESC -- first"))
    found = con.execute(f"SELECT id FROM t {order} LIMIT 3").fetchall()
    assert found == [(9,), (4,), (8,)]
    assert order_sql(SelectSpec()) == ""


@pytest.mark.parametrize(
    ("where", "said", "hint"),
    [
        ("natoin = 'x'", 'Referenced column "natoin" not found', "nation"),
        ("id ==", "==__postfix", ""),
        ("lenght(nation) = 1", "lenght", "length"),
        ("id = 'x'", "Could not convert string 'x' to INT64", ""),
        ("nation ~ '['", "missing ]", ""),
        ("id BETWEEN", "syntax error", ""),
    ],
)
def test_errors_of_where_are_sentences(con, where, said, hint):
    with pytest.raises(duckdb.Error) as caught:
        con.execute(select_sql("t", SelectSpec(where=where), TYPES)).fetchall()
    error = translate(caught.value, "select.where")
    assert isinstance(error, PlanError)
    assert error.message.startswith("`select.where` does not fit the source: ")
    assert said in error.message
    assert hint in error.remedy
    assert "LINE 1" not in str(error)
    assert "SELECT" not in str(error)


def test_missing_in_an_unknown_column():
    with pytest.raises(PlanError) as caught:
        missing_reason_sql(SelectSpec(missing="natoin"), TYPES)
    assert caught.value.remedy == "did you mean 'nation'?"


def test_what_does_not_fit_memory_is_said(tmp_path):
    con = connect(memory_limit="20MB", temp_directory=tmp_path / "spill", threads=1)
    con.execute("SET max_temp_directory_size = '1MB'")
    with pytest.raises(duckdb.Error) as caught:
        con.execute("SELECT count(DISTINCT md5(i::VARCHAR)) FROM range(3000000) r(i)").fetchall()
    con.close()
    error = translate(caught.value, "select.where")
    assert isinstance(error, SourceError)
    assert "memory" in error.message


def test_an_error_of_ours_passes_unchanged():
    mine = PlanError("x")
    assert translate(mine, "y") is mine


def test_connections_are_alike():
    con = connect(threads=1)
    try:
        for cursor in (con, con.cursor()):
            assert cursor.execute(
                "SELECT current_setting('TimeZone'), current_setting('preserve_insertion_order'), "
                "current_setting('autoinstall_known_extensions'), current_setting('enable_progress_bar')"
            ).fetchone() == ("UTC", True, False, False)
    finally:
        con.close()
