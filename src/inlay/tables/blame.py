"""What a database refused, as an error that its user can do something about: which key of the declaration it was.

What stays true: the database's own sentence is kept, no secret is in it, and the remedy says what to change or grant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inlay.databases.connection import Connection
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import InlayError, PlanError, SourceError
from inlay.spec.model import SelectSpec, SourceSpec

_NAMES = {"mysql": "MySQL", "postgresql": "PostgreSQL", "sqlite": "SQLite", "duckdb": "DuckDB"}
_SHOWN = 12


def refused_part(connect: Callable[[], Connection], relation: str, select: SelectSpec) -> str | None:
    """The part of `select` that the database refuses, even where no row is read; None: something else is wrong."""
    pieces = {
        "select.where": select.where and f"WHERE ({select.where}\n) LIMIT 0",
        "select.order_by": select.order_by and f"ORDER BY {select.order_by}\n LIMIT 0",
    }
    for key, piece in pieces.items():
        if piece:
            try:
                with connect() as con, con.transaction(read_only=True):
                    con.run(f"SELECT 1 FROM {relation} {piece}").fetchall()
            except DatabaseError as error:
                return None if error.passing else key
    # It fails for some row only: of a division, perhaps, or a text that is no number.
    return next((key for key, piece in pieces.items() if piece), None)


def explained(
    error: DatabaseError, source: SourceSpec, kind: str, refused: str | None, columns: Sequence[str], *, reached: bool
) -> InlayError:
    """A DatabaseError as a PlanError at `refused` or at the query, or as a SourceError of the table. `reached`: the
    server let us in, so that it is the table that is denied."""
    if refused is not None:
        shown = ", ".join(columns[:_SHOWN]) + (", …" if len(columns) > _SHOWN else "")
        return PlanError(
            f"`{refused}` does not fit {source.named}: {error.message}",
            remedy=f"it is {_NAMES[kind]}'s own SQL over the columns of the source: {shown}",
        )
    if source.query is not None and reached and error.trouble in (Trouble.ABSENT, Trouble.STATEMENT):
        return PlanError(
            f"`source.query` cannot be run: {error}",
            remedy=f"it is {_NAMES[kind]}'s own SQL; try it in the database's own client",
        )
    remedy = error.remedy
    if error.trouble is Trouble.DENIED and reached:
        remedy = f"the user needs to read it: GRANT SELECT ON {source.named} TO …"
    return SourceError(f"{source.named} cannot be read: {error}", remedy=remedy)
