"""Hostile dumps, loaded as root into a real MariaDB: nothing changes but what a dump's own tables are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dumps_scene import TENANTS, into, rows

from inlay.errors import SourceError
from inlay.testing.servers import MariaDB

# What a dump may hold -> what is said of it.
REFUSED = {
    "\\! touch {canary}\n": "client program",
    "system touch {canary}\n": "client program",
    "source /etc/passwd\n;": "client program",
    "\\. /etc/passwd\n;": "client program",
    "tee {canary}\n;": "client program",
    "DROP DATABASE victim;": "not a statement of a dump",
    "DROP TABLE victim.precious;": "another schema",
    "DROP TABLE IF EXISTS `tenants`, `victim`.`precious`;": "another schema",
    "/*!40000 DROP TABLE IF EXISTS victim.precious*/;": "another schema",
    "DROP TABLE IF EXISTS x; DROP USER root@localhost;": "not a statement of a dump",
    "CREATE TABLE victim.fresh (a int);": "another schema",
    "INSERT INTO victim.precious VALUES (2);": "another schema",
    "INSERT INTO `victim`.precious VALUES (2);": "another schema",
    "/*!50000 INSERT INTO victim.precious VALUES (2)*/;": "not a statement of a dump",
    "REPLACE INTO mysql.global_priv VALUES ('%','eve','{{}}');": "another schema",
    "INSERT INTO tenants SELECT a, 'x' FROM victim.precious;": "not a statement of a dump",
    "INSERT INTO tenants VALUES (9, load_file('/etc/passwd'));": "something else than plain values",
    "INSERT INTO tenants VALUES (9, sleep(30));": "something else than plain values",
    "INSERT INTO tenants SET id = sleep(30);": "not a statement of a dump",
    "UPDATE victim.precious SET a = 3;": "not a statement of a dump",
    "DELETE FROM victim.precious;": "not a statement of a dump",
    "TRUNCATE victim.precious;": "not a statement of a dump",
    "RENAME TABLE victim.precious TO staging.precious;": "not a statement of a dump",
    "ALTER TABLE victim.precious ADD b int;": "another schema",
    "ALTER TABLE tenants DROP COLUMN name;": "not a statement of a dump",
    "GRANT ALL ON *.* TO eve@'%' IDENTIFIED BY 'x';": "not a statement of a dump",
    "CREATE USER eve IDENTIFIED BY 'x';": "not a statement of a dump",
    "SET PASSWORD FOR root@localhost = 'x';": "not understood",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE tenants;": "not a statement of a dump",
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE tenants;": "not a statement of a dump",
    "SELECT 1 INTO OUTFILE '{canary}';": "not a statement of a dump",
    "SELECT sleep(30);": "not a statement of a dump",
    "SET GLOBAL general_log = 1;": "not a statement of a dump",
    "SET @@GLOBAL.general_log_file = '{canary}';": "not a statement of a dump",
    "SET @a = 1, GLOBAL max_connections = 7;": "not a statement of a dump",
    "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES';": "would mean something else",
    "SET sql_mode = 'ANSI_QUOTES';": "would mean something else",
    "SET NAMES gbk;": "charset gbk",
    "SET NAMES 'sjis';": "charset sjis",
    "INSTALL SONAME 'ha_connect';": "not a statement of a dump",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h');": "not a statement of a dump",
    "SHUTDOWN;": "not a statement of a dump",
    "KILL 1;": "not a statement of a dump",
    "PREPARE p FROM 'DROP DATABASE victim'; EXECUTE p;": "not a statement of a dump",
    "CALL mysql.p();": "not a statement of a dump",
    "HANDLER victim.precious OPEN;": "not a statement of a dump",
    "BEGIN NOT ATOMIC DROP DATABASE victim; END;": "not a statement of a dump",
    "/*!99999 DROP DATABASE victim */;": "not a statement of a dump",
    "/*M!100000 DROP DATABASE victim */;": "not a statement of a dump",
    "/*!40000 /* x */ DROP DATABASE victim */;": "not a statement of a dump",
    "/*!40000 SET @a = 1 */ /*! ; */ DROP DATABASE victim;": "not understood",
    "/*!40000 SET @a = '*/ DROP DATABASE victim; -- ' /*! ; DROP DATABASE victim */;": "executable comments",
    "DELIMITER $$\nSET @a = 1;\nDROP DATABASE victim $$\n": "not understood",
    "DELIMITER '\n": "delimiter",
    "DELIMITER //\nDROP DATABASE victim//\nDELIMITER ;\n": "not a statement of a dump",
    "CREATE TEMPORARY TABLE x (a int);": "not a statement of a dump",
    "CREATE TABLE x SELECT * FROM victim.precious;": "not understood",
    "CREATE TABLE x (a int) SELECT * FROM victim.precious;": "not understood",
    "CREATE TABLE x LIKE victim.precious;": "not understood",
    "CREATE TABLE x (a int) DEFAULT CHARSET=`utf8mb4; DROP DATABASE victim`;": "not understood",
    "CREATE TABLE x (a evil(1));": "not understood",
    "ALTER TABLE tenants DISABLE KEYS; FLUSH TABLES; SET autocommit = 1; DROP SCHEMA victim;": "not a statement",
}  # fmt: skip
# Passed over without an effect; what is taken of them is harmless.
PASSED = (
    "DROP DATABASE IF EXISTS victim;",
    "CREATE DATABASE `victim2`;",
    "USE mysql;",
    "CREATE DEFINER=`root`@`localhost` TRIGGER evil BEFORE INSERT ON tenants FOR EACH ROW DELETE FROM victim.precious;",
    "CREATE FUNCTION sys_exec RETURNS int SONAME 'lib_mysqludf_sys.so';",
    "DELIMITER ;;\nCREATE PROCEDURE evil() BEGIN DROP DATABASE victim; END ;;\nDELIMITER ;",
    "CREATE EVENT evil ON SCHEDULE EVERY 1 SECOND DO DROP DATABASE victim;",
    "/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50013 DEFINER=`root`@`%` SQL SECURITY DEFINER */ "
    "/*!50001 VIEW `leak` AS SELECT * FROM victim.precious */;",
    "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee:1-9';",
    "SET @@SESSION.SQL_LOG_BIN= 0;",
    "CHANGE MASTER TO MASTER_HOST='evil';",
    "FLUSH PRIVILEGES;",
    "CREATE TABLE fed (a int) ENGINE=FEDERATED CONNECTION='mysql://eve@evil/x/y';",
    "CREATE TABLE con (a int) ENGINE=CONNECT TABLE_TYPE=CSV FILE_NAME='/etc/passwd';",
    "CREATE TABLE mer (a int) ENGINE=MRG_MyISAM UNION=(`victim`.`precious`) INSERT_METHOD=LAST;",
    "CREATE TABLE dir (a int) DATA DIRECTORY='/tmp' INDEX DIRECTORY='/tmp';",
    "CREATE TABLE def (a int, b varchar(99) DEFAULT (load_file('/etc/passwd')), c int AS (sleep(30)) STORED);",
    "CREATE TABLE chk (a int CHECK (sleep(30)), CONSTRAINT k CHECK (benchmark(9e9, md5(1))));",
    "CREATE TABLE ref (a int, FOREIGN KEY (a) REFERENCES victim.precious (a) ON DELETE CASCADE);",
    "CREATE TABLE esc (a int COMMENT 'x\\' , b int) ENGINE=FEDERATED; DROP DATABASE victim; -- ');",
    "CREATE TABLE `x``; DROP DATABASE victim; -- y` (`c``; DROP DATABASE victim` varchar(90) "
    "DEFAULT '1\\'; DROP DATABASE victim');",
    "INSERT INTO tenants VALUES (9,'a\\'); DROP DATABASE victim; -- '),(10,'''); DROP DATABASE victim; -- ');",
    "INSERT INTO tenants VALUES (11,_binary '\\\\');\n"
    "INSERT INTO tenants VALUES (12,'\\\\'', DROP DATABASE victim;--');",
    "-- \\! touch {canary}\n# system touch {canary}\n/* \\! touch {canary}\n*/",
)
_VOLATILE = (
    "timestamp",
    "rand_seed",
    "last_",
    "insert_id",
    "pseudo",
    "identity",
    "gtid",
    "error_count",
    "warning_count",
)


@pytest.fixture(scope="module")
def world(mariadb: MariaDB) -> Iterator[Callable[[], object]]:
    """A schema to load into, another one that is nobody's business, and how everything outside stands."""
    mariadb.sql(
        "CREATE DATABASE victim", "CREATE TABLE victim.precious (a int PRIMARY KEY)",
        "INSERT INTO victim.precious VALUES (1)",
        "CREATE DATABASE staging", "CREATE TABLE staging.tenants (id int)", "INSERT INTO staging.tenants VALUES (7)",
        "CREATE TABLE staging.mine (id int)", "INSERT INTO staging.mine VALUES (8)",
    )  # fmt: skip

    def state() -> object:
        variables = [
            row for row in mariadb.sql("SHOW GLOBAL VARIABLES") if not any(part in str(row[0]) for part in _VOLATILE)
        ]
        return (
            mariadb.sql("SHOW DATABASES"),
            mariadb.sql("SELECT a FROM victim.precious"),
            mariadb.sql("SHOW FULL TABLES FROM victim"),
            mariadb.sql("SELECT * FROM mysql.global_priv"),
            mariadb.sql("SELECT name FROM mysql.proc"),
            mariadb.sql("SELECT name FROM mysql.event"),
            mariadb.sql("SELECT * FROM mysql.func"),
            mariadb.sql("SELECT * FROM mysql.plugin"),
            mariadb.sql("SELECT * FROM mysql.servers"),
            mariadb.sql("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'staging'"),
            mariadb.sql("SELECT id FROM staging.mine"),
            variables,
        )

    yield state
    mariadb.sql("DROP DATABASE victim", "DROP DATABASE staging")


