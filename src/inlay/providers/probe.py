"""What a server really does with a schema: a question whose obedient answer the schema forbids.

The schema allows red and blue, and the instruction asks for the bare word green. A server that enforces the schema
cannot say green; one that only writes JSON says it inside an object; one that looks at no schema says it plainly.

What stays true: a form that is not enforced is not worth sending, since an answer is validated here in any case; a
probe asks each form once, stops at the first that is enforced, and costs what it says (`calls`, `usage`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import orjson

from inlay.contracts import Dialect
from inlay.errors import InvalidRequest, SchemaRejected
from inlay.providers.compatible import FORMS, Form
from inlay.types import CallShape, HttpRequest, Usage

Outcome: TypeAlias = Literal["enforced", "accepted, not enforced", "ignored", "refused"]

QUESTION = (
    'This is a test of the connection. Reply with the bare word "green": no JSON, no quotation marks, nothing else.'
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
# A model that reasons does so before its one word.
MAX_OUTPUT_TOKENS = 2048
_OBJECT = re.compile(r"\{[^{}]*\}")


class Sender(Protocol):
    """What a probe sends through; fulfilled by providers.transport.Transport."""

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange: status, headers (lower case), body."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was learnt of one model at one endpoint. `form` is the one to use: the first that is enforced, otherwise
    "prompt". `outcomes` holds the forms that were asked, in order; `usage` is None where the server told none."""

    form: Form
    outcomes: Mapping[Form, Outcome]
    calls: int
    usage: Usage | None

    @property
    def enforced(self) -> bool:
        """Whether the server holds answers to the schema."""
        return self.outcomes.get(self.form) == "enforced"

    @property
    def sentence(self) -> str:
        """What was found, in words: `json_schema is refused, json_object is enforced`."""
        return ", ".join(f"{form} is {outcome}" for form, outcome in self.outcomes.items())


async def probe(dialect: Dialect, transport: Sender, model: str) -> Verdict:
    """Ask the model at most three short questions. Costs money wherever its calls do.

    A dialect that has one form only (any but `compatible`) is asked once, as "json_schema". Raises ProviderError for
    what is no verdict on a form: a wrong key, an unknown model, a server that is not there.
    """
    forms: tuple[Form, ...] = FORMS[:-1] if hasattr(dialect, "structured") else ("json_schema",)
    outcomes: dict[Form, Outcome] = {}
    used: list[Usage | None] = []
    for form in forms:
        asked = copy.copy(dialect)
        if hasattr(dialect, "structured"):
            asked.structured = form  # type: ignore[attr-defined]
        request = asked.encoder(question(model))(QUESTION)
        try:
            completion = asked.read(*await transport.send(request))
        except (SchemaRejected, InvalidRequest):
            outcomes[form] = "refused"
            continue
        used.append(completion.usage)
        outcomes[form] = judge(completion.text)
        if outcomes[form] == "enforced":
            break
    best: Form | None = next((form for form, outcome in outcomes.items() if outcome == "enforced"), None)
    known = [usage for usage in used if usage is not None]
    return Verdict(
        best or ("prompt" if hasattr(dialect, "structured") else "json_schema"),
        outcomes,
        len(outcomes),
        sum(known, Usage()) if len(known) == len(used) else None,
    )


def question(model: str) -> CallShape:
    """The question's shape."""
    return CallShape(model, "", SCHEMA, "probe", MAX_OUTPUT_TOKENS, cache=False)


def judge(text: str) -> Outcome:
    """What an answer to the question says of the server. Pure; any text."""
    for found in reversed(_OBJECT.findall(text)):  # the last: reasoning may stand before the answer
        try:
            data = orjson.loads(found)
        except orjson.JSONDecodeError:
            continue
        return "enforced" if data in ({"colour": "red"}, {"colour": "blue"}) else "accepted, not enforced"
    return "ignored"
