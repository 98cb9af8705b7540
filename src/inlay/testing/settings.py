"""How a simulator behaves, as one frozen value: latency, limits, prices, faults, keys.

The same `SimulatorSpec` is made from keywords (`Simulator(latency=0.2)`), from the command line, and from the JSON
that `POST /control` takes while the server runs. What stays true: it is whole (every default is here), it is JSON
apart from the keys, and what is wrong in it is a SpecError that names the setting.
"""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from inlay.errors import SpecError
from inlay.testing.batch_faults import BatchFaultRule
from inlay.testing.faults import FAULTS

LyingHeaders = Literal["zero", "negative", "day", "text", "past_date", "missing", "remaining_negative", "rotate"]


Rates: TypeAlias = tuple[int, int, int, int | None]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LatencySpec(_Frozen):
    """How long a model takes to answer, in seconds.

    Written as a number or as text: `0.2`, `uniform:0.1,0.4`, `lognormal:0.5,0.6` (median, sigma) or
    `tokens:0.1,0.002` (a first part and a part for each token of the answer).
    """

    kind: Literal["fixed", "uniform", "lognormal", "tokens"] = "fixed"
    a: float = Field(default=0.0, ge=0)
    b: float = Field(default=0.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"kind": "fixed", "a": value}
        if not isinstance(value, str):
            return value
        kind, _, numbers = value.rpartition(":")
        parts = numbers.split(",")
        wanted = 1 if kind in ("", "fixed") else 2
        if len(parts) != wanted:
            raise ValueError(f"{value!r} needs {wanted} number{'s' * (wanted > 1)}, like 0.2 or uniform:0.1,0.4")
        try:
            figures = [float(part) for part in parts]
        except ValueError:
            raise ValueError(f"{value!r} is not a latency; write 0.2 or uniform:0.1,0.4") from None
        return {"kind": kind or "fixed", "a": figures[0], "b": figures[-1] if wanted == 2 else 0.0}

    def drawn_from(self, source: random.Random) -> Callable[[int], float]:
        """Completion tokens to seconds, drawn from `source`."""
        a, b = self.a, self.b
        if self.kind == "uniform":
            return lambda tokens: source.uniform(a, b)
        if self.kind == "lognormal":
            median = math.log(a) if a > 0 else -math.inf
            return lambda tokens: math.exp(source.normalvariate(median, b)) if a > 0 else 0.0
        if self.kind == "tokens":
            return lambda tokens: a + b * tokens
        return lambda tokens: a


class Price(_Frozen):
    """What a model costs, in US dollars per million tokens.

    Input that is read from the prompt cache or written to it costs as much as input unless given. A wire that caches
    without marks tells of written tokens only where they have a price of their own.
    """

    input_per_million: float = Field(default=0.10, ge=0)
    output_per_million: float = Field(default=0.50, ge=0)
    cached_input_per_million: float | None = Field(default=None, ge=0)
    cache_write_per_million: float | None = Field(default=None, ge=0)

    def rates(self) -> Rates:
        """Exact micro-nano-dollars a token (1e-15 USD): input, cached input, output, and written input or None."""
        cached = self.input_per_million if self.cached_input_per_million is None else self.cached_input_per_million
        written = None if self.cache_write_per_million is None else _rate(self.cache_write_per_million)
        return _rate(self.input_per_million), _rate(cached), _rate(self.output_per_million), written


def _rate(per_million: float) -> int:
    # Through text, so that 0.1 means one tenth and not the nearest binary fraction.
    return int(Decimal(str(per_million)) * 10**9)


def cost_nusd(rates: Rates, prompt: int, cached: int, completion: int, *, written: int = 0, share: float = 1.0) -> int:
    """The price of one call in whole nano-dollars, rounded up once; `prompt` includes `cached` and `written`.

    `share` is the part of the price that is charged: 0.5 in a batch.
    """
    fresh = prompt - cached - written
    total = fresh * rates[0] + cached * rates[1] + completion * rates[2]
    total += written * (rates[0] if rates[3] is None else rates[3])
    return -(-total * round(share * 1_000_000) // 1_000_000_000_000)


class FaultRule(_Frozen):
    """When a fault of `FAULTS` strikes: on the admitted calls for which every condition given holds.

    `share` is a probability for each call (drawn from the seed, the message and its try, so the order of arrival does
    not matter); `calls` are call numbers from 1; `record` is a regular expression searched in the user message;
    `first_tries` hits the first N admitted tries of each message; `window` is (from, until) in seconds since the first
    call; `mode` is live or batch, for lines of one kind alone. Of several rules the first that holds strikes.
    `retry_after_s` is what a 429 or 503 then says.
    """

    fault: str
    share: float | None = Field(default=None, ge=0, le=1)
    calls: tuple[int, ...] = ()
    record: str | None = None
    first_tries: int | None = Field(default=None, ge=1)
    window: tuple[float, float] | None = None
    mode: Literal["live", "batch"] | None = None
    retry_after_s: float = Field(default=1.0, ge=0)

    @field_validator("fault")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FAULTS:
            near = difflib.get_close_matches(name, FAULTS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(FAULTS))}"
            raise ValueError(f"there is no fault {name!r}{hint}")
        return name

    @field_validator("record")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return None if pattern is None else _compiled(pattern)


