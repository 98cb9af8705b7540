"""The canonical form of an input, and the tagged hash that is an answer's address.

One definition, in two languages: `canonical()` here for Python values and `canonical_sql()` in `fingerprint_sql`
for DuckDB columns give the same bytes; a property test holds them equal. What stays true:

- a value is tagged by class (text, number, boolean, date, timestamp, bytes, null) and length-prefixed in UTF-8
  bytes, so no two different inputs share a form;
- text is Unicode NFC, and whatever else the pass declares in `normalize` (done before, by `normalize_text`);
- numbers have one form whatever their width: 5, 5.0 and 5.00 are `n1:5`;
- the same text that is hashed is what the template prints (`plain()`), so what the model sees is what is keyed.

The form may only ever be added to: a change gets a new tag (`inlay2:`), never a new meaning for the old one.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

TAG = "inlay1:"

# Unicode White_Space; written out so that Python and RE2 agree.
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
WHITE_SPACE_CHARACTERS = WHITE_SPACE.replace("\u2000-\u200a", "".join(map(chr, range(0x2000, 0x200B))))
_SPACES = re.compile(f"[{WHITE_SPACE}]+")
_ESCAPES = re.compile(r"\\(?:u[0-9a-f]{4}|.)")

NORMALIZERS = ("nfkc", "trim", "collapse_space")


def normalize_text(text: str, steps: Sequence[str] = ()) -> str:
    """NFC, then the pass's declared steps in the fixed order nfkc, collapse_space, trim."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC" if "nfkc" in steps else "NFC", text)
    if "collapse_space" in steps:
        text = _SPACES.sub(" ", text)
    if "trim" in steps:
        text = text.strip(WHITE_SPACE_CHARACTERS)
    return text


def plain(value: Any) -> str | None:
    """The canonical text of a scalar, as templates print it; None stays None."""
    form = _form(value)
    return None if form is None else form[1]


