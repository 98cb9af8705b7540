"""CREATE TABLE, understood: from its tokens to a `schema.Table`.

What stays true: only what is understood is kept. What a copy for reading does not need (foreign keys, partitions,
engines, storage, checks, computed defaults) is left out and noted; a table whose rows live elsewhere (FEDERATED,
CONNECT, MERGE …) is named so, for it is left out as a whole; anything unknown is refused.
"""

from __future__ import annotations

import re

from inlay.dumps.lexing import Kind
from inlay.dumps.schema import TYPES, Column, Key, Table
from inlay.dumps.words import NotUnderstood, Words

ENGINES = frozenset(("INNODB", "MYISAM", "ARIA", "MEMORY", "HEAP", "ROCKSDB", "TOKUDB", "NDBCLUSTER", "NDB", "ARCHIVE"))
# Options of a table that say how a server stores it: (words, whether a string or name follows that could matter).
_STORED_WORDS = (
    "MAX_ROWS MIN_ROWS AVG_ROW_LENGTH CHECKSUM TABLE_CHECKSUM DELAY_KEY_WRITE PACK_KEYS PAGE_CHECKSUM "
    "TRANSACTIONAL STATS_PERSISTENT STATS_AUTO_RECALC STATS_SAMPLE_PAGES KEY_BLOCK_SIZE ROW_FORMAT "
    "ENCRYPTION ENCRYPTED ENCRYPTION_KEY_ID COMPRESSION PAGE_COMPRESSED PAGE_COMPRESSION_LEVEL TABLESPACE "
    "INSERT_METHOD AUTOEXTEND_SIZE SECONDARY_ENGINE ENGINE_ATTRIBUTE SECONDARY_ENGINE_ATTRIBUTE STORAGE "
    "SEQUENCE IETF_QUOTES"
)
_STORED = frozenset(_STORED_WORDS.split())
_DIGITS = re.compile(rb"[0-9]+")


def read_table(words: Words) -> Table:
    """The table of a CREATE TABLE whose first two words were taken. Raises NotUnderstood."""
    words.has("IF", "NOT", "EXISTS")
    schema, name = words.table()
    table = Table(name, schema)
    if words.word() in ("LIKE", "SELECT", "AS"):
        raise words.odd()
    words.need(b"(")
    while True:
        if not _constraint(words, table):
            _column(words, table)
        if words.mark(b")"):
            break
        words.need(b",")
    _options(words, table)
    names = [column.name.casefold() for column in table.columns]
    if not names or len(set(names)) < len(names):
        raise NotUnderstood("no column, or two of one name")
    known = {column.name.casefold(): column.name for column in table.columns}
    table.keys = [_as_declared(key, known) for key in table.keys]
    return table


def _as_declared(key: Key, known: dict[str, str]) -> Key:
    try:
        return Key(key.kind, key.name, tuple((known[name.casefold()], *rest) for name, *rest in key.parts))  # type: ignore[misc]
    except KeyError as error:
        raise NotUnderstood(f"a key over a column that is not there: {error.args[0]}") from None


# --- what stands beside the columns


def _constraint(words: Words, table: Table) -> bool:
    """Take a key or constraint, if one comes next."""
    if words.word() == "PERIOD":
        words.at += 1
        words.has("FOR")
        words.name()
        words.group()
        table.left_out.append("its periods")
        return True
    named_ = ""
    if words.has("CONSTRAINT") and words.word() not in ("CHECK", "PRIMARY", "UNIQUE", "FOREIGN"):
        named_ = words.name()
    if words.has("CHECK"):
        words.group()
        words.has("NOT")
        words.has("ENFORCED")
        table.left_out.append("its checks")
    elif words.has("FOREIGN", "KEY"):
        if words.peek() is not None and not _next_is(words, b"("):
            words.name()
        words.group()
        _references(words)
        table.left_out.append("its foreign keys")
    elif words.has("PRIMARY", "KEY"):
        _key(words, table, "PRIMARY", "PRIMARY")
    elif words.word() in ("UNIQUE", "FULLTEXT", "SPATIAL"):
        kind = words.next().word
        _ = words.has("KEY") or words.has("INDEX")  # either word may stand here
        _key(words, table, kind, named_)
    elif words.has("KEY") or words.has("INDEX"):
        _key(words, table, "KEY", "")
    else:
        if named_:
            raise words.odd()
        return False
    return True


def _next_is(words: Words, mark: bytes) -> bool:
    token = words.peek()
    return token is not None and token.kind is Kind.MARK and token.text == mark


