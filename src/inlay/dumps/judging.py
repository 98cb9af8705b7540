"""Which statements of a dump are taken, which are passed over, and which end the load.

    taken        CREATE TABLE, and the rows of INSERT and REPLACE (see `reading`)
    passed over  what mysqldump writes around them and a copy does not need: silently, or with a note
    refused      everything else: DROP DATABASE, GRANT, LOAD DATA, SET GLOBAL, client commands, another schema …

What stays true: nothing is taken because it was not recognised; a statement that is passed over is never sent anywhere;
a setting that would make strings mean something else is refused rather than passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from inlay.dumps.declared import read_table
from inlay.dumps.lexing import Kind
from inlay.dumps.reading import Reader, Statement
from inlay.dumps.schema import Table
from inlay.dumps.words import NotUnderstood, Words
from inlay.errors import SourceError

_AGAIN = "nothing was changed; make the dump again with mysqldump or mariadb-dump, of the tables alone"
# Charsets whose characters never hold a byte below 0x80, so that a quote is a quote; and Python's word for each.
CHARSETS = {"utf8": "utf-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "ascii": "utf-8", "latin1": "cp1252"} | {
    "binary": "utf-8"
}
_PASSED_SETTINGS = frozenset(
    [
        "character_set_client",
        "character_set_results",
        "character_set_connection",
        "collation_connection",
        "time_zone",
        "sql_mode",
        "sql_notes",
        "unique_checks",
        "foreign_key_checks",
        "autocommit",
        "note_verbosity",
        "sql_quote_show_create",
        "storage_engine",
        "default_storage_engine",
        "information_schema_stats_expiry",
        "sql_require_primary_key",
        "innodb_strict_mode",
        "check_constraint_checks",
        "timestamp",
        "insert_id",
        "lc_time_names",
        "sql_auto_is_null",
        "sql_safe_updates",
        "system_versioning_insert_history",
    ]
)
_REPLICATION = frozenset(("sql_log_bin", "gtid_purged", "gtid_slave_pos", "gtid_next", "gtid_binlog_state"))
_OTHER_STRINGS = ("NO_BACKSLASH_ESCAPES", "ANSI", "ORACLE", "POSTGRESQL", "DB2", "MSSQL", "MAXDB")
_MADE = ("VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE", "PACKAGE")
_SILENT = frozenset(("LOCK", "UNLOCK", "BEGIN", "COMMIT", "START"))
_NOTED = {"FLUSH": "FLUSH", "ANALYZE": "ANALYZE TABLE", "CHANGE": "CHANGE MASTER", "STOP": "STOP SLAVE"}
_IN_VALUES = (b"(", b")", b",", b"@", b".", b"+", b"-", b"*", b"|", b"&", b"=")
_OFFSET = re.compile(r"[+-]\d\d:\d\d")


@dataclass(slots=True)
class Judge:
    """Judges the statements of one dump, one after the other; remembers what the dump says of itself."""

    reader: Reader
    schemas: frozenset[str]  # what a table may be qualified with: the target's own
    charset: str = "utf8mb4"
    database: str | None = None
    time_zone: str | None = None
    views: list[str] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)  # note -> how often

    def judged(self, statement: Statement) -> Table | None:
        """The table that a statement declares, or None where it is passed over. Raises SourceError."""
        words = Words(statement.tokens)
        try:
            return self._judged(words, statement)
        except (NotUnderstood, ValueError, IndexError) as odd:
            head = " ".join(token.text[:40].decode("utf-8", "replace") for token in statement.tokens[:4])
            raise self.reader.refused(f"{head} …: not understood: {str(odd)[:100]}", _AGAIN, statement.line) from None

    def _judged(self, words: Words, statement: Statement) -> Table | None:
        first = words.word()
        if first == "CREATE":
            return self._create(words, statement)
        if first == "SET":
            self._set(words, statement)
        elif first == "DROP":
            self._drop(words, statement)
        elif first == "ALTER":
            self._alter(words, statement)
        elif first == "USE":
            self._use(words, statement)
        elif first in _SILENT and (first != "START" or words.word(1) in ("TRANSACTION", "SLAVE", "REPLICA")):
            pass
        elif first in _NOTED:
            self._note(_NOTED[first])
        elif first == "DO" and words.word(1) == "SETVAL":
            self._note("sequences")
        else:
            raise self._refused(statement)
        return None

    def check_schema(self, schema: str | None, table: str, line: int) -> None:
        """Refuse a table that is said to be of another schema than the dump's own."""
        if schema is not None and schema.casefold() not in self.schemas | {(self.database or "").casefold()} - {""}:
            raise self.reader.refused(f"it names the table {schema}.{table}, which is in another schema", _AGAIN, line)

    def _note(self, what: str) -> None:
        self.passed[what] = self.passed.get(what, 0) + 1

    def _refused(self, statement: Statement) -> SourceError:
        text = b" ".join(token.text[:60] for token in statement.tokens[:6])[:100].decode("utf-8", "replace")
        first = statement.tokens[0]
        what = "is not a statement of a dump of tables"
        if first.text == b"\\" or first.word in ("SYSTEM", "SOURCE", "TEE", "PAGER", "EDIT"):
            what = "is a command for a client program, which is never run"
        return self.reader.refused(f"{text!r} {what}", _AGAIN, statement.line)

    # --- one kind after the other

    def _create(self, words: Words, statement: Statement) -> Table | None:
        words.next()
        words.has("OR", "REPLACE")
        if words.has("TABLE"):
            table = read_table(words)
            self.check_schema(table.schema, table.name, statement.line)
            return table
        if words.word() in ("DATABASE", "SCHEMA"):
            self._note("CREATE DATABASE")
            return None
        while True:  # ALGORITHM=…, DEFINER=…@…, SQL SECURITY …, AGGREGATE
            if words.has("ALGORITHM") or words.has("DEFINER"):
                words.need(b"=")
                words.next()
                if words.mark(b"(") and not words.mark(b")"):
                    raise words.odd()
                if words.mark(b"@"):
                    words.next()
            elif words.has("SQL", "SECURITY"):
                words.next()
            elif not words.has("AGGREGATE"):
                break
        kind = words.word()
        if kind not in _MADE:
            raise self._refused(statement)
        words.next()
        self._note(f"{kind.lower()}s")
        if kind == "VIEW":
            words.has("IF", "NOT", "EXISTS")
            self.views.append(words.table()[1])
        return None

    def _drop(self, words: Words, statement: Statement) -> None:
        words.next()
        if words.has("TEMPORARY"):
            raise self._refused(statement)
        if words.has("TABLE"):
            words.has("IF", "EXISTS")
            while True:
                schema, table = words.table()
                self.check_schema(schema, table, statement.line)
                if not words.mark(b","):
                    break
            _ = words.has("CASCADE") or words.has("RESTRICT")  # either word may stand here
            if words.peek() is not None:
                raise words.odd()
        elif words.word() in ("DATABASE", "SCHEMA") and words.word(1) == "IF":
            self._note("DROP DATABASE")
        elif words.word() not in _MADE or words.word(1) != "IF":
            raise self._refused(statement)

    def _alter(self, words: Words, statement: Statement) -> None:
        words.next()
        if words.has("TABLE"):
            schema, table = words.table()
            self.check_schema(schema, table, statement.line)
            if words.word() in ("DISABLE", "ENABLE") and words.word(1) == "KEYS":
                return
            if words.word() not in ("ADD", "MODIFY"):
                raise self._refused(statement)
            self._note("ALTER TABLE … ADD or MODIFY")
        elif words.word() in ("DATABASE", "SCHEMA"):
            self._note("ALTER DATABASE")
        else:
            raise self._refused(statement)

    def _use(self, words: Words, statement: Statement) -> None:
        words.next()
        name = words.name()
        if words.peek() is not None:
            raise self._refused(statement)
        if self.database is not None and name != self.database:
            raise self.reader.refused(
                f"it goes on with a second database, {name}, after {self.database}",
                "dump one database: mysqldump NAME, without --databases or --all-databases",
                statement.line,
            )
        if self.database is None:
            self._note("USE")
        self.database = name

    def _set(self, words: Words, statement: Statement) -> None:
        words.next()
        while True:
            self._setting(words, statement)
            if words.peek() is None:
                return
            words.need(b",")

    def _setting(self, words: Words, statement: Statement) -> None:
        if words.has("NAMES"):
            token = words.next()
            self._names(token.text.strip(b"'\"").decode("ascii", "replace").lower(), statement)
            if words.has("COLLATE"):
                words.next()
            return
        if words.word() == "CHARACTER" and words.word(1) == "SET":
            raise self._refused(statement)
        reach, user = self._reach(words)
        name = words.name().lower()
        if not words.mark(b"="):
            words.need(b":")
            words.need(b"=")
        value = self._value(words)
        if user:
            return
        if name in _REPLICATION:
            self._note("replication (GTID, SQL_LOG_BIN)")
        elif reach == "GLOBAL" or name not in _PASSED_SETTINGS:
            raise self._refused(statement)
        elif name == "sql_mode" and any(mode in value.upper() for mode in _OTHER_STRINGS):
            raise self.reader.refused(
                f"it sets sql_mode to {value[:60]}, under which its strings would mean something else",
                _AGAIN,
                statement.line,
            )
        elif name == "time_zone" and _OFFSET.fullmatch(value):
            self.time_zone = value

    def _reach(self, words: Words) -> tuple[str, bool]:
        """How far a setting reaches, and whether it is a variable of the user's, with which nothing happens."""
        if words.mark(b"@"):
            if not words.mark(b"@"):
                return "", True
            if words.word() in ("GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"):
                reach = words.next().word
                words.need(b".")
                return "GLOBAL" if reach in ("GLOBAL", "PERSIST", "PERSIST_ONLY") else "", False
            return "", False
        if words.word() in ("GLOBAL", "PERSIST", "PERSIST_ONLY"):
            words.next()
            return "GLOBAL", False
        _ = words.has("SESSION") or words.has("LOCAL")  # either word may stand here
        return "", False

    def _value(self, words: Words) -> str:
        """What a setting is set to, up to the next comma; a string as what it says."""
        parts: list[str] = []
        depth = 0
        while (token := words.peek()) is not None:
            if token.kind is Kind.MARK:
                if token.text == b"," and not depth:
                    break
                if token.text not in _IN_VALUES:
                    raise words.odd()
                depth += (token.text == b"(") - (token.text == b")")
            if token.kind is Kind.STRING:
                parts.append(words.string())
            else:
                parts.append(words.next().text.decode("utf-8", "replace"))
        return "".join(parts)

    def _names(self, charset: str, statement: Statement) -> None:
        if charset not in CHARSETS:
            raise self.reader.refused(
                f"its text is in the charset {charset[:30]}",
                "dump with --default-character-set=utf8mb4",
                statement.line,
            )
        self.charset = charset
