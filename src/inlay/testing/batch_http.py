"""What the batch APIs have in common over HTTP: lost answers, downloads that break, forms, and bodies inside lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from inlay.testing.wire import Arrival, Delivery, Failure, Reply, Wire

if TYPE_CHECKING:
    from inlay.testing.service import Service


def create_with_faults(service: Service, make: Callable[[], Reply], failed: Callable[[Failure], Reply]) -> Reply:
    """Create a batch, or do not, and lose the answer, as the rules of faults say. `make` gives the reply."""
    desk = service.desk
    desk.attempts += 1
    number = desk.attempts
    struck = desk.first_strike(number, "create_500_before", "create_429_before", "create_reset_before")
    if struck == "create_429_before":
        return failed(Failure(429, "rate_requests", "Rate limit reached for batches.", retry_after_s=1.0))
    if struck:
        reply = failed(Failure(500, "server_error", "The server had an error while processing your request."))
        reply.delivery = "reset" if struck == "create_reset_before" else "whole"
        return reply
    reply = make()
    after = ("create_500_after", "create_timeout_after", "create_reset_after", "create_cut_after")
    struck = desk.first_strike(number, *after)
    if struck == "create_500_after":
        return failed(Failure(500, "server_error", "The server had an error while processing your request."))
    if struck:
        broken: dict[str, Delivery] = {
            "create_timeout_after": "never",
            "create_reset_after": "reset",
            "create_cut_after": "reset_mid_body",
        }
        reply.delivery = broken[struck]
    return reply


def download(service: Service, number: int, data: bytes, wire: Wire) -> Reply:
    """A file of results, cut or refused where a fault says so. `number` is its batch's, 0 for a file of none."""
    desk = service.desk
    struck = desk.first_strike(number, "download_500", "download_cut", "download_short") if number else ""
    if struck == "download_500":
        return failed_reply(
            wire, Failure(500, "server_error", "The server had an error while processing your request.")
        )
    reply = Reply(200, data, content_type="application/octet-stream")
    if struck == "download_cut":
        reply.delivery = "reset_mid_body"
    elif struck == "download_short":
        reply.body = data[: len(data) // 2]
    return reply


def embedded(body: bytes) -> Any:
    """A reply's body inside a line of results: as it is where it is an object, as text where it is none."""
    if body.startswith(b"{"):
        return orjson.Fragment(body)
    return body.decode("utf-8", "replace")


def multipart(arrival: Arrival) -> dict[str, tuple[str, bytes]]:
    """The parts of a form: name → (file name or "", data). Empty for a body that is no form."""
    found = re.search(r'boundary="?([^";]+)"?', arrival.headers.get("content-type", ""))
    if found is None:
        return {}
    mark = b"--" + found[1].encode("latin-1")
    parts: dict[str, tuple[str, bytes]] = {}
    for raw in (b"\r\n" + arrival.body).split(b"\r\n" + mark)[1:-1]:
        head, _, data = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")
        told = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', told)
        file_name = re.search(r'filename="([^"]*)"', told)
        if name is not None:
            parts[name[1]] = (file_name[1] if file_name else "", data)
    return parts


def failed_reply(wire: Wire, failure: Failure) -> Reply:
    """An error in the wire's shape."""
    headers = wire.headers(0, failure)
    if failure.retry_after_s is not None:
        headers.append(("retry-after", f"{failure.retry_after_s:.0f}"))
    return Reply(wire.status(failure), wire.error(failure), headers=headers)
