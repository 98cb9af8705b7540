"""What a lane's workers need of the run around them, and of the way to the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from inlay.engine.tally import Tally
from inlay.engine.work import Ask
from inlay.engine.writer import Writer
from inlay.errors import RunStopped
from inlay.types import HttpRequest


class Sender(Protocol):
    """What a lane sends through; fulfilled by providers.transport.Transport."""

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange: status, headers (lower case), body."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a lane without any success is waited for before the run stops, resumably (seconds)."""

    overload_s: float = 180.0
    rate_limit_s: float = 900.0


class Host(Protocol):
    """What the asking needs of the run around it; the Runner."""

    tally: Tally
    writer: Writer
    patience: Waiting
    stopping: RunStopped | None

    def stop(self, error: RunStopped) -> None:
        """End the run cleanly for this reason (the first one counts)."""
        ...

    def again(self, asks: list[Ask]) -> None:
        """Claim these addresses anew, to ask what is still missing; together where they may go together."""
        ...


def claim_anew(host: Host, asks: list[Ask]) -> None:
    """Ask again what an attempt that is closed has not answered."""
    for ask in asks:
        ask.attempt_id = 0
    host.again(asks)
