"""AWS signatures (version 4) as a server checks them: the signature is made again from the request and compared.

What stays true: a wrong key, a changed body, path, query or signed header, and a clock five minutes off, are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from urllib.parse import quote, unquote

from inlay.testing.wire import Arrival, Failure

ALGORITHM = "AWS4-HMAC-SHA256"
_FIELDS = re.compile(
    r"Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_SKEW_S = 300.0


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether the request carries an AWS signature."""
    return headers.get("authorization", "").startswith(ALGORITHM)


def access_key(headers: Mapping[str, str]) -> str:
    """The access key that a signature names, or an empty text."""
    found = re.search(r"Credential=([^/,\s]+)/", headers.get("authorization", ""))
    return found[1] if found else ""


def signature_problem(arrival: Arrival, keys: Mapping[str, str] | None) -> Failure | None:
    """What is wrong with a request's signature. `keys` are secret keys by access key; without any the form is held."""
    headers = arrival.headers
    found = _FIELDS.fullmatch(headers.get("authorization", "").removeprefix(ALGORITHM).strip())
    stamp = headers.get("x-amz-date", "")
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        return Failure(403, "signature", "Authorization header requires Credential, SignedHeaders and Signature.")
    if keys is None:
        return None
    secret = keys.get(found[1])
    if secret is None:
        return Failure(403, "authentication", "The security token included in the request is invalid.")
    if abs(time.time() - timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))) > _SKEW_S:
        return Failure(403, "expired", "Signature expired.")
    expected = _signature(arrival, secret, scope=found.group(2, 3, 4), signed=found[5].split(";"), stamp=stamp)
    if not hmac.compare_digest(expected, found[6]):
        message = "The request signature we calculated does not match the signature you provided."
        return Failure(403, "signature", message)
    return None


def _signature(arrival: Arrival, secret: str, *, scope: tuple[str, ...], signed: list[str], stamp: str) -> str:
    date, region, service = scope
    # S3 signs the path as it is sent; every other service escapes it once more.
    path = arrival.path if service == "s3" else quote(arrival.path, safe="/-_.~")
    pairs = sorted(
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in (part.partition("=") for part in arrival.query.split("&") if part)
    )
    body = hashlib.sha256(arrival.body).hexdigest()
    told = arrival.headers.get("x-amz-content-sha256", body)
    canonical = "\n".join(
        [
            arrival.method,
            path or "/",
            "&".join([f"{name}={value}" for name, value in pairs]),
            *[f"{name}:{' '.join(arrival.headers.get(name, '').split())}" for name in signed],
            "",
            ";".join(signed),
            # What the client says of its body is signed; it must be true, unless it says that it does not sign it.
            told if told.startswith(("UNSIGNED", "STREAMING")) else body,
        ]
    )
    text = "\n".join(
        [ALGORITHM, stamp, f"{date}/{region}/{service}/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
