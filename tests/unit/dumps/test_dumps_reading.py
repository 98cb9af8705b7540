"""The reader: statements and rows out of bytes, wherever the pieces that come in happen to end."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.dumps import reading
from inlay.dumps.judging import Judge
from inlay.dumps.lexing import _one_by_one, bytes_of, unescaped
from inlay.dumps.reading import Reader, Rows, Statement
from inlay.dumps.values import Texts, columns_of
from inlay.errors import SourceError


def read(data: bytes, size: int = 1 << 20) -> tuple[list[Statement | Rows], Reader]:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    reader = Reader(chunks(), "d.sql")
    return list(reader), reader


def words(statement: Statement | Rows) -> str:
    assert isinstance(statement, Statement)
    return b" ".join(token.text for token in statement.tokens).decode()


def test_statements_comments_and_executable_comments() -> None:
    found, reader = read(
        b"-- MySQL dump 10.13\n# a comment; with a semicolon\n/* one; */ /*!40101 SET NAMES utf8mb4 */;\n"
        b"CREATE TABLE `a;b` (c int /* in; between */ DEFAULT 'x;y''z\\';') -- end;\n;;\n-- Dump completed"
    )
    assert [words(part) for part in found] == ["SET NAMES utf8mb4", "CREATE TABLE `a;b` ( c int DEFAULT 'x;y''z\\';' )"]
    assert [part.line for part in found] == [3, 4]
    assert reader.has_header
    assert reader.complete


def test_the_sandbox_line_of_mariadb_is_a_comment() -> None:
    found, _ = read(b"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\nUSE a;\n-- Dump completed\n")
    assert [words(part) for part in found] == ["USE a"]


def test_delimiters_hold_routines_together() -> None:
    found, _ = read(b"DELIMITER ;;\nCREATE TRIGGER t BEGIN SET @a = 1; SET @b = ';;'; END ;;\nDELIMITER ;\nUSE a;")
    assert [words(part).split()[0] for part in found] == ["CREATE", "USE"]


def test_a_delimiter_that_begins_a_string_or_comment_is_refused() -> None:
    for odd in ("'", "--", "/*", "a", "`"):
        with pytest.raises(SourceError, match="line 2: the delimiter"):
            read(f"\nDELIMITER {odd}\nUSE a{odd}".encode())


@given(st.integers(1, 40), st.integers(0, 10_000))
def test_pieces_may_end_anywhere(size: int, seed: int) -> None:
    drawn = random.Random(seed)
    bits = [
        "'it''s'",
        "'\\\\'",
        "'a\\'b'",
        "NULL",
        "-1.5e-3",
        "0xAF",
        "_binary 'x\\0;'",
        "';),('",
        "'日本 😀'",
        "'/*'",
        "'--'",
    ]
    given = [[drawn.choice(bits) for _ in range(3)] for _ in range(drawn.randrange(1, 9))]
    text = ",\n".join(f"({', '.join(row)})" for row in given)
    data = f"-- c\nINSERT INTO `a b` (`x`, y,`z``q`) VALUES\n{text} ;\n/*!40000 UNLOCK TABLES */;\n".encode()
    found, reader = read(data, size)
    assert reader.complete
    pieces = [part for part in found if isinstance(part, Rows)]
    assert {(part.table, part.columns) for part in pieces} == {("a b", ("x", "y", "z`q"))}
    literals = [row for part in pieces for row in zip(*columns_of(part.data, 3) or (), strict=True)]
    assert literals == [tuple(bit.encode() for bit in row) for row in given]
    assert words(found[-1]) == "UNLOCK TABLES"


def test_long_inserts_come_in_pieces_of_about_a_megabyte() -> None:
    row = b"(1,'" + b"x" * 1000 + b"')"
    found, _ = read(b"INSERT INTO t VALUES " + b",".join([row] * 5000) + b";")
    assert all(isinstance(part, Rows) and len(part.data) < reading.PIECE + 2000 for part in found)
    assert sum(part.count for part in found if isinstance(part, Rows)) == 5000
    assert len(found) > 3


def test_a_row_of_many_megabytes_is_read_whole() -> None:
    found, _ = read(b"INSERT INTO t VALUES (1,'" + b"\\0\xff" * 5_000_000 + b"'),(2,'');", 4096)
    assert [part.count for part in found if isinstance(part, Rows)] == [1, 1]


@pytest.mark.parametrize(
    "values",
    [
        "(1, sleep(9))",
        "(1) ON DUPLICATE KEY UPDATE a = 1",
        "(1, (SELECT 1))",
        "(1), SELECT 2",
        "(a)",
        "(1 + 1)",
        "()",
        "(@@version)",
        "(1)(2)",
        "(/*!50000 sleep(1) */)",
        "(load_file('/etc/passwd'))",
        "(DEFAULT)",
    ],
)
def test_rows_hold_literals_and_nothing_else(values: str) -> None:
    with pytest.raises(SourceError, match=r"line 2: the rows of t hold something else"):
        read(f"USE a;\nINSERT INTO t VALUES {values};\nUSE b;".encode())


def test_odd_values_in_a_long_dump_are_found_at_once() -> None:
    with pytest.raises(SourceError, match="something else"):
        read(b"INSERT INTO t VALUES (1),(now())," + b"(2)," * 100_000 + b"(3);", 4096)


@pytest.mark.parametrize("text", ["/*!50000 USE a /*!50001 ; */ */;", "USE a */;", "/*!1 a */ */ b;"])
def test_executable_comments_within_each_other_are_refused(text: str) -> None:
    with pytest.raises(SourceError, match="executable comments"):
        read(text.encode())


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("INSERT INTO t VALUES (1),(2,'a", "a row of t"),
        ("INSERT INTO t VALUES (1),", "a row of t"),
        ("INSERT INTO t VALUES (1)", "a statement"),
        ("CREATE TABLE t (a int", "a statement"),
        ("/*!4 USE", "a comment"),
        ("SET @a = 'x", "a string"),
    ],
)
def test_a_dump_that_is_cut_off_says_where(text: str, inside: str) -> None:
    _, reader = read(text.encode())
    assert (reader.complete, reader.cut) == (False, inside)


def test_a_head_without_a_foot_is_cut_off() -> None:
    assert not read(b"-- MySQL dump 10.13\nUSE a;\n")[1].complete
    assert read(b"USE a;\n")[1].complete


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_refusal_or_an_end(data: bytes) -> None:
    try:
        read(data, 7)
    except SourceError as error:
        assert "d.sql, line" in str(error)  # noqa: PT017 (either ending is right)


def test_literals_say_what_they_say() -> None:
    said = {
        b"'a\\n\\0\\Z\\'\\\\b''c'": b"a\n\0\x1a'\\b'c", b'"a""b"': b'a"b',
        b"_binary '\\0\xff'": b"\0\xff", b"0x4A4b": b"JK",
        b"x'4a'": b"J", b"b'100000001'": b"\x01\x01", b"'50\\%'": b"50\\%", b"-1.5": b"-1.5", b"_utf8mb4'a'": b"a",
    }  # fmt: skip
    assert {literal: bytes_of(literal) for literal in said} == said


@given(st.text(alphabet="ab\\'\"n0Z%_é日", max_size=12))
def test_both_ways_of_undoing_escapes_agree(text: str) -> None:
    body = text.encode()
    if re.fullmatch(rb"(?:[^'\\]|\\.|'')*", body) is not None:
        assert unescaped(body) == _one_by_one(body, b"'")


@given(
    st.lists(
        st.sampled_from(
            ["'a'", "NULL", "'it''s'", "'\\0x'", "1", "-2.5e3", "0x4A", "TRUE", "null", "'日\\n'", '"q"', "'NULL'"]
        )
    )
)
def test_a_column_is_decoded_as_its_values_are(literals: list[str]) -> None:
    texts = Texts("utf-8")
    given = [literal.encode() for literal in literals]
    if given:
        one_by_one = [texts._text(literal) for literal in given]
        assert texts.texts(given) == one_by_one
        assert texts.numbers(given) == one_by_one


_WORDS = [
    "CREATE TABLE",
    "t",
    "(",
    ")",
    ",",
    "`a`",
    "int",
    "varchar",
    "(9)",
    "DEFAULT",
    "'x'",
    "b'2'",
    "x'g'",
    "1",
    "-",
    "NOT NULL",
    "KEY",
    "PRIMARY KEY",
    "(`a`)",
    "UNIQUE",
    "REFERENCES",
    "ON DELETE",
    "SET",
    "NAMES",
    "=",
    "@",
    "@@",
    "GLOBAL",
    "GENERATED",
    "ALWAYS AS",
    "COMMENT",
    "ENGINE",
    "InnoDB",
    "CHARSET",
    "ÿ",
    "enum",
    "('a',",
    "PARTITION BY",
    "DROP",
    "IF EXISTS",
    "ALTER",
    "USE",
    "VIEW",
    "DEFINER",
    "CHECK",
    "CONSTRAINT",
    "FOREIGN KEY",
    "AUTO_INCREMENT",
    "UNION",
    "()",
    "CURRENT_TIMESTAMP",
    ".",
]


@given(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=14), st.booleans())
def test_any_words_are_judged_or_refused(drawn: list[str], table: bool) -> None:
    text = ("CREATE TABLE t (`a` int " if table else "") + " ".join(drawn)
    found, reader = read(text.encode("latin-1") + b";")
    judge = Judge(reader, frozenset())
    for part in found:
        if isinstance(part, Statement):
            with contextlib.suppress(SourceError):
                judge.judged(part)
