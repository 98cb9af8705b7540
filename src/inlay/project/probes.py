"""What is known of compatible servers: remembered beside the store, and learnt when a server refuses the first call.

    .inlay/probes.json    endpoint and model → the form of structured output to use, what each form did, when

What stays true: nothing is asked unless a call came back refused for its schema before any succeeded (or a person
asks, with `inlay doctor --probe`); what was learnt is written whole or not at all, holds no secret, and counts for 30
days and for the version of Inlay that learnt it; a file that cannot be read is no knowledge, and no error.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay._version import __version__
from inlay.errors import ProviderError, SchemaRejected
from inlay.providers.models import ResolvedModel
from inlay.types import HttpRequest

if TYPE_CHECKING:
    from inlay.project.session import Session
    from inlay.providers.compatible import CompatibleChat, Form
    from inlay.providers.probe import Verdict
    from inlay.providers.transport import Transport

PROBES_FILE = "probes.json"
KEPT_DAYS = 30


def has_forms(model: ResolvedModel) -> bool:
    """Whether the model's dialect knows more than one form of structured output."""
    return hasattr(model.dialect, "structured")


def recall(path: Path | None, model: ResolvedModel, *, now: dt.datetime | None = None) -> Form | None:
    """The form that was learnt for this model at its endpoint, where that still counts."""
    if path is None or model.endpoint is None:
        return None
    from inlay.providers.compatible import FORMS

    entry = _read(path).get(model.lane)
    if not isinstance(entry, dict) or entry.get("inlay") != __version__ or entry.get("form") not in FORMS:
        return None
    try:
        age = (now or dt.datetime.now(dt.UTC)) - dt.datetime.fromisoformat(entry["at"])
    except (KeyError, TypeError, ValueError):
        return None
    return entry["form"] if dt.timedelta(days=-1) < age < dt.timedelta(days=KEPT_DAYS) else None


def remember(path: Path, model: ResolvedModel, verdict: Verdict, *, now: dt.datetime | None = None) -> None:
    """Write a verdict down, in place of an earlier one on this model at its endpoint. Atomic. Raises OSError."""
    probes = _read(path)
    probes[model.lane] = {
        "form": verdict.form,
        "outcomes": dict(verdict.outcomes),
        "at": (now or dt.datetime.now(dt.UTC)).isoformat(timespec="seconds"),
        "inlay": __version__,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"probes": probes}, file, ensure_ascii=False, indent=2, sort_keys=True)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    probes = data.get("probes") if isinstance(data, dict) else None
    return probes if isinstance(probes, dict) else {}


def learning(session: Session, model: ResolvedModel, transport: Transport) -> Transport | Learning:
    """A lane's transport, as one that learns where the lane has a model with more than one form; it tells the session
    what it learns. A verdict that cannot be written down serves this run alone."""
    models = [step.model for steps in session.steps for step in steps]
    dialects: list[Any] = [other.dialect for other in models if other.lane == model.lane and has_forms(other)]
    if not dialects:
        return transport

    def learnt(verdict: Verdict) -> None:
        path = session.probes_file
        kept = ""
        if path is not None:
            try:
                remember(path, model, verdict)
                kept = f"; remembered for {KEPT_DAYS} days in {path.name}, beside the store"
            except OSError as error:
                kept = f"; not remembered, since {path.name} cannot be written: {error.strerror}"
        calls = f"{verdict.calls} short {'question' if verdict.calls == 1 else 'questions'}"
        if verdict.usage is not None:
            tokens = verdict.usage.input_tokens + verdict.usage.output_tokens
            calls += f" ({tokens} tokens, which the ledger does not hold)"
        session.learnt.append(
            f"{model.full_name} refused the first call, so it was asked {calls}: {verdict.sentence}. "
            f"Answers are asked for as {verdict.form}{kept}"
        )

    return Learning(transport, dialects, model.name, learnt)


class Learning:
    """A lane's transport that learns from a refusal: it probes the server once, tells the lane's dialects which form
    it takes, and sends the refused call again in that form.

    `learnt` is told the verdict. Once a call has succeeded, or the server was probed, everything is passed on.
    """

    def __init__(
        self,
        transport: Transport,
        dialects: Sequence[CompatibleChat],
        model: str,
        learnt: Callable[[Verdict], None],
    ) -> None:
        self._transport = transport
        self._dialects = dialects
        self._model = model
        self._learnt = learnt
        self._url = dialects[0].url(model)  # the same model may be asked over another wire too
        self._settled = False
        self._probing = asyncio.Lock()

    async def send(self, request: HttpRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange; see Transport.send. May ask three short questions more, once."""
        answer = await self._transport.send(request)
        if self._settled or request.url != self._url or not self._refused(answer):
            return answer
        async with self._probing:
            if not self._settled:
                from inlay.providers.probe import probe

                before = self._dialects[0].structured
                verdict = await probe(self._dialects[0], self._transport, self._model)
                self._settled = True
                if verdict.form == before:
                    return answer  # refused for another reason: an option
                self._use(verdict.form)
                answer = await self._transport.send(self._dialects[0].recast(request))
                if self._refused(answer):
                    self._use(before)  # in this form too: nothing was learnt that would help the next run
                else:
                    self._learnt(verdict)
                return answer
        return await self._transport.send(self._dialects[0].recast(request))

    def _use(self, form: Form) -> None:
        for dialect in self._dialects:
            dialect.structured = form

    def _refused(self, answer: tuple[int, Mapping[str, str], bytes]) -> bool:
        status, _, _ = answer
        if status < 300:
            self._settled = True
            return False
        try:
            self._dialects[0].read(*answer)
        except SchemaRejected:
            return True
        except ProviderError:
            return False
        return False

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()
