"""Answers to several records in one call: an entry for each record that the message lists, under the record's own id.

Inlay packs records as JSON lines with an `id`; a schema whose one property is a list of {id, answer} asks for them.
What stays true: what is said of a record depends on that record's line alone, not on its id or its company.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from inlay.testing.answers import answer_by_schema

_LINES = ({"id", "record"}, {"id", "prompt"})


def packed_part(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer to one record, where the schema asks for a list of such answers; None otherwise."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or set(properties) != {"answers"}:
        return None
    items = properties["answers"].get("items") if isinstance(properties["answers"], dict) else None
    parts = items.get("properties") if isinstance(items, dict) else None
    return parts["answer"] if isinstance(parts, dict) and set(parts) == {"id", "answer"} else None


def answer_packed(
    part: dict[str, Any], *, null_share: float, finish: Callable[[Any], Any] | None = None
) -> Callable[[int, str], str]:
    """Like `answer_by_schema`, for a message that lists records."""
    one = answer_by_schema(part, null_share=null_share)

    def answer(bits: int, text: str) -> str:
        entries: list[dict[str, Any]] = []
        for line in text.split("\n"):
            record = _record(line)
            if record is None:
                continue
            said = orjson.dumps(record.get("record", record.get("prompt")), option=orjson.OPT_SORT_KEYS)
            own = int.from_bytes(hashlib.sha256(said).digest()[:8], "big")
            entries.append({"id": record["id"], "answer": orjson.loads(one(own, said.decode()))})
        document: Any = {"answers": entries}
        return orjson.dumps(finish(document) if finish is not None else document).decode()

    return answer


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"id":'):
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and set(found) in _LINES else None
