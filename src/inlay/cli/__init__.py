"""The command line: one short file a verb, drawing what the library gives back.

What stays true: a command adds nothing that `inlay` in Python cannot do; results go to standard output, and progress,
questions and errors to standard error; rich, DuckDB and every other heavy package is imported inside a command.
"""
