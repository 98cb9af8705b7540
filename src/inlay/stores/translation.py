"""The SQL of the stores, written once for SQLite, as MySQL and PostgreSQL want it.

What differs is little: the names of tables (a prefix, perhaps a schema), `key`, which MySQL reserves, upserts, whole
division, types, and an index over the first bytes of an address. What stays true: texts of ours are translated and
values never are; one text is translated once; a text that needs more than is known here is not written.
"""

from __future__ import annotations

import re

from inlay.databases.address import MYSQL
from inlay.databases.dialect import Dialect

# Every name that has ever been a table of a store.
TABLES = (
    "attempt_sums_3", "attempt_sums", "attempts", "answers", "batch_lines", "batches", "cells", "commits",
    "corrections", "counters", "history", "lanes", "leases", "pass_recipes", "passes", "recipes", "runners", "runs",
    "schema_version", "spending",
)  # fmt: skip
_TABLE = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|TABLE|TO|ON)(\s+)({'|'.join(TABLES)})\b(?!\.)")
_KEY = re.compile(r"(?<![\w`])key(?![\w`])")
_DIVIDED = re.compile(r" / ")
_ADDRESS = re.compile(r"substr\(((?:\w+\.)?)fingerprint, 1, 8\)")
_CONFLICT = re.compile(r" ON CONFLICT \(([^)]*)\) DO (NOTHING|UPDATE SET (.*))$")
_INSERTED = re.compile(r"^INSERT INTO (\w+)")
_ADDED = re.compile(r"\b(\w+) = \1 \+ excluded\.")
_EXCLUDED = re.compile(r"\bexcluded\.(\w+)")
_MOST_KNOWN = 2000

# MySQL wants a length for text in an index; the lengths of one index may add up to 3072 bytes, four a character.
LONGEST_KEY, LONGEST_KEY_BYTES = 700, 2600
_LENGTHS = {
    "name": 255, "enrichment": 255, "runner": 255, "driver": 255, "scope": 64, "model": 255, "mode": 32, "state": 32,
    "reason": 255, "submission": 64, "custom_id": 128, "account": 64, "lane": 400, "key": LONGEST_KEY,
    "pass_name": 255, "field": 255, "null_reason": 64, "client": 64, "error_kind": 255,
}  # fmt: skip
_BYTES = {
    "lease": 64, "fingerprint": 64, "digest": 64, "source_hash": 32, "input_hash": 32, "upstream_hash": 32,
    "values_hash": 32,
}  # fmt: skip
_COLUMN = re.compile(r"\b(\w+) (TEXT|BLOB|INTEGER|BIGINT|DOUBLE PRECISION)\b")
_INDEX = re.compile(r"^CREATE INDEX (\w+) ON (\w+) (.*)$")
_BY_ADDRESS = "CREATE INDEX answers_by_address ON answers (substr(fingerprint, 1, 8))"


