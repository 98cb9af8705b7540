"""Loads into real databases: what a dump holds arrives, all of it or nothing, and what is protected stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dumps_scene import FOOT, HEAD, TENANTS, dumped, into, rows, run_sql, seen

from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.dumps.loading import Moment
from inlay.errors import SourceError, TargetError
from inlay.testing.servers import MariaDB

ODD = "odd `name-日本"
MAKE = (
    "CREATE TABLE `odd ``name-日本` (`a b` int PRIMARY KEY, `列` varchar(40) DEFAULT 'x''y\\\\', "
    "g int AS (`a b` * 2) STORED, "
    "v varchar(50) AS (concat(`列`, '!')) VIRTUAL, j json, e enum('a','b,c''d') DEFAULT 'a', "
    "ts timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(), b bit(9) DEFAULT b'101', "
    "bl longblob, u bigint unsigned, d decimal(30,10), f double, y year, tm time(3), dt datetime(6), dd date, "
    "s set('x','y'), t1 tinyint(1), UNIQUE KEY k (`列`(10)), KEY gk (g), FULLTEXT KEY ft (`列`)) COMMENT='it''s 日本'",
    "INSERT INTO `odd ``name-日本` (`a b`, `列`, j, bl, u, d, b, f, y, tm, dt, dd, s, t1, ts) VALUES "
    "(1, '山田 😀 \\\\ \\n\\t\\r '' \"', '{\"a\": [1, \"é\"]}', x'00ff275c0a0d1a22', 9223372036854775807, "
    "12345678901234567890.0123456789, b'100000001', -1.5e-300, 2026, '-100:00:01.5', '2026-01-02 03:04:05.000006', "
    "'2026-02-28', 'x,y', 2, '2026-01-01 00:00:00'), "
    "(2, NULL, NULL, NULL, 3, -1.25, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-01 00:00:00'), "
    "(-3, '', '[]', '', 0, 0, b'0', 0, 1901, '00:00:00', "
    "'1000-01-01 00:00:00', '9999-12-31', '', 0, '2026-01-01 00:00:00')",
    "CREATE TABLE child (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, p int, z datetime, "
    "FOREIGN KEY (p) REFERENCES `odd ``name-日本` (`a b`) ON DELETE SET NULL ON UPDATE NO ACTION)",
    "INSERT INTO child VALUES (7, 1, '2026-01-01 00:00:00'), (9, NULL, NULL)",
    "SET sql_mode = ''",
    "INSERT INTO child VALUES (0, NULL, '0000-00-00 00:00:00')",
    "CREATE TABLE empty (a int)",
    "CREATE VIEW v AS SELECT id FROM child",
    "CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.p = NULL",
    "CREATE PROCEDURE p() SELECT ';'",
    "CREATE SEQUENCE sq",
)


@pytest.fixture(scope="module")
def source(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A schema with one of everything, and what the real mariadb-dump writes of it."""
    url = mariadb.url("dumped_source")
    run_sql(url, *MAKE)
    file = tmp_path_factory.mktemp("dumps") / "real.sql"
    return url, dumped(mariadb, "dumped_source", file, "--routines", "--events")


@pytest.mark.mariadb
def test_a_real_dump_comes_back_as_it_was_in_mariadb(
    mariadb: MariaDB, source: tuple[str, Path], new_database: Callable[[str], str]
) -> None:
    url, file = source
    target = new_database("mysql")
    into(target, file)
    report = into(target, file)  # again over itself
    assert {table.name: table.rows for table in report.tables} == {ODD: 3, "child": 3, "empty": 0}
    assert report.complete
    assert any("sequences, triggers, procedures, views (v)" in note for note in report.notes), report.notes
    assert "child: its foreign keys left out" in report.notes
    for table in ("`odd ``name-日本`", "child", "empty"):
        assert rows(target, f"SELECT * FROM {table} ORDER BY 1") == rows(url, f"SELECT * FROM {table} ORDER BY 1")
    assert rows(target, "SHOW TABLES") == [("child",), ("empty",), (ODD,)]
    before, after = (str(rows(place, "SHOW CREATE TABLE `odd ``name-日本`")) for place in (url, target))
    # mariadb-dump writes the values of computed columns, so they are plain ones here.
    before = re.sub(r"GENERATED ALWAYS AS \(.*?\) (STORED|VIRTUAL)", "DEFAULT NULL", before)
    assert after == before
    assert "AUTO_INCREMENT=11" in str(rows(target, "SHOW CREATE TABLE child"))


