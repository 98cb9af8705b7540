"""The tables of a store on a server, made from the same list of migrations as those of a file.

What stays true: two processes that make them at once do it one after the other; a store of a newer Inlay is refused; a
process that dies in the middle leaves what the next one goes on with. PostgreSQL does it in one transaction; MySQL ends
a transaction at each statement, so there the number of the statement that was done is written down after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from inlay.databases.address import MYSQL
from inlay.databases.connection import Connection
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import StoreError
from inlay.stores.migrations import MIGRATIONS
from inlay.stores.translation import Wording

LOCK_S = 120.0
_VERSIONS = (
    "CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL, "
    "steps BIGINT NOT NULL)"
)
# Which write of which store was the last one to be kept: one row a client, see `server`.
_COMMITS = "CREATE TABLE commits (client TEXT NOT NULL PRIMARY KEY, serial BIGINT NOT NULL, at BIGINT NOT NULL)"
# MySQL's numbers for what a statement says that was done before: table, column, index or row is there, or gone.
_DONE_BEFORE = frozenset((1050, 1060, 1061, 1062, 1051, 1091, 1146))


def steps_of(version: int, migrations: Sequence[Sequence[str]]) -> list[str]:
    """The statements of a migration on a server; the first one makes what a server needs besides."""
    return [*((_COMMITS,) if version == 1 else ()), *migrations[version - 1]]


def present(con: Connection, wording: Wording, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> tuple[int, int]:
    """(version, statements done of the next one) of the store there; (0, 0) where there is none.

    StoreError for one that a newer Inlay wrote.
    """
    try:
        rows = con.execute(wording.plain("SELECT version, steps FROM schema_version ORDER BY version")).fetchall()
    except DatabaseError as error:
        if error.trouble is Trouble.ABSENT:
            return 0, 0
        raise
    if not rows:
        return 0, 0
    version, steps = rows[-1]
    if version > len(migrations):
        raise StoreError(
            f"the store {con.address.shown} has schema version {version}; this Inlay knows {len(migrations)} at most",
            remedy="upgrade Inlay (pip install -U inlay); an older version would misread newer answers",
        )
    return (version, 0) if steps >= len(steps_of(version, migrations)) else (version - 1, steps)


def migrate(con: Connection, wording: Wording, now_ms: int, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring a store to the newest schema, or make it. Idempotent, safe when several do it at once.

    The lock ends with the connection, which is to be closed afterwards.
    """
    name = f"{con.address.database}.{wording.table('schema_version')}"
    if not con.dialect.lock(con, f"inlay:{name}"[:64], LOCK_S):
        raise DatabaseError(Trouble.LOCKED, "another process is making its tables", where=con.address.shown)
    version, steps = present(con, wording, migrations)
    if version == len(migrations):
        return
    if con.dialect.name != MYSQL:
        with con.transaction():
            _apply(con, wording, version, steps, now_ms, migrations, "")
        return
    [shown] = con.execute("SELECT version()").fetchone()
    collation = "utf8mb4_nopad_bin" if "mariadb" in str(shown).lower() else "utf8mb4_0900_bin"
    _apply(con, wording, version, steps, now_ms, migrations, collation)


def _apply(
    con: Connection,
    wording: Wording,
    version: int,
    steps: int,
    now_ms: int,
    migrations: Sequence[Sequence[str]],
    collation: str,
) -> None:
    one_by_one = not con.dialect.writes_ddl_in_transactions
    if version == 0 and not con.dialect.table_columns(con, _parts(wording)):
        con.run(wording.ddl(_VERSIONS, collation=collation))
    for number in range(version + 1, len(migrations) + 1):
        statements = steps_of(number, migrations)
        begun = number == version + 1 and _has(con, wording, number)
        done = steps if begun else 0
        if not begun:
            insert = wording.plain("INSERT INTO schema_version (version, applied_at, steps) VALUES (?, ?, 0)")
            con.execute(insert, (number, now_ms))
        for place in range(done, len(statements)):
            try:
                con.run(wording.ddl(statements[place], collation=collation))
            except DatabaseError as error:
                # Only the statement at which another process died may have been done already.
                if not (one_by_one and begun and place == done and error.code in _DONE_BEFORE):
                    raise
            if one_by_one:
                _note(con, wording, number, place + 1)
        if not one_by_one:
            _note(con, wording, number, len(statements))


def _note(con: Connection, wording: Wording, version: int, steps: int) -> None:
    con.execute(wording.plain("UPDATE schema_version SET steps = ? WHERE version = ?"), (steps, version))


def _has(con: Connection, wording: Wording, version: int) -> bool:
    query = wording.plain("SELECT 1 FROM schema_version WHERE version = ?")
    return con.execute(query, (version,)).fetchone() is not None


def _parts(wording: Wording) -> tuple[str, ...]:
    own = wording.name("schema_version")
    return (wording.schema, own) if wording.schema else (own,)
