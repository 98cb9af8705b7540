"""JSONL: one JSON object a line, read as what it says and no more.

What stays true: strings stay strings (nothing that looks like a date becomes one); whole numbers, fractions, booleans
and lists of texts have their own types; a column that mixes types is text. Objects and lists of anything else are
their JSON text: as structs they would all change once one line has a new key, and with them every input that was
paid for. The types come from all lines of all files, not from a sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

import duckdb
import orjson

from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_text
from inlay.tables.delimited import open_file
from inlay.tables.paths import SourceFile
from inlay.tables.relation import Part, check_names

_FIRST_LINES = 1000
_LINE_SHOWN = 80
_DUCKDB = {"none": "uncompressed", "gzip": "gzip", "zstd": "zstd"}  # the JSON reader does not know "none"
_SCALARS = {"VARCHAR": "VARCHAR", "NULL": "VARCHAR", "BOOLEAN": "BOOLEAN", "DOUBLE": "DOUBLE"}
_WHOLE = ("UBIGINT", "BIGINT", "HUGEINT")


def jsonl_parts(files: Sequence[SourceFile], con: duckdb.DuckDBPyConnection) -> list[Part]:
    """One Part for each run of files with one compression; types hold for all. Files without a byte are left out."""
    files = [file for file in files if file.size]
    if not files:
        return []
    runs = [(_DUCKDB[kind], tuple(run)) for kind, run in groupby(files, key=lambda file: file.compression)]
    lines = " UNION ALL ".join(
        f"SELECT json FROM read_ndjson_objects({_list(run)}, compression='{kind}', hive_partitioning=false)"
        for kind, run in runs
    )
    try:
        # One line of each shape: over all of them json_group_structure takes more memory than the files are long.
        structure, long_numbers = con.execute(
            "SELECT json_group_structure(line), bool_or(long) FROM (SELECT any_value(json) AS line, "
            f"bool_or(regexp_matches(json, '[0-9]{{19}}')) AS long FROM ({lines}) GROUP BY json_structure(json))"
        ).fetchall()[0]
    except duckdb.Error as error:
        raise _bad_line(files, error) from None
    shape = json.loads(structure) if structure else {}
    if not isinstance(shape, dict):
        raise _bad_line(files, None)
    check_names(shape, files[0].path.name if len(files) == 1 else "the files together")
    try:
        columns = {name: _type(shape[name]) for name in _ordered(shape, files[0])}
    except orjson.JSONDecodeError:  # stricter than DuckDB: no NaN
        raise _bad_line(files, None) from None
    if long_numbers:
        _widen(columns, shape, lines, con)
    listed = ", ".join(f"{quote_text(name)}: {quote_text(kind)}" for name, kind in columns.items())
    reader = (
        f"read_json({{files}}, format='newline_delimited', auto_detect=false, hive_partitioning=false{{more}}, "
        f"columns={{{listed}}}"
    )
    return [Part(run, columns, f"{reader}, compression='{kind}')") for kind, run in runs] if columns else []


def _list(files: Sequence[SourceFile]) -> str:
    return f"[{', '.join(quote_text(file.duckdb_path) for file in files)}]"


def _type(part: Any) -> str:
    """The DuckDB type of one node of json_structure()."""
    if isinstance(part, list):
        inner = _type(part[0]) if part else "VARCHAR"
        return f"{inner}[]" if inner.startswith(("VARCHAR", "BOOLEAN")) else "JSON"
    if isinstance(part, str) and part in _WHOLE:
        return "BIGINT"
    return _SCALARS.get(part, "JSON") if isinstance(part, str) else "JSON"


def _ordered(names: Iterable[str], file: SourceFile) -> list[str]:
    """Names as the first lines bring them up, then by alphabet: DuckDB's threads give them in any order."""
    early: dict[str, None] = {}
    with open_file(file) as stream:
        for line in islice(stream, _FIRST_LINES):
            if line.strip():
                early.update(dict.fromkeys(orjson.loads(line)))
    rest = sorted(set(names) - set(early))
    return [*early, *rest]


def _widen(columns: dict[str, str], shape: Mapping[str, Any], lines: str, con: duckdb.DuckDBPyConnection) -> None:
    """Find whole numbers that 64 bits do not hold: UBIGINT where that does, otherwise the exact digits as text."""
    for name in columns:
        value = f"json_extract_string(json, {quote_text(_pointer(name))})"
        if shape[name] in _WHOLE:
            beyond, far = con.execute(
                f"SELECT count(*) FILTER (WHERE TRY_CAST({value} AS BIGINT) IS NULL), "
                f"count(*) FILTER (WHERE TRY_CAST({value} AS UBIGINT) IS NULL) FROM ({lines}) WHERE {value} IS NOT NULL"
            ).fetchall()[0]
            if beyond:
                columns[name] = "VARCHAR" if far else "UBIGINT"
        elif shape[name] == "DOUBLE":
            # Beyond 64 bits a whole number is taken for a double, which would lose its last digits.
            long = f"regexp_full_match({value}, '-?[0-9]{{19,}}')"
            if con.execute(f"SELECT bool_or({long}) FROM ({lines})").fetchall()[0][0]:
                columns[name] = "VARCHAR"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _bad_line(files: Sequence[SourceFile], error: duckdb.Error | None) -> SourceError:
    """Find the line that is not a JSON object; DuckDB's own count of lines is not exact."""
    for file in files:
        try:
            with open_file(file) as stream:
                for number, line in enumerate(stream, start=1):
                    if problem := _problem(line, number):
                        return _at(file, number, line, *problem)
        except (OSError, EOFError) as failed:
            return SourceError(
                f"{file.path} cannot be unpacked: {failed}",
                remedy=f"check that it is a whole {file.compression} file",
            )
    reason = str(error).split("\n", 1)[0] if error is not None else "the lines are not all objects"
    return SourceError(f"{files[0].path.name}: not valid JSONL: {reason}", remedy="write one JSON object a line")


def _problem(line: bytes, number: int) -> tuple[str, str] | None:
    """(what is wrong, what to do), or None for a good line."""
    if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "not UTF-8 but UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"
    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
        return "the file begins with a byte order mark", "save it as UTF-8 without one"
    if not line.strip():
        return None
    if line.lstrip().startswith(b"["):
        return "a JSON array, not an object", "write one object a line, for example with `jq -c '.[]'`"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "the file must be UTF-8; convert it, for example with `iconv -f SHIFT_JIS -t UTF-8`"
        return f"not UTF-8: {error.reason} at byte {error.start + 1}", remedy
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not valid JSON: {error.msg} at column {error.colno}", "JSONL holds one JSON object a line; mend it"
    if not isinstance(value, dict):
        return "not a JSON object", "JSONL holds one JSON object a line; mend or remove it"
    return None


def _at(file: SourceFile, number: int, line: bytes, problem: str, remedy: str) -> SourceError:
    shown = line.decode("utf-8", "replace").strip()
    shown = shown if len(shown) <= _LINE_SHOWN else shown[:_LINE_SHOWN] + "…"
    return SourceError(f"{file.path.name}, line {number}: {problem}: {shown!r}", remedy=remedy)