@pytest.mark.mariadb
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_a_real_dump_becomes_rows_elsewhere(
    source: tuple[str, Path], new_database: Callable[[str], str], kind: str
) -> None:
    _, file = source
    target = new_database(kind)
    into(target, file)
    report = into(target, file)  # again over itself
    assert report.rows == 6
    found = rows(target, f'SELECT "a b", "列", g, v, j, e, bl, b, s, t1 FROM "{ODD}" ORDER BY 1')
    assert found[1][:6] == (1, "山田 😀 \\ \n\t\r ' \"", 2, "山田 😀 \\ \n\t\r ' \"!", '{"a": [1, "é"]}', "a")
    assert [bytes(value) for value in found[1][6:8]] == [b"\0\xff'\\\n\r\x1a\"", b"\x01\x01"]  # type: ignore[arg-type]
    assert found[1][8:] == ("x,y", 2)
    assert found[2][1:3] == (None, 4)
    text = rows(
        target,
        f'SELECT CAST(u AS varchar), CAST(d AS varchar), f, y, tm, CAST(dd AS varchar) FROM "{ODD}" WHERE t1 = 2',
    )
    expected = (
        "9223372036854775807",
        "12345678901234567890.0123456789",
        -1.5e-300,
        2026,
        "-100:00:01.500",
        "2026-02-28",
    )
    assert text == [expected]
    zero = rows(target, "SELECT CAST(z AS varchar) FROM child WHERE id = 10")
    assert zero == [("0000-00-00 00:00:00" if kind == "sqlite" else None,)]
    assert any("0000-00-00" in note for note in report.notes) == (kind != "sqlite")
    with Database(parse(target, Path.cwd())).connect() as con:
        assert con.dialect.primary_key(con, (ODD,)) == ("a b",)


MYSQL8 = """/*!40000 DROP DATABASE IF EXISTS `shop`*/;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci */;
USE `shop`;
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee:1-77';
/*!50503 SET character_set_client = utf8mb4 */;
CREATE TABLE `t` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) COLLATE utf8mb4_0900_as_cs DEFAULT NULL,
  `j` json DEFAULT NULL,
  `up` varchar(255) GENERATED ALWAYS AS (upper(`name`)) STORED,
  `far` varchar(9) GENERATED ALWAYS AS (substr(uuid(),1,4)) VIRTUAL,
  `u` varchar(36) NOT NULL DEFAULT (uuid()) /*!80023 INVISIBLE */,
  `place` point NOT NULL /*!80003 SRID 4326 */,
  `n` int DEFAULT '-1',
  PRIMARY KEY (`id`),
  UNIQUE KEY `up` (`up`),
  KEY `fun` ((lower(`name`))),
  KEY `fall` (`n` DESC) /*!80000 INVISIBLE */,
  CONSTRAINT `far_fk` FOREIGN KEY (`n`) REFERENCES `other` (`id`),
  CONSTRAINT `t_chk_1` CHECK ((`n` > -9)) /*!80016 NOT ENFORCED */
) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci STATS_PERSISTENT=1
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB,
 PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB) */;
LOCK TABLES `t` WRITE;
/*!40000 ALTER TABLE `t` DISABLE KEYS */;
INSERT INTO `t` (`id`, `name`, `j`, `u`, `place`, `n`) VALUES
(1,'Ана','{\\"k\\": 1}','x',0x00000000010100000000000000000000000000000000000000,3),
(2,'ana',NULL,'y',_binary '\\0\\0\\0\\0\u0001\u0001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0',NULL);
UNLOCK TABLES;
/*!50001 CREATE TABLE `old_view` (`id` tinyint NOT NULL) ENGINE=MyISAM */;
/*!50001 DROP TABLE IF EXISTS `old_view`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `old_view` AS select 1 AS `id` */;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `x` BEFORE INSERT
 ON `t` FOR EACH ROW BEGIN SET NEW.n = 1; END */;;
DELIMITER ;
"""


@pytest.mark.parametrize("database_kind", ["sqlite", "duckdb", "mysql", "postgresql"], indirect=True)
def test_the_words_of_mysql_8_are_understood(database_url: str, database_kind: str, write: Callable[..., Path]) -> None:
    report = into(database_url, write(MYSQL8, "d.sql.gz"))
    assert [(table.name, table.rows) for table in report.tables] == [("t", 2)]
    names = rows(database_url, "SELECT name FROM t ORDER BY id")
    assert names == [("Ана",), ("ana",)]
    notes = " ".join(report.notes)
    for left in (
        "partitions",
        "checks",
        "foreign keys",
        "computed default of u",
        "key fun over an expression",
        "old_view",
    ):
        assert left in notes
    if database_kind == "mysql":
        assert rows(database_url, "SELECT up, n FROM t ORDER BY id") == [("АНА", 3), ("ANA", None)]
        assert "the collation utf8mb4_0900_ai_ci is utf8mb4_" in notes
        assert "columns computed by functions that are not plain: far" in notes
        assert rows(database_url, "SELECT ST_AsText(place) FROM t LIMIT 1") == [("POINT(0 0)",)]