@pytest.mark.mariadb
def test_what_is_no_dump_of_tables_is_refused_and_nothing_changes(
    mariadb: MariaDB, world: Callable[[], object], write: Callable[..., Path], tmp_path: Path
) -> None:
    url, canary, before = mariadb.url("staging"), tmp_path / "canary", world()
    tables = mariadb.sql("SHOW TABLES FROM staging")
    for number, (text, says) in enumerate(REFUSED.items()):
        head = TENANTS if not number % 6 else ""  # in the middle of a load, or before its first table
        file = write(head + text.format(canary=canary) + "\n" + TENANTS.replace("tenants", "later"))
        with pytest.raises(SourceError) as caught:
            into(url, file)
        assert says in str(caught.value), text
        assert "d.sql, line" in str(caught.value), text
        assert not canary.exists(), text
    assert mariadb.sql("SELECT id FROM staging.tenants") == [(7,)]
    assert mariadb.sql("SHOW TABLES FROM staging") == tables
    assert world() == before


@pytest.mark.mariadb
def test_what_is_passed_over_has_no_effect(
    mariadb: MariaDB, world: Callable[[], object], write: Callable[..., Path], tmp_path: Path
) -> None:
    canary, before, url = tmp_path / "canary", world(), mariadb.url("staging")
    for start in range(0, len(PASSED), 6):
        text = "\n".join(PASSED[start : start + 6])
        into(url, write(TENANTS + text.format(canary=canary)))
        assert not canary.exists(), text
        assert mariadb.sql("SELECT a FROM victim.precious") == [(1,)], text
        assert mariadb.sql("SELECT count(*) FROM staging.tenants WHERE id < 9") == [(3,)], text
        names = {str(name) for (name,) in mariadb.sql("SHOW TABLES FROM staging")}
        assert not {"fed", "con", "mer", "leak"} & names, text
        assert not [name for name in names if name.startswith("inlay_")], text
    assert world() == before


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_hostile_dump_has_no_effect_on_a_file_either(
    new_database: Callable[[str], str], write: Callable[..., Path], kind: str
) -> None:
    url = new_database(kind)
    into(url, write(TENANTS))
    for text in (
        'CREATE TABLE `x"; DROP TABLE tenants; --` (`c"; DROP TABLE tenants` int DEFAULT 1);\n'
        'INSERT INTO `x"; DROP TABLE tenants; --` VALUES (1);',
        "CREATE TABLE y (a varchar(9));\nINSERT INTO y VALUES ('\\'); DROP TABLE tenants; --');",
    ):
        into(url, write(TENANTS + text))
        assert rows(url, "SELECT count(*) FROM tenants") == [(3,)]
    with pytest.raises(SourceError):
        into(url, write("ATTACH DATABASE '/tmp/x' AS y;"))
