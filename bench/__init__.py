"""Every target of performance, measured beside its floor in the same run: `python -m bench [names…] [--quick]`.

A floor is the least that the work costs when nothing but the work is done: the same calls from a bare loop, the same
join in bare DuckDB, the same rows into bare SQLite. What stays true: nothing here is a test; absolute times belong to
the machine, ratios to Inlay; every product figure comes from the command line as a user types it, in a process of
its own.
"""