class SimulatorSpec(_Frozen):
    """Everything that shapes a simulator's behaviour; every field may be changed while it runs, except `keep_…`.

    Limits: a bucket holds `burst_s` seconds' worth of its limit and starts full; tokens are counted at arrival, as
    prompt + `max_completion_tokens`. With `count_rejected` a call that was answered 429 uses its share all the same.
    Without `announce_limits` no header tells of them.
    `prices` maps model to Price, "*" is every other. `bill_abandoned`: whether a provider charges for a call whose
    client left before the answer, or whose connection broke (generation goes on). `table` maps a regular expression,
    searched in the user message, to the answer; the first that is found answers, the schema otherwise.
    `prompt_cache` bills a repeated beginning of 1,024 tokens or more (system, then user) as cached: in steps of 128
    where the wire caches by itself, up to the client's marks where it wants marks.
    Batches: `batch_polls` polls find one unfinished and the next finds it ended; `batch_seconds` is how long one takes;
    with `release_batches` false none ends. A line costs `batch_discount` of its live price. One that expires or is
    cancelled has `batch_done_share` of its lines done. `batch_enqueued_tokens` is an account's quota,
    `batch_minimum_lines` what Bedrock takes at least; its jobs use the store
    at `s3_endpoint`, or else the simulator's own.
    `aws_keys` maps access keys to secret keys: signatures are then verified.
    """

    seed: int = 0
    latency: LatencySpec = LatencySpec()
    error_latency_s: float = Field(default=0.0, ge=0)
    max_concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    burst_s: float = Field(default=2.0, gt=0)
    count_rejected: bool = False
    announce_limits: bool = True
    lying_headers: LyingHeaders | None = None
    faults: tuple[FaultRule, ...] = ()
    dribble_interval_s: float = Field(default=0.3, gt=0)
    table: dict[str, dict[str, Any] | str] = Field(default_factory=dict)
    null_share: float = Field(default=0.1, ge=0, le=1)
    completion_tokens: int | None = Field(default=None, ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)
    prices: dict[str, Price] = Field(default_factory=lambda: {"*": Price()})
    prompt_cache: bool = False
    bill_abandoned: bool = True
    batch_faults: tuple[BatchFaultRule, ...] = ()
    batch_polls: int = Field(default=0, ge=0)
    batch_seconds: float = Field(default=0.0, ge=0)
    release_batches: bool = True
    batch_discount: float = Field(default=0.5, ge=0, le=1)
    batch_done_share: float = Field(default=0.5, ge=0, le=1)
    batch_enqueued_tokens: int | None = Field(default=None, ge=1)
    batch_minimum_lines: int = Field(default=1, ge=1)
    s3_endpoint: str | None = None
    api_keys: frozenset[SecretStr] | None = None
    aws_keys: dict[str, SecretStr] | None = None
    models: tuple[str, ...] | None = None
    context_tokens: int | None = Field(default=None, ge=1)
    reject_parameters: tuple[str, ...] = ()
    check_schema: bool = True
    chunked: bool = False
    key_pattern: str | None = None
    keep_calls: bool = True
    keep_messages: bool = False

    @field_validator("table")
    @classmethod
    def _patterns_compile(cls, table: dict[str, Any]) -> dict[str, Any]:
        for pattern in table:
            _compiled(pattern)
        return table

    @field_validator("key_pattern")
    @classmethod
    def _key_compiles(cls, pattern: str | None) -> str | None:
        return None if pattern is None else _compiled(pattern)

    @field_validator("prices", mode="before")
    @classmethod
    def _one_price(cls, value: Any) -> Any:
        return {"*": value} if isinstance(value, Price) else value

    def price_of(self, model: str) -> Price:
        """The price of that model, or of every other."""
        return self.prices.get(model) or self.prices.get("*") or Price()

    @classmethod
    def of(cls, settings: dict[str, Any]) -> SimulatorSpec:
        """Settings from plain values. Raises SpecError, one problem for each wrong setting."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise _spec_error(error) from None

    def changed(self, changes: dict[str, Any]) -> SimulatorSpec:
        """A copy with some settings replaced, all of it checked again. Raises SpecError."""
        fixed = sorted(name for name in changes if name in ("keep_calls", "keep_messages"))
        if fixed:
            raise SpecError(f"{' and '.join(fixed)} cannot be changed while the simulator runs", key=fixed[0])
        if not changes:
            return self
        present = {name: getattr(self, name) for name in type(self).model_fields}
        return self.of({**present, **changes})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the keys: `api_keys` and `aws_keys` appear nowhere."""
        return self.model_dump(mode="json", exclude={"api_keys", "aws_keys"})

    def with_keys_json(self) -> dict[str, Any]:
        """Plain JSON values with the keys in clear, for the pipe to a process of our own; never print it."""
        keys = None if self.api_keys is None else sorted(key.get_secret_value() for key in self.api_keys)
        aws = None if self.aws_keys is None else {name: key.get_secret_value() for name, key in self.aws_keys.items()}
        return {**self.to_json(), "api_keys": keys, "aws_keys": aws}


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


def _spec_error(error: ValidationError) -> SpecError:
    problems: list[SpecError] = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(part) for part in item["loc"])
        message, remedy = item["msg"].removeprefix("Value error, "), ""
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), SimulatorSpec.model_fields, n=1)
            message = "there is no such setting"
            remedy = f"did you mean {near[0]}?" if near else "see inlay.testing.SimulatorSpec for those there are"
        problems.append(SpecError(message, key=key, remedy=remedy))
    if len(problems) == 1:
        return problems[0]
    return SpecError(f"the simulator's settings have {len(problems)} mistakes", problems=problems)