def _references(words: Words) -> None:
    if not words.has("REFERENCES"):
        raise words.odd()
    words.table()
    if _next_is(words, b"("):
        words.group()
    if words.has("MATCH"):
        words.next()
    while words.has("ON"):
        if words.next().word not in ("DELETE", "UPDATE"):
            raise words.odd()
        if words.next().word in ("SET", "NO"):  # SET NULL, SET DEFAULT, NO ACTION
            words.next()


def _key(words: Words, table: Table, kind: str, name: str) -> None:
    if not _next_is(words, b"(") and words.word() != "USING":
        name = words.name()
    if words.has("USING"):
        words.next()
    inner = Words(words.group())
    parts: list[tuple[str, int | None, bool]] | None = []
    while inner.peek() is not None:
        if _next_is(inner, b"("):
            inner.group()
            parts = None  # an expression
        else:
            column = inner.name()
            length = int(inner.group()[0].text) if _next_is(inner, b"(") else None
            if inner.has("WITHOUT", "OVERLAPS"):
                parts = None
            if parts is not None:
                parts.append((column, length, inner.word() == "DESC"))
        _ = inner.has("ASC") or inner.has("DESC")  # either word may stand here
        if inner.peek() is not None:
            inner.need(b",")
    while words.word() in ("USING", "COMMENT", "KEY_BLOCK_SIZE", "WITH", "INVISIBLE", "VISIBLE", "IGNORED", "NOT") or (
        words.word() in ("CLUSTERING", "ENGINE_ATTRIBUTE", "DISTANCE", "M")
    ):
        option = words.next().word
        words.mark(b"=")
        if option == "WITH":
            words.next()
        if option not in ("INVISIBLE", "VISIBLE", "IGNORED"):
            words.next()
    if parts:
        table.keys.append(Key(kind, name or parts[0][0], tuple(parts)))
    else:
        table.left_out.append(f"the key {name} over an expression")


# --- columns


def _column(words: Words, table: Table) -> None:
    column = Column(words.name(), "")
    _type(words, column)
    while not _next_is(words, b",") and not _next_is(words, b")"):
        _attribute(words, column, table)
    if column.type == "VARCHAR" and not column.args:
        raise NotUnderstood(f"{column.name} VARCHAR without a length")
    table.columns.append(column)


def _type(words: Words, column: Column) -> None:
    word = words.next().word
    if word == "NATIONAL":
        word = words.next().word
    elif word == "LONG":
        word = "MEDIUMTEXT"
    elif word in ("NCHAR", "NVARCHAR"):
        word = word[1:]
    if word == "DOUBLE":
        words.has("PRECISION")
    if word in ("CHARACTER", "CHAR"):
        word = "VARCHAR" if words.has("VARYING") else "CHAR"
    if word not in TYPES:
        words.at -= 1
        raise NotUnderstood(f"the type {word or words.odd().what} of {column.name}")
    column.type = word
    if _next_is(words, b"("):
        inner = Words(words.group())
        args = []
        while inner.peek() is not None:
            token = inner.peek()
            assert token is not None
            if token.kind is Kind.STRING and word in ("ENUM", "SET"):
                args.append(inner.string())
            elif token.kind is Kind.NUMBER and token.text.isdigit() and word not in ("ENUM", "SET"):
                args.append(inner.next().text.decode())
            else:
                raise inner.odd()
            inner.mark(b",")
        column.args = tuple(args)
    if (word in ("ENUM", "SET")) != bool(column.args) and word in ("ENUM", "SET"):
        raise NotUnderstood(f"{word} without values")


_ONE_WORD = frozenset(("SIGNED", "INVISIBLE", "VISIBLE", "VIRTUAL", "ENFORCED"))


