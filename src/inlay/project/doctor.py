"""What this machine can ask: the providers that the environment offers, and what the models of a declaration lack.

What stays true: without a probe nothing is asked of any network; no key, no part of one and no header's value is in
anything given back; a probe asks the free list of models where there is one, and otherwise one short question.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from inlay import registry
from inlay.errors import AuthenticationFailed, InlayError, SpecError
from inlay.providers.auto import Offer, offers
from inlay.providers.credentials import require_key
from inlay.providers.models import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from inlay.project.session import Session, Step
    from inlay.spec.model import Enrichment

# Packages that only some providers need: what is imported, what brings it, and for whom.
_EXTRAS = (("azure.identity", "azure", "azure"), ("botocore", "bedrock", "bedrock"))


@dataclass(frozen=True, slots=True)
class OfferedProvider:
    """A provider and what the environment has of it. `credential` names variables; `missing` those still to be set."""

    provider: str
    usable: bool
    credential: tuple[str, ...] = ()
    endpoint_from: str = ""
    missing: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model that a declaration uses, and in which passes. `price` and `key_from` are empty where there is none."""

    model: str
    passes: tuple[str, ...]
    endpoint: str = ""
    wire: str = ""
    key_from: str = ""
    price: str = ""
    problem: str = ""
    remedy: str = ""
    note: str = ""
    probed: str = ""
    seconds: float | None = None

    @property
    def usable(self) -> bool:
        """Whether nothing stands in the way that is known."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All of it. `auto` is what `model: auto` would be, with its reason; `declaration` is empty where there is none."""

    providers: tuple[OfferedProvider, ...]
    extras: Mapping[str, bool]
    auto: str
    declaration: str = ""
    models: tuple[UsedModel, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the declaration's models can be asked, as far as is known."""
        return all(model.usable for model in self.models)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "usable": self.usable}


def examine(
    declaration: str | Path | Enrichment | None, *, env: Mapping[str, str] | None = None, probe: bool = False
) -> Diagnosis:
    """Look at the environment and, where there is one, at a declaration. Raises SpecError for a wrong declaration.

    `probe` asks each model over the network: for free where its server lists its models, else one short question.
    """
    env = os.environ if env is None else env
    try:
        chosen = resolve("auto", env=env, need_key=False)
        auto = chosen.why
    except InlayError as error:
        auto = error.message
    found = Diagnosis(
        tuple(_offered(offer, env) for offer in offers()),
        {extra: _importable(module) for module, extra, who in _EXTRAS if who in registry.providers.names()},
        auto,
    )
    if declaration is None:
        return found
    from inlay.project.session import Session

    with Session(declaration, env=env) as session:
        models = tuple(_used(session, step, passes, env) for step, passes in _steps(session))
        if probe:
            import asyncio

            from inlay.project.probing import ask_all

            models = asyncio.run(ask_all(session, models))
        return replace(found, declaration=str(session.enrichment.file or session.enrichment.name), models=models)


def _offered(offer: Offer, env: Mapping[str, str]) -> OfferedProvider:
    credential = offer.credential(env)
    missing = tuple(offer.missing(env))
    cls = registry.providers.load(offer.provider)
    endpoint_env = getattr(cls, "endpoint_env", None) or ""
    endpoint_from = endpoint_env if endpoint_env and env.get(endpoint_env) else ""
    problem, remedy = "", ""
    if missing:
        several = len(missing) > 1
        problem = f"{', '.join(missing)} {'are' if several else 'is'} not set"
        remedy = "; ".join(f"export {name}=…" for name in missing)
    for name in credential:
        try:
            require_key(name, env, provider=offer.provider)
        except AuthenticationFailed as error:
            problem, remedy = error.message, error.remedy
    if not problem and endpoint_from:
        try:
            resolve(f"{offer.provider}:{offer.chosen(env) or 'any'}", env=env, need_key=False)
        except SpecError as error:
            problem, remedy = f"{endpoint_from}: {error.message}", error.remedy
    return OfferedProvider(offer.provider, not problem, credential, endpoint_from, missing, problem, remedy)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _steps(session: Session) -> list[tuple[Step, tuple[str, ...]]]:
    """Each lane once, with the passes that use it."""
    found: dict[str, tuple[Step, list[str]]] = {}
    for spec, steps in zip(session.passes, session.steps, strict=True):
        for step in steps:
            _, names = found.setdefault(step.model.lane, (step, []))
            if spec.name not in names:
                names.append(spec.name)
    return [(step, tuple(names)) for step, names in found.values()]


def _used(session: Session, step: Step, passes: tuple[str, ...], env: Mapping[str, str]) -> UsedModel:
    model = step.model
    problem, remedy, key_from = "", "", ""
    try:
        key_from = session.credential_of(step)
    except (SpecError, AuthenticationFailed) as error:
        problem, remedy = error.message, error.remedy
    price = "" if step.price is None else step.price.source
    note = ""
    if not price:
        note = "its price is unknown: say it with `prices:`, or a budget refuses to start"
    return UsedModel(
        model.full_name,
        passes,
        model.endpoint.url if model.endpoint is not None else "",
        type(model.dialect).__name__ if model.dialect is not None else "in this process",
        key_from,
        price,
        problem,
        remedy,
        note,
    )
