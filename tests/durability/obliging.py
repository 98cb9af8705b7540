"""A model that does just as it is told, however many tasks and records come at once: what it says about a record
depends on that record's text and the fields alone. So the same rows give the same table in calls of any shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from inlay.testing import SimRequest
from inlay.testing.answers import answer_by_schema

PACKED, ONE = "s, one a line:\n", "The record:\n"


def records_of(request: SimRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """(id, values) of each record of a call; the id is empty in a call of one. What a call is, its schema says: records
    may hold any text."""
    assert request.schema is not None
    parts = request.schema["properties"]
    if set(parts) == {"answers"}:
        for line in request.user.split(PACKED, 1)[1].split("\n"):
            told = json.loads(line)
            yield told["id"], told.get("record") or {"prompt": told["prompt"]}
    elif len(tasks(request.schema)) > 1:
        yield "", json.loads(request.user.split(f"\n\n{ONE}", 1)[1])
    else:
        yield "", {"text": request.user.split(": ", 1)[-1]}


def tasks(schema: dict[str, Any]) -> list[str]:
    """The names of the passes that one answer is about; none where it is about a single one."""
    parts = schema["properties"]
    whole = all(part.get("type") == "object" and "value" not in part.get("properties", {}) for part in parts.values())
    return list(parts) if whole and len(parts) > 1 else []


def of_record(schema: dict[str, Any], text: str) -> Any:
    """The answer about one record."""
    bits = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return orjson.loads(answer_by_schema(schema, null_share=0.2)(bits, text))


def of_tasks(schema: dict[str, Any], values: dict[str, str]) -> Any:
    """The answers to each task about one record, or to the only one."""
    text = values.get("text") or values.get("prompt", "").split(": ", 1)[-1]
    if names := tasks(schema):
        return {name: of_record(schema["properties"][name], text) for name in names}
    return of_record(schema, text)


def obliging(request: SimRequest) -> str:
    """The answer to any call."""
    return json.dumps(answers(request), ensure_ascii=False)


def answers(request: SimRequest) -> Any:
    assert request.schema is not None
    found = list(records_of(request))
    if not found[0][0]:
        return of_tasks(request.schema, found[0][1])
    part = request.schema["properties"]["answers"]["items"]["properties"]["answer"]
    return {"answers": [{"id": name, "answer": of_tasks(part, values)} for name, values in found]}


def spoiling(change: Callable[[SimRequest, list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[SimRequest], str]:
    """The same, with the list of answers to a packed call changed on its way out."""

    def answer(request: SimRequest) -> str:
        said = answers(request)
        if isinstance(said, dict) and set(said) == {"answers"}:
            said = {"answers": change(request, said["answers"])}
        return json.dumps(said, ensure_ascii=False)

    return answer
