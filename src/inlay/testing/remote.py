"""The HTTP APIs around batches: which of them a request is for, and its entry in the books.

What stays true: none of these requests costs anything, and each is entered, whatever becomes of its reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inlay.testing.batch_anthropic import AnthropicBatches
from inlay.testing.batch_bedrock import BedrockJobs
from inlay.testing.batch_openai import OpenAIBatches
from inlay.testing.s3 import ObjectStore
from inlay.testing.wire import Arrival, Reply

if TYPE_CHECKING:
    from inlay.testing.service import Service


class Remote:
    """Files, batches, invocation jobs and objects."""

    def __init__(self, service: Service) -> None:
        self._service = service
        objects = ObjectStore(service)
        self._parts = (
            OpenAIBatches(service),
            AnthropicBatches(service),
            BedrockJobs(service, objects),
            objects,
        )

    def reply(self, arrival: Arrival) -> Reply | None:
        """The reply of the API that the path belongs to; None where there is none."""
        for part in self._parts:
            reply = part.reply(arrival)
            if reply is not None:
                left = reply.status if reply.delivery in ("whole", "reset_mid_body") else 0
                self._service.recorder.batch_request(arrival.method, arrival.path, left)
                return reply
        return None