def test_what_is_protected_or_not_asked_for_stays(database_url: str, write: Callable[..., Path]) -> None:
    run_sql(database_url, "CREATE TABLE cache (id int)", "INSERT INTO cache VALUES (5)", "CREATE TABLE other (id int)")
    text = TENANTS + "".join(
        f"DROP TABLE IF EXISTS `{name}`;\nCREATE TABLE `{name}` (id int);\nINSERT INTO `{name}` VALUES (1);\n"
        for name in ("cache", "Cache", "inlay_answers", "more")
    )
    report = into(database_url, write(text), protected=frozenset(["cache"]), only=("tenants", "cache"))
    why = dict(report.skipped)
    assert why == {"cache": "protected", "Cache": "protected", "inlay_answers": "protected", "more": "not asked for"}
    assert rows(database_url, "SELECT id FROM cache") == [(5,)]
    assert [table.name for table in report.tables] == ["tenants"]
    with pytest.raises(SourceError, match="holds no table rooms"):
        into(database_url, write(text), only=("rooms",))


LATER = TENANTS.replace("'山田 太郎'", "'later'")


class Stop(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("how", ["interrupt", "truncated", "value", "width"])
def test_a_load_that_fails_leaves_everything_as_it_was(
    database_url: str, database_kind: str, write: Callable[..., Path], how: str
) -> None:
    into(database_url, write(TENANTS))
    second = "CREATE TABLE second (a int NOT NULL, d decimal(4,1));\nINSERT INTO second VALUES (1,2.5);\n"
    wishes: dict[str, object] = {}
    if how == "interrupt":

        def stop(moment: Moment) -> None:
            if moment.table == "second":
                raise Stop

        wishes["watch"] = stop
    elif how == "value":
        second += (
            "INSERT INTO second VALUES ('x','y');\n"
            if database_kind != "sqlite"
            else "INSERT INTO second VALUES (NULL,1);"
        )
    elif how == "width":
        second += "INSERT INTO second VALUES (1,2,3),(1);\n"
    file = write(LATER + second)
    if how == "truncated":
        file.write_bytes(file.read_bytes()[: -len(FOOT) - 4])
    with pytest.raises((Stop, SourceError, TargetError)) as caught:
        into(database_url, file, **wishes)
    if how in ("value", "width"):
        assert "second" in str(caught.value)
    assert rows(database_url, "SELECT name FROM tenants WHERE id = 1") == [("山田 太郎",)]
    with Database(parse(database_url, Path.cwd())).connect() as con:
        assert con.dialect.table_columns(con, ("second",)) == []
        if database_kind in ("mysql", "postgresql"):
            left = con.run("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'inlay%'").fetchall()
            assert not list(left)
    into(database_url, write(LATER))
    assert rows(database_url, "SELECT name FROM tenants WHERE id = 1") == [("later",)]


@pytest.mark.mariadb
def test_a_load_that_was_killed_is_cleared_away_by_the_next(mariadb: MariaDB, write: Callable[..., Path]) -> None:
    url = mariadb.url("killed_load")
    into(url, write(TENANTS))
    file = write(LATER + "CREATE TABLE s (a int);\nINSERT INTO s VALUES (1);\n", "later.sql")
    program = (
        "import os, sys; from inlay import project\n"
        "def kill(moment):\n"
        "    if moment.table == 's': os.kill(os.getpid(), 9)\n"
        "project.load_dump(dump=sys.argv[1], into=sys.argv[2], watch=kill)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file), url], check=False)
    assert done.returncode == -signal.SIGKILL
    left = [str(name) for (name,) in rows(url, "SHOW TABLES")]
    assert sum(name.startswith("inlay_new_") for name in left) == 2
    assert rows(url, "SELECT name FROM tenants WHERE id = 1") == [("山田 太郎",)]
    into(url, file)
    assert rows(url, "SHOW TABLES") == [("s",), ("tenants",)]


def test_two_loads_of_one_database_do_not_meet(
    database_url: str, database_kind: str, write: Callable[..., Path]
) -> None:
    if database_kind == "duckdb":
        return  # a file of DuckDB's is open in one process alone
    again: list[TargetError] = []

    def meanwhile(moment: Moment) -> None:
        with pytest.raises(TargetError, match="another load is under way") as caught:
            into(database_url, write(LATER, "l.sql"))
        again.append(caught.value)

    into(database_url, write(TENANTS), watch=meanwhile)
    assert again
    assert rows(database_url, "SELECT name FROM tenants WHERE id = 1") == [("山田 太郎",)]


def test_a_view_of_that_name_is_not_replaced(database_url: str, write: Callable[..., Path]) -> None:
    run_sql(database_url, "CREATE VIEW tenants AS SELECT 1 AS id")
    for dry_run in (True, False):
        with pytest.raises(TargetError, match="tenants is a view there"):
            into(database_url, write(TENANTS), dry_run=dry_run)


def test_views_on_a_table_live_through_a_load(database_url: str, write: Callable[..., Path]) -> None:
    into(database_url, write(TENANTS))
    run_sql(database_url, "CREATE VIEW named AS SELECT name FROM tenants WHERE id = 1")
    into(database_url, write(LATER))
    assert rows(database_url, "SELECT * FROM named") == [("later",)]


@pytest.mark.mariadb
def test_a_foreign_key_from_outside_is_said_at_once(mariadb: MariaDB, write: Callable[..., Path]) -> None:
    url = mariadb.url("referred_load")
    into(url, write(TENANTS))
    run_sql(url, "CREATE TABLE mine (t int, FOREIGN KEY (t) REFERENCES tenants (id))")
    with pytest.raises(TargetError, match="mine refers to tenants by a foreign key"):
        into(url, write(LATER))
    assert rows(url, "SELECT count(*) FROM tenants") == [(3,)]


def test_a_dry_run_changes_nothing_and_makes_no_file(
    database_url: str, database_kind: str, write: Callable[..., Path]
) -> None:
    report = into(database_url, write(TENANTS), dry_run=True)
    assert (report.loaded, report.rows) == (False, 3)
    path = parse(database_url, Path.cwd()).path
    assert path is None or not path.exists()
    if path is None:
        with Database(parse(database_url, Path.cwd())).connect() as con:
            assert con.dialect.table_columns(con, ("tenants",)) == []


def test_a_dump_that_is_not_whole_is_taken_only_when_asked(
    new_database: Callable[[str], str], write: Callable[..., Path]
) -> None:
    url = new_database("sqlite")
    whole = (HEAD + TENANTS).encode()
    for name, data in (("cut.sql", whole), ("cut.sql.gz", whole)):
        file = write(data, name, bare=True)
        if name.endswith(".gz"):
            file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(SourceError, match=r"not whole.*nothing was changed"):
            into(url, file)
        report = into(url, file, allow_incomplete=True)
        assert not report.complete
        assert "the dump is not whole" in report.notes
    inside = write(whole + b"INSERT INTO tenants VALUES (4,'x'),(5,'cut o", "row.sql", bare=True)
    assert into(url, inside, allow_incomplete=True).rows == 4
    with pytest.raises(SourceError, match="compression is damaged"):
        into(url, write(b"\x1f\x8b\x08\0garbage garbage", "x.sql", bare=True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no table in it"),
        ("hello world", "not whole"),
        ("INSERT INTO t VALUES (1);", "rows for t, which the dump does not declare"),
        ("CREATE TABLE t (a int);CREATE TABLE t (a int);", "declared a second time"),
        ("USE a;CREATE TABLE t (a int);USE b;", "second database, b, after a"),
        ("CREATE TABLE t (a int);INSERT INTO t (b) VALUES (1);", "columns that it has not"),
        ("CREATE TABLE t (a int);INSERT INTO t (a,A) VALUES (1,1);", "columns that it has not, or twice"),
    ],
)
def test_mistakes_are_said_with_their_line(write: Callable[..., Path], text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        seen(write(text, bare=True))


def test_text_of_another_charset(database_url: str, write: Callable[..., Path]) -> None:
    made = b"/*!40101 SET NAMES latin1 */;\nCREATE TABLE t (a varchar(9)) DEFAULT CHARSET=latin1;\n"
    text = made + b"INSERT INTO t VALUES ('caf\xe9');"
    into(database_url, write(text, bare=True))
    assert rows(database_url, "SELECT a FROM t") == [("café",)]


def test_memory_stays_bounded(new_database: Callable[[str], str], write: Callable[..., Path]) -> None:
    """Twenty megabytes of rows in one INSERT, in a process that may grow by far less."""
    row = "(1,'" + "x" * 990 + "')"
    file = write("CREATE TABLE t (a int, b text);\nINSERT INTO t VALUES " + ",".join([row] * 40_000) + ";")
    program = (
        "import resource, sys; from inlay import project; project.look_at_dump(dump=sys.argv[2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "project.load_dump(dump=sys.argv[1], into=sys.argv[3])\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    small = write(TENANTS, "small.sql")
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), str(small), new_database("sqlite")],
        check=True, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert int(done.stdout) < 30
