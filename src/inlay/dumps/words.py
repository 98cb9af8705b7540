"""The tokens of a statement, read from left to right by who knows what may come next."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inlay.dumps.lexing import Kind, Token, bytes_of, named

_PLAIN = re.compile(r"[a-z0-9_]+")


class NotUnderstood(Exception):
    """A CREATE TABLE holds something that is not known; `what` shows it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Words:
    """Tokens, read from left to right."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        """The token that comes next, or later; None at the end."""
        place = self.at + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def next(self) -> Token:
        """Take a token. NotUnderstood at the end."""
        token = self.peek()
        if token is None:
            raise NotUnderstood("it ends too soon")
        self.at += 1
        return token

    def word(self, ahead: int = 0) -> str:
        """The word that comes next, in capitals; empty where it is none."""
        token = self.peek(ahead)
        return "" if token is None else token.word

    def has(self, *words: str) -> bool:
        """Take these words if they come next."""
        if any(self.word(number) != word for number, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def mark(self, mark: bytes) -> bool:
        """Take this mark if it comes next."""
        token = self.peek()
        if token is None or token.kind is not Kind.MARK or token.text != mark:
            return False
        self.at += 1
        return True

    def need(self, mark: bytes) -> None:
        """Take this mark. NotUnderstood for another."""
        if not self.mark(mark):
            raise self.odd()

    def odd(self) -> NotUnderstood:
        """What comes next is not known here."""
        token = self.peek()
        return NotUnderstood("it ends too soon" if token is None else token.text[:40].decode("utf-8", "replace"))

    def name(self) -> str:
        """Take a name."""
        token = self.peek()
        if token is None or token.kind not in (Kind.NAME, Kind.WORD):
            raise self.odd()
        self.at += 1
        try:
            return named(token.text)
        except UnicodeDecodeError:
            raise NotUnderstood("a name that is not UTF-8") from None

    def letters(self) -> str:
        """Take the name of a charset or collation: plain letters, since it goes into DDL without quotes."""
        name = self.name().lower()
        if not _PLAIN.fullmatch(name):
            raise NotUnderstood(name[:40])
        return name

    def table(self) -> tuple[str | None, str]:
        """Take a table's name, with its schema where there is one."""
        name = self.name()
        return (name, self.name()) if self.mark(b".") else (None, name)

    def string(self) -> str:
        """Take a string, as text."""
        token = self.next()
        if token.kind is not Kind.STRING:
            self.at -= 1
            raise self.odd()
        data = bytes_of(token.text)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")

    def group(self) -> list[Token]:
        """Take what stands in parentheses, without them."""
        self.need(b"(")
        depth, start = 1, self.at
        while depth:
            token = self.next()
            if token.kind is Kind.MARK:
                depth += (token.text == b"(") - (token.text == b")")
        return list(self._tokens[start : self.at - 1])
