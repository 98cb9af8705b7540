"""Schemas that a simulator was asked with: each is read once, held to its wire's subset, and compiled to answers.

What stays true: the answer to a message depends on what the schema means, not on the wire that carried it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from inlay.testing.answers import answer_by_schema
from inlay.testing.meaning import may_be_absent, meant, without_absent
from inlay.testing.packed import answer_packed, packed_part
from inlay.testing.settings import SimulatorSpec
from inlay.testing.wire import Failure, SimRequest, Wire

_MOST = 1_000  # a client with a schema of its own for each call must not fill the memory


@dataclass(slots=True)
class SchemaUse:
    """A schema in use: its characters in the one form, what the wire has against it, and its answers."""

    chars: int
    problem: Failure | None
    answer: Callable[[int, str], str]


class Schemas:
    """The schemas in use under one `SimulatorSpec`."""

    def __init__(self, spec: SimulatorSpec) -> None:
        self._spec = spec
        self._known: dict[bytes, SchemaUse] = {}

    def of(self, wire: Wire, request: SimRequest) -> SchemaUse | None:
        """The request's schema in use; None for a request without one."""
        schema = request.schema
        if schema is None:
            return None
        raw = orjson.dumps([wire.name, wire.subset, request.schema_name, request.strict, schema])
        use = self._known.get(raw)
        if use is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            problem = wire.check_schema(request) if self._spec.check_schema else None
            form = meant(schema)
            finish = (lambda value: without_absent(value, schema)) if may_be_absent(schema) else None
            null_share = self._spec.null_share
            if (part := packed_part(form)) is None:
                answer = answer_by_schema(form, null_share=null_share, finish=finish)
            else:
                answer = answer_packed(part, null_share=null_share, finish=finish)
            use = self._known[raw] = SchemaUse(len(orjson.dumps(form).decode()), problem, answer)
        return use
