"""The load itself: what a dump holds, table by table, into a target, all of it or nothing.

    with opened(...) as dump:
        report = load(dump, target(address), Wishes(protected=…))

What stays true: a table is made when its first rows come (only they show whether computed columns bring their values);
protected tables are passed over with a note, since a dump of a whole schema may well hold them, and the night goes on;
whatever ends a load early (a mistake in the dump, the database, Ctrl-C) leaves the tables as they were.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from inlay.databases.address import MYSQL, Address
from inlay.databases.errors import DatabaseError
from inlay.dumps.columnar import IntoColumns
from inlay.dumps.judging import Judge
from inlay.dumps.mysql import IntoMySQL, told
from inlay.dumps.places import Dump
from inlay.dumps.reading import Reader, Rows, Statement
from inlay.dumps.schema import Table
from inlay.errors import SourceError

# Inlay's own: tables of a store in the database, and those of a load under way.
_OWN = "inlay_"
_INCOMPLETE = "make the dump again; to take what there is of it, add --allow-incomplete"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One table of a load: its rows, and their bytes in the dump."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load did, or with `loaded` false would do. `skipped` has the tables that were left out, and why."""

    dump: str
    target: str
    tables: tuple[Loaded, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    bytes: int
    seconds: float
    complete: bool
    loaded: bool

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def line(self) -> str:
        """The load in one line, for a host's own log."""
        tables = "1 table" if len(self.tables) == 1 else f"{len(self.tables)} tables"
        what = "loaded" if self.loaded else "would load"
        return (
            f"{what} {self.dump} into {self.target}: {tables}, {self.rows:,} rows, {self.bytes / 1e6:.1f} MB "
            f"in {self.seconds:.1f} s"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "tables": [asdict(table) for table in self.tables],
            "skipped": [{"name": name, "why": why} for name, why in self.skipped],
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a load is. `read` and `size` in bytes of the file (`size` None where nobody knows)."""

    table: str
    tables: int
    rows: int
    read: int
    size: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Wishes:
    """What of a dump is wanted. `only` names tables (empty: all), `protected` those that are never touched, as are
    those that begin with one of `prefixes`; both in small letters."""

    only: tuple[str, ...] = ()
    protected: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    allow_incomplete: bool = False
    watch: Callable[[Moment], None] | None = None


class Target(Protocol):
    """A database that a dump is loaded into. `create`, `write` … raise DatabaseError or TargetError."""

    shown: str
    schemas: frozenset[str]  # names that a qualified table may have
    notes: list[str]

    def open(self, *, write: bool) -> None:
        """Connect. To write: keep other loads out, and clear away what one that died has left."""
        ...

    def check(self, tables: Sequence[str]) -> None:
        """Whether these tables may be replaced. TargetError for a view, or one that another's foreign key refers to."""
        ...

    def create(self, table: Table) -> None:
        """Make a new, empty table beside the one of its name; what cannot be kept is left out of `table` and noted."""
        ...

    def write(self, table: Table, rows: Rows, charset: str, time_zone: str | None) -> int:
        """Put rows into a new table; how many it took."""
        ...

    def finish(self, tables: Sequence[Table]) -> None:
        """Put the new tables in place of the old: all at once, or none."""
        ...

    def abandon(self) -> None:
        """Leave the old tables as they were, and clear away the new ones as far as possible. Never raises."""
        ...

    def close(self) -> None:
        """Let go of the database. Idempotent."""
        ...


def target_of(address: Address) -> Target:
    """The target that an address names; nothing is connected to."""
    return IntoMySQL(address) if address.kind == MYSQL else IntoColumns(address)


def load(dump: Dump, target: Target, wishes: Wishes, *, dry_run: bool = False) -> LoadReport:
    """Bring a dump into a database: all or nothing. With `dry_run` look only, and at the target's tables, too.

    Idempotent: loading again gives the same tables. Raises SourceError for the dump, TargetError for the database.
    """
    work = _Load(dump, wishes, target, write=not dry_run)
    doing = "opening the database"
    try:
        target.open(write=not dry_run)
        doing = "loading"
        report = work.carry_out()
    except DatabaseError as error:
        target.abandon()
        raise told(error, work.doing or doing) from None
    except BaseException:
        target.abandon()
        raise
    target.close()
    return report


def look(dump: Dump, wishes: Wishes) -> LoadReport:
    """The tables of a dump, their rows and bytes; no database is asked."""
    return _Load(dump, wishes, None, write=False).carry_out()


@dataclass(slots=True)
class _Load:
    dump: Dump
    wishes: Wishes
    target: Target | None
    write: bool
    doing: str = ""
    _tables: dict[str, Table] = field(default_factory=dict)
    _pending: set[str] = field(default_factory=set)  # declared, not made yet
    _rows: dict[str, int] = field(default_factory=dict)
    _bytes: dict[str, int] = field(default_factory=dict)
    _skipped: dict[str, str] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def carry_out(self) -> LoadReport:
        reader = Reader(self.dump.chunks(), self.dump.name)
        judge = Judge(reader, frozenset() if self.target is None else self.target.schemas)
        if not self.wishes.allow_incomplete and self.dump.ends_early():
            raise self._incomplete("")
        parts: Iterable[Statement | Rows] = ahead(reader) if self.write else reader
        for part in parts:
            if isinstance(part, Rows):
                self._take(part, judge)
            elif (table := judge.judged(part)) is not None:
                self._declare(table, part, reader)
        if self.dump.broken is not None:
            reader.cut = reader.cut or "its compression"
        if not reader.complete and not self.wishes.allow_incomplete:
            raise self._incomplete(reader.cut)
        self._end(judge, reader)
        return self._report(reader, judge)

    def _incomplete(self, inside: str) -> SourceError:
        where = f"in the middle of {inside}" if inside else "without its last line, `-- Dump completed`"
        return SourceError(
            f"{self.dump.name}: the dump is not whole: it ends {where}; nothing was changed", remedy=_INCOMPLETE
        )

    # --- tables

    def _declare(self, table: Table, statement: Statement, reader: Reader) -> None:
        name = table.name
        if name in self._tables:
            raise reader.refused(f"{name} is declared a second time", "dump one database alone", statement.line)
        folded = name.casefold()
        if folded in self.wishes.protected or folded.startswith((_OWN, *self.wishes.prefixes)):
            self._skipped[name] = "protected"
        elif self.wishes.only and name not in self.wishes.only:
            self._skipped[name] = "not asked for"
        elif table.elsewhere:
            self._skipped[name] = f"its rows are elsewhere ({table.elsewhere})"
        self._tables[name] = table
        if name in self._skipped:
            return
        if self.target is not None:
            self.target.check([name])
        self._rows[name] = self._bytes[name] = 0
        self._pending.add(name)

    def _make(self, table: Table, rows: Rows | None) -> None:
        """Make a table that was declared. Where rows bring values for computed columns, those are plain ones."""
        self._pending.discard(table.name)
        if rows is not None:
            given = None if rows.columns is None else {name.casefold() for name in rows.columns}
            for column in table.columns:
                if column.generated and (given is None or column.name.casefold() in given):
                    column.generated = ()
        if self.target is not None and self.write:
            self.doing = f"making {table.name}"
            self.target.create(table)
        for what in dict.fromkeys(table.left_out):
            self._notes.append(f"{table.name}: {what} left out")

    def _take(self, rows: Rows, judge: Judge) -> None:
        judge.check_schema(rows.schema, rows.table, rows.line)
        table = self._tables.get(rows.table)
        if table is None:
            raise judge.reader.refused(
                f"rows for {rows.table}, which the dump does not declare",
                "dump without --no-create-info: a load makes its tables anew",
                rows.line,
            )
        if table.name in self._skipped:
            return
        if table.name in self._pending:
            self._make(table, rows)
        self._check_columns(table, rows, judge)
        if self.target is not None and self.write:
            self.doing = f"loading {table.name} (the dump's line {rows.line})"
            self.target.write(table, rows, judge.charset, judge.time_zone)
        self._rows[table.name] += rows.count
        self._bytes[table.name] += len(rows.data)
        if self.wishes.watch is not None:
            self.wishes.watch(self._moment(table.name))

    def _check_columns(self, table: Table, rows: Rows, judge: Judge) -> None:
        if rows.columns is not None:
            known = {column.name.casefold() for column in table.columns}
            odd = [name for name in rows.columns if name.casefold() not in known]
            if odd or len({name.casefold() for name in rows.columns}) < len(rows.columns):
                raise judge.reader.refused(
                    f"rows of {table.name} name columns that it has not, or twice: {', '.join(odd)}",
                    "make the dump again",
                    rows.line,
                )

    def _moment(self, table: str) -> Moment:
        done = len(self._rows) - len(self._pending)
        seconds = time.monotonic() - self._started
        return Moment(table, done, sum(self._rows.values()), self.dump.read, self.dump.size, seconds)

    # --- the end

    def _end(self, judge: Judge, reader: Reader) -> None:
        for view in judge.views:  # older dumps first declare a view as a table
            if view in self._tables and not self._rows.get(view):
                if view in self._pending:
                    self._pending.discard(view)
                    self._rows.pop(view)
                self._skipped.pop(view, None)
        for name in [name for name in self._tables if name in self._pending]:
            self._make(self._tables[name], None)
        missing = [name for name in self.wishes.only if name not in self._tables]
        if missing:
            raise SourceError(
                f"{self.dump.name}: it holds no table {', '.join(missing)}",
                remedy=f"it holds: {', '.join(sorted(self._tables)[:20]) or 'none at all'}",
            )
        if not self._tables and not judge.passed and not reader.has_header:
            raise SourceError(
                f"{self.dump.name}: there is no table in it",
                remedy="name a file that mysqldump or mariadb-dump wrote, .sql or .sql.gz",
            )
        if self.target is not None:
            self.target.check([*self._rows])
            if self.write:
                self.doing = "putting the new tables in place"
                self.target.finish([self._tables[name] for name in self._rows])

    def _report(self, reader: Reader, judge: Judge) -> LoadReport:
        notes = [*self._notes, *(self.target.notes if self.target is not None else ())]
        passed = {**judge.passed}
        views = passed.pop("views", 0)
        if views:
            passed[f"views ({', '.join(dict.fromkeys(judge.views))})"] = 1
        if passed:
            notes.append(f"passed over: {', '.join(passed)}")
        if not reader.complete:
            notes.append("the dump is not whole")
        return LoadReport(
            dump=self.dump.name,
            target="" if self.target is None else self.target.shown,
            tables=tuple(Loaded(name, rows, self._bytes[name]) for name, rows in self._rows.items()),
            skipped=tuple(self._skipped.items()),
            notes=tuple(notes),
            bytes=reader.byte,
            seconds=time.monotonic() - self._started,
            complete=reader.complete,
            loaded=self.write,
        )


def ahead(parts: Iterable[Statement | Rows], most: int = 6) -> Iterator[Statement | Rows]:
    """The same parts, read by a thread of their own while the database is busy with earlier ones."""
    waiting: queue.Queue[Any] = queue.Queue(most)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for part in parts:
                if not put(part):
                    return
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits for the next part)
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=read, name="inlay-dump", daemon=True)
    thread.start()
    try:
        while (part := waiting.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part
    finally:
        stopped.set()
        thread.join()
