"""Dumps by declaration or by name: which file, of which day, into which database, and what is never touched there.

What stays true: tables that Inlay publishes or keeps are protected whatever the dump holds; addresses are filled in
here and go no further than the database they name.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from inlay.databases.address import Address, is_address, parse
from inlay.databases.dialect import table_parts
from inlay.databases.errors import DatabaseError
from inlay.dumps import places
from inlay.dumps.loading import LoadReport, Moment, Wishes, load, look, target_of
from inlay.errors import SpecError
from inlay.project.places import address_of, filled_in
from inlay.spec.columns import HISTORY
from inlay.spec.environment import expand
from inlay.spec.load import load as load_declaration
from inlay.spec.model import Enrichment, LoadSpec


def load_one(
    declaration: str | Path | Enrichment | None,
    *,
    dump: str | None = None,
    into: str | None = None,
    tables: Sequence[str] = (),
    protect: Sequence[str] = (),
    date: str | None = None,
    allow_incomplete: bool = False,
    dry_run: bool = False,
    list_only: bool = False,
    watch: Callable[[Moment], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> LoadReport:
    """See `inlay.project.load_dump` and `look_at_dump`."""
    env = os.environ if env is None else env
    enrichment = _declared(declaration)
    spec = LoadSpec(dump=dump or "-") if enrichment is None or enrichment.load is None else enrichment.load
    folder = Path.cwd() if enrichment is None or dump is not None else enrichment.folder
    place = _of_day(dump or spec.dump, folder, date or spec.date, spec.time_zone)
    address = None if list_only else _target(enrichment, spec, into, env)
    wishes = Wishes(
        only=tuple(tables) or spec.tables,
        protected=frozenset() if list_only else _protected(enrichment, (*spec.protect, *protect)),
        prefixes=() if list_only else _of_store(enrichment, env),
        allow_incomplete=allow_incomplete or list_only,
        watch=watch,
    )
    with places.opened(place, folder) as opened:
        if address is None:
            return look(opened, wishes)
        return load(opened, target_of(address), wishes, dry_run=dry_run)


def _declared(declaration: str | Path | Enrichment | None) -> Enrichment | None:
    if declaration is None:
        return None
    enrichment = declaration if isinstance(declaration, Enrichment) else load_declaration(declaration)
    if enrichment.load is None:
        raise SpecError(
            "the declaration names no dump to load",
            file=enrichment.file,
            key="load",
            remedy="add a section like `load: {dump: dumps/shop.sql.gz}`, or name the file: inlay load FILE --into URL",
        )
    return enrichment


def _of_day(place: str, folder: Path, date: str, time_zone: str) -> str:
    """The place of the dump that is meant. A pattern's day is today's, the latest there is, or a day by name."""
    if not places.has_date(place):
        if date not in ("today", "latest"):
            raise SpecError(
                f"{place} holds no {{date:…}}, so there is no day to choose",
                key="--date",
                remedy="write it like shop_{date:%Y%m%d}.sql",
            )
        return place
    if date == "latest":
        return places.latest(place, folder)[0]
    try:
        day = dt.datetime.now(ZoneInfo(time_zone)).date() if date == "today" else dt.date.fromisoformat(date)
    except ValueError:
        raise SpecError(
            f"{date!r} is not a day", key="--date", remedy="write it like 2026-02-11, or today, or latest"
        ) from None
    return places.of_day(place, folder, day)


def _target(enrichment: Enrichment | None, spec: LoadSpec, into: str | None, env: Mapping[str, str]) -> Address:
    if into is not None:

        def fail(message: str, remedy: str) -> None:
            raise SpecError(message, key="--into", remedy=remedy)

        return parse(expand(into, env, fail), Path.cwd(), key="--into")
    if enrichment is None:
        raise SpecError("say which database to load into", key="--into", remedy="--into '${STAGING_URL}'")
    if spec.into is not None:
        return address_of(enrichment, spec.into, "load.into", env)
    if enrichment.source.connection is not None:
        return address_of(enrichment, enrichment.source.connection, "source.connection", env)
    raise SpecError(
        "the declaration names no database to load into",
        file=enrichment.file,
        line=enrichment.lines.get("load"),
        key="load.into",
        remedy="add `into: ${STAGING_URL}`",
    )


def _protected(enrichment: Enrichment | None, named: Sequence[str]) -> frozenset[str]:
    """The tables that are never touched, by the last part of their names; case counts for nothing, to be safe."""
    names = [_last(name) for name in named]
    if enrichment is not None and enrichment.output.table is not None:
        published = _last(enrichment.output.table)
        names += [published, published + HISTORY]
    return frozenset(name.casefold() for name in names)


def _of_store(enrichment: Enrichment | None, env: Mapping[str, str]) -> tuple[str, ...]:
    """What the tables of the declaration's store begin with, where it gives them a prefix of its own."""
    if enrichment is None or enrichment.store is None:
        return ()
    if not is_address(filled_in(enrichment, enrichment.store, "store", env)):
        return ()
    prefix = address_of(enrichment, enrichment.store, "store", env).options.get("prefix", "")
    return (prefix.casefold(),) if prefix else ()


def _last(table: str) -> str:
    try:
        return table_parts(table)[-1]
    except DatabaseError as error:
        raise SpecError(error.message, key="load.protect", remedy="write it like schema.table") from None
