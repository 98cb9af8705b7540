"""Words that the tests of files share: put a file, name a source, read all of it, or catch why it is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inlay.errors import InlayError
from inlay.spec.model import SourceSpec
from inlay.tables.files import FileSource
from inlay.tables.sql import connect, translate

sys.path.insert(0, str(Path(__file__).parent))  # where the scene of databases is


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """put(folder, name, text or bytes)"""

    def put(folder: Path, name: str, data: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return put


@pytest.fixture(scope="session")
def source() -> Callable[..., FileSource]:
    """source(folder, files, **rest of the declaration), with the key `id`"""

    def source(folder: Path, files: str | tuple[str, ...], **rest: Any) -> FileSource:
        return FileSource(SourceSpec.model_validate({"files": files, "key": "id", **rest}), folder)

    return source


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[tuple[Any, ...]]]:
    """rows(source): all of it"""

    def rows(files: FileSource) -> list[tuple[Any, ...]]:
        con = connect(threads=2)
        try:
            return con.execute(f"SELECT * FROM {files.attach(con)}").fetchall()
        finally:
            con.close()

    return rows


@pytest.fixture(scope="session")
def refusal(rows: Callable[..., Any]) -> Callable[..., InlayError]:
    """refusal(source): the error of reading all of it, whenever it shows"""

    def refusal(files: FileSource) -> InlayError:
        import duckdb

        try:
            found = rows(files)
        except InlayError as error:
            return error
        except duckdb.Error as error:
            return translate(error, files.title)
        raise AssertionError(f"nothing was refused: {found}")

    return refusal
