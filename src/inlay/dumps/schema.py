"""A table of a dump as values: columns, keys and what was left out of them.

What stays true: only what is understood is here, so that a table can be spelled anew for any database; expressions are
kept as tokens, and used only where they are known to compute with the row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from inlay.dumps.lexing import Kind, Token

WHOLE = frozenset(("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT", "BOOL", "BOOLEAN"))
DECIMALS = frozenset(("DECIMAL", "DEC", "NUMERIC", "FIXED"))
FLOATS = frozenset(("FLOAT", "DOUBLE", "REAL"))
TEXTS = frozenset(("CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET", "JSON"))
BYTES = frozenset(("BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "BIT"))
_SHAPES_WORDS = (
    "GEOMETRY POINT LINESTRING POLYGON MULTIPOINT MULTILINESTRING MULTIPOLYGON GEOMETRYCOLLECTION GEOMCOLLECTION"
)
SHAPES = frozenset(_SHAPES_WORDS.split())
TIMES = frozenset(("DATE", "DATETIME", "TIMESTAMP", "TIME", "YEAR"))
OTHERS = frozenset(("UUID", "INET4", "INET6", "VECTOR"))
TYPES = WHOLE | DECIMALS | FLOATS | TEXTS | BYTES | SHAPES | TIMES | OTHERS
# Functions that give the same for the same row and reach nothing outside of it.
_PURE_WORDS = (
    "CONCAT CONCAT_WS LOWER LCASE UPPER UCASE TRIM LTRIM RTRIM LEFT RIGHT SUBSTR SUBSTRING MID REPLACE "
    "REVERSE LPAD RPAD LENGTH CHAR_LENGTH IF IFNULL NULLIF COALESCE GREATEST LEAST ABS ROUND FLOOR CEIL "
    "CEILING TRUNCATE MOD SIGN YEAR MONTH DAY DAYOFMONTH DATE HOUR MINUTE SECOND QUARTER CAST CONVERT AS "
    "CHAR DECIMAL SIGNED UNSIGNED BINARY DATETIME TIME CHARSET UTF8MB4 UTF8MB3 UTF8 LATIN1 USING "
    "JSON_EXTRACT JSON_UNQUOTE JSON_VALUE JSON_VALID MD5 SHA1 SHA2 CRC32 HEX UNHEX CASE WHEN THEN ELSE "
    "END AND OR NOT XOR IS NULL IN BETWEEN LIKE DIV TRUE FALSE REGEXP DATEDIFF TO_DAYS INTEGER"
)
PURE = frozenset(_PURE_WORDS.split())
_MARKS = frozenset(b"()+-*/%,=<>!|&^~")


@dataclass(slots=True)
class Column:
    """One column. `default` is the text of a literal, `default_is` says of which kind (string, number, bits, now)."""

    name: str
    type: str
    args: tuple[str, ...] = ()
    unsigned: bool = False
    zerofill: bool = False
    charset: str | None = None
    collate: str | None = None
    nullable: bool = True
    says_null: bool = False
    default: str | None = None
    default_is: str = ""
    on_update: bool = False
    auto_increment: bool = False
    comment: str = ""
    generated: tuple[Token, ...] = ()
    stored: bool = False
    is_json: bool = False

    @property
    def is_bytes(self) -> bool:
        """Whether its values are bytes rather than text."""
        return self.type in BYTES or self.type in SHAPES or self.charset == "binary"


@dataclass(frozen=True, slots=True)
class Key:
    """An index: PRIMARY, UNIQUE, KEY, FULLTEXT or SPATIAL, over (column, length of its beginning, descending)."""

    kind: str
    name: str
    parts: tuple[tuple[str, int | None, bool], ...]


@dataclass(slots=True)
class Table:
    """A table as the dump declares it; `elsewhere` names an engine that has no rows of its own."""

    name: str
    schema: str | None = None
    columns: list[Column] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    charset: str | None = None
    collate: str | None = None
    comment: str = ""
    auto_increment: int | None = None
    elsewhere: str = ""
    left_out: list[str] = field(default_factory=list)

    def without(self, names: set[str], why: str) -> None:
        """Take columns out, and the keys that need them; noted."""
        if names:
            self.columns = [column for column in self.columns if column.name not in names]
            self.keys = [key for key in self.keys if not names.intersection(part[0] for part in key.parts)]
            self.left_out.append(f"{why}: {', '.join(sorted(names))}")


def is_pure(tokens: Sequence[Token], columns: set[str]) -> bool:
    """Whether an expression only computes with the row's own columns."""
    for token in tokens:
        if token.kind is Kind.WORD and token.word not in PURE:
            return False
        if token.kind is Kind.NAME and token.text.decode("utf-8", "replace").strip("`").casefold() not in columns:
            return False
        if token.kind is Kind.MARK and token.text[0] not in _MARKS:
            return False
    return True