class Wording:
    """The words of one store: its kind of server, the prefix of its tables, and the schema they are in, if named."""

    def __init__(self, dialect: Dialect, prefix: str, schema: str = "") -> None:
        self._dialect = dialect
        self._mysql = dialect.name == MYSQL
        self._prefix = prefix
        self.schema = schema
        self._known: dict[str, str] = {}

    def table(self, name: str) -> str:
        """A table as it is written. DatabaseError where this server cannot hold its name."""
        own = self._dialect.quote(self._prefix + name)
        return f"{self._dialect.quote(self.schema)}.{own}" if self.schema else own

    def name(self, name: str) -> str:
        """A table's or index's own name."""
        return self._prefix + name

    def text(self, sql: str) -> str:
        """A statement with `?` for its values as this server's driver wants it."""
        found = self._known.get(sql)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[sql] = self._dialect.text(self.plain(sql))
        return found

    def plain(self, sql: str) -> str:
        """The same, its values still `?`."""
        conflict, inserted, rest = _CONFLICT.search(sql), _INSERTED.match(sql), ""
        if conflict is not None and inserted is not None:
            sql, rest = sql[: conflict.start()], self._conflict(conflict, inserted[1])
        sql = _TABLE.sub(lambda found: f"{found[1]}{found[2]}{self.table(found[3])}", sql) + rest
        if self._mysql:
            sql = _ADDRESS.sub(r"\1fingerprint_8", sql)
            sql = _KEY.sub("`key`", sql)
            sql = _DIVIDED.sub(" DIV ", sql)
        return sql

    def _conflict(self, found: re.Match[str], table: str) -> str:
        columns, action, changes = found.groups()
        if not self._mysql:
            own = self._dialect.quote(self._prefix + table)
            return (
                " "
                + found[0].lstrip()[: -len(action)]
                + (action if changes is None else "UPDATE SET " + _ADDED.sub(rf"\1 = {own}.\1 + excluded.", changes))
            )
        if changes is None:
            first = columns.split(",")[0]
            return f" ON DUPLICATE KEY UPDATE {first} = {first}"
        # VALUES() is deprecated in MySQL 8.0.20, but the only form that MariaDB knows too.
        return " ON DUPLICATE KEY UPDATE " + _EXCLUDED.sub(r"VALUES(\1)", changes)

    # --- what makes the tables

    def ddl(self, statement: str, *, collation: str = "") -> str:
        """A statement of the migrations as this server wants it. `collation` compares text by its bytes (MySQL)."""
        if statement == _BY_ADDRESS and self._mysql:
            return self.plain(
                "ALTER TABLE answers ADD COLUMN fingerprint_8 VARBINARY(8) AS (substr(fingerprint, 1, 8)) STORED, "
                "ADD INDEX answers_by_address (fingerprint_8)"
            ).replace("AS (fingerprint_8)", "AS (substr(fingerprint, 1, 8))")
        index = _INDEX.match(statement)
        if index is not None:
            columns = _KEY.sub("key(300)", index[3]) if self._mysql else index[3]
            name = index[1] if self._mysql else self._dialect.quote(self.name(index[1]))
            return self.plain(f"CREATE INDEX {name} ON {index[2]} {columns}")
        renamed = statement.partition(" RENAME TO ")
        if renamed[1] and not self._mysql:  # PostgreSQL renames within a schema
            return f"{self.plain(renamed[0])} RENAME TO {self._dialect.quote(self.name(renamed[2]))}"
        if statement.startswith(("CREATE TABLE", "ALTER TABLE")):
            statement = _COLUMN.sub(self._mysql_column if self._mysql else _postgresql_column, statement)
        made = statement.startswith("CREATE TABLE")
        statement = self.plain(statement.removesuffix(" WITHOUT ROWID"))
        if made and self._mysql:
            statement += f" ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}"
        return statement

    @staticmethod
    def _mysql_column(found: re.Match[str]) -> str:
        name, kind = found.groups()
        if kind == "TEXT":
            return f"{name} VARCHAR({_LENGTHS[name]})" if name in _LENGTHS else f"{name} {_mysql_text(found)}"
        if kind == "BLOB":
            return f"{name} VARBINARY({_BYTES[name]})" if name in _BYTES else f"{name} LONGBLOB"
        return f"{name} {'BIGINT' if kind == 'INTEGER' else kind}"


def _mysql_text(found: re.Match[str]) -> str:
    # The outcome of pruned attempts is part of a key; that of a run is a sentence.
    if found[1] == "outcome" and found.string.startswith("CREATE TABLE attempt"):
        return "VARCHAR(190)"
    return "LONGTEXT"


def _postgresql_column(found: re.Match[str]) -> str:
    name, kind = found.groups()
    return f"{name} {_POSTGRESQL[kind]}"


_POSTGRESQL = {
    "TEXT": 'TEXT COLLATE "C"',  # by bytes, as every comparison and order of the stores is
    "BLOB": "BYTEA",
    "INTEGER": "BIGINT",
    "BIGINT": "BIGINT",
    "DOUBLE PRECISION": "DOUBLE PRECISION",
}
