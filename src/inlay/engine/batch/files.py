"""The folder of batches beside the store: what is about to be sent, and what came back.

What stays true: a file that has its final name is whole and durable (written beside it, fsynced, renamed, and the
folder fsynced too); a file that is read is held against its digest first.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from inlay.errors import StoreError
from inlay.faultpoints import reach

LEFT_BEHIND_S = 6 * 3600.0


class Folder:
    """Where the files of batches are. Made when the first one is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def spool(self, submission: str) -> Spool:
        """A new file for the requests of a submission."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return Spool(self.path / f"{submission}.jsonl")
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def requests(self, submission: str, sha256: str) -> bytes:
        """The requests of a submission, as they were written. StoreError where they are not."""
        path = self.path / f"{submission}.jsonl"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"the requests of batch {submission} cannot be read: {path}: {error.strerror or error}",
                remedy=f"`inlay batch cancel {submission}` gives its rows back",
            ) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreError(
                f"{path} is not what was written for batch {submission}",
                remedy=f"`inlay batch cancel {submission}` gives its rows back",
            )
        return data

    def results(self, submission: str, name: str) -> Path:
        """Where a downloaded file of a submission is kept."""
        return self.path / f"{submission}.{name}.jsonl"

    def keep(self, partial: Path, path: Path) -> None:
        """Give a written file its final name, durably."""
        try:
            _sync(partial)
            reach("batch.before_rename")
            partial.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from None

    def remove(self, submission: str) -> None:
        """Delete all files of a submission. Idempotent; what cannot be deleted stays."""
        if not self.path.is_dir():
            return
        for path in self.path.glob(f"{submission}.*"):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue

    def sweep(self, known: Callable[[str], bool]) -> None:
        """Delete files that a killed run left behind: long untouched, and of no submission that is `known`."""
        if not self.path.is_dir():
            return
        for path in self.path.iterdir():
            submission = path.name.partition(".")[0]
            try:
                if time.time() - path.stat().st_mtime > LEFT_BEHIND_S and not known(submission):
                    path.unlink(missing_ok=True)
            except OSError:
                continue


class Spool:
    """Requests being written to a file, one a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._partial = path.with_name(path.name + ".part")
        self._file = self._partial.open("wb")
        self._digest = hashlib.sha256()

    def add(self, line: bytes) -> None:
        """Write one line, its line feed included."""
        try:
            self._file.write(line)
        except OSError as error:
            raise _unwritable(self.path, error) from None
        self._digest.update(line)
        self.size += len(line)

    def close(self) -> str:
        """Make the file whole and durable; its SHA-256."""
        try:
            self._file.close()
        except OSError as error:
            raise _unwritable(self.path, error) from None
        Folder(self.path.parent).keep(self._partial, self.path)
        return self._digest.hexdigest()

    def drop(self) -> None:
        """Write it off."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, one at a time. StoreError where it cannot be read."""
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise StoreError(
            f"the results of a batch cannot be read: {path}: {error.strerror or error}",
            remedy="run the same command again: what is not there is downloaded again",
        ) from None


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such thing for folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the files of batches cannot be written: {path}: {error.strerror or error}",
        remedy="free some disk space, or give this user write permission on the folder of the store",
    )
