"""What Bedrock's errors mean: AWS gives each a name, in a header or in the body, and the name is believed first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from inlay.errors import (
    AuthenticationFailed,
    ModelNotFound,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    SpendLimitReached,
    TooLong,
)
from inlay.providers.errors_map import classify, retry_after_s, told_by

_NAME = re.compile(r"[A-Za-z]{3,80}(?:Exception|Error|Found|Failure|Token|Id|Signature|Match)?")
_CREDENTIALS = "check the AWS credentials: aws sts get-caller-identity shows whose they are"
_EXPIRED = "the credentials have expired: renew them (aws sso login), then type the same command again"
_ACCESS = "the credentials need bedrock:InvokeModel on this model, and the account access to it in this region"
_MODEL = (
    "check `model` and `region`; many models are asked under the id of an inference profile, such as "
    "eu.anthropic.… or us.anthropic.…"
)
_BY_NAME: dict[str, tuple[type[ProviderError], str]] = {
    "throttlingexception": (RateLimited, ""),
    "toomanyrequestsexception": (RateLimited, ""),
    "modelnotreadyexception": (RateLimited, ""),
    "modeltimeoutexception": (ProviderTimeout, ""),
    "modelerrorexception": (Overloaded, ""),
    "internalserverexception": (Overloaded, ""),
    "internalfailure": (Overloaded, ""),
    "serviceunavailableexception": (Overloaded, ""),
    "servicequotaexceededexception": (
        SpendLimitReached,
        "raise the quota in AWS's Service Quotas, or wait; then type the same command again",
    ),
    "accessdeniedexception": (AuthenticationFailed, _ACCESS),
    "unrecognizedclientexception": (AuthenticationFailed, _CREDENTIALS),
    "invalidsignatureexception": (AuthenticationFailed, _CREDENTIALS + "; a clock that is off does this too"),
    "signaturedoesnotmatch": (AuthenticationFailed, _CREDENTIALS),
    "incompletesignature": (AuthenticationFailed, _CREDENTIALS),
    "missingauthenticationtokenexception": (AuthenticationFailed, _CREDENTIALS),
    "invalidclienttokenid": (AuthenticationFailed, _CREDENTIALS),
    "expiredtokenexception": (AuthenticationFailed, _EXPIRED),
    "expiredtoken": (AuthenticationFailed, _EXPIRED),
    "resourcenotfoundexception": (ModelNotFound, _MODEL),
    "unknownoperationexception": (ModelNotFound, "check `endpoint`: what answers there is no Bedrock runtime"),
    "requestentitytoolargeexception": (TooLong, ""),
}
_MODEL_WORDS = re.compile(r"model identifier is invalid|on-demand throughput isn.t supported|end of (?:its )?life")


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """AWS's id of a request."""
    return (headers.get("x-amzn-requestid") or headers.get("x-amzn-request-id") or "")[:200] or None


def bedrock_error(status: int, headers: Mapping[str, str], body: bytes, *, provider: str) -> ProviderError:
    """The error that an answer means; also for AWS's error inside a 200. Pure; the caller raises it."""
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = {"message": body[:65_536].decode("utf-8", "replace")}
    name = _name(headers, data)
    if isinstance(data, dict) and "message" not in data and "error" not in data:
        data = {**data, "message": data.get("Message") or data.get("originalMessage")}
    said = told_by(status, data)
    said = replace(said, codes=said.codes | {name})
    kind, remedy = _BY_NAME.get(name) or _by_words(status if status >= 300 else 500, said)
    details: dict[str, Any] = {
        "provider": provider,
        "status": status,
        "request_id": request_id_of(headers),
        "remedy": remedy,
    }
    if kind in (RateLimited, Overloaded, ProviderTimeout):
        details["retry_after_s"] = retry_after_s(headers)
    if 200 <= status < 300 and kind is Overloaded:
        details["possibly_paid"] = True
    shown = f" ({name_shown})" if (name_shown := _shown(headers, data)) else ""
    return kind(f"{provider} answered {status}{shown}: {said.sentence}", **details)


def _by_words(status: int, said: Any) -> tuple[type[ProviderError], str]:
    if status == 424:
        return Overloaded, ""
    if status < 500 and _MODEL_WORDS.search(said.words):
        return ModelNotFound, _MODEL
    kind, remedy = classify(status, said)
    if kind is AuthenticationFailed:
        remedy = _ACCESS
    elif kind is ModelNotFound:
        remedy = _MODEL
    return kind, remedy


def _shown(headers: Mapping[str, str], data: Any) -> str:
    raw = headers.get("x-amzn-errortype") or (data.get("__type") if isinstance(data, dict) else "") or ""
    raw = raw.split(":")[0].rsplit("#", 1)[-1] if isinstance(raw, str) else ""
    return raw if _NAME.fullmatch(raw) else ""


def _name(headers: Mapping[str, str], data: Any) -> str:
    return _shown(headers, data).lower()
