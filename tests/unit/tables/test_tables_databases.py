"""A database as a source: what counts as missing there is what does so in a file; order, keys and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from database_scene import TEXT, filled, open_, read, source_of

from inlay.databases.address import parse
from inlay.databases.connection import Connection
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import PlanError, SourceError
from inlay.fingerprint_sql import key_sql
from inlay.spec.model import SelectSpec, SourceSpec
from inlay.tables.choosing import ChoosingSource
from inlay.tables.databases import DatabaseSource
from inlay.tables.frames import FrameSource
from inlay.tables.keys import OfKeys, missing_keys, nearest_keys
from inlay.tables.select import condition_sql, missing_reasons, select_sql
from inlay.tables.sql import connect


@pytest.fixture
def con():
    connection = connect(threads=1)
    yield connection
    connection.close()


NATIONS = [
    "日本", None, "", " \t\u3000", "レソト", " レソト\u3000", "レソト ", "ガーナ", "カ\u3099ーナ", "\u00a0カ\u3099ーナ",
    "x'y", "N/A", "n/a", "N/A ", "ｎ/ａ", "\uf967明", "不明", "不明だ", "ｶﾞｰﾅ", "\u2003", "é", "e\u0301", "E\u0301",
    "日本 ", " ", "🍎", "e\u0323\u0302", "\u1ec7 ",
]  # fmt: skip


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("words", [(), ("レソト", "ガーナ", "n/a", "不明", "é", "x'y"), ("\u1ec7",)])
def test_what_is_missing_in_a_database_is_what_is_missing_in_a_file(
    database_kind: str, database_url: str, words: tuple[str, ...], known: bool, con: duckdb.DuckDBPyConnection
) -> None:
    ddl = f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, nation {TEXT[database_kind]}, other INTEGER)"
    filled(database_url, ddl, [(number, text, number % 3) for number, text in enumerate(NATIONS)])
    select = SelectSpec(missing="nation", placeholders=words, known=known, where="other < 2")
    source = source_of(database_url)
    chosen = source.choose(con, select, ["id", "nation"])
    own = con.execute(select_sql(chosen.relation, chosen.select, chosen.columns)).fetchall()
    frame = FrameSource(
        pa.table({"id": range(len(NATIONS)), "nation": NATIONS, "other": [n % 3 for n in range(len(NATIONS))]}),
        SourceSpec(files=("x",), key=("id",)),
    )
    relation = frame.attach(con)
    expected = con.execute(f"SELECT id, nation FROM ({select_sql(relation, select, frame.columns())})").fetchall()
    assert sorted(own) == sorted(expected)
    assert chosen.rows == len(NATIONS)
    if not known:
        unwhered = select.model_copy(update={"where": None})
        whole = f"(SELECT * FROM {relation} WHERE other < 2)"
        assert missing_reasons(con, chosen.relation, chosen.select, chosen.columns) == missing_reasons(
            con, whole, unwhered, frame.columns()
        )
    # Of the rows that are not missing, few are read.
    assert (
        known or len(words) == 1 or con.execute(f"SELECT count(*) FROM {chosen.relation}").fetchone()[0] < len(own) + 6
    )
    source.close()


def test_rows_come_in_the_order_of_the_database_with_only_the_columns_asked(
    database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection
) -> None:
    ddl = f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, status INTEGER, name {TEXT[database_kind]})"
    filled(database_url, ddl, [(n, n % 20, f"名{n}") for n in range(1000)])
    source = source_of(database_url)
    assert isinstance(source, ChoosingSource)
    select = SelectSpec(
        order_by="CASE WHEN status IN (9, 11) THEN 0 ELSE 1 END, id DESC -- first", where="id >= 10 -- x"
    )
    chosen = source.choose(con, select, ["id", "status"])
    assert dict(chosen.columns).keys() == {"id", "status"}
    assert chosen.rows == 1000
    found = con.execute(f"SELECT id FROM {chosen.relation} ORDER BY {chosen.select.order_by} LIMIT 3").fetchall()
    assert found == [(991,), (989,), (971,)]
    assert con.execute(f"SELECT count(*) FROM {chosen.relation}").fetchone() == (990,)
    other = connect()
    assert source.choose(other, select, ["status", "id"]).relation == chosen.relation  # read once
    other.close()
    source.close()
    source.close()


def test_rows_by_key(database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection) -> None:
    ddl = (
        f"CREATE TABLE t (id INTEGER NOT NULL, land {'VARCHAR(20)' if database_kind == 'mysql' else 'TEXT'} NOT NULL, "
        f"name {TEXT[database_kind]}, PRIMARY KEY (land, id))"
    )
    rows = [(n, land, f"{land}{n} %s ?") for n in range(50) for land in ("日本", "jp", "カ\u3099")]
    filled(database_url, ddl, rows)
    with_where = SelectSpec(where="name LIKE '日本%' AND name LIKE '%?'")
    source = source_of(database_url, key=["land", "id"], select=with_where)
    keys = ["6:日本2:17", "2:jp1:3", "2:JP1:4", "6:ガ1:1", "2:jp3:x y", "broken", "2:jp99:" + "9" * 99]
    found = source.of_keys(keys, ["name"])
    assert list(found.columns()) == ["id", "land", "name"]
    assert sorted(read(found, con, "land, id, name")) == [("jp", 3, "jp3 %s ?"), ("日本", 17, "日本17 %s ?")]
    local = found.local(with_where)
    taken = con.execute(
        f"SELECT name FROM {found.attach(con)} WHERE {condition_sql(local, found.columns())}"
    ).fetchall()
    assert taken == [("日本17 %s ?",)]
    assert missing_keys(con, source, ["land", "id"], keys) == {*keys} - {"6:日本2:17", "2:jp1:3"}
    assert nearest_keys(con, source, ["land", "id"], ["2:jp2:3x"])["2:jp2:3x"]
    assert read(OfKeys(source, ["land", "id"], keys[:1]), con, "id") == [(17,)]
    assert len(read(source, con)) == 150
    assert read(source.of_keys([]), con) == []
    source.close()


def test_of_keys_of_any_source(con: duckdb.DuckDBPyConnection) -> None:
    frame = FrameSource(
        pa.table({"id": range(10), "v": [str(n) for n in range(10)]}), SourceSpec(files=("x",), key=("id",))
    )
    some = OfKeys(frame, ["id"], ["3", "4", "44", "3"])
    assert read(some, con) == [(3, "3"), (4, "4")]
    assert some.attach(con) == some.attach(con)
    assert read(OfKeys(frame, ["id"], ["5"]), con) == [(5, "5")]


def test_keys_that_are_null_or_repeated_are_refused_where_the_table_allows_them(
    database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection
) -> None:
    ddl = f"CREATE TABLE t (a {TEXT[database_kind]}, b INTEGER, odd {TEXT[database_kind]})"
    filled(database_url, ddl, [("x", 1, "p"), ("X", 1, "q"), ("é", 1, "r"), ("e\u0301", 1, None), ("x", 2, "q")])
    assert source_of(database_url, key=["a", "b"]).choose(con, SelectSpec(), ["a"]).rows == 5  # told apart by bytes
    with pytest.raises(PlanError, match=r"row key \(a\) is not unique: 'x' \(2 rows\)"):
        source_of(database_url, key="a").choose(con, SelectSpec(where="b = 7"), ["a"])
    with pytest.raises(PlanError, match=r"row key \(odd\) is null in 1 of 5 rows"):
        source_of(database_url, key="odd").choose(con, SelectSpec(), ["a"])
    query = source_of(database_url, None, key="n", query="SELECT count(*) AS n, b FROM t GROUP BY b -- by b")
    assert query.title == "the query"
    assert query.choose(con, SelectSpec(where="n > 1"), ["n", "b"]).rows == 2


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"where": "natoin = 1"}, "`select.where` does not fit"),
        ({"where": "id = 1) OR (1 = 1"}, "`select.where` is not one SQL expression"),
        ({"where": "id = 1; DROP TABLE t"}, "`select.where` is not one SQL expression"),
        ({"order_by": "natoin"}, "`select.order_by` does not fit"),
        ({"order_by": "id) --"}, "`select.order_by` is not one SQL expression"),
        ({"where": "id ="}, "`select.where` does not fit"),
    ],
)
def test_sql_that_is_wrong_is_named(
    database_kind: str, database_url: str, select: dict[str, str], said: str, con: duckdb.DuckDBPyConnection
) -> None:
    filled(database_url, f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, nation {TEXT[database_kind]})", [(1, "x")])
    with pytest.raises(PlanError) as caught:
        source_of(database_url).choose(con, SelectSpec(**select), ["id"])
    assert caught.value.message.startswith(said)
    assert "is not" in said or "nation" in caught.value.remedy
    with open_(database_url) as raw:
        assert raw.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_brackets_in_quotes_and_comments_are_none(database_kind: str, database_url: str) -> None:
    filled(database_url, f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {TEXT[database_kind]})", [(1, "a;)'b")])
    quoted = '"v"' if database_kind != "mysql" else "`v`"
    for where in (f"{quoted} = 'a;)''b' -- ;)", "v = /* ) ; */ 'a;)''b'", "(v LIKE '%;)%')"):
        assert source_of(database_url).choose(connect(), SelectSpec(where=where), ["id"]).rows == 1
    more = {"mysql": "v = 'a;)\\'b' # )", "postgresql": "v = E'a;)\\'b' AND v <> $x$;)$x$"}.get(database_kind)
    if more is not None:
        chosen = source_of(database_url).choose(connect(), SelectSpec(where=more), ["id"])
        assert connect().execute(f"SELECT count(*) FROM {chosen.relation}").fetchone() == (1,)


def test_a_table_or_file_that_is_not_there(database_kind: str, database_url: str, tmp_path: Path) -> None:
    filled(database_url, "CREATE TABLE tenants (id INTEGER NOT NULL PRIMARY KEY)", [], "tenants")
    with pytest.raises(SourceError, match="there is no table tenant in") as caught:
        source_of(database_url, "tenant").columns()
    assert "nearest there: tenants" in caught.value.remedy
    with pytest.raises((SourceError, PlanError), match="query"):
        source_of(database_url, None, query="SELECT * FROM nothing").columns()
    if database_kind in ("sqlite", "duckdb"):
        with pytest.raises(SourceError, match="there is no such file"):
            source_of(f"{database_kind}:///{tmp_path}/none.db").columns()
        assert not (tmp_path / "none.db").exists()


def test_an_empty_table_and_names_that_differ_by_case(database_kind: str, database_url: str) -> None:
    filled(database_url, "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, n INTEGER)", [])
    source = source_of(database_url, select=SelectSpec(where="n = 1"))
    assert read(source, connect()) == []
    assert source.choose(connect(), SelectSpec(where="n = 1", order_by="n"), ["id"]).rows == 0
    if database_kind == "postgresql":
        filled(database_url, 'CREATE TABLE twins (id INTEGER PRIMARY KEY, "ID" INTEGER)', [])
        with pytest.raises(SourceError, match="differ only by case"):
            source_of(database_url, "twins").columns()


@pytest.mark.postgresql
def test_a_user_who_may_not_read_it_is_told_what_to_grant(postgresql: Any, new_database: Callable[[str], str]) -> None:
    url = new_database("postgresql")
    filled(url, "CREATE TABLE t (id INTEGER PRIMARY KEY)", [(1,)])
    name = url.rpartition("/")[2]
    postgresql.sql(f"DROP ROLE IF EXISTS guest_{name}", f"CREATE ROLE guest_{name} LOGIN")
    guest = source_of(postgresql.url(name, user=f"guest_{name}", password="s3cret"))
    with pytest.raises(SourceError, match="permission denied") as caught:
        guest.attach(connect())
    assert "GRANT SELECT ON t TO" in caught.value.remedy
    assert "s3cret" not in str(caught.value) + repr(guest.address)


class _Breaking(DatabaseSource):
    """A source whose connection breaks in the middle, so many times."""

    breaks = 2

    def _connect(self) -> Connection:
        con = super()._connect()
        if self.breaks and self._seen is not None:
            self.breaks -= 1
            stream = con.stream

            def broken(sql: str, params: Any = None, *, size: int = 10) -> Any:
                for number, rows in enumerate(stream(sql, params, size=10)):
                    if number == 3:
                        raise DatabaseError(Trouble.LOST, "gone away")
                    yield rows

            con.stream = broken  # type: ignore[method-assign]
        return con


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_a_reading_that_breaks_is_begun_anew(new_database: Callable[[str], str], kind: str) -> None:
    url = new_database(kind)
    filled(url, "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY)", [(n,) for n in range(100)])
    spec = SourceSpec(connection="${X}", table="t", key=("id",))
    source = _Breaking(spec, parse(url, Path("/")))
    chosen = source.choose(connect(), SelectSpec(), ["id"])
    assert source.breaks == 0
    assert connect().execute(f"SELECT count(*), count(DISTINCT id) FROM {chosen.relation}").fetchone() == (100, 100)
    impatient = _Breaking(spec, parse(url, Path("/")), patience_s=0.0)
    with pytest.raises(SourceError, match="t cannot be read: gone away"):
        impatient.choose(connect(), SelectSpec(), ["id"])


def test_a_server_that_is_not_there_is_said_soon() -> None:
    source = source_of("postgresql://u:s3cret@127.0.0.1:1/db")
    source._patience_s = 0.0
    with pytest.raises(SourceError, match=r"t cannot be read: postgresql://u@127\.0\.0\.1:1/db") as caught:
        source.columns()
    assert "s3cret" not in str(caught.value)


HOSTILE = [
    'a"b', "a`b", "a'b", "a]b", "a[b", "a;DROP TABLE t", "a--b", "a/*b", "a%sb", "%(x)s", "a?b", "a:b", "a$1b", "a{b}",
    "a\\b", "a\nb", "a\tb", " a", "a.b", "1a", "select", "KEY", "order", "a b", "名前", "ملاحظات", "ünï", "a" * 63,
    '""', "``", "''", "$$", "@x", "#x", "a,b", "a)b", "(a", "=a", "a\x01b", "é",
]  # fmt: skip


def test_forty_hostile_names_of_tables_and_columns(
    database_kind: str, database_url: str, con: duckdb.DuckDBPyConnection
) -> None:
    assert len(HOSTILE) == 40
    key_type = "VARCHAR(20)" if database_kind in ("mysql", "duckdb") else "TEXT"
    with open_(database_url) as raw:
        for name in HOSTILE:
            quoted = raw.quote(name)
            raw.run(f"CREATE TABLE {quoted} ({quoted} {key_type} NOT NULL PRIMARY KEY, v {key_type})")
            raw.executemany(f"INSERT INTO {quoted} VALUES (?, ?)", [("k1", None), ("k2", "there"), ("k3", "レソト")])
    for name in HOSTILE:
        table = '"' + name.replace('"', '""') + '"'
        source = source_of(database_url, table, key=name, select=SelectSpec(where="v IS NULL OR v <> '%s?'"))
        select = SelectSpec(missing="v", placeholders=("レソト",), order_by="v")
        chosen = source.choose(con, select, [name, "v"])
        key = key_sql([name], chosen.columns)
        found = con.execute(
            f"SELECT {key} FROM ({select_sql(chosen.relation, chosen.select, chosen.columns)})"
        ).fetchall()
        assert sorted(found) == [("k1",), ("k3",)], name
        assert read(source.of_keys(["k2", name]), con, "*")[0][:2] == ("k2", "there"), name
        by_missing = source.choose(con, SelectSpec(missing=name, placeholders=(name, "k1")), [name])
        assert con.execute(f"SELECT count(*) FROM {by_missing.relation}").fetchone() == (1,)
        source.close()