def _attribute(words: Words, column: Column, table: Table) -> None:
    if words.has("UNSIGNED"):
        column.unsigned = True
    elif words.has("ZEROFILL"):
        column.zerofill = column.unsigned = True
    elif words.has("CHARACTER", "SET") or words.has("CHARSET"):
        column.charset = words.letters()
    elif words.has("COLLATE"):
        column.collate = words.letters()
    elif words.has("NOT", "NULL"):
        column.nullable = False
    elif words.has("NULL"):
        column.says_null = True
    elif words.has("DEFAULT"):
        _default(words, column, table)
    elif words.has("ON", "UPDATE"):
        column.on_update = _now(words)
        if not column.on_update:
            raise words.odd()
    elif words.has("AUTO_INCREMENT"):
        column.auto_increment = True
    elif words.has("COMMENT"):
        column.comment = words.string()
    elif words.has("GENERATED", "ALWAYS", "AS") or words.has("AS"):
        if words.word() == "ROW":
            words.at += 1
            words.next()
            table.left_out.append("its versions")
        else:
            column.generated = tuple(words.group())
    elif words.has("STORED") or words.has("PERSISTENT"):
        column.stored = True
    elif words.has("PRIMARY", "KEY"):
        table.keys.append(Key("PRIMARY", "PRIMARY", ((column.name, None, False),)))
    elif words.has("UNIQUE"):
        words.has("KEY")
        table.keys.append(Key("UNIQUE", column.name, ((column.name, None, False),)))
    elif words.word() == "CHECK" or (words.word() == "CONSTRAINT" and words.word(2) == "CHECK"):
        if words.has("CONSTRAINT"):
            words.name()
        words.next()
        inner = words.group()
        if [token.word for token in inner[:1]] == ["JSON_VALID"]:
            column.is_json = True
        else:
            table.left_out.append("its checks")
        words.has("NOT")
        words.has("ENFORCED")
    elif words.word() == "REFERENCES":
        _references(words)
        table.left_out.append("its foreign keys")
    elif words.word() in _ONE_WORD:
        words.at += 1
    elif words.word() in ("SRID", "REF_SYSTEM_ID", "COLUMN_FORMAT", "STORAGE", "COMPRESSED", "ENGINE_ATTRIBUTE"):
        word = words.next().word
        words.mark(b"=")
        if word != "COMPRESSED":
            words.next()
    elif words.has("WITHOUT", "SYSTEM", "VERSIONING") or words.has("WITH", "SYSTEM", "VERSIONING"):
        pass
    else:
        raise words.odd()


def _now(words: Words) -> bool:
    if words.word() not in ("CURRENT_TIMESTAMP", "NOW", "LOCALTIMESTAMP", "LOCALTIME"):
        return False
    words.next()
    if _next_is(words, b"("):
        words.group()
    return True


def _default(words: Words, column: Column, table: Table) -> None:
    token = words.peek()
    if token is None:
        raise words.odd()
    if _now(words):
        column.default_is = "now"
    elif words.has("NULL"):
        pass
    elif token.kind is Kind.STRING and token.text[:1] in b"bB" and token.text[:1]:
        column.default, column.default_is = str(int(words.next().text[2:-1] or b"0", 2)), "bits"
    elif token.kind is Kind.STRING:
        column.default, column.default_is = words.string(), "string"
    elif token.kind is Kind.NUMBER or (token.kind is Kind.MARK and token.text in (b"-", b"+")):
        sign = words.next().text.decode() if token.kind is Kind.MARK else ""
        number = words.next()
        if number.kind is not Kind.NUMBER:
            raise words.odd()
        column.default, column.default_is = sign + number.text.decode(), "number"
    elif words.word() in ("TRUE", "FALSE"):
        column.default, column.default_is = str(int(words.next().word == "TRUE")), "number"
    else:  # computed: the rows bring their values, so a copy does not need it
        if token.kind is Kind.WORD:
            words.next()
        elif not _next_is(words, b"("):
            raise words.odd()
        if _next_is(words, b"("):
            words.group()
        table.left_out.append(f"the computed default of {column.name}")


# --- what stands behind the columns


def _options(words: Words, table: Table) -> None:
    while words.peek() is not None:
        words.mark(b",")
        if words.has("PARTITION", "BY") or words.has("PARTITIONS"):
            table.left_out.append("its partitions")
            return
        if words.has("WITH", "SYSTEM", "VERSIONING"):
            table.left_out.append("its versions")
            continue
        if words.word() in ("DATA", "INDEX") and words.word(1) == "DIRECTORY":
            words.at += 2
            words.mark(b"=")
            words.string()
            table.left_out.append("its folder on the server")
            continue
        words.has("DEFAULT")
        option = words.word()
        if option == "CHARACTER" and words.word(1) == "SET":
            words.at += 1
            option = "CHARSET"
        words.next()
        words.mark(b"=")
        _option(words, table, option)


def _option(words: Words, table: Table, option: str) -> None:
    if option in ("ENGINE", "TYPE"):
        engine = words.name()
        if engine.upper() not in ENGINES:
            table.elsewhere = engine
    elif option == "AUTO_INCREMENT":
        number = words.next()
        if not _DIGITS.fullmatch(number.text):
            raise NotUnderstood(f"AUTO_INCREMENT={number.text[:20]!r}")
        table.auto_increment = int(number.text)
    elif option == "CHARSET":
        table.charset = words.letters()
    elif option == "COLLATE":
        table.collate = words.letters()
    elif option == "COMMENT":
        table.comment = words.string()
    elif option in _STORED:
        words.next()
    elif option in ("UNION", "CONNECTION", "PASSWORD") or table.elsewhere:
        table.elsewhere = table.elsewhere or option
        if _next_is(words, b"("):
            words.group()
        else:
            words.next()
    else:
        words.at -= 1
        raise words.odd()
