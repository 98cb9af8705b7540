"""`inlay load`: bring a dump into a database, or look at what is in one."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from inlay.cli import completing, options

if TYPE_CHECKING:
    from inlay.dumps.loading import LoadReport, Moment

LINE_EVERY_S = 10.0
REDRAWN_EVERY_S = 0.1


@click.command(context_settings=options.CONTEXT)
@click.argument(
    "what", default=options.DEFAULT_FILE, metavar="[DECLARATION|DUMP]", shell_complete=completing.declarations
)
@click.option(
    "--into",
    metavar="URL",
    help="The database, like '${STAGING_URL}' or sqlite:///look.db.  [default: load.into, else the source's]",
)
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table; may be repeated.")
@click.option(
    "--protect", multiple=True, metavar="NAME", help="Never touch this table, whatever the dump holds; may be repeated."
)
@click.option(
    "--date", metavar="DAY", help="Which day's dump: today, latest, or like 2026-02-11.  [default: load.date]"
)
@click.option("--list", "only_list", is_flag=True, help="List tables, rows and bytes; no database is asked.")
@click.option("--dry-run", is_flag=True, help="Say what would be loaded and what skipped; change nothing.")
@click.option("--allow-incomplete", is_flag=True, help="Take what there is of a dump that ends too early.")
@options.as_json
@options.quiet
def load(
    what: str,
    into: str | None,
    tables: tuple[str, ...],
    protect: tuple[str, ...],
    date: str | None,
    only_list: bool,
    dry_run: bool,
    allow_incomplete: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Bring a mysqldump file into a database: all of its tables, or none.

    DUMP is a .sql or .sql.gz file, or s3://bucket/key; {date:%Y%m%d} in it stands for a day. A DECLARATION has all of
    it under `load`. No client program runs: nothing but tables and their rows is taken, whatever the file holds.
    Tables that Inlay publishes or keeps are never touched. Ctrl-C leaves the tables as they were.

    \b
    Examples:
      inlay load                                # what inlay.yaml says under load
      inlay load shop.sql.gz --into '${STAGING_URL}'
      inlay load shop.sql --into sqlite:///look.db --table tenants
      inlay load 's3://dumps/shop_{date:%Y%m%d}.sql' --date latest --into '${STAGING_URL}'
      inlay load --list shop.sql
    """
    from inlay import project
    from inlay.cli import screen
    from inlay.errors import Interrupted

    declaration, dump = (what, None) if what.endswith((".yaml", ".yml")) else (None, what)
    watching = Watching(quiet=quiet)
    try:
        if only_list:
            report = project.look_at_dump(declaration, dump=dump, tables=tables, date=date, watch=watching.see)
        else:
            report = project.load_dump(
                declaration,
                dump=dump,
                into=into,
                tables=tables,
                protect=protect,
                date=date,
                allow_incomplete=allow_incomplete,
                dry_run=dry_run,
                watch=watching.see,
            )
    except KeyboardInterrupt:
        raise Interrupted("the load was stopped", remedy="the tables are as they were; load again") from None
    finally:
        watching.close()
    if as_json:
        screen.print_json(report.to_json())
    elif not quiet:
        draw(screen.Page(), report)


def draw(page: object, report: LoadReport) -> None:
    """A report as a table and a few lines."""
    from inlay.cli import screen, words
    from inlay.cli.sheet import sheet

    assert isinstance(page, screen.Page)
    if report.tables:
        rows = [(table.name, words.count(table.rows), words.size(table.bytes)) for table in report.tables]
        page.table(sheet(("table", "rows", "bytes"), rows, text=("table",)))
    for name, why in report.skipped:
        page.line(f"skipped {name}: {why}")
    for note in report.notes:
        page.line(f"note: {note}")
    page.line(summary(report))


def summary(report: LoadReport) -> str:
    """A report in one line."""
    from inlay.cli import words

    held = f"{words.counted(len(report.tables), 'table')}, {words.counted(report.rows, 'row')}"
    if not report.target:
        return f"{report.dump}: {held}, {words.size(report.bytes)}"
    if not report.loaded:
        return f"dry run: {report.dump} into {report.target} would be {held}; nothing was changed"
    took = words.duration(report.seconds)
    return f"loaded {report.dump} into {report.target}: {held}, {words.size(report.bytes)} in {took}"


class Watching:
    """How far a load is: one line redrawn on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._next = time.monotonic() + (REDRAWN_EVERY_S if self._live else LINE_EVERY_S)
        self._drawn = False

    def see(self, moment: Moment) -> None:
        """A moment of the load; drawn now and then. Never raises."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (REDRAWN_EVERY_S if self._live else LINE_EVERY_S)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"\r\x1b[K{line(moment)}" if self._live else line(moment) + "\n")
            sys.stderr.flush()
            self._drawn = self._live

    def close(self) -> None:
        """Take the line away. Idempotent."""
        if self._drawn:
            self._drawn = False
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def line(moment: Moment) -> str:
    """One moment in one line."""
    from inlay.cli import screen, words

    read = words.size(moment.read)
    if moment.size:
        read = f"{screen.bar(moment.read / moment.size)} {read} of {words.size(moment.size)}"
    pace = f"{words.size(moment.read / moment.seconds)}/s" if moment.seconds > 0 else ""
    table = words.escaped(moment.table, 40)
    return f"{read} {pace}, {words.counted(moment.rows, 'row')}, {words.counted(moment.tables, 'table')}: {table}"
