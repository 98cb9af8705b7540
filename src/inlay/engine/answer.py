"""Reading an answer: the text of a model becomes validated fields, each with its value or the reason for its absence.

Strict parse first; salvage after it; then each field on its own: value, null reason, confidence, evidence.

What stays true: reading never raises, whatever the text; every declared field comes out, in declared order; a field is
valid, null with a reason, or `invalid` with a problem, and then it is named in `missing`, to be asked again; a value
whose text was cut off or contradicts itself is never accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from inlay.engine.ask import CONFIDENCE, EVIDENCE, REASONS, VALUE, nulls_property
from inlay.engine.coerce import Part, compile_field
from inlay.engine.evidence import EvidenceIndex
from inlay.engine.forms import loose, parse_number
from inlay.engine.salvage import LONGEST, Salvage, find_keys, loose_names, parse_all
from inlay.engine.scalars import Unfit, one_line, shown
from inlay.spec.fields import FieldSpec
from inlay.types import CellState, Evidence, FieldAnswer, NullReason

LONGEST_MESSAGE = 300
LONGEST_PROBLEM = 160

_ABSENT: Any = object()
_SPACED_COLON = re.compile(r'"\s++:')
_REASON_WORDS = {loose(reason.value): reason for reason in REASONS}
_PART_NAMES = loose_names((EVIDENCE, VALUE, CONFIDENCE, "reason"))
_WRAPPED_KEYS = frozenset((EVIDENCE, VALUE, CONFIDENCE))
_NO_QUOTE = frozenset(("", "null", "none", "n/a"))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer says. `state` is done (every field valid), partial or failed; `missing` is to be asked again.

    `error_kind` is None, `invalid_output` or `truncated`; `error_message` is one line of at most 300 characters.
    """

    state: CellState
    fields: dict[str, FieldAnswer]
    error_kind: str | None
    error_message: str | None
    missing: tuple[str, ...]


