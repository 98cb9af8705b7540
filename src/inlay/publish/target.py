"""A connection to the database of a published table that outlives a restart, and what is done on it.

What stays true: every piece of work is one transaction that is safe to do again, and is done again while the server is
away, locked or read-only; an error that will not pass becomes a TargetError that names the table and holds no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from inlay.databases.connection import PATIENCE_S, Connection, Database, persist
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import TargetError
from inlay.publish.shape import Shape, TargetColumn

T = TypeVar("T")
# Before a run: a server that is just being restarted is waited for, a wrong address is told soon.
LOOK_S = 10.0
SAFE = "every answer is safe in the store; "


class Target:
    """The database of a published table. A context manager; connects when it is first used."""

    def __init__(self, database: Database, shown: str, *, patience_s: float = PATIENCE_S) -> None:
        """`shown` is what messages call the table."""
        self.database = database
        self.shown = shown
        self._patience_s = patience_s
        self._con: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def another(self) -> Target:
        """The same place with a connection of its own."""
        return Target(self.database, self.shown, patience_s=self._patience_s)

    def do(self, work: Callable[[Connection], T], *, patience_s: float | None = None, alone: bool = True) -> T:
        """Do something in one transaction (or, not `alone`, outside of any), again and again until it is done.

        It has to be safe to do again. Raises TargetError."""
        try:
            return persist(
                lambda: self._once(work, alone), patience_s=self._patience_s if patience_s is None else patience_s
            )
        except DatabaseError as error:
            raise target_error(error, self.shown) from error

    def _once(self, work: Callable[[Connection], T], alone: bool) -> T:
        if self._con is None:
            self._con = self.database.connect()
        con = self._con
        try:
            if not alone:
                return work(con)
            with con.transaction():
                return work(con)
        except DatabaseError as error:
            if error.passing:  # after a failover the writer is elsewhere: find it anew
                self.close()
            raise

    # --- tables

    def look(self, shape: Shape) -> None:
        """Connect and hold what is there against what is to be. Writes nothing. Raises TargetError."""

        def work(con: Connection) -> None:
            missing = shape.missing(con)
            if missing == []:
                _may_write(con, shape)

        self.do(work, patience_s=LOOK_S, alone=False)

    def prepare(self, shape: Shape) -> bool:
        """Make the table, or widen it, and see that it may be written; whether it was made. Idempotent, also where two
        do so at once. Raises TargetError."""

        def work(con: Connection) -> bool:
            missing = shape.missing(con)
            if missing is None or missing:
                try:
                    _define(con, shape, missing)
                except DatabaseError as error:
                    if error.passing or shape.missing(con) != []:  # another runner may have been faster
                        raise
            _may_write(con, shape)
            return missing is None

        return self.do(work, alone=False)

    def make_room(self, shape: Shape, limits: dict[int, int], rows: Sequence[Sequence[Any]], *, first: int = 0) -> None:
        """Widen the text columns that are too short for one of these rows, before it is written; `limits`, from
        `Shape.limits`, is kept up to date. A row begins with the column at the place `first`. Raises TargetError."""
        for place, longest in list(limits.items()):
            values = [row[place] for row in rows] if rows and place < len(rows[0]) else []
            if max([len(value) for value in values if isinstance(value, str)], default=0) > longest:
                self.do(lambda con, place=place: shape.widen(con, place + first), alone=False)
                del limits[place]

    def is_empty(self, shape: Shape) -> bool:
        """Whether the table has no row."""
        return self.do(lambda con: con.execute(f"SELECT 1 FROM {shape.sql(con)} LIMIT 1").fetchone() is None)


def _define(con: Connection, shape: Shape, missing: list[TargetColumn] | None) -> None:
    statements = list(shape.statements(con, missing))
    if not con.dialect.writes_ddl_in_transactions:
        for statement in statements:
            con.run(statement)
        return
    with con.transaction():
        for statement in statements:
            con.run(statement)


def _may_write(con: Connection, shape: Shape) -> None:
    """Ask the database whether rows may be written, without writing one."""
    table = shape.sql(con)
    names = ", ".join(con.dialect.quote(name) for name in shape.names)
    mark = con.dialect.quote(shape.marks[0])
    with con.transaction():
        if not shape.inside:
            con.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE 1 = 0")
        con.execute(f"UPDATE {table} SET {mark} = {mark} WHERE 1 = 0")


_REMEDIES = {
    Trouble.DENIED: "let the user create, alter, select, insert and update there (and delete, for `store prune`)",
    Trouble.ABSENT: "check `output.table`; Inlay makes the table, but not its database or schema",
    Trouble.VALUE: "report the message above: Inlay makes its columns wide enough for every answer",
}


def target_error(error: DatabaseError, shown: str) -> TargetError:
    """A database's error as one of a published table."""
    remedy = _REMEDIES.get(error.trouble, error.remedy)
    return TargetError(f"cannot write {shown}: {error}", remedy=f"{SAFE}{remedy}")
