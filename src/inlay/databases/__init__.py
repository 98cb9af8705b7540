"""Other people's databases: addresses, connections, identifiers, types and failures, one file a kind.

    address ──► Database ──► Connection ──► statements with bound values, streams of rows
                   │ dialects: mysql (MariaDB, Aurora), postgresql, sqlite, duckdb

Sources read through this room, stores and published tables write through it. What stays true: a driver is imported
when its kind is used; identifiers are quoted here and nowhere else; values of records travel as bound values, never as
text of a statement; a foreign error becomes a DatabaseError here, with its trouble told apart and no secret in it.
"""
