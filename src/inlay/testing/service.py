"""The simulated provider without its sockets: a request's bytes in, a finished reply and an entry in the books out.

A call passes key, model, request shape, schema, context, rate limits and capacity in the order a provider checks them;
what is admitted is answered (function, table, schema or plain text), then spoilt by the first fault rule that holds.
What stays true: one loop calls this, one call at a time; what a call costs is known when it is admitted, whatever
becomes of its connection.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from inlay.testing.answers import SchemaUnusable, answer_by_schema, mix, quote
from inlay.testing.batches import BatchDesk, Line, LineResult
from inlay.testing.faults import FAULTS, context_failure
from inlay.testing.ledger import Call, Recorder, sha256_of
from inlay.testing.limits import Limits
from inlay.testing.meaning import may_be_absent, meant, without_absent
from inlay.testing.packed import answer_packed, packed_part
from inlay.testing.prompt_cache import PromptCache
from inlay.testing.settings import FaultRule, SimulatorSpec, cost_nusd
from inlay.testing.sigv4 import is_signed, signature_problem
from inlay.testing.wire import Arrival, Draft, Failure, Rejected, SimRequest, Wire, tokens_of

NOTHING = (0, 0, 0, 0, 0)
_FREE = (0, 0, 0, None)
Answer: TypeAlias = Callable[[SimRequest], "Mapping[str, Any] | str"]


@dataclass(slots=True)
class Exchange:
    """A call under way: its entry, the bytes of its reply, and when and how they travel."""

    call: Call
    draft: Draft
    head: bytes
    body: bytes
    delay_s: float
    bill: tuple[int, int, int, int, int]  # prompt, cached, written, completion tokens and nano-dollars, if billed


@dataclass(slots=True)
class _SchemaUse:
    chars: int
    problem: Failure | None
    answer: Callable[[int, str], str]


@dataclass(frozen=True, slots=True)
class _Rule:
    rule: FaultRule
    record: re.Pattern[str] | None
    salt: int


class Service:
    """Answers calls by a `SimulatorSpec` and keeps the books. Not thread-safe: it belongs to one loop."""

    def __init__(
        self, spec: SimulatorSpec, *, answer: Answer | None = None, ledger_file: str | Path | None = None
    ) -> None:
        self.recorder = Recorder(file=ledger_file, keep_calls=spec.keep_calls)
        self.answer = answer
        self.broken: Exception | None = None  # the first error that the answer function raised
        self.number = 0
        self.in_flight = 0
        self._tries: dict[str, int] = {}
        self._system_sha: dict[str, str] = {}
        self._cache = PromptCache()
        self.desk = BatchDesk(self)
        self._first_s: float | None = None
        self.configure(spec)

    def configure(self, spec: SimulatorSpec) -> None:
        """Behave like this from the next call on. Buckets start full again where their limit changed."""
        old = getattr(self, "spec", None)
        same = old is not None and _limited_alike(old, spec)
        self.spec = spec
        now = time.monotonic()
        if same:
            self._limits.spec = spec
        else:
            self._limits = Limits(spec, now)
        self._random = random.Random(spec.seed)  # noqa: S311 - latencies, not secrets
        self._latency = spec.latency.drawn_from(self._random)
        self._rules = [
            _Rule(rule, None if rule.record is None else re.compile(rule.record), mix(spec.seed, index + 1))
            for index, rule in enumerate(spec.faults)
        ]
        self._table = [(re.compile(pattern), _content(answer)) for pattern, answer in spec.table.items()]
        self._key = None if spec.key_pattern is None else re.compile(spec.key_pattern)
        self._secrets = None if spec.api_keys is None else {key.get_secret_value() for key in spec.api_keys}
        self._aws = None if spec.aws_keys is None else {k: v.get_secret_value() for k, v in spec.aws_keys.items()}
        self._rates = {model: price.rates() for model, price in spec.prices.items()}
        self._schemas: dict[bytes, _SchemaUse] = {}

    def clear(self) -> None:
        """Forget finished calls, tries, cached prefixes and the clock of the fault windows; buckets are full again."""
        self.recorder.clear()
        self._tries.clear()
        self._cache.clear()
        self.desk.clear()
        self._first_s = None
        if not self.in_flight:
            self.number = 0  # else count on: a number names one call
        self._limits = Limits(self.spec, time.monotonic())

    # one call

    def begin(self, wire: Wire, arrival: Arrival) -> Exchange:
        """Take up one call: enter it, decide on its reply, price it. `end` must follow, whatever happens."""
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
        self.number += 1
        self.in_flight += 1
        draft = Draft(SimRequest(number=self.number, model="", system="", user=""))
        try:
            self._take_up(wire, arrival, draft, now)
        except Rejected as rejected:
            draft.failure = rejected.failure
        call = self._entry(wire, draft, now)
        self.recorder.opened(call)
        return self._reply(wire, call, draft, now)

    def _entry(self, wire: Wire, draft: Draft, now: float) -> Call:
        request = draft.request
        call = Call(
            number=request.number,
            wire=wire.name,
            model=request.model,
            user_sha256=request.user_sha256,
            system_sha256=self._sha_of_system(request.system) if request.user_sha256 else "",
            key=self._key_of(request.user),
            tries=request.tries,
            concurrency=self.in_flight,
            fault=draft.fault,
            arrived_at=time.time(),
            arrived_s=now,
        )
        if self.spec.keep_messages:
            call.system, call.user = request.system, request.user
        return call

    def end(self, exchange: Exchange, outcome: str, *, status: int = 0) -> None:
        """Close a call's entry: what was sent, and what it costs. To be called before the last bytes are."""
        call = exchange.call
        self.in_flight -= 1
        call.outcome, call.status = outcome, status
        call.ended_at, call.ended_s = time.time(), time.monotonic()
        if outcome == "answered" or self.spec.bill_abandoned:
            book(call, exchange.bill)
        self.recorder.closed(call)

    # one line of a batch

    def line(self, wire: Wire, parsed: Any, *, batch: str, line: Line) -> LineResult:
        """Answer one line of a batch as a live call would be answered, without limits, and book it at its discount."""
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
        self.number += 1
        draft = Draft(SimRequest(number=self.number, model="", system="", user=""))
        try:
            use = self._understood(wire, parsed, draft)
            if draft.failure is None:
                self._answer_it(draft, use, now, mode="batch")
        except Rejected as rejected:
            draft.failure = rejected.failure
        if draft.delivery != "whole" and draft.failure is None:
            # A line has no connection that could break: it failed inside.
            draft.failure = Failure(500, "server_error", "The server had an error while processing your request.")
        call = self._entry(wire, draft, now)
        call.mode, call.batch, call.custom_id, call.concurrency = "batch", batch, line.custom_id, 0
        body = self.rendered(wire, draft, created=int(call.arrived_at))
        self.recorder.opened(call)
        if draft.status == 200:
            book(call, self.bill_of(draft, share=self.spec.batch_discount))
        call.outcome, call.status = "answered", draft.status
        call.ended_at, call.ended_s = time.time(), time.monotonic()
        self.recorder.closed(call)
        return LineResult(line, draft.status, body, call.number)

    def weight(self, wire: Wire, parsed: Any) -> int:
        """The prompt tokens of a line; 0 where it cannot be read."""
        draft = Draft(SimRequest(number=0, model="", system="", user=""))
        try:
            self._understood(wire, parsed, draft)
        except Rejected:
            return 0
        return draft.prompt_tokens

    # what both have in common

    def _take_up(self, wire: Wire, arrival: Arrival, draft: Draft, now: float) -> None:
        if (refused := self.refused(arrival, wire)) is not None:
            raise Rejected(refused)
        try:
            parsed = orjson.loads(arrival.body)
        except orjson.JSONDecodeError:
            message = "We could not parse the JSON body of your request."
            raise Rejected(Failure(400, "invalid", message)) from None
        use = self._understood(wire, parsed, draft)
        if draft.failure is not None:
            return
        spec, request = self.spec, draft.request
        asked = request.prompt_tokens + (request.max_output_tokens or 0)
        if (refused := self._limits.admit(request.model, asked, now)) is not None:
            raise Rejected(refused)
        if spec.max_concurrency is not None and self.in_flight > spec.max_concurrency:
            FAULTS["http_503"].apply(draft)
            return
        self._answer_it(draft, use, now)

    def refused(self, arrival: Arrival, wire: Wire) -> Failure | None:
        """What is wrong with the key or the signature that a request carries."""
        if wire.signed and is_signed(arrival.headers):
            if self._aws is None and self._secrets is not None:
                return Failure(401, "authentication", "The security token included in the request is invalid.")
            return signature_problem(arrival, self._aws)
        if self._secrets is None and not (wire.signed and self._aws is not None):
            return None
        if self._secrets is not None and wire.secret(arrival.headers) in self._secrets:
            return None
        return Failure(401, "authentication", "Incorrect API key provided.")

    def _understood(self, wire: Wire, parsed: Any, draft: Draft) -> _SchemaUse | None:
        """Read a request and hold it to what the model takes, before any limit."""
        spec = self.spec
        request = draft.request = wire.parse(self.number, parsed)
        request.user_sha256 = sha256_of(request.user)
        if spec.models is not None and request.model not in spec.models:
            FAULTS["http_404"].apply(draft)
            return None
        for name in spec.reject_parameters:
            if name in parsed:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                raise Rejected(Failure(400, "parameter", message, param=name))
        use = self._schema_use(wire, request)
        if use is not None:
            request.chars += use.chars
            if use.problem is not None:
                raise Rejected(use.problem)
        request.prompt_tokens = draft.prompt_tokens = tokens_of(request.chars)
        if spec.context_tokens is not None and request.prompt_tokens > spec.context_tokens:
            raise Rejected(context_failure(spec.context_tokens, request.prompt_tokens))
        return use

    def _answer_it(self, draft: Draft, use: _SchemaUse | None, now: float, mode: str = "live") -> None:
        request = draft.request
        request.tries = self._tries[request.user_sha256] = self._tries.get(request.user_sha256, 0) + 1
        self._say(draft, use)
        self._spoil(draft, now, mode)

    def _say(self, draft: Draft, use: _SchemaUse | None) -> None:
        """Fill in what the model says, cut at `max_completion_tokens`, and count its tokens."""
        request = draft.request
        draft.content = self._answered(request, use)
        cap = request.max_output_tokens
        room = None if cap is None else max(0, cap - self.spec.reasoning_tokens)
        if room is not None and tokens_of(len(draft.content)) > room:
            draft.content, draft.finish = draft.content[: room * 4], "length"
        if self.spec.prompt_cache:
            writes = (self._rates.get(request.model) or self._rates.get("*", _FREE))[3] is not None
            draft.cached_tokens, draft.written_tokens = self._cache.use(request, time.monotonic(), writes=writes)
        self._count(draft)

    def _answered(self, request: SimRequest, use: _SchemaUse | None) -> str:
        if self.answer is not None:
            try:
                return _content(self.answer(request))
            except Exception as error:  # noqa: BLE001 - a user's function: kept, and raised when the simulator stops
                self.broken = self.broken or error
                message = f"The simulator's answer function raised {type(error).__name__}."
                raise Rejected(Failure(500, "server_error", message)) from None
        for pattern, answer in self._table:
            if pattern.search(request.user):
                return answer
        bits = mix(int(request.user_sha256[:16], 16), self.spec.seed)
        if use is not None:
            try:
                return use.answer(bits, request.user)
            except SchemaUnusable as error:
                raise Rejected(Failure(400, "schema", str(error))) from None
        said = quote(bits, request.user)
        return orjson.dumps({"answer": said}).decode() if request.wants_json else said

    def _count(self, draft: Draft) -> None:
        cap = draft.request.max_output_tokens
        forced = self.spec.completion_tokens
        tokens = tokens_of(len(draft.content or draft.refusal or "")) if forced is None else forced
        tokens += self.spec.reasoning_tokens if forced is None else 0
        draft.completion_tokens = tokens if cap is None else min(tokens, cap)
        draft.reasoning_tokens = min(self.spec.reasoning_tokens, draft.completion_tokens)

    def _spoil(self, draft: Draft, now: float, mode: str) -> None:
        request = draft.request
        elapsed = now - (self._first_s or now)
        for entry in self._rules:
            rule = entry.rule
            if (
                (rule.mode is not None and rule.mode != mode)
                or (rule.first_tries is not None and request.tries > rule.first_tries)
                or (rule.calls and request.number not in rule.calls)
                or (rule.window is not None and not rule.window[0] <= elapsed < rule.window[1])
                or (entry.record is not None and not entry.record.search(request.user))
                or (rule.share is not None and self._luck(request, entry.salt) >= rule.share)
            ):
                continue
            said = draft.content
            draft.fault, draft.retry_after_s = rule.fault, rule.retry_after_s
            FAULTS[rule.fault].apply(draft)
            if draft.content != said:
                self._count(draft)
            return

    def _luck(self, request: SimRequest, salt: int) -> float:
        bits = mix(int(request.user_sha256[:16], 16) + request.tries, salt)
        return bits / 2**64

    # pieces

    def _reply(self, wire: Wire, call: Call, draft: Draft, now: float) -> Exchange:
        failure = draft.failure
        limits = self._limits
        headers = [*wire.headers(call.number, failure), *limits.headers(wire.announces), *draft.headers]
        body = self.rendered(wire, draft, created=int(call.arrived_at))
        if failure is not None:
            headers += limits.retry_headers(failure.retry_after_s, wire.announces)
        head = f"content-type: {draft.content_type}\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers])
        if draft.status != 200:
            return Exchange(call, draft, head.encode(), body, self.spec.error_latency_s, NOTHING)
        delay = self._latency(draft.completion_tokens)
        if self.spec.prompt_cache:
            self._cache.keep(draft.request, now + delay)  # readable once the answer begins
        return Exchange(call, draft, head.encode(), body, delay, self.bill_of(draft))

    def rendered(self, wire: Wire, draft: Draft, *, created: int) -> bytes:
        """The body of a reply; sets the draft's status where it is an error."""
        if draft.failure is not None:
            draft.status = wire.status(draft.failure)
            return wire.error(draft.failure)
        if draft.body is not None:
            return draft.body
        body = wire.completion(draft, created=created)
        return body if draft.edit is None else draft.edit(body)

    def bill_of(self, draft: Draft, *, share: float = 1.0) -> tuple[int, int, int, int, int]:
        """Prompt, cached, written and completion tokens, and the nano-dollars that a provider charges for them."""
        model = draft.request.model
        rates = self._rates.get(model) or self._rates.get("*") or self.spec.price_of(model).rates()
        tokens = draft.prompt_tokens, draft.cached_tokens, draft.completion_tokens
        cost = cost_nusd(rates, *tokens, written=draft.written_tokens, share=share)
        return draft.prompt_tokens, draft.cached_tokens, draft.written_tokens, draft.completion_tokens, cost

    def _schema_use(self, wire: Wire, request: SimRequest) -> _SchemaUse | None:
        if request.schema is None:
            return None
        raw = orjson.dumps([wire.name, request.schema_name, request.strict, request.schema])
        use = self._schemas.get(raw)
        if use is None:
            problem = wire.check_schema(request) if self.spec.check_schema else None
            schema = meant(request.schema)
            chars = len(orjson.dumps(schema).decode())
            given = request.schema
            finish = (lambda value: without_absent(value, given)) if may_be_absent(given) else None
            part = packed_part(schema)
            if part is None:
                answer = answer_by_schema(schema, null_share=self.spec.null_share, finish=finish)
            else:
                answer = answer_packed(part, null_share=self.spec.null_share, finish=finish)
            use = _SchemaUse(chars, problem, answer)
            if len(self._schemas) >= 1_000:
                self._schemas.clear()  # a client with a schema of its own for each call must not fill the memory
            self._schemas[raw] = use
        return use

    def _sha_of_system(self, system: str) -> str:
        known = self._system_sha.get(system)
        if known is None:
            if len(self._system_sha) >= 1_000:
                self._system_sha.clear()
            known = self._system_sha[system] = sha256_of(system)
        return known

    def _key_of(self, user: str) -> str:
        found = self._key.search(user) if self._key is not None else None
        if found is None:
            return ""
        return (found.group(1) if found.re.groups else found.group()) or ""


def book(call: Call, bill: tuple[int, int, int, int, int]) -> None:
    """Enter what a call is billed."""
    call.prompt_tokens, call.cached_tokens, call.written_tokens, call.completion_tokens, call.cost_nusd = bill


def _content(answer: Mapping[str, Any] | str) -> str:
    if isinstance(answer, str):
        return answer
    return orjson.dumps(dict(answer)).decode()


def _limited_alike(old: SimulatorSpec, new: SimulatorSpec) -> bool:
    names = ("requests_per_minute", "tokens_per_minute", "burst_s")
    return all(getattr(old, name) == getattr(new, name) for name in names)
