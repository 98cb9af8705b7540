"""A dump as it is read: statements one by one, and rows in pieces of about a megabyte, in bounded memory.

An INSERT may be many megabytes long and its server's limit another: rows are cut between rows, never kept together.
What stays true: every piece of rows was matched against `lexing.ROW`, so it holds literals and nothing else; every
statement knows its line and byte; a statement that does not end within its limit is refused before memory is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inlay.dumps import lexing
from inlay.dumps.lexing import NAME, PART_OF_ROW, ROW, VALUE, Cut, Nested, Token, TooMany
from inlay.errors import SourceError

PIECE = 1 << 20
LONGEST_STATEMENT = 8 << 20
LONGEST_ROW = 1 << 30  # the most that a server of MySQL's takes in one packet
# What mysqldump and hand-written dumps use; a delimiter that could begin a comment or a string is a trick.
DELIMITERS = frozenset((b";", b";;", b"//", b"$$", b"$", b"|", b"||", b"///", b"$$$"))

_HEAD = re.compile(
    rb"(?i:(?P<verb>INSERT|REPLACE)(?:\s++(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY))?+(?P<ignore>\s++IGNORE)?+(?:\s++INTO)?+)"
    rb"\s++(?:(?P<schema>" + NAME + rb")\s*+\.\s*+)?(?P<table>" + NAME + rb")\s*+"
    rb"(?:\(\s*+(?P<columns>" + NAME + rb"(?>\s*+,\s*+" + NAME + rb")*+)\s*+\)\s*+)?+(?i:VALUES?+)(?=[\s(])",
)
_BEGINS_INSERT = re.compile(rb"(?i:INSERT|REPLACE)\s")
_COLUMN = re.compile(NAME)
_BLANK = re.compile(rb"\s++")
_DELIMITER = re.compile(rb"(?i:delimiter)[ \t]++([^\s]++)[^\n]*+(?:\n|\Z)")
_OPEN_STRING = re.compile(rb"(?:_(?i:binary|utf8(?:mb[34])?|latin1|ascii)\s*+|[nNxXbB])?+['\"]")
_BEGINNING = re.compile(rb"[A-Za-z0-9_.+-]{0,20}\s*")
_HEADER = re.compile(rb"--\s*(?:MySQL|MariaDB) dump", re.IGNORECASE)
_COMPLETED = re.compile(rb"--\s*Dump completed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that is not rows: its tokens, with comments gone and executable comments opened."""

    tokens: list[Token]
    line: int
    byte: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one INSERT: `data` is `(…),(…)`, literals alone. `columns` where the dump names them."""

    schema: str | None
    table: str
    columns: tuple[str, ...] | None
    data: bytes
    count: int
    ignore: bool
    replace: bool
    line: int
    byte: int


class Reader:
    """The statements and rows of a dump, in order. `completed`, `has_header` and `cut` are known once it has ended."""

    def __init__(self, chunks: Iterable[bytes], name: str) -> None:
        self.name = name
        self.has_header = False
        self.completed = False
        self.cut = ""  # what was open when the bytes ended
        self._chunks = iter(chunks)
        self._data = b""
        self._at = 0
        self._base = 0  # the file's byte at _data[0]
        self._line, self._counted = 1, 0  # lines before _data[_counted]
        self._last = False
        self._delimiter = b";"

    @property
    def complete(self) -> bool:
        """Whether it ended as a dump does: not within a statement, and with its last line where it had a first."""
        return not self.cut and (self.completed or not self.has_header)

    @property
    def byte(self) -> int:
        """How far it has been read, in bytes of the dump."""
        return self._base + self._at

    @property
    def line(self) -> int:
        """The line that reading has come to."""
        self._line += self._data.count(b"\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def refused(self, what: str, remedy: str, line: int | None = None) -> SourceError:
        """A mistake of the dump's, at a line (or where reading is)."""
        return SourceError(f"{self.name}, line {line or self.line}: {what}", remedy=remedy)

    def __iter__(self) -> Iterator[Statement | Rows]:
        while self._begin():
            if (order := _DELIMITER.match(self._data, self._at)) is not None:
                self._change_delimiter(order)
            elif _BEGINS_INSERT.match(self._data, self._at) and (head := self._head()) is not None:
                yield from self._rows(head)
            else:
                statement = self._statement()
                if statement is None:
                    return
                if statement.tokens:
                    yield statement

    # --- bytes

    def _more(self, wanted: int) -> bool:
        """Have `wanted` more bytes at hand; False where there are none."""
        if self._last:
            return False
        _ = self.line  # count before the bytes are let go
        parts, size = [self._data[self._at :]], 0
        while size < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._last = True
                break
            parts.append(chunk)
            size += len(chunk)
        self._base += self._at
        self._data = b"".join(parts)
        self._at = self._counted = 0
        return True

    def _begin(self) -> bool:
        """Go to where the next statement begins, past blanks and the comments of lines; False at the end."""
        while True:
            if len(self._data) - self._at < 1024 and not self._last:
                self._more(PIECE)
                continue
            if self._at == 0 == self._base and self._data.startswith(b"\xef\xbb\xbf"):
                self._at = 3
            blank = _BLANK.match(self._data, self._at)
            if blank is not None:
                self._at = blank.end()
                continue
            if self._at >= len(self._data):
                return False
            if self._data.startswith(b"-- ", self._at) or self._data.startswith((b"--\n", b"--\r", b"#"), self._at):
                end = self._data.find(b"\n", self._at)
                if end < 0:
                    if not self._last:
                        self._within(LONGEST_STATEMENT, "a comment")
                        self._more(max(PIECE, len(self._data) - self._at))
                        continue
                    end = len(self._data)
                self._comment(self._data[self._at : min(end, self._at + 200)])
                self._at = end
                continue
            return True

    def _comment(self, text: bytes) -> None:
        self.has_header = self.has_header or _HEADER.match(text) is not None
        self.completed = self.completed or _COMPLETED.match(text) is not None

    def _within(self, most: int, what: str) -> None:
        if len(self._data) - self._at > most:
            raise self.refused(
                f"{what} does not end within {most >> 20} MB", "check that this is a dump of mysqldump or mariadb-dump"
            )

    # --- statements

    def _change_delimiter(self, order: re.Match[bytes]) -> None:
        if order[1] not in DELIMITERS:
            raise self.refused(
                f"the delimiter {order[1][:20].decode(errors='replace')!r} is not one that dumps use",
                "nothing was changed; make the dump again with mysqldump or mariadb-dump",
            )
        self._delimiter = order[1]
        self._at = order.end()

    def _statement(self) -> Statement | None:
        while True:
            try:
                tokens, end = lexing.tokens(
                    self._data, self._at, self._delimiter, self._base, last=self._last, comment=self._comment
                )
            except Cut as cut:
                self._within(LONGEST_STATEMENT, cut.inside or "a statement")
                if self._more(max(PIECE, len(self._data) - self._at)):
                    continue
                rest = self._data[self._at :]
                self.cut = cut.inside
                if self.cut and rest.lstrip().startswith((b"\\", b"system", b"source")):
                    raise self.refused(
                        "a command for a client program, which is never run", "nothing was changed; look at the line"
                    ) from None
                return None
            except TooMany:
                raise self.refused(
                    "a statement of more words than a table can have",
                    "check that this is a dump of mysqldump or mariadb-dump",
                ) from None
            except Nested as nested:
                self._at = nested.at - self._base
                raise self.refused(
                    "executable comments (/*! … */) within each other, or the end of one that did not begin",
                    "nothing was changed; make the dump again with mysqldump or mariadb-dump",
                ) from None
            found = Statement(tokens, self.line, self.byte)
            self._at = end
            return found

    # --- rows

    def _head(self) -> re.Match[bytes] | None:
        """The beginning of an INSERT up to VALUES; None where it is another form, which is judged as a statement."""
        while True:
            head = _HEAD.match(self._data, self._at)
            if head is not None or len(self._data) - self._at >= PIECE or not self._more(PIECE):
                return head

    def _rows(self, head: re.Match[bytes]) -> Iterator[Rows]:
        line, byte = self.line, self.byte
        try:
            schema = None if head["schema"] is None else lexing.named(head["schema"])
            table = lexing.named(head["table"])
            columns = head["columns"]
            names = None if columns is None else tuple(lexing.named(name) for name in _COLUMN.findall(columns))
        except UnicodeDecodeError:
            raise self.refused("a name that is not UTF-8", "dump with --default-character-set=utf8mb4") from None
        ignore, replace = head["ignore"] is not None, head["verb"].upper() == b"REPLACE"
        self._at = head.end()
        going_on = True
        while going_on:
            data, count, going_on = self._piece(table)
            if not count:
                return  # cut off
            yield Rows(schema, table, names, data, count, ignore, replace, line, byte)
            line, byte = self.line, self.byte

    def _piece(self, table: str) -> tuple[bytes, int, bool]:
        """About a megabyte of whole rows, how many, and whether the statement goes on behind them."""
        count = 0
        while True:
            data, start, end = self._data, self._at, self._at
            scanner, count = ROW.scanner(data, start), 0  # type: ignore[attr-defined]
            stop = start + PIECE
            while (match := scanner.match()) is not None:
                after = match.end()
                if after == len(data) and not self._last:
                    break  # what follows may go on
                end, count = after, count + 1
                if not match[1]:
                    return self._ended(data, start, end, count, table)
                if end >= stop:
                    break
            if count:
                self._at = end
                return data[start:end].rstrip().removesuffix(b","), count, True
            if not self._grow_row(table):
                return b"", 0, False

    def _ended(self, data: bytes, start: int, end: int, count: int, table: str) -> tuple[bytes, int, bool]:
        """The last rows of a statement: behind them comes the delimiter."""
        self._at = end
        rows = data[start:end].rstrip()
        if not data.startswith(self._delimiter, end):
            if not self._last and len(data) - end < 64:
                self._more(PIECE)
                end = 0
            if self._at >= len(self._data):
                self.cut = "a statement"
                return rows, count, False
            if not self._data.startswith(self._delimiter, self._at):
                raise self._not_literals(table)
        self._at += len(self._delimiter)
        return rows, count, False

    def _grow_row(self, table: str) -> bool:
        """Get the rest of a row that is not whole yet; False where the dump ends in it. SourceError for no row."""
        self._within(LONGEST_ROW, f"a row of {table}")
        if not self._may_go_on():
            raise self._not_literals(table)
        if self._more(max(PIECE, len(self._data) - self._at)):
            return True
        self.cut = f"a row of {table}"
        self._at = len(self._data)
        return False

    def _may_go_on(self) -> bool:
        """Whether the bytes at hand are the beginning of a row; otherwise reading has come to what is none."""
        data = self._data
        part = PART_OF_ROW.match(data, self._at)
        reached = self._at if part is None else part.end()
        value = VALUE.match(data, reached)
        if value is None and _OPEN_STRING.match(data, reached) is not None:
            return True
        rest = data[reached if value is None else value.end() :][:64].lstrip()
        if value is not None and rest.startswith(b")") and not self._last:
            return True
        if _BEGINNING.fullmatch(rest) is not None:  # of a number or a word, or nothing at all
            return True
        self._at = reached
        return False

    def _not_literals(self, table: str) -> SourceError:
        return self.refused(
            f"the rows of {table} hold something else than plain values "
            f"({self._data[self._at : self._at + 30].decode(errors='replace')!r})",
            "only numbers, strings, hexadecimal and NULL are taken; nothing was changed",
        )
