"""Where a dump is, and of which day: a file or an object in S3, plain or compressed with gzip, read as a stream.

What stays true: nothing is kept on disk; a pattern's day is looked for by name alone; a day that is missing is an error
that names the nearest ones there are. botocore is imported where an address begins with s3://, and takes credentials,
region and AWS_ENDPOINT_URL from the environment as AWS's own tools do.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from inlay.errors import SourceError, SpecError

CHUNK = 1 << 20
_DATE = re.compile(r"\{date(?::([^{}]*))?\}")
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "y": r"\d{2}", "j": r"\d{3}"}
_GZIP = b"\x1f\x8b"
_TRIES = 5


class _Stream(Protocol):
    size: int | None

    def read(self, most: int) -> bytes: ...

    def close(self) -> None: ...


class Dump:
    """A dump that is open: a context manager. `read` counts the bytes of the file that were taken."""

    def __init__(self, name: str, stream: _Stream, tail: bytes | None = None) -> None:
        self.name = name
        self.size = stream.size
        self.read = 0
        self.broken: str | None = None  # why the compressed stream ended early
        self._stream = stream
        self._tail = tail

    def __enter__(self) -> Dump:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def ends_early(self) -> bool:
        """Whether a plain file can be seen to lack the last line that its first promises, without reading it."""
        if self._tail is None or len(self._tail) < 2:
            return False
        head, tail = self._tail[:4096], self._tail[4096:]
        has_header = re.search(rb"^-- (?:MySQL|MariaDB) dump", head, re.MULTILINE | re.IGNORECASE) is not None
        return has_header and re.search(rb"^-- Dump completed", tail, re.MULTILINE | re.IGNORECASE) is None

    def chunks(self) -> Iterator[bytes]:
        """The dump's bytes, unpacked. SourceError where the compression is damaged rather than cut off."""
        first = self._take()
        if first[:2] != _GZIP:
            while first:
                yield first
                first = self._take()
            return
        unpack = zlib.decompressobj(31)
        data, begun = first, True
        while data:
            try:
                # Bounded, however well it was packed.
                out = unpack.decompress(data, CHUNK)
            except zlib.error as error:
                raise SourceError(
                    f"{self.name}: its compression is damaged ({error}); nothing was changed", remedy="copy it again"
                ) from None
            if out:
                yield out
            data, begun = unpack.unconsumed_tail, True
            if unpack.eof:
                data = unpack.unused_data or self._take()
                unpack, begun = zlib.decompressobj(31), False
                if data[:1] == b"\0":
                    return  # padding
            elif not data:
                data = self._take()
        if begun and not unpack.eof:
            self.broken = "the compressed stream ends early"

    def _take(self) -> bytes:
        data = self._stream.read(CHUNK)
        self.read += len(data)
        return data


class _File:
    def __init__(self, path: Path) -> None:
        try:
            self.size: int | None = path.stat().st_size
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise SourceError(
                f"{path}: the dump cannot be read: {error.strerror}",
                remedy="check the path" if isinstance(error, FileNotFoundError) else "give this user the right to read",
            ) from None

    def ends(self) -> bytes:
        """Its first and its last 4 kB."""
        head = self._file.read(4096)
        self._file.seek(-min(4096, self.size or 0), os.SEEK_END)
        tail = self._file.read()
        self._file.seek(0)
        return head.ljust(4096) + tail

    def read(self, most: int) -> bytes:
        return self._file.read(most)

    def close(self) -> None:
        self._file.close()


class _Object:
    """An object of S3; a connection that breaks is taken up again where it was, as long as the object is the same."""

    def __init__(self, bucket: str, key: str) -> None:
        self._client, self._errors = _s3()
        self._place = {"Bucket": bucket, "Key": key}
        self._shown = f"s3://{bucket}/{key}"
        try:
            found = self._ask(lambda: self._client.get_object(**self._place))
        except SourceError:
            self._client.close()
            raise
        self.size: int | None = found["ContentLength"]
        self._tag, self._body, self._at = found["ETag"], found["Body"], 0

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._errors as error:
            raise _of_s3(error, self._shown) from None

    def read(self, most: int) -> bytes:
        tries = 0
        while True:
            try:
                data = self._body.read(most)
            except Exception as error:  # noqa: BLE001 (botocore, urllib3 and the socket each have their own)
                tries += 1
                if tries >= _TRIES:
                    raise SourceError(
                        f"{self._shown}: the download broke off: {type(error).__name__}", remedy="try again"
                    ) from None
                with contextlib.suppress(Exception):  # it is broken: how it closes is nobody's concern
                    self._body.close()
                self._body = self._ask(
                    lambda: self._client.get_object(**self._place, Range=f"bytes={self._at}-", IfMatch=self._tag)
                )["Body"]
                continue
            self._at += len(data)
            return data

    def close(self) -> None:
        self._body.close()
        self._client.close()


def is_remote(place: str) -> bool:
    """Whether a dump's place is in S3."""
    return place.lower().startswith("s3://")


def opened(place: str, folder: Path) -> Dump:
    """The dump at a path (seen from `folder`) or an s3:// address. Raises SourceError, SpecError for a form."""
    if is_remote(place):
        bucket, key = _bucket(place)
        return Dump(place, _Object(bucket, key))
    if "://" in place:
        raise SpecError(f"a dump is a path or s3://bucket/key, not {place.split('://')[0]}://", key="load.dump")
    path = folder / Path(place).expanduser()
    if path.is_dir():
        raise SourceError(f"{path}: the dump is a folder", remedy="name a file in it")
    file = _File(path)
    plain = file.ends() if file.size else None
    return Dump(place, file, None if plain is None or plain[:2] == _GZIP else plain)


