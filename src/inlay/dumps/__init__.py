"""Dumps that mysqldump and mariadb-dump wrote, brought into a database without running them.

    file or s3:// ──► places ──► reading ──► judging ──► loading ──► mysql · columnar (SQLite, DuckDB, PostgreSQL)
                      which day   statements   what is     new tables beside the old, swapped at the end
                                  and rows     taken

What stays true: a dump is material, never a program. No client reads it, so its shell lines are text; of its
statements only the tables and their rows are taken, and what reaches a server is written here, from what was
understood: a table is spelled anew from its columns and keys, rows go out only once every one of their values was seen
to be a literal. What is not known is refused, and the target is changed only when the dump's last line was read.
"""