class AnswerReader:
    """Reads the answers of one pass. Compiled once; holds no state between answers."""

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        self._columns = [_Column(name, spec, fields) for name, spec in fields.items()]
        self._names = tuple(fields)
        self._loose = loose_names(self._names)
        self._nulls = nulls_property(fields) or "nulls"
        self._salvage = Salvage(self._names, self._nulls)

    def read(self, text: str, texts: Mapping[str, str], *, truncated: bool = False) -> Reading:
        """Read an answer to a record whose texts (source name to text as sent) quotes are looked up in.

        `truncated` is the provider's word that the answer hit its token limit; an answer that stops in the middle
        of a field counts as truncated without it. Never raises.
        """
        try:
            document = parse(text)
        except TooDeep:
            return self._failed("the answer is nested too deep to be read", False)
        except ValueError:
            return self._salvaged(text, texts, truncated)
        if type(document) is dict:
            return self._settle(self._unwrapped(document), texts, False)
        if type(document) is str:
            # The whole object encoded once more, as a string.
            return self._salvaged(document, texts, truncated)
        if type(document) is list and len(document) == 1 and type(document[0]) is dict:
            return self._salvaged(text, texts, truncated)
        return self._failed(f"the answer is {shown(document)}, not an object", truncated)

    def read_document(self, document: Any, texts: Mapping[str, str], *, truncated: bool = False) -> Reading:
        """Read what `parse` found, or None where there was no answer for this record in a shared one."""
        if type(document) is not dict:
            return self._failed("the shared answer has no part for this record", truncated)
        return self._settle(self._unwrapped(document), texts, False)

    # --- which object ------------------------------------------------------------------------------------------------

    def _salvaged(self, text: str, texts: Mapping[str, str], truncated: bool) -> Reading:
        """Read the object that answers most fields; among equals the one to be trusted most."""
        best: dict[str, Any] | None = None
        most, cut, begun, several = 0, False, False, False
        for candidate in self._salvage.candidates(text, truncated=truncated):
            document = candidate.document
            begun = begun or candidate.cut
            if type(document) is list:
                several = several or len(document) > 1
                document = document[0] if len(document) == 1 else None
            if type(document) is not dict:
                continue
            document = self._unwrapped(document)
            answered = self._answered(document)
            if answered > most:
                best, most, cut = document, answered, candidate.cut
                if answered == len(self._names):
                    break
        if best is not None:
            return self._settle(best, texts, cut)
        if not text.strip():
            return self._failed("the answer is empty", truncated)
        if truncated or begun:
            return self._failed(f"the answer was cut off before its first whole field: {shown(text, 80)}", True)
        if several:
            return self._failed("the answer is a list of several objects where one was asked", False)
        return self._failed(f"the answer holds no JSON object with the fields: {shown(text, 80)}", False)

    def _answered(self, document: Mapping[str, Any]) -> int:
        """How many of the fields a document answers, readable or not."""
        count = sum(1 for name in self._names if name in document)
        return count if count == len(self._names) else max(count, len(find_keys(document, self._loose)))

    def _unwrapped(self, document: dict[str, Any]) -> dict[str, Any]:
        """The object that holds the fields: itself, or the only one inside it that does, up to three levels down."""
        found = document
        for _ in range(4):
            if self._names[0] in found or self._answered(found):
                if self._nulls not in found and self._nulls in document:
                    return {**found, self._nulls: document[self._nulls]}
                return found
            if (single := self._flattened(found)) is not None:
                return single
            inner = [part for value in found.values() if (part := _inner_object(value)) is not None]
            inner = [part for part in inner if self._answered(part)] or inner
            if len(inner) != 1:
                return document
            found = inner[0]
        return document

    def _flattened(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """The document of a pass with one field whose own name was left out around its parts."""
        if len(self._columns) != 1:
            return None
        column = self._columns[0]
        if VALUE in document and (column.wrapped or len(document) == 1):
            return {column.name: document, self._nulls: document.get(self._nulls)}
        if column.part.fields and not column.part.fields.isdisjoint(document):
            return {column.name: document, self._nulls: document.get(self._nulls)}
        return None

    # --- each field --------------------------------------------------------------------------------------------------

    def _settle(self, document: dict[str, Any], texts: Mapping[str, str], cut: bool) -> Reading:
        fields: dict[str, FieldAnswer] = {}
        problems: list[str] = []
        missing: list[str] = []
        loosely: dict[str, Any] | None = None
        reasons: dict[str, NullReason] | None = None
        index: EvidenceIndex | None = None
        absent = 0
        for column in self._columns:
            name = column.name
            raw = document.get(name, _ABSENT)
            if raw is _ABSENT:
                if loosely is None:
                    loosely = find_keys(document, self._loose)
                raw = loosely.get(name, _ABSENT)
            confidence: float | None = None
            quote: Any = None
            reason: NullReason | None
            try:
                if raw is _ABSENT or raw is None:
                    if reasons is None:
                        reasons = self._reasons(document)
                    if raw is _ABSENT and (cut or not column.part.nullable or name not in reasons):
                        absent += 1
                        raise Unfit("was cut off" if cut else "is missing from the answer")
                    raw = None
                inline: Any = None
                if column.wrapped or type(raw) is dict:
                    raw, confidence, quote, inline = column.parts_of(raw, document)
                value, reason = column.part.settle(raw)
                if reason is not None:
                    if reasons is None:
                        reasons = self._reasons(document)
                    reason = reasons.get(name) or _reason(inline) or reason
            except Unfit as unfit:
                problem = one_line(str(unfit), LONGEST_PROBLEM)
                fields[name] = FieldAnswer(None, NullReason.INVALID, problem=problem)
                problems.append(f"{name} {problem}")
                missing.append(name)
                continue
            evidence: Evidence | None = None
            if quote is not None:
                if index is None:
                    index = EvidenceIndex(texts)
                evidence = index.locate(quote)
            fields[name] = FieldAnswer(value, reason, confidence, evidence)
        if not missing:
            return Reading(CellState.DONE, fields, None, None, ())
        state = CellState.PARTIAL if len(missing) < len(fields) else CellState.FAILED
        kind = "truncated" if cut and absent else "invalid_output"
        message = one_line(f"{len(missing)} of {len(fields)} fields: {'; '.join(problems)}", LONGEST_MESSAGE)
        return Reading(state, fields, kind, message, tuple(missing))

    def _reasons(self, document: Mapping[str, Any]) -> dict[str, NullReason]:
        """The null reasons that the answer gives, by field; what is not understood is passed over."""
        given = document.get(self._nulls)
        if type(given) is dict:
            given = [{"field": name, "reason": reason} for name, reason in given.items()]
        out: dict[str, NullReason] = {}
        for entry in given if type(given) is list else ():
            if type(entry) is dict and type(name := entry.get("field")) is str:
                name = name if name in self._names else self._loose.get(loose(name[:256]), "")
                if name and (reason := _reason(entry.get("reason"))):
                    out[name] = reason
        return out

    def _failed(self, problem: str, truncated: bool) -> Reading:
        """Nothing could be read."""
        problem = one_line(problem, LONGEST_MESSAGE)
        answer = FieldAnswer(None, NullReason.INVALID, problem=one_line(problem, LONGEST_PROBLEM))
        kind = "truncated" if truncated else "invalid_output"
        return Reading(CellState.FAILED, dict.fromkeys(self._names, answer), kind, problem, self._names)


class _Column:
    """One declared field: how its value reads, and whether it comes in an object beside confidence and evidence."""

    __slots__ = ("beside", "confidence", "evidence", "name", "part", "wrapped")

    def __init__(self, name: str, spec: FieldSpec, fields: Mapping[str, FieldSpec]) -> None:
        self.name = name
        self.part: Part = compile_field(name, spec)
        self.confidence = spec.confidence
        self.evidence = spec.evidence
        self.wrapped = spec.confidence or spec.evidence
        # The names of its parts where an answer is flattened; a name that is a field itself is not one of them.
        self.beside = {part: longer for part in (CONFIDENCE, EVIDENCE) if (longer := f"{name}_{part}") not in fields}

    def parts_of(self, raw: Any, document: Mapping[str, Any]) -> tuple[Any, float | None, str | None, Any]:
        """(value, confidence, quote, reason) of a field that came wrapped or plain, whichever was asked.

        Raises Unfit for an object without a value. Parts that were not asked are dropped.
        """
        if type(raw) is not dict or not self._is_wrapper(raw):
            if not self.wrapped:
                return raw, None, None, None
            # Flattened: the parts stand beside the value, under longer names.
            certainty = document.get(self.beside.get(CONFIDENCE, "")) if self.confidence else None
            quote = document.get(self.beside.get(EVIDENCE, "")) if self.evidence else None
            return raw, _confidence(certainty), _quote(quote), None
        if VALUE not in raw:
            raw = find_keys(raw, _PART_NAMES)
            if VALUE not in raw:
                raise Unfit("has no value beside its confidence and evidence")
        confidence = _confidence(raw.get(CONFIDENCE)) if self.confidence else None
        quote = _quote(raw.get(EVIDENCE)) if self.evidence else None
        return raw[VALUE], confidence, quote, raw.get("reason")

    def _is_wrapper(self, raw: dict[str, Any]) -> bool:
        own = self.part.fields
        if not own:
            return VALUE in raw or self.wrapped or VALUE in find_keys(raw, _PART_NAMES)
        if VALUE in own or own & _WRAPPED_KEYS:
            # An object with a field of such a name: a wrapper holds nothing but the parts, and an object as value.
            return raw.keys() <= _WRAPPED_KEYS and type(raw.get(VALUE)) in (dict, type(None)) and VALUE in raw
        return VALUE in raw


# --- parts -----------------------------------------------------------------------------------------------------------


class TooDeep(ValueError):
    """JSON that is nested too deep for the parser that looks at every key."""


def parse(text: str) -> Any:
    """The JSON of a whole text, a key that is given twice as salvage.Unreadable. Raises ValueError where it is none."""
    if len(text) > LONGEST:
        return parse_all(text)  # orjson's error would copy a huge text several times over
    document = orjson.loads(text)
    if type(document) is dict and not _keys_are_single(text, document):
        try:
            return parse_all(text)
        except ValueError as error:
            raise TooDeep from error
    return document


def _keys_are_single(text: str, document: dict[str, Any]) -> bool:
    """Whether no object of the text names a key twice, which a parser hides by keeping the last.

    Every key is followed by a colon; if the text has no more colons (that can end a key) than the document has keys,
    none was lost. A false alarm only costs a second, slower parse.
    """
    keys = _count_keys(document)
    if text.count(":") == keys:
        return True
    return text.count('":') == keys and _SPACED_COLON.search(text) is None


def _count_keys(document: dict[str, Any]) -> int:
    count = len(document)
    waiting: list[Any] = [value for value in document.values() if type(value) is dict or type(value) is list]
    while waiting:
        part = waiting.pop()
        if type(part) is dict:
            count += len(part)
            part = part.values()
        for value in part:
            if type(value) is dict or type(value) is list:
                waiting.append(value)
    return count


def _inner_object(value: Any) -> dict[str, Any] | None:
    """An object, the only object of a list, or one that was encoded as text."""
    if type(value) is list and len(value) == 1:
        value = value[0]
    if type(value) is str and value.lstrip()[:1] == "{":
        try:
            value = parse_all(value)
        except ValueError:
            return None
    return value if type(value) is dict else None


def _confidence(raw: Any) -> float | None:
    """A confidence in 0..1 from 0.9, "0.9", "90%" or 90; None for anything else.

    Whole numbers from 11 to 100 are percent; from 2 to 10 they may be any scale, and say nothing.
    """
    if type(raw) is float:
        return raw + 0.0 if 0.0 <= raw <= 1.0 else _percent(raw)
    if type(raw) is int:
        return float(raw) if raw in (0, 1) else _percent(raw)
    if type(raw) is str and len(raw) <= 32:
        text = raw.strip()
        if text.endswith(("%", "％", "٪")):
            number = parse_number(text[:-1])
            return None if number is None or not 0 <= number <= 100 else number / 100
        number = parse_number(text)
        return None if number is None else _confidence(number)
    return None


def _percent(number: float) -> float | None:
    return number / 100 if 10 < number <= 100 and number == int(number) else None


def _quote(raw: Any) -> str | None:
    """The quote, or None where none was given; broken Unicode is replaced."""
    if type(raw) is list and len(raw) == 1:
        raw = raw[0]
    if type(raw) is not str or (len(raw) < 16 and raw.strip().casefold() in _NO_QUOTE):
        return None
    if not raw.isprintable():
        raw = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return raw if raw.strip() else None


def _reason(raw: Any) -> NullReason | None:
    return _REASON_WORDS.get(loose(raw)) if type(raw) is str and len(raw) <= 64 else None
