"""Which files a declaration means: globs, formats, compression, and what to say when there are none.

What stays true: every file is found, readable and of a known format before DuckDB sees it; the order is that of the
declaration, sorted by path within a glob; DuckDB never expands a pattern of its own.
"""

from __future__ import annotations

import difflib
import fnmatch
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inlay.errors import SourceError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
# What other files can become.
_SHEET = "save it as CSV (UTF-8) and name that file"
_OTHER_FORMATS = {
    ".xlsx": _SHEET,
    ".xls": _SHEET,
    ".ods": _SHEET,
    ".json": "make it JSONL, one object a line, for example with `jq -c '.[]'`; or set source.format to jsonl if it is",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source. `compression` is none, gzip or zstd; `size` in bytes; `changed_ns` since the epoch."""

    path: Path
    format: str
    compression: str
    size: int
    changed_ns: int

    @property
    def duckdb_path(self) -> str:
        """The path as DuckDB takes it: literally."""
        text = str(self.path)
        return re.sub(r"([*?\[])", r"[\1]", text)


def find_files(patterns: Sequence[str], folder: Path, format: str = "auto") -> list[SourceFile]:
    """Every file that the patterns name, each once. Raises SourceError where one names none or an unfit one."""
    found: dict[str, SourceFile] = {}
    for pattern in patterns:
        for path in _expand(pattern, folder):
            found.setdefault(os.path.abspath(path), _look(Path(os.path.abspath(path)), format))  # noqa: PTH100
    files = list(found.values())
    for file in files:
        if file.format != files[0].format:
            raise SourceError(
                f"source.files mixes formats: {files[0].path.name} is {files[0].format}, "
                f"{file.path.name} is {file.format}",
                remedy="name files of one format, or convert some; `format` says what a file is whatever its ending",
            )
    return files


def takes(folder: Path, pattern: str, path: Path) -> bool:
    """Whether a glob of `source.files` would find this absolute path, once it is there."""
    full = Path(os.path.abspath(os.path.join(folder, os.path.expanduser(pattern))))  # noqa: PTH100, PTH111, PTH118
    return _takes(full.parts, path.parts)


def _takes(patterns: Sequence[str], parts: Sequence[str]) -> bool:
    if not patterns or not parts:
        return not patterns and not parts
    if patterns[0] == "**" and len(patterns) > 1:
        return _takes(patterns[1:], parts) or _takes(patterns, parts[1:])
    hidden = parts[0].startswith(".") and not patterns[0].startswith(".")
    return not hidden and fnmatch.fnmatchcase(parts[0], patterns[0]) and _takes(patterns[1:], parts[1:])


def _expand(pattern: str, folder: Path) -> list[str]:
    if _URL.match(pattern):
        scheme = pattern.split("://", 1)[0]
        raise SourceError(
            f"source.files: {scheme}:// addresses cannot be read, only files of this machine",
            remedy="copy or mount the files, and name them by path",
        )
    if "\0" in pattern:
        raise SourceError("source.files: a path cannot hold a NUL character", remedy="write the path without it")
    full = os.path.join(folder, os.path.expanduser(pattern))  # noqa: PTH111, PTH118 - a pattern, not a path
    if os.path.lexists(full):  # a name with [ or * in it, taken literally
        return [full]
    try:
        paths = sorted(path for path in glob.glob(full, recursive=True) if not Path(path).is_dir())  # noqa: PTH207
    except OSError as error:
        raise SourceError(f"source.files: {pattern}: {error.strerror}", remedy="check the path") from error
    if not paths:
        raise _nothing(pattern, full)
    return paths


def _nothing(pattern: str, full: str) -> SourceError:
    """Nothing matches: name the folder that was searched and the files there that come nearest."""
    parent = Path(full).parent
    while glob.has_magic(str(parent)) or not parent.is_dir():
        if parent == parent.parent:
            break
        parent = parent.parent
    try:
        names = sorted(entry.name for entry in parent.iterdir() if entry.is_file())
    except OSError:
        names = []
    known = [name for name in names if _format_of(Path(name)) is not None]
    near = difflib.get_close_matches(Path(full).name, names, n=_SHOWN, cutoff=0.6) or known[:_SHOWN]
    hint = f"nearest there: {', '.join(near)}" if near else "it holds no file that could be meant"
    return SourceError(f"source.files: nothing matches {pattern!r}; searched in {parent}", remedy=hint)


def _format_of(path: Path) -> tuple[str, str] | None:
    """(format, compression) by the ending, or None where it says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = "none"
    if suffixes and suffixes[-1] in COMPRESSIONS:
        compression = COMPRESSIONS[suffixes.pop()]
    format = FORMATS.get(suffixes[-1]) if suffixes else None
    return None if format is None else (format, compression)


def _look(path: Path, format: str) -> SourceFile:
    by_ending = _format_of(path)
    compression = COMPRESSIONS.get(path.suffix.lower(), "none") if by_ending is None else by_ending[1]
    if format == "auto":
        if path.is_dir():
            raise SourceError(
                f"source.files: {path} is a folder", remedy=f"name the files in it, for example {path.name}/*.parquet"
            )
        if by_ending is None:
            raise SourceError(
                f"source.files: the ending of {path.name} does not say its format",
                remedy=_OTHER_FORMATS.get(path.suffix.lower(), "set source.format to parquet, csv or jsonl"),
            )
        format = by_ending[0]
    if format == "parquet" and compression != "none":
        raise SourceError(
            f"source.files: {path.name} is compressed as a whole, which Parquet is not",
            remedy="unpack it; Parquet compresses inside",
        )
    if "\\" in str(path) and glob.has_magic(str(path)):
        raise SourceError(
            f"source.files: {path} holds both a backslash and one of * ? [", remedy="rename the file or its folder"
        )
    try:
        with path.open("rb") as stream:
            if format == "parquet":
                _check_parquet(path, stream.read(4))
            status = os.fstat(stream.fileno())
    except OSError as error:
        remedy = "give this user the right to read it" if isinstance(error, PermissionError) else "check the path"
        raise SourceError(f"source.files: {path} cannot be read: {error.strerror}", remedy=remedy) from error
    return SourceFile(path, format, compression, status.st_size, status.st_mtime_ns)


def _check_parquet(path: Path, head: bytes) -> None:
    if head == b"PARE":
        raise SourceError(f"source.files: {path} is encrypted Parquet", remedy="write it without encryption")
    if head != b"PAR1":
        raise SourceError(
            f"source.files: {path} is not Parquet (it does not begin with PAR1)",
            remedy="check how it was written; `format` says what a file is whatever its ending",
        )
