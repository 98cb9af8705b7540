"""What can be wrong with a database, told apart by what helps: the one error of this room.

What stays true: a message never holds a password; a room above decides what its user reads (a SourceError, a
StoreError, a TargetError), by the trouble and never by the text.
"""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """Why a statement or a connection failed."""

    LOST = "lost"  # the connection broke or cannot be made: the server is away, restarts or fails over
    LOCKED = "locked"  # somebody holds a lock for too long, or a deadlock was broken
    READ_ONLY = "read_only"  # a replica, or a server that takes no writes now (during a failover)
    DENIED = "denied"  # wrong password, or the user may not do this
    ABSENT = "absent"  # no such database, table or column
    STATEMENT = "statement"  # the SQL is wrong
    VALUE = "value"  # a value does not fit its column
    FULL = "full"  # the disk, or a quota
    OTHER = "other"


PASSING = frozenset((Trouble.LOST, Trouble.LOCKED, Trouble.READ_ONLY))

REMEDIES: dict[Trouble, str] = {
    Trouble.LOST: "check that the server runs and can be reached, then run the same command again",
    Trouble.LOCKED: "another session holds a lock; wait for it or end it, then run the same command again",
    Trouble.READ_ONLY: "this server takes no writes; name the writer's address, or wait until the failover is over",
    Trouble.DENIED: "check the user, the password and its grants in the address's environment variable",
    Trouble.ABSENT: "check the names of the database, the table and its columns",
    Trouble.STATEMENT: "check the SQL of the declaration; it is the database's own dialect",
    Trouble.VALUE: "widen the column, or mend the value",
    Trouble.FULL: "free some space, then run the same command again",
    Trouble.OTHER: "run the same command again; if it stays, report the message above",
}


class DatabaseError(Exception):
    """A database refused or was out of reach. `where` is its address without a secret; `code` the database's own.

    `unsure` says that a commit was under way when the connection broke: it may or may not have happened.
    """

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        where: str = "",
        code: int | str | None = None,
        unsure: bool = False,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message
        self.where = where
        self.code = code
        self.unsure = unsure
        self._remedy = remedy

    @property
    def passing(self) -> bool:
        """Whether it may be over in a while, so that trying again makes sense."""
        return self.trouble in PASSING

    @property
    def remedy(self) -> str:
        """What to do next: said with the error, or in general."""
        return self._remedy or REMEDIES[self.trouble]

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
