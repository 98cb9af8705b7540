"""`inlay doctor --probe`: each model of a declaration asked once, as cheaply as its server allows.

What stays true: the list of models is asked first, which is free; where that does not name the model, one short
question follows, with at most sixteen tokens of answer. A compatible server is asked what it does with a schema, in at
most three short questions, and the verdict is remembered. What a server says is shown as text and obeyed in nothing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from inlay.errors import InlayError, ModelNotFound
from inlay.project.probes import KEPT_DAYS, has_forms, remember
from inlay.types import CallShape, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inlay.project.doctor import UsedModel
    from inlay.project.session import Session
    from inlay.providers.models import ResolvedModel

TIMEOUT_S = 20.0
_SHAPE = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
# Providers whose endpoint serves the list of its models at /models.
_LISTED = frozenset(("openai", "anthropic", "azure", "compatible"))


async def ask_all(
    session: Session, models: tuple[UsedModel, ...], resolved: Sequence[ResolvedModel]
) -> tuple[UsedModel, ...]:
    """Ask each model that has what it needs, one after the other. Costs money where the questions do."""
    out = []
    for used, model in zip(models, resolved, strict=True):
        if used.problem or model.local is not None:
            out.append(used)
            continue
        try:
            out.append(await _ask(used, session.with_credential(model), session.probes_file))
        except InlayError as error:
            out.append(replace(used, problem=error.message, remedy=error.remedy, probed="failed"))
    return tuple(out)


async def _ask(used: UsedModel, model: ResolvedModel, probes: Path | None) -> UsedModel:
    from inlay.providers.transport import Transport

    assert model.endpoint is not None
    transport = Transport(
        model.endpoint, model.auth_headers, timeout_s=TIMEOUT_S, provider=model.provider, signer=model.signer
    )
    async with transport:
        began = time.monotonic()
        names = await _listed(model, transport)
        seconds = time.monotonic() - began
        if has_forms(model):
            return await _forms(used, model, transport, probes)
        if names is not None and model.name in names:
            return replace(used, probed="in the list of models (free)", seconds=seconds)
        assert model.dialect is not None
        request = model.dialect.encoder(CallShape(model.name, "", _SHAPE, "probe", 16, cache=False))("Reply {}")
        began = time.monotonic()
        try:
            model.dialect.read(*await transport.send(request))
        except ModelNotFound as error:
            if near := _near(model.name, names or []):
                error.remedy = f"did you mean {near}? {error.remedy}"
            raise
        unlisted = "; its list of models does not name it" if names is not None else ""
        return replace(used, probed=f"one short question{unlisted}", seconds=time.monotonic() - began)


async def _forms(used: UsedModel, model: ResolvedModel, transport: Any, probes: Path | None) -> UsedModel:
    """What a compatible server does with a schema, asked and remembered. Raises ProviderError."""
    from inlay.providers.probe import probe

    assert model.dialect is not None
    began = time.monotonic()
    verdict = await probe(model.dialect, transport, model.name)
    seconds = (time.monotonic() - began) / verdict.calls
    kept = "not remembered, since the store is no file"
    if probes is not None:
        try:
            remember(probes, model, verdict)
            kept = f"remembered for {KEPT_DAYS} days"
        except OSError as error:
            kept = f"not remembered, since {probes.name} cannot be written: {error.strerror}"
    asked = "one short question" if verdict.calls == 1 else f"{verdict.calls} short questions"
    use = (
        f"so runs ask for {verdict.form}"
        if verdict.enforced
        else "so the schema goes out in words, and is checked here"
    )
    return replace(used, probed=f"{asked}: {verdict.sentence}, {use}; {kept}", seconds=seconds)


async def _listed(model: ResolvedModel, transport: Any) -> list[str] | None:
    """The names in the server's list of models; None where it has none. Raises ProviderError (a wrong key)."""
    if model.provider not in _LISTED or model.dialect is None:
        return None
    base = getattr(model.dialect, "base", model.endpoint.url if model.endpoint is not None else "")
    status, headers, body = await transport.send(HttpRequest(f"{base}/models", b"", (), "GET"))
    if status in (401, 402, 403, 429):
        model.dialect.read(status, headers, body)
    if status != 200:
        return None
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return None
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]


def _near(name: str, names: list[str]) -> str:
    import difflib

    return next(iter(difflib.get_close_matches(name, names[:5000], 1)), "")[:80]
