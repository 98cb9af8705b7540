"""Declarations that are made and written: for the command line's quick way, for `inlay init`, for `--save`.

What stays true: looking reads and writes nothing; a file that is there is never replaced by another text unless that
was said; a declaration that is saved elsewhere still means the same files and the same store.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inlay.errors import SpecError, TargetError
from inlay.project.enriching import source_spec
from inlay.project.schema import write_schema
from inlay.project.session import STORE_FILE, STORE_FOLDER, Session
from inlay.spec.fields import FieldSpec
from inlay.spec.model import CONTENT_KEY, Enrichment
from inlay.spec.quick import Quick, quick_enrichment, text_columns
from inlay.spec.schema import SCHEMA_FILE
from inlay.spec.write import write
from inlay.tables.files import FileSource
from inlay.tables.looking import Look, look, named_like_id, unique_ids
from inlay.tables.paths import COMPRESSIONS, FORMATS
from inlay.tables.sql import connect

_SHOWN_COLUMNS = 40
_SHOWN_TEXT = 60


def declare(given: Quick, *, folder: Path | None = None) -> Enrichment:
    """The declaration that files, fields and perhaps a prompt make; paths start in `folder` (the present one).

    Reads the columns' names. Raises SpecError or SourceError.
    """
    start = Path.cwd() if folder is None else folder
    return quick_enrichment(given, columns_of(given.files, folder=start), start)


def columns_of(files: Sequence[str], *, folder: Path | None = None) -> dict[str, str]:
    """The columns of files, name to DuckDB type."""
    spec = source_spec(tuple(files), (CONTENT_KEY,))
    return FileSource(spec, Path.cwd() if folder is None else folder).columns()


def likely_keys(enrichment: Enrichment) -> list[str]:
    """Columns of the source that are named like an id and tell every row apart, counted exactly."""
    source = FileSource(source_spec(enrichment.source.files, (CONTENT_KEY,)), enrichment.folder)
    types = source.columns()
    con = connect()
    try:
        named = [name for name in types if named_like_id(name)]
        return unique_ids(con, source.attach(con), types, named)
    finally:
        con.close()


def look_at(file: str, *, folder: Path | None = None) -> Look:
    """What a file (or several, by a glob) holds: columns, examples, and which of them could be the key."""
    source = FileSource(source_spec((file,), (CONTENT_KEY,)), Path.cwd() if folder is None else folder)
    con = connect()
    try:
        return look(con, source.attach(con), source.columns(), source.title)
    finally:
        con.close()


def candidates(folder: Path) -> list[str]:
    """The files of a folder that could be a source, by name."""
    endings = tuple(f"{ending}{packed}" for ending in FORMATS for packed in ("", *COMPRESSIONS))
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return [name for name in names if name.lower().endswith(endings)]


# --- a first declaration ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beginning:
    """A first declaration of a file: what was chosen, and what was found."""

    enrichment: Enrichment
    text: str


FIRST_FIELDS = {
    "summary": FieldSpec(type="text", description="What this row says, in one sentence", max_length=200),
    "topics": FieldSpec(type="list", description="What it is about, one or two words each", max_items=5),
}
# Not the pass of `enrich`: a quick question about the same file leaves these answers alone.
FIRST_PASS = "first"  # noqa: S105 (a pass, not a password)
FIRST_LIMIT = 20
FIRST_BUDGET = 1.0


def begin(
    file: str,
    found: Look,
    *,
    key: Sequence[str] | None = None,
    fields: Mapping[str, FieldSpec] | None = None,
    place: Path,
    folder: Path | None = None,
) -> Beginning:
    """A commented declaration of a file that runs as it is: a small limit, a small budget, an output of its own.

    `key` None takes the likeliest column, or the whole row where none tells the rows apart. `place` is where the
    declaration will stand; `file` is seen from `folder` (the present one).
    """
    start = Path.cwd() if folder is None else folder
    chosen = tuple(key) if key is not None else (found.keys[:1] or None)
    given = Quick(
        fields=fields or FIRST_FIELDS,
        files=(file,),
        key=chosen,
        limit=FIRST_LIMIT,
        budget_usd=FIRST_BUDGET,
        output={"files": _output_for(file)},
        pass_name=FIRST_PASS,
    )
    types = {column.name: column.type for column in found.columns}
    enrichment = _unused(at_home(quick_enrichment(given, types, start), place.absolute().parent))
    read = ", ".join(_short(name) for name in text_columns(types, chosen or ()))
    notes = {
        "source.key": "a column that tells every row apart"
        if chosen
        else 'no column tells the rows apart: "*" makes a key of the whole row',
        "select.limit": "rows that one run takes up; take it out for all of them",
        "passes[0].model": "the provider whose key is in the environment, else a small model that matches words",
        "passes[0].prompt": f"what the model reads: {_short(read, 200)}; change it to what you want to know",
        "passes[0].fields": "one column each: a type, and a description that the model reads",
        "budget": "US dollars that one run may cost at most",
        "output.files": ".parquet, .csv or .jsonl",
    }
    header = [
        f"What is asked of {_short(file)}, and where the answers go. Try it:",
        "",
        "  inlay plan      what would be asked, and its price; sends nothing",
        "  inlay run       asks, keeps every answer, writes the output",
        "  inlay show      looks at the first rows",
        "",
        f"Columns found in {found.rows:,} rows:",
        *_columns_listed(found),
    ]
    footer = [
        "More kinds of fields:",
        "  mood: positive|neutral|negative",
        "  stars: {type: integer, min: 1, max: 5, evidence: true, description: Stars that the writer gives}",
        '  wants: "list[enum(spa, gym, breakfast)]"',
    ]
    return Beginning(enrichment, write(enrichment, header=header, notes=notes, footer=footer))


def _unused(enrichment: Enrichment) -> Enrichment:
    """Under a name that the store does not know: answers to other questions about this file are none to these."""
    with Session(enrichment) as session:
        store = session.store()
        name, number = enrichment.name, 1
        while store.passes(name):
            number += 1
            name = f"{enrichment.name[:59]}_{number}"
    return enrichment.model_copy(update={"name": name})


def _columns_listed(found: Look) -> list[str]:
    width = max((len(_short(column.name)) for column in found.columns), default=0)
    lines = []
    for column in found.columns[:_SHOWN_COLUMNS]:
        examples = ", ".join(_short(text, 30) for text in column.examples) or "empty"
        lines.append(f"  {_short(column.name).ljust(width)}  {_short(column.type, 20).lower()}, such as {examples}")
    if len(found.columns) > _SHOWN_COLUMNS:
        lines.append(f"  and {len(found.columns) - _SHOWN_COLUMNS} more")
    return lines


def _short(text: str, most: int = _SHOWN_TEXT) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _output_for(file: str) -> str:
    """A name for the output beside the present folder's files that no glob of the source takes."""
    stem = re.sub(r"[*?\[\]]+", "", Path(file).name.split(".", 1)[0]).strip("._- ") or "rows"
    return f"out/{stem}_enriched.parquet"


