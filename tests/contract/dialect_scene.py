"""The fixtures of the dialects' contract: one JSON file a wire in dialect_cases/, and what each must hold.

A file:

    dialect     "module:Class", made with `endpoint` and `arguments` (keywords, may be left out)
    model       the name in the requests
    url         where a request of this wire goes
    own         one option that Inlay writes itself for each entry, and that is therefore refused
    without     outcome to reason: what this wire cannot say (each must be in OUTCOMES, and stay true)
    cases_of    another file, whose cases hold here too (may be left out)
    cases       the answers

A case: `name`, `shows` (one of OUTCOMES), `status`, `headers`, `body` (JSON, or a string that is sent as it is), and
what comes of it: `text` of a Completion with `usage` ([input, output, cached, written, reasoning] or null),
`truncated`, `served`, `request_id`; or `error` (a class of inlay.errors) with `says` (a part of its message), `usage`,
`possibly_paid`, `retry_after_s`, `request_id`, `told_status` (a status that stands inside the body). What a case does
not name is not checked, but `error` and `text`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inlay import errors, registry
from inlay.contracts import Dialect
from inlay.types import CallShape, Usage

FOLDER = Path(__file__).with_name("dialect_cases")
# Every wire shows each of these at least once, or says in `without` why it cannot.
OUTCOMES = (
    "done",
    "truncated",
    "refused",
    "filtered_in",
    "filtered_out",
    "usage_details",
    "usage_bare",
    "usage_null_details",
    "usage_absent",
    "invalid",
    "schema",
    "too_long",
    "authentication",
    "forbidden",
    "money",
    "model",
    "body_too_large",
    "rate_limited",
    "overloaded",
    "server",
    "timeout",
    "error_inside_200",
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "mood": {"type": ["string", "null"], "enum": ["good", "悪い", None], "description": 'A "quoted" word 😀.'},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "when": {"type": ["string", "null"], "format": "date"},
    },
    "required": ["mood", "stars", "when"],
    "additionalProperties": False,
}


class Wire:
    """One file of dialect_cases/."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self.cases: list[dict[str, Any]] = list(self.data["cases"])
        if (other := self.data.get("cases_of")) is not None:
            self.cases += Wire(path.with_name(f"{other}.json")).cases

    def __repr__(self) -> str:
        return self.name

    def dialect(self) -> Dialect:
        """The dialect, made anew."""
        return registry.load_target(self.data["dialect"])(self.data["endpoint"], **self.data.get("arguments", {}))

    def shape(self, **changes: Any) -> CallShape:
        """What the calls of a pass have in common, for this wire."""
        given: dict[str, Any] = {
            "model": self.data["model"],
            "system": "Answer from the record alone. レコードだけ",
            "schema": SCHEMA,
            "schema_name": "read",
            "max_output_tokens": 300,
            **changes,
        }
        return CallShape(**given)

    def shows(self, outcome: str) -> dict[str, Any]:
        """The first case of an outcome."""
        return next(case for case in self.cases if case["shows"] == outcome)


WIRES = [Wire(path) for path in sorted(FOLDER.glob("*.json"))]
CASES = [(wire, case) for wire in WIRES for case in wire.cases]


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes of a case's answer."""
    body = case["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def kind_of(case: dict[str, Any]) -> type[errors.ProviderError]:
    """The class that a case's `error` names."""
    found = getattr(errors, case["error"])
    assert issubclass(found, errors.ProviderError)
    return found


def usage_of(case: dict[str, Any]) -> Usage | None:
    """The usage that a case names."""
    return None if case["usage"] is None else Usage(*case["usage"])
