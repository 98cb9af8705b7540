"""The prompt cache of a provider: which beginnings of prompts it holds, and what a call reads from it or writes to it.

A wire that caches by itself matches in steps of 128 tokens; one that wants marks matches what stands before each
mark. What stays true: nothing below 1,024 tokens is cached, and a beginning can be read only once the answer to the
call that wrote it has begun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from inlay.testing.wire import SimRequest, tokens_of

_FROM, _STEP = 1_024, 128  # tokens: the shortest cached beginning, and its granularity
_CHARS = 4  # a token


class PromptCache:
    """Not thread-safe: it belongs to the service's loop. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._ready: dict[bytes, float] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._ready.clear()

    def use(self, request: SimRequest, now: float, *, writes: bool) -> tuple[int, int]:
        """(tokens read, tokens written) of a call that arrives now.

        `writes`: whether a wire without marks tells of what it wrote.
        """
        read = longest = 0
        for tokens, digest in _beginnings(request):
            longest = max(longest, tokens)
            if self._ready.get(digest, now + 1) <= now:
                read = max(read, tokens)
        read, longest = min(read, request.prompt_tokens), min(longest, request.prompt_tokens)
        return read, longest - read if writes or request.cache_marks is not None else 0

    def keep(self, request: SimRequest, ready: float) -> None:
        """Hold the beginnings of a call, to be read from `ready` on."""
        for _, digest in _beginnings(request):
            self._ready[digest] = min(ready, self._ready.get(digest, ready))


def _beginnings(request: SimRequest) -> Iterator[tuple[int, bytes]]:
    """(tokens, digest) of each beginning that the cache may hold, shortest first."""
    if request.cache_marks is not None:
        for mark in request.cache_marks:
            if (tokens := tokens_of(len(mark))) >= _FROM:
                yield tokens, _hashed(request.model, mark).digest()
        return
    text = request.system + request.user
    running = _hashed(request.model, text[: (_FROM - _STEP) * _CHARS])
    for tokens in range(_FROM, len(text) // _CHARS + 1, _STEP):
        running.update(text[(tokens - _STEP) * _CHARS : tokens * _CHARS].encode("utf-8", "surrogatepass"))
        yield tokens, running.digest()


def _hashed(model: str, text: str) -> hashlib._Hash:
    return hashlib.sha256(f"{model}\n{text}".encode("utf-8", "surrogatepass"))