# --- saving ----------------------------------------------------------------------------------------------------------


def at_home(enrichment: Enrichment, folder: Path) -> Enrichment:
    """The same declaration for a file in `folder`: its paths are seen from there, its store stays where it is."""
    old, new = Path(os.path.abspath(enrichment.folder)), Path(os.path.abspath(folder))  # noqa: PTH100
    if old == new:
        return enrichment

    def moved(path: str) -> str:
        if Path(path).is_absolute() or path.startswith("~"):
            return path
        return os.path.relpath(old / path, new)

    output = enrichment.output
    store = f"{STORE_FOLDER}/{STORE_FILE}" if enrichment.store is None else enrichment.store
    changes = {
        "source": enrichment.source.model_copy(update={"files": tuple(map(moved, enrichment.source.files))}),
        "output": output.model_copy(update={"files": None if output.files is None else moved(output.files)}),
        "store": store if "://" in store or store.strip(":") == "memory" else moved(store),
    }
    out = enrichment.model_copy(update=changes)
    out._folder = new
    return out


def save(enrichment: Enrichment, path: str | Path, *, overwrite: bool = False, header: Sequence[str] = ()) -> bool:
    """Write a declaration to a file; whether that changed anything. Whole or not at all.

    Another text that stands there already is a SpecError, unless `overwrite`. Raises SpecError, TargetError.
    """
    place = Path(path)
    return put(place, write(at_home(enrichment, place.absolute().parent), header=header), overwrite=overwrite)


def put(place: Path, text: str, *, overwrite: bool = False) -> bool:
    """Write the text of a declaration; see `save`."""
    part = place.with_name(f".inlay-{secrets.token_hex(6)}.part")
    try:
        there = place.read_text(encoding="utf-8") if place.exists() else None
        if there == text:
            return False
        if there is not None and not overwrite:
            raise SpecError(f"{place} is there already", file=place, remedy="choose another name, or say --yes")
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(place)
        write_schema(place.parent / SCHEMA_FILE)
    except UnicodeDecodeError:
        raise SpecError(f"{place} is there already, and no text", file=place, remedy="choose another name") from None
    except OSError as error:
        raise TargetError(
            f"cannot write {place}: {error.strerror or error}", remedy="choose a folder that you may write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True
