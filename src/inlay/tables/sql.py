"""DuckDB as Inlay uses it: how a connection is opened, what is registered on it, how its errors become ours.

What stays true: a connection is private and in memory, reads no configuration and installs nothing; what does not
fit its memory limit spills into the system's folder for temporary files; times are UTC; row order is kept; and no
DuckDB exception leaves this room untranslated.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

import duckdb

from inlay.errors import InlayError, PlanError, SourceError
from inlay.fingerprint import NORMALIZERS
from inlay.tables.nfkc import create_nfkc

__all__ = ["connect", "prepare", "translate"]


def connect(
    *, memory_limit: str = "1GB", temp_directory: str | Path | None = None, threads: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a private in-memory DuckDB. `temp_directory` is created only when something spills, and removed after."""
    if temp_directory is None:
        # One folder a connection: DuckDB's spill files have the same names in every process.
        temp_directory = Path(tempfile.gettempdir()) / f"inlay-{os.getpid()}-{secrets.token_hex(4)}"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(temp_directory),
        "preserve_insertion_order": True,
        # DuckDB keeps 512 MB of freed memory by default; at this size nothing is slower (measured: 31 MB less after
        # planning 50,000 rows).
        "allocator_bulk_deallocation_flush_threshold": "32MB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if threads is not None:
        config["threads"] = threads
    try:
        con = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        raise translate(error, "DuckDB") from error
    # Global, so that cursors of this connection agree.
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    # In a notebook without ipywidgets there is no bar, and DuckDB refuses to switch it off.
    with contextlib.suppress(duckdb.InvalidInputException):
        con.execute("SET enable_progress_bar = false")
    return con


def prepare(con: duckdb.DuckDBPyConnection, steps: Iterable[str] = NORMALIZERS) -> None:
    """Create what `canonical_sql` needs beyond DuckDB's own functions for these steps of normalisation.

    Only `nfkc` needs anything (about 15 ms of CPU). For this connection, not for its cursors. Idempotent.
    """
    if "nfkc" in steps:
        create_nfkc(con)


# --- errors -----------------------------------------------------------------------------------------------------------

_DECLARED = ("select.", "passes[")  # `what` of an expression that the declaration holds starts with one of these
_CANDIDATES = re.compile(r"(?:Candidate bindings|Candidate functions|Did you mean)[^\n]*", re.IGNORECASE)
_NAME = re.compile(r'"([^"]+)"')
_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_FILE = re.compile(r"^\s*file ?= ?(.+)$", re.MULTILINE)
_JSON_LINE = re.compile(r'(?:in|read) file "(?P<file>[^"]+)",?.*?(?:in|at)(?: record/value| line|) ?(?P<line>\d+)')


def translate(error: Exception, what: str) -> InlayError:
    """A DuckDB error as one of ours; an InlayError passes unchanged.

    `what` says what was being done: "select.where" or "passes[0].rules[0]" for SQL of the declaration (a PlanError
    that names it), otherwise the title of a source (a SourceError). DuckDB's own sentence is kept, its position
    marks and query text are not. Raise the result `from` the error.
    """
    if isinstance(error, InlayError):
        return error
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException) or "failed to offload" in text.lower():
        return SourceError(
            f"{what}: this needs more memory or temporary space than is there: {_sentence(text)}",
            remedy="free space in the folder for temporary files (TMPDIR), or give the process more memory",
        )
    if (match := _CSV_LINE.search(text)) is not None:
        return _csv_error(text, what, int(match[1]))
    first = text.partition("\n")[0]
    if "Malformed JSON" in first or ("JSON" in first and "file" in first):
        return _json_error(text, what)
    if isinstance(error, duckdb.IOException) or "parquet" in first.lower():
        return SourceError(
            f"{what}: a file cannot be read: {_sentence(text)}",
            remedy="check that the file is whole and not being written",
        )
    if what.startswith(_DECLARED):
        hint = _CANDIDATES.search(text)
        # Our own helpers have columns too; they are no hint.
        near = [name for name in _NAME.findall(hint[0]) if not name.startswith("__")] if hint else []
        remedy = "it is DuckDB SQL over the columns of the source"
        if near:
            remedy = f"the nearest there is {', '.join(near[:5])}; {remedy}"
        return PlanError(f"`{what}` does not fit the source: {_sentence(text)}", remedy=remedy)
    return SourceError(f"{what}: {_sentence(text)}")


def _sentence(text: str) -> str:
    """DuckDB's sentence without its class, its candidates, the query and the position mark."""
    head = re.split(r"\n\s*LINE \d+:|\n\n", text, maxsplit=1)[0]
    head = _CANDIDATES.sub("", head)
    head = re.sub(r"^[A-Za-z -]+ Error: ", "", head)
    return " ".join(head.split()).rstrip("!.") + "."


def _csv_error(text: str, what: str, line: int) -> SourceError:
    found = _CSV_FILE.search(text)
    name = found[1].strip() if found else what
    told = re.split(r"^Possible", text[text.index("CSV Error on Line") :], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [part.strip() for part in told.splitlines()[1:] if part.strip()]
    # The line itself may go over several lines: the reason is what stands after all of them.
    reason = lines[-1].rstrip(".") if lines and not lines[-1].startswith("Original Line:") else ""
    original = next((part.removeprefix("Original Line:").strip() for part in lines if part.startswith("Original")), "")
    shown = f": {original[:120]!r}" if original else ""
    if "unicode" in reason.lower() or "utf-8" in reason.lower():
        remedy = "the file must be UTF-8; convert it, for example with `iconv -f SHIFT_JIS -t UTF-8`"
    else:
        remedy = 'mend that line: a field that holds a delimiter, a quote or a line break stands in "double quotes"'
    return SourceError(f"{name}, line {line}: {reason or 'not valid CSV'}{shown}", remedy=remedy)


def _json_error(text: str, what: str) -> SourceError:
    match = _JSON_LINE.search(text)
    where = f"{match['file']}, line {match['line']}" if match else what
    return SourceError(
        f"{where}: not a JSON object on one line: {_sentence(text)}",
        remedy="JSONL holds one JSON object a line; mend or remove that line",
    )