def _number(value: float | decimal.Decimal) -> str:
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return str(value).lower().replace("infinity", "inf")
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text in ("-0", "") else text
    if math.isfinite(value) and value == math.trunc(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _form(value: Any) -> tuple[str, str] | None:
    """(class tag, text) of a scalar."""
    if value is None:
        return None
    if isinstance(value, str):
        return "s", value if value.isascii() else unicodedata.normalize("NFC", value)
    if isinstance(value, bool):
        return "b", "true" if value else "false"
    if isinstance(value, int):
        return "n", str(value)
    if isinstance(value, float | decimal.Decimal):
        return "n", _number(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return "t", value.isoformat(" ", "seconds") + (f".{value.microsecond:06d}" if value.microsecond else "")
    if isinstance(value, dt.date):
        return "d", value.isoformat()
    if isinstance(value, dt.time):
        text = value.isoformat()  # as DuckDB prints a TIME: without trailing zeros
        return "s", text.rstrip("0") if value.microsecond else text
    if isinstance(value, bytes | bytearray | memoryview):
        return "x", bytes(value).hex()
    if isinstance(value, list | tuple | dict):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        if "\\u" in text:  # DuckDB writes control characters in upper-case hex
            text = _ESCAPES.sub(lambda match: match[0][:2] + match[0][2:].upper(), text)
        return "s", text if text.isascii() else unicodedata.normalize("NFC", text)
    return "s", str(value)


def canonical(values: Iterable[Any]) -> bytes:
    """The canonical bytes of an input: its values in the pass's fixed order (input names, sorted)."""
    parts: list[bytes] = []
    for value in values:
        form = _form(value)
        if form is None:
            parts.append(b"_;")
        else:
            data = form[1].encode("utf-8", "surrogatepass")
            parts.append(b"%s%d:%s;" % (form[0].encode(), len(data), data))
    return b"".join(parts)


Form = tuple[str, str] | None  # (class tag, text) of a value; None for null


class CanonicalInput(NamedTuple):
    """An input read back: the columns' values, what rules gave (as text), and what was read of earlier passes."""

    values: tuple[Form, ...]
    given: str = ""
    upstream: tuple[Form, ...] = ()


def read_canonical(data: bytes) -> CanonicalInput:
    """The inverse of what answers are addressed by: `canonical`, perhaps `!` and JSON, perhaps `|` and `canonical`.

    ValueError for bytes that are no such input.
    """
    values, at = _read_forms(data, 0)
    given = ""
    if data[at : at + 1] == b"!":
        text = data[at + 1 :].decode("utf-8", "surrogatepass")
        given = text[: json.JSONDecoder(strict=False).raw_decode(text)[1]]
        at += 1 + len(given.encode("utf-8", "surrogatepass"))
    upstream: tuple[Form, ...] = ()
    if data[at : at + 1] == b"|":
        upstream, at = _read_forms(data, at + 1)
    if at != len(data):
        raise ValueError(f"not a canonical input, at byte {at}")
    return CanonicalInput(values, given, upstream)


def _read_forms(data: bytes, at: int) -> tuple[tuple[Form, ...], int]:
    """Values from there on, and where they end."""
    out: list[Form] = []
    while at < len(data) and (mark := data[at : at + 1]) not in (b"!", b"|"):
        start, at = at, at + 1
        if mark == b"_":
            out.append(None)
        else:
            colon = data.find(b":", at)
            digits = data[at:colon] if colon > 0 else b""
            if mark not in (b"s", b"n", b"b", b"d", b"t", b"x") or not digits.isdigit():
                raise ValueError(f"not a canonical input, at byte {start}")
            at = colon + 1 + int(digits)
            out.append((mark.decode(), data[colon + 1 : at].decode("utf-8", "surrogatepass")))
        if data[at : at + 1] != b";":
            raise ValueError(f"not a canonical input, at byte {start}")
        at += 1
    return tuple(out), at


def key_text(values: Sequence[Any]) -> str | None:
    """A row key as one text: the SQL twin is `key_sql`. None where a part is None: such a row cannot be kept.

    One value: its plain text, but exactly as it is, without NFC. Several: each as `BYTES:text`, joined, so that no
    two keys share a text; `key_parts` takes them apart again.
    """
    texts = [value if isinstance(value, str) else plain(value) for value in values]
    if len(texts) == 1:
        return texts[0]
    parts: list[str] = []
    for text in texts:
        if text is None:
            return None
        parts.append(f"{len(text.encode('utf-8', 'surrogatepass'))}:{text}")
    return "".join(parts)


def key_parts(text: str, n: int) -> tuple[str, ...]:
    """The `n` parts that `key_text` joined; ValueError for a text that it did not make."""
    if n == 1:
        return (text,)
    data = text.encode("utf-8", "surrogatepass")
    parts: list[str] = []
    at = 0
    while at < len(data):
        colon = data.find(b":", at)
        digits = data[at:colon] if colon > 0 else b""
        if not digits.isdigit() or colon + 1 + int(digits) > len(data):
            raise ValueError(f"not a row key of {n} parts: {text!r}")
        at = colon + 1 + int(digits)
        parts.append(data[colon + 1 : at].decode("utf-8", "surrogatepass"))
    if len(parts) != n:
        raise ValueError(f"not a row key of {n} parts: {text!r}")
    return tuple(parts)


def upstream_hash(values_hashes: Iterable[bytes]) -> bytes:
    """16 bytes over the values hashes of the answers that a cell read, in the order of `upstream_passes`."""
    return short_hash("".join(part.hex() for part in values_hashes).encode())


def short_hash(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256: what cells compare (source, input, upstream, values)."""
    return hashlib.sha256(data).digest()[:16]


def recipe_text(recipe: Any) -> str:
    """A recipe as canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(recipe, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def recipe_digest(text: str) -> bytes:
    """SHA-256 (32 bytes) of `recipe_text(...)`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def address(digest: bytes, canonical_input: bytes) -> bytes:
    """An answer's address: SHA-256 (32 bytes) over tag, recipe digest and canonical input."""
    return hashlib.sha256(TAG.encode() + digest + canonical_input).digest()


def show(fingerprint: bytes) -> str:
    """The printed form of an address, `inlay1:<64 hex digits>`."""
    return TAG + fingerprint.hex()
