"""Every kind of database behaves alike: values are bound, names are quoted or refused, failures are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from inlay.databases.address import parse
from inlay.databases.connection import Connection, Database, persist
from inlay.databases.dialect import insert, quoted_table, table_parts
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SpecError

HOSTILE = [
    'a"b', "a`b", "a'b", "a]b", "a[b", "a;DROP TABLE t", "a--b", "a/*b", "a%sb", "%(x)s", "a?b", "a:b", "a$1b", "a{b}",
    "a\\b", "a\nb", "a\tb", " a", "a.b", "1a", "select", "KEY", "order", "a b", "名前", "ملاحظات", "ünï", "a" * 63,
    '""', "``", "''", "$$", "@x", "#x", "a,b", "a)b", "(a", "=a", "a\x01b", "é",
]  # fmt: skip


def open_(url: str) -> Connection:
    return Database(parse(url, Path("/"))).connect()


def test_forty_hostile_names_are_names_and_nothing_else(database_url: str) -> None:
    assert len(HOSTILE) == 40
    with open_(database_url) as con:
        for name in HOSTILE:
            quoted = con.quote(name)
            con.run(f"CREATE TABLE {quoted} ({quoted} INTEGER NOT NULL PRIMARY KEY, v VARCHAR(50))")
            con.execute(con.dialect.upsert(quoted, [quoted, "v"], [quoted], ["v"]), (1, name[:50]))
            con.execute(con.dialect.upsert(quoted, [quoted, "v"], [quoted], ["v"]), (1, "%s ? " + name[:40]))
            found = con.execute(f"SELECT {quoted}, v FROM {quoted} WHERE {quoted} = ?", (1,)).fetchone()
            assert found == (1, "%s ? " + name[:40])
            assert [column.name for column in con.dialect.table_columns(con, [name])] == [name, "v"]
            assert con.dialect.primary_key(con, [name]) == (name,)
            con.run(f"DROP TABLE {quoted}")


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "a" * 2000])
def test_a_name_that_no_database_can_hold_is_refused(database_url: str, name: str) -> None:
    with open_(database_url) as con, pytest.raises(DatabaseError) as caught:
        con.quote(name)
    assert caught.value.trouble is Trouble.ABSENT


def _fail_within(con: Connection) -> None:
    with con.transaction():
        con.execute(insert("t", ["id", "v"]), (1, "x"))
        raise ZeroDivisionError


def test_a_transaction_is_whole_or_gone(database_url: str) -> None:
    with open_(database_url) as con:
        con.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v VARCHAR(20))")
        with pytest.raises(ZeroDivisionError):
            _fail_within(con)
        with con.transaction():
            con.executemany(insert("t", ["id", "v"]), [(2, "二"), (3, "🍎")])
        assert list(con.execute("SELECT id, v FROM t ORDER BY id").fetchall()) == [(2, "二"), (3, "🍎")]


def test_what_only_reads_cannot_write(database_url: str) -> None:
    with open_(database_url) as con:
        con.run("CREATE TABLE t (id INTEGER)")
        with pytest.raises(DatabaseError), con.transaction(read_only=True):
            con.execute("INSERT INTO t VALUES (?)", (1,))
        assert con.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_failures_are_told_apart(database_url: str) -> None:
    with open_(database_url) as con:
        con.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY)")
        con.execute("INSERT INTO t VALUES (?)", (1,))
        for sql, trouble in [
            ("SELECT * FROM missing_table", Trouble.ABSENT),
            ("SELECT missing_column FROM t", Trouble.ABSENT),
            ("SELEC 1", Trouble.STATEMENT),
            ("INSERT INTO t VALUES (1)", Trouble.VALUE),
        ]:
            with pytest.raises(DatabaseError) as caught:
                con.run(sql)
            assert caught.value.trouble is trouble, sql


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_server_that_is_away_or_a_wrong_password_say_so_without_the_password(kind: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        Database(parse(f"{kind}://u:hunter2@127.0.0.1:1/x", Path())).connect()
    assert caught.value.trouble is Trouble.LOST
    assert "hunter2" not in str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)


def test_a_lock_belongs_to_one_connection_until_it_is_closed(database_url: str) -> None:
    if database_url.startswith("duckdb"):
        with open_(database_url) as con:
            assert con.dialect.lock(con, "nightly", 0)
        return
    with open_(database_url) as other:
        with open_(database_url) as con:
            assert con.dialect.lock(con, "nightly", 0)
            assert not other.dialect.lock(other, "nightly", 0.05)
            assert other.dialect.lock(other, "another", 0)
        assert other.dialect.lock(other, "nightly", 5)


def test_tables_are_named_in_parts() -> None:
    assert table_parts("staging.tenants") == ("staging", "tenants")
    assert table_parts('a."b.c d"') == ("a", "b.c d")
    assert table_parts('`we``ird`."x""y"') == ("we`ird", 'x"y')
    for wrong in ("", "a..b", "a.", 'a."b', "a.b.c.d"):
        with pytest.raises(DatabaseError):
            table_parts(wrong)
    assert quoted_table(Database(parse("sqlite:///x", Path())).dialect, ("a", 'b"c')) == '"a"."b""c"'


def test_addresses_say_what_is_wrong_and_never_the_password() -> None:
    address = parse("mysql+pymysql://etl:p%40ss@db.example:3307/staging?ssl_ca=/ca.pem", Path())
    assert (address.kind, address.user, address.password, address.port) == ("mysql", "etl", "p@ss", 3307)
    assert "p@ss" not in repr(address) + address.shown
    assert parse("sqlite:///a/b.db", Path("/f")).path == Path("/f/a/b.db")
    assert parse("sqlite:////a/b.db", Path("/f")).path == Path("/a/b.db")
    for wrong in ("mysq://h/d", "http://h/d", "mysql:///d", "sqlite://h/d", "postgresql://h:pw/d", "x"):
        with pytest.raises(SpecError):
            parse(wrong, Path())


def test_waiting_ends_with_patience() -> None:
    now = [0.0]
    tries = [0]

    def away() -> None:
        tries[0] += 1
        raise DatabaseError(Trouble.LOST, "gone")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(DatabaseError):
        persist(away, patience_s=30, clock=lambda: now[0], sleep=sleep)
    assert 20 < now[0] <= 30
    assert tries[0] > 5
    with pytest.raises(DatabaseError):
        persist(lambda: (_ for _ in ()).throw(DatabaseError(Trouble.DENIED, "no")), sleep=sleep)