def _bucket(place: str) -> tuple[str, str]:
    bucket, _, key = place[5:].partition("/")
    if not bucket or not key:
        raise SpecError(f"{place} names no object", key="load.dump", remedy="write it like s3://bucket/folder/dump.sql")
    return bucket, key


def _s3() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise SpecError(
            "s3:// needs the package botocore", key="load.dump", remedy="pip install 'inlay[aws]'"
        ) from None
    session = botocore.session.Session()
    region = session.get_config_variable("region") or "us-east-1"
    config = Config(retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=10, read_timeout=60)
    try:
        return session.create_client("s3", region_name=region, config=config), (BotoCoreError, ClientError)
    except BotoCoreError as error:
        raise SpecError(f"S3 cannot be asked: {error}", key="load.dump", remedy="check the AWS environment") from None


def _of_s3(error: Any, shown: str) -> SourceError:
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__))
    if code in ("NoSuchKey", "404", "NoSuchBucket"):
        return SourceError(f"{shown}: there is no such object ({code})", remedy="check the bucket and the key")
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
        return SourceError(f"{shown}: S3 does not allow it ({code})", remedy="give this role s3:GetObject on it")
    if code in ("NoCredentialsError", "CredentialRetrievalError", "PartialCredentialsError"):
        return SourceError(f"{shown}: there are no AWS credentials", remedy="set AWS_PROFILE, or run under a role")
    if code == "PreconditionFailed":
        return SourceError(f"{shown}: it was written anew while it was read", remedy="load again")
    return SourceError(
        f"{shown}: S3 could not be asked: {code}", remedy="try again; check AWS_ENDPOINT_URL if it is set"
    )


# --- days


def has_date(place: str) -> bool:
    """Whether a place is a pattern with a day in it."""
    return _DATE.search(place) is not None


def dated(place: str, day: dt.date) -> str:
    """A pattern with its day filled in."""
    return _DATE.sub(lambda found: day.strftime(_format(found)), place)


def of_day(place: str, folder: Path, day: dt.date) -> str:
    """The dump of one day. SourceError where it is not there, with the nearest days that are."""
    chosen = dated(place, day)
    there = _days(place, folder)
    if day in there:
        return chosen
    near = sorted(there, key=lambda other: (abs((other - day).days), other))[:3]
    shown = ", ".join(dated(place, other).rsplit("/", 1)[-1] for other in sorted(near))
    raise SourceError(
        f"{chosen}: there is no dump of {day}",
        remedy=f"the nearest are: {shown}; `date: latest` (or --date) takes another day"
        if near
        else "there is none of any other day either; check load.dump",
    )


def latest(place: str, folder: Path) -> tuple[str, dt.date]:
    """The dump of the latest day that there is. SourceError where there is none."""
    there = _days(place, folder)
    if not there:
        raise SourceError(f"{place}: there is no dump of any day", remedy="check load.dump and its folder")
    day = max(there)
    return dated(place, day), day


def _format(found: re.Match[str]) -> str:
    form = found[1] or "%Y-%m-%d"
    bare = re.sub(r"%[Yymdj]", "", form)
    if "%" in bare or form == bare:
        raise SpecError(
            f"the day in load.dump is written with %Y %m %d %y %j, not {form!r}",
            key="load.dump",
            remedy="for example {date:%Y%m%d}",
        )
    return form


def _days(place: str, folder: Path) -> set[dt.date]:
    """The days that there are dumps of."""
    pattern, forms = _pattern(place if is_remote(place) else str(folder / Path(place).expanduser()))
    head = place.partition("{date")[0]
    days = set()
    for name in _objects(head) if is_remote(place) else _paths(str(folder / Path(place).expanduser())):
        found = pattern.fullmatch(name)
        if found is None:
            continue
        try:
            days.add(dt.datetime.strptime(" ".join(found.groups()), " ".join(forms)).date())
        except ValueError:
            continue  # digits that are no day
    return days


def _pattern(place: str) -> tuple[re.Pattern[str], list[str]]:
    """A pattern for names; each directive is asked for once, further ones must say the same."""
    out, at, forms = "", 0, []
    seen: dict[str, int] = {}
    for found in _DATE.finditer(place):
        out += re.escape(place[at : found.start()])
        at = found.end()
        for part in re.split(r"(%[Yymdj])", _format(found)):
            letter = part[1:] if part.startswith("%") else ""
            if letter in seen:
                out += f"(?:\\{seen[letter]})"
            elif letter:
                seen[letter] = len(forms) + 1
                forms.append(part)
                out += f"({_DIRECTIVES[letter]})"
            else:
                out += re.escape(part)
    return re.compile(out + re.escape(place[at:])), forms


def _paths(place: str) -> Iterator[str]:
    parts = _DATE.split(place)[::2]
    yield from glob.glob("*".join(glob.escape(part) for part in parts))  # noqa: PTH207 (a pattern, not a path)


def _objects(head: str) -> Iterator[str]:
    bucket, _, prefix = head[5:].partition("/")
    client, errors = _s3()
    more: dict[str, str] = {}
    with contextlib.closing(client):
        while True:
            try:
                found = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
            except errors as error:
                raise _of_s3(error, f"s3://{bucket}/{prefix}") from None
            for entry in found.get("Contents", ()):
                yield f"s3://{bucket}/{entry['Key']}"
            if not found.get("IsTruncated"):
                return
            more = {"ContinuationToken": found["NextContinuationToken"]}
