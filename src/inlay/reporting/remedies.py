"""What to do about each kind of failure, in one sentence.

What stays true: every kind that a cell may fail with has a sentence here (a test walks the error tree).
"""

from __future__ import annotations

REMEDIES = {
    "timeout": "The next run asks again; raise `limits.timeout_s` if it stays.",
    "rate_limited": "The next run asks again; lower `limits.requests_per_minute` or `limits.concurrency`.",
    "overloaded": "The provider was overloaded; the next run asks again.",
    "connection": "The connection broke; the next run asks again.",
    "unreadable": "The reply was no answer; the next run asks again. Look at the model or the endpoint if it stays.",
    "transient": "The next run asks again.",
    "provider": "The next run asks again.",
    "invalid_request": "The provider rejects this record; look at its text, or at the pass's `options`.",
    "too_long": "The text does not fit the model's context; shorten the input or take a model with a longer one.",
    "content_filtered": "A content filter stopped it; another model may answer. `inlay retry` asks again.",
    "refused": "The model declined; reword the prompt or take another model. `inlay retry` asks again.",
    "truncated": "The answer was cut off; raise the pass's `max_output_tokens` and `inlay retry`.",
    "cell": "Look at the record; `inlay retry` asks again.",
    "invalid_output": "The answer does not fit the fields; loosen their limits or describe them better.",
    "upstream": "An earlier pass has no answer for this row; mend that one first.",
    "lost": "The runner died while the call was out; the next run asks again.",
    "budget": "The budget was reached; the next run goes on with a new one.",
    "asked_again": "Marked by `inlay retry`; the next run asks.",
}
OTHERWISE = "`inlay retry` marks it for the next run."


def remedy(kind: str) -> str:
    """What to do about a kind of failure."""
    return REMEDIES.get(kind, OTHERWISE)
