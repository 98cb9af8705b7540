"""Several asks in one call: the passes of one row (fused), the records of one pass (packed), or both at once.

    tasks     what is asked, with {names} in place of values: the same text in every call, so a provider can cache it
    record    the values, as JSON, so that no record can write itself out of its own line
    answer    by pass name where passes are fused, by a random id of this one request where records are packed

What stays true: each ask keeps its own address, answer, cost and retry, as if it had gone alone; an answer counts only
under the id that its record was sent with, and only once, so a missing, doubled or foreign id costs no other record
anything; where the whole is not JSON, the entries that are whole are still read.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from inlay.engine.answer import parse
from inlay.engine.ask import (
    answer_schema,
    closed_object,
    estimate_output_tokens,
    shared_system_prompt,
)
from inlay.engine.passwork import MOST_OUTPUT_TOKENS, PassWork, Variant
from inlay.engine.salvage import DECODER, Salvage
from inlay.engine.work import Ask
from inlay.providers.prices import estimate_tokens
from inlay.types import HttpRequest, Usage

# A record is short up to here, and so many tokens of records go out together (`pack: auto`).
SHORT_RECORD, FULL_PACK, MOST_AUTO = 300, 3_000, 16
# However a pack is declared: more than this in one call is not answered well.
LARGEST_CALL = 60_000
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_LENGTH = 8
_LONGEST = 4_000_000
_MOST_STARTS = 5_000
# A provider that has refused so many calls of one shape, and taken none, is not sent another.
_MOST_REFUSALS = 3

Record = list[Ask]


class Shared:
    """Calls of one shape: these passes, asking these fields; of one record each, or of several."""

    def __init__(self, variants: Sequence[Variant], *, packed: bool) -> None:
        """Raises SpecError where the provider does not take the schema of all of it."""
        self.variants = list(variants)
        self.packed = packed
        self.work = variants[0].work
        fields = {variant.work.name: variant.fields for variant in variants}
        self._names = tuple(fields)
        self._tasks = _tasks(variants)
        simple = self.work.compiled.prompt.is_simple
        self._holds = "record" if simple else "prompt"
        self._heading = "The records, one a line:" if simple else "The prompts, one a line:"
        self.schema = self._schema(fields)
        self._record_cap = sum(_cap(variant, packed=packed) for variant in variants)
        self.system = shared_system_prompt(fields, packed=packed)
        self.refusals = 0
        self._by_size: dict[int, Any] = {}
        self._make = lambda cap: self._dialect().encoder(self.work.shape(self.system, self.schema, cap, self._tasks))
        self._encoder(1)
        self.overhead = estimate_tokens(self._encoder(1)(self._tasks).body.decode())

    def _dialect(self) -> Any:
        assert self.work.model.dialect is not None
        return self.work.model.dialect

    def _schema(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        parts = {name: answer_schema(part) for name, part in fields.items()}
        answer = closed_object(parts) if len(parts) > 1 else next(iter(parts.values()))
        if not self.packed:
            return answer
        entry = closed_object({"id": {"type": "string", "description": "The id of the record."}, "answer": answer})
        return closed_object({"answers": {"type": "array", "items": entry}})

    def _encoder(self, records: int) -> Any:
        """The encoder for exactly so many records: a cap above theirs would let the answer cost more than was
        reserved."""
        found = self._by_size.get(records)
        if found is None:
            found = self._by_size[records] = self._make(self.cap(records))
        return found

    def cap(self, records: int) -> int:
        """The most tokens that an answer about so many records may have."""
        cap = self._record_cap * records + (24 * records + 64 + self.work.room if self.packed else 0)
        return min(max(self._record_cap, MOST_OUTPUT_TOKENS), cap)

    @property
    def usable(self) -> bool:
        """Whether the provider may take calls of this shape, as far as is known."""
        return self.refusals < _MOST_REFUSALS

    def taken(self) -> None:
        """The provider has answered a call of this shape: later refusals are about their records."""
        self.refusals = -1_000_000

    def refused(self, *, for_good: bool = False) -> None:
        """The provider has refused a call of this shape (`for_good`: because of the shape, as it says)."""
        self.refusals = _MOST_REFUSALS if for_good else self.refusals + 1

    # --- out

    def request(self, records: Sequence[Record]) -> tuple[HttpRequest, list[str]]:
        """The request for these records, and the id that each was given (none without packing)."""
        if not self.packed:
            return self._encoder(1)(self.user(records[0])), []
        ids: dict[str, None] = {}
        while len(ids) < len(records):
            ids["".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))] = None
        named = list(ids)
        lines = [
            _line({"id": name, self._holds: self._values(record)}) for name, record in zip(named, records, strict=True)
        ]
        user = f"{self._tasks}\n\n{self._heading}\n" + "\n".join(lines)
        return self._encoder(len(records))(user), named

    def user(self, record: Record) -> str:
        """The user message of a call of one record."""
        return f"{self._tasks}\n\nThe record:\n{_line(self._values(record))}"

    def _values(self, record: Record) -> Mapping[str, Any] | str:
        """What the tasks speak of; the whole prompt where it needs Jinja (then there is one pass)."""
        if self._holds == "prompt":
            return record[0].user
        values: dict[str, str | None] = {}
        for ask in record:
            values.update(ask.record)
        return values

    # --- how much

    def estimate(self, records: Sequence[Record]) -> tuple[int, int]:
        """Tokens of the prompt (typical, upper)."""
        typical, upper = self.overhead
        for record in records:
            more = estimate_tokens(_line(self._values(record)))
            typical += more[0] + 8
            upper += more[1] + 64
        return typical, upper

    def tokens(self, records: Sequence[Record]) -> float:
        """What a rate limiter should expect of a call."""
        return self.estimate(records)[0] + self.cap(len(records))

    def affordable(self, records: Sequence[Record]) -> bool:
        """Whether what the asks have reserved covers the worst of the call; not so where a price tier is crossed."""
        if self.work.price is None:
            return True
        worst = self.work.price.worst_nusd(self.estimate(records)[1], self.cap(len(records)))
        return worst <= sum(ask.reserve_nusd for record in records for ask in record)

    def weights(self, records: Sequence[Record]) -> list[int]:
        """By what part each ask of the call has its cost, in the order of the asks."""
        return [
            estimate_tokens(ask.user)[0] + 4 * estimate_output_tokens(variant.fields)[0]
            for record in records
            for ask, variant in zip(record, self.variants, strict=True)
        ]

    def alone_nusd(self, records: Sequence[Record], given: int, outputs: Sequence[int]) -> list[int]:
        """What each ask would have cost in a call of its own: its part of the answer, and a prompt of its own, measured
        by what the shared one was told to have (`given` tokens)."""
        price = self.work.price
        if price is None:
            return [0] * len(outputs)
        told = given / max(1, self.estimate(records)[0])
        asks = [(ask, variant) for record in records for ask, variant in zip(record, self.variants, strict=True)]
        return [
            price.cost_nusd(Usage(int((estimate_tokens(ask.user)[0] + variant.overhead[0]) * told), written))
            for (ask, variant), written in zip(asks, outputs, strict=True)
        ]

    # --- back

    def split(self, text: str, ids: Sequence[str], *, truncated: bool) -> list[Any]:
        """What the answer says for each ask, in the order of the asks: a document, or None where there is none."""
        if not self.packed:
            return self._of_record(_document(text, self._names, truncated=truncated))
        answers: dict[str, Any] = {}
        doubled: set[str] = set()
        for entry in _entries(text):
            name = entry["id"].strip()
            if name in answers:
                doubled.add(name)
            answers[name] = entry.get("answer")
        out: list[Any] = []
        for name in ids:
            found = None if name in doubled else answers.get(name)
            out += self._of_record(found) if len(self._names) > 1 else [found if type(found) is dict else None]
        return out

    def _of_record(self, document: Any) -> list[Any]:
        if type(document) is not dict:
            return [None] * len(self._names)
        parts = [document.get(name) for name in self._names]
        return [part if type(part) is dict else None for part in parts]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """A whole number in parts by weight, in order; they add up to it exactly."""
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    out: list[int] = []
    seen = given = 0
    for weight in weights:
        seen += weight
        upto = total * seen // whole
        out.append(upto - given)
        given = upto
    return out


def apportion_usage(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """The tokens of a call in parts by weight."""
    parts = [
        apportion(total, weights)
        for total in (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
    ]
    return [Usage(*numbers) for numbers in zip(*parts, strict=True)]


def fuse_groups(works: Sequence[PassWork]) -> None:
    """Mark the passes that may go out as one call a row: the same inputs, the same model and options, neither reading
    the other, and prompts that are text and values. A pass that is in no group of two stays as it is."""
    groups: dict[Any, list[PassWork]] = {}
    for work in works:
        spec = work.spec
        plain_prompt = work.compiled.prompt.is_simple
        alone = spec.fuse == "never" or work.batch
        if alone or work.model.local is not None or work.following is not None or not plain_prompt:
            continue
        options = orjson.dumps(spec.options, option=orjson.OPT_SORT_KEYS)
        how = (work.lane, spec.wire, spec.temperature, options, spec.pack, spec.untrusted, spec.normalize)
        how = (*how, work.price, work.abilities, work.model.key_variable)
        groups.setdefault((work.compiled.inputs, tuple(sorted(spec.upstream)), how), []).append(work)
    for number, group in enumerate(groups.values()):
        names = {work.name for work in group}
        if len(group) < 2 or any(name in names for work in group for name in work.spec.upstream_passes):
            continue
        for work in group:
            work.fuse = number


def pack_size(work: PassWork) -> int:
    """The most records of this pass in one call."""
    spec = work.spec
    if work.model.local is not None or spec.untrusted or work.batch:
        return 1
    return MOST_AUTO if spec.pack == "auto" else int(spec.pack)


def fits(pack: int | str, size: int, tokens: int, more: int) -> bool:
    """Whether a record of `more` tokens may join a pack of `size` records and `tokens` tokens."""
    if pack == "auto":
        return more <= SHORT_RECORD and tokens + more <= FULL_PACK
    return tokens + more <= LARGEST_CALL


# --- texts -----------------------------------------------------------------------------------------------------------


def _tasks(variants: Sequence[Variant]) -> str:
    """What is asked, once for all records; values stand as {name}, or in a prompt that each record brings along."""
    outlines = [(variant.work.name, variant.work.compiled.prompt.outline()) for variant in variants]
    if len(outlines) == 1:
        outline = outlines[0][1]
        if outline is None:
            return 'Each "prompt" states the task and holds its record.'
        return f"The task; each {{name}} stands for the record's value of that name:\n{outline}"
    listed = "\n\n".join(f'Task "{name}":\n{outline}' for name, outline in outlines)
    return f"The tasks; each {{name}} stands for the record's value of that name.\n\n{listed}"


def _line(values: Any) -> str:
    try:
        return orjson.dumps(values).decode()
    except TypeError:  # a lone surrogate, which no UTF-8 can hold
        text = json.dumps(values, ensure_ascii=False)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _cap(variant: Variant, *, packed: bool) -> int:
    if not packed or variant.work.spec.max_output_tokens:
        return variant.max_output_tokens
    return min(variant.max_output_tokens, 2 * estimate_output_tokens(variant.fields)[1] + 64)


# --- reading ---------------------------------------------------------------------------------------------------------


def _document(text: str, names: tuple[str, ...], *, truncated: bool) -> Any:
    """The object with one part a pass."""
    try:
        document = parse(text)
    except ValueError:
        document = None
    if type(document) is dict and any(name in document for name in names):
        return document
    best: Any = None
    most = 0
    for candidate in Salvage(names, names[0]).candidates(text, truncated=truncated):
        found = candidate.document
        count = sum(type(found.get(name)) is dict for name in names) if type(found) is dict else 0
        if count > most:
            best, most = found, count
    return best


def _entries(text: str) -> list[dict[str, Any]]:
    """Every entry with an id: of the list that was asked for, or those that are whole in a broken text."""
    try:
        document = parse(text)
    except ValueError:
        document = None
    if type(document) is dict and len(document) == 1:
        document = next(iter(document.values()))
    if type(document) is list:
        return [entry for entry in document if type(entry) is dict and type(entry.get("id")) is str]
    out: list[dict[str, Any]] = []
    if len(text) > _LONGEST:
        return out
    at, starts = text.find("{"), 0
    while at >= 0 and starts < _MOST_STARTS:
        starts += 1
        end = at + 1
        try:
            found, stop = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            found = None
        else:
            if type(found) is dict and type(found.get("id")) is str and "answer" in found:
                out.append(found)
                end = stop
        at = text.find("{", end)
    return out
