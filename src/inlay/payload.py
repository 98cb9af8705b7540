"""How the fields of an answer are written down in the store: one compact JSON object, field name to parts.

    {"mood": {"v": "good", "c": 0.9, "e": ["so happy", "text", 10, 18]}, "stars": {"v": null, "n": "not_stated"}}

What stays true: every field has "v"; a null "v" has "n" (the reason); "e" is [quote] where the quote was not found
and [quote, source, start, end] where it was; "p" says why a value is invalid; "s" is "rule" or "human" where no
model gave the value. Append-only: a reader accepts all that an earlier writer wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from inlay.fingerprint import short_hash
from inlay.types import Correction, Evidence, FieldAnswer, NullReason


def encode_fields(fields: Mapping[str, FieldAnswer]) -> bytes:
    """The stored form of an answer's fields, in the declared order."""
    out: dict[str, Any] = {}
    for name, answer in fields.items():
        parts: dict[str, Any] = {"v": answer.value}
        if answer.null_reason is not None:
            parts["n"] = answer.null_reason.value
        if answer.confidence is not None:
            parts["c"] = answer.confidence
        if (evidence := answer.evidence) is not None:
            parts["e"] = (
                [evidence.quote, evidence.source, evidence.start, evidence.end]
                if evidence.verified
                else [evidence.quote]
            )
        if answer.problem:
            parts["p"] = answer.problem
        if answer.source is not None:
            parts["s"] = answer.source
        out[name] = parts
    return orjson.dumps(out)


def decode_fields(payload: bytes) -> dict[str, FieldAnswer]:
    """The inverse of `encode_fields`."""
    raw: dict[str, dict[str, Any]] = orjson.loads(payload) if payload else {}
    out: dict[str, FieldAnswer] = {}
    for name, parts in raw.items():
        reason = parts.get("n")
        quote = parts.get("e")
        evidence = None
        if quote is not None:
            evidence = Evidence(quote[0], True, *quote[1:4]) if len(quote) == 4 else Evidence(quote[0])
        out[name] = FieldAnswer(
            parts.get("v"),
            None if reason is None else NullReason(reason),
            parts.get("c"),
            evidence,
            parts.get("p"),
            parts.get("s"),
        )
    return out


def by_cell(corrections: Iterable[Correction]) -> dict[tuple[str, str], dict[str, FieldAnswer]]:
    """Corrections as fields that lie over an answer: (pass, row key) to field to what stands there instead."""
    out: dict[tuple[str, str], dict[str, FieldAnswer]] = {}
    for each in corrections:
        out.setdefault((each.pass_name, each.key), {})[each.field] = each.answer
    return out


def values_hash(fields: Mapping[str, FieldAnswer]) -> bytes:
    """16 bytes over the values alone (not confidence, not evidence): what a later pass could have read.

    Empty where there are no fields at all.
    """
    if not fields:
        return b""
    values = {name: answer.value for name, answer in fields.items()}
    return short_hash(orjson.dumps(values, option=orjson.OPT_SORT_KEYS))
