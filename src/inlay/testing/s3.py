"""A small object store that speaks S3: enough for the input and output of Bedrock's jobs, in path style below /s3.

Buckets need not be made first. What stays true: objects are whole or not there; a key may hold any character; with
`s3_endpoint` the jobs use that store instead of this one.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import time
from email.utils import formatdate
from html import escape, unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from inlay.errors import InlayError
from inlay.testing.sigv4 import is_signed
from inlay.testing.wire import Arrival, Reply, bearer

if TYPE_CHECKING:
    from inlay.testing.service import Service

_PATH = re.compile(r"/s3(?:/([^/?]+))?(?:/(.*))?", re.DOTALL)
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_REMOTE_S = 10.0


class ObjectStore:
    """Buckets of objects, over HTTP and for the jobs inside."""

    signed = True

    def __init__(self, service: Service) -> None:
        self._service = service
        self._objects: dict[tuple[str, str], tuple[bytes, float]] = {}
        self._jobs: dict[tuple[str, str], int] = {}  # the number of the job that wrote an object

    def secret(self, headers: dict[str, str]) -> str:
        """S3 takes signatures alone; a bearer key is let in where it is one of ours."""
        return bearer(headers)

    def reply(self, arrival: Arrival) -> Reply | None:
        """The reply to a request below /s3; None for any other path."""
        found = _PATH.fullmatch(arrival.path)
        if found is None:
            return None
        if (refused := self._service.refused(arrival, self)) is not None:  # type: ignore[arg-type]
            code = "SignatureDoesNotMatch" if is_signed(arrival.headers) else "AccessDenied"
            return _error(403, code, refused.message)
        bucket, key = unquote(found[1] or ""), unquote(found[2] or "")
        if not bucket:
            return _error(405, "MethodNotAllowed", "The buckets cannot be listed.")
        query = {name: values[-1] for name, values in parse_qs(arrival.query, keep_blank_values=True).items()}
        if not key:
            return self._of_bucket(arrival, bucket, query)
        place = (bucket, key)
        if arrival.method == "PUT":
            data = _plain(arrival)
            self._objects[place] = (data, time.time())
            return Reply(200, b"", headers=[("etag", _etag(data))])
        if arrival.method == "DELETE":
            self._objects.pop(place, None)
            return Reply(204, b"")
        if arrival.method not in ("GET", "HEAD"):
            return _error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        if place not in self._objects:
            reply = _error(404, "NoSuchKey", "The specified key does not exist.")
            reply.bodiless = arrival.method == "HEAD"
            return reply
        data, at = self._objects[place]
        headers = [("etag", _etag(data)), ("last-modified", formatdate(at, usegmt=True))]
        reply = Reply(200, data, content_type="binary/octet-stream", headers=headers)
        reply.bodiless = arrival.method == "HEAD"
        return reply if reply.bodiless else self._spoilt(reply, self._jobs.get(place, 0))

    def _spoilt(self, reply: Reply, job: int) -> Reply:
        """A job's results, cut or refused where a fault says so."""
        names = ("download_500", "download_cut", "download_short")
        struck = self._service.desk.first_strike(job, *names) if job else ""
        if struck == "download_500":
            return _error(500, "InternalError", "We encountered an internal error. Please try again.")
        if struck == "download_cut":
            reply.delivery = "reset_mid_body"
        elif struck:
            reply.body = reply.body[: len(reply.body) // 2]
        return reply

    def _of_bucket(self, arrival: Arrival, bucket: str, query: dict[str, str]) -> Reply:
        if arrival.method == "GET" and query.get("list-type") == "2":
            return self._list(bucket, query)
        if arrival.method == "POST" and "delete" in query:
            return self._delete(bucket, arrival.body)
        if arrival.method in ("PUT", "HEAD"):
            return Reply(200, b"", bodiless=True)
        return _error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def _list(self, bucket: str, query: dict[str, str]) -> Reply:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        most = int(query["max-keys"]) if query.get("max-keys", "").isdecimal() else 1_000
        names = sorted(k for b, k in self._objects if b == bucket and k.startswith(prefix) and k > after)
        page = names[:most]
        shown = (lambda name: quote(name)) if query.get("encoding-type") == "url" else escape
        rows = []
        for name in page:
            data, at = self._objects[bucket, name]
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            rows.append(
                f"<Contents><Key>{shown(name)}</Key><LastModified>{stamp}</LastModified><ETag>{escape(_etag(data))}"
                f"</ETag><Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = len(names) > most
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more and page else ""
        encoding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") == "url" else ""
        xml = (
            f"{_XML}<ListBucketResult {_NAMESPACE}><Name>{escape(bucket)}</Name><Prefix>{shown(prefix)}</Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>{encoding}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(rows)}</ListBucketResult>"
        )
        return Reply(200, xml.encode(), content_type="application/xml")

    def _delete(self, bucket: str, body: bytes) -> Reply:
        names = [unescape(name) for name in re.findall(r"<Key>(.*?)</Key>", body.decode("utf-8", "replace"))]
        for name in names:
            self._objects.pop((bucket, name), None)
        rows = "".join([f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names])
        xml = f"{_XML}<DeleteResult {_NAMESPACE}>{rows}</DeleteResult>"
        return Reply(200, xml.encode(), content_type="application/xml")

    # for the jobs

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """The names of all objects that begin so, in order."""
        if self._service.spec.s3_endpoint is None:
            return sorted(key for b, key in self._objects if b == bucket and key.startswith(prefix))
        xml = self._remote("GET", f"/{quote(bucket)}?list-type=2&prefix={quote(prefix, safe='')}").decode()
        return sorted(unescape(name) for name in re.findall(r"<Key>(.*?)</Key>", xml))

    def read(self, bucket: str, key: str) -> bytes:
        """An object's bytes."""
        if self._service.spec.s3_endpoint is None:
            return self._objects[bucket, key][0]
        return self._remote("GET", f"/{quote(bucket)}/{quote(key)}")

    def write(self, bucket: str, key: str, data: bytes, *, job: int = 0) -> None:
        """Put an object in place. `job` is the number of the job whose results it holds."""
        self._jobs[bucket, key] = job
        if self._service.spec.s3_endpoint is None:
            self._objects[bucket, key] = (data, time.time())
        else:
            self._remote("PUT", f"/{quote(bucket)}/{quote(key)}", data)

    def _remote(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request to another store, unsigned: it is a test's own."""
        place = urlsplit(self._service.spec.s3_endpoint or "")
        connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=_REMOTE_S)
        try:
            connection.request(method, place.path.rstrip("/") + path, body)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise InlayError(f"the object store does not answer: {error}", remedy="see `s3_endpoint`") from None
        finally:
            connection.close()
        if answer.status >= 300:
            raise InlayError(f"the object store answered {answer.status} to {method}", remedy="see `s3_endpoint`")
        return data


def _plain(arrival: Arrival) -> bytes:
    """The object's bytes, out of the chunks in which AWS's clients may send them."""
    if "aws-chunked" not in arrival.headers.get("content-encoding", ""):
        return arrival.body
    data, rest = b"", arrival.body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        data, rest = data + rest[:length], rest[length + 2 :]
    return data


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str, message: str) -> Reply:
    xml = f"{_XML}<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Reply(status, xml.encode(), content_type="application/xml")
