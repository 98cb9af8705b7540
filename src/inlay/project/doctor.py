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
from inlay.project.probes import recall
from inlay.providers.abilities import abilities
from inlay.providers.auto import Offer, offers
from inlay.providers.batch import wire_for
from inlay.providers.credentials import require_key
from inlay.providers.models import resolve
from inlay.types import usd

if TYPE_CHECKING:
    from pathlib import Path

    from inlay.project.session import Session, Step
    from inlay.providers.models import ResolvedModel
    from inlay.providers.prices import Price
    from inlay.spec.model import Enrichment

# Packages that only some providers need: what is imported, what brings it, and for whom.
_EXTRAS = (("azure.identity", "azure", "azure"), ("botocore", "bedrock", "bedrock"))
# Where a credential may be that no variable names; only a call can tell whether it is.
_CHAINS = {
    "azure": "no key, where az login or a managed identity gives Entra's tokens",
    "bedrock": "no key, where aws configure, aws sso login or a role gives AWS's credentials",
}

_FORMS = {
    "json_schema": "JSON schema",
    "json_object": "JSON mode",
    "structured_outputs": "structured_outputs",
    "forced_tool": "schema by a tool that must be called",
    "prompt": "schema in words only",
}


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
    """A model that a declaration uses, and in which passes. `price` and `key_from` are empty where there is none.

    `wire` is the name that the declaration's `wire` would have; `can` and `cannot` say what the model is trusted with,
    and `abilities_from` who says so.
    """

    model: str
    passes: tuple[str, ...]
    endpoint: str = ""
    wire: str = ""
    key_from: str = ""
    price: str = ""
    problem: str = ""
    remedy: str = ""
    note: str = ""
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    abilities_from: str = ""
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
        steps = _steps(session)
        models = tuple(_used(session, step, passes, index) for step, passes, index in steps)
        if probe:
            import asyncio

            from inlay.project.probing import ask_all

            models = asyncio.run(ask_all(session, models, [step.model for step, _, _ in steps]))
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
        if offer.provider in _CHAINS and not credential:
            remedy += f"; or {_CHAINS[offer.provider]}"
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


def _steps(session: Session) -> list[tuple[Step, tuple[str, ...], int]]:
    """Each model once over each of its wires, with the passes that ask it and the number of the first of them."""
    found: dict[tuple[str, type], tuple[Step, list[str], int]] = {}
    for index, (spec, steps) in enumerate(zip(session.passes, session.steps, strict=True)):
        for step in steps:
            _, names, _ = found.setdefault((step.model.lane, type(step.model.dialect)), (step, [], index))
            if spec.name not in names:
                names.append(spec.name)
    return [(step, tuple(names), index) for step, names, index in found.values()]


def _used(session: Session, step: Step, passes: tuple[str, ...], index: int) -> UsedModel:
    model = step.model
    problem, remedy, key_from = "", "", ""
    try:
        key_from = _credential(session.with_credential(model), session.env)
    except (SpecError, AuthenticationFailed) as error:
        problem, remedy = error.message, error.remedy
    price, note = "", ""
    if step.price is None:
        other = " or `priced_as: …`" if model.provider != "compatible" else ""
        note = f"its price is unknown: give it `prices:`{other}, or a budget refuses to start"
    elif model.local is not None:
        price = "free: it runs in this process"
    else:
        price = f"{_rates(step.price)} ({step.price.source})"
    can, cannot, source = _able(session, model, index)
    return UsedModel(
        model.full_name,
        passes,
        model.endpoint.url if model.endpoint is not None else "",
        wire_name(model),
        key_from,
        price,
        problem,
        remedy,
        note,
        can,
        cannot,
        source,
    )


def wire_name(model: ResolvedModel) -> str:
    """What `wire` would say for this model; empty for one in this process or with a wire of its own."""
    kind = type(model.dialect)
    targets: Mapping[str, str] = getattr(kind, "wires", {})
    return next((name for name, at in targets.items() if at == f"{kind.__module__}:{kind.__qualname__}"), "")


def _credential(model: ResolvedModel, env: Mapping[str, str]) -> str:
    """Where a model's requests get what lets them in; empty where they need nothing."""
    if model.signer is None:
        return model.key_variable
    offer = next((offer for offer in offers() if offer.provider == model.provider), None)
    if offer is not None and (names := offer.credential(env)):
        return " and ".join(names)
    chain = {"bedrock": "AWS's own chain of credentials", "azure": "Entra, through azure-identity"}
    return f"{chain.get(model.provider, 'the provider')}; whether it has any, a call or --probe tells"


def _rates(price: Price) -> str:
    given, written = (usd(rate) for rate in (price.tiers[0].input, price.tiers[0].output))
    if not given and not written:
        return "free"
    shown = (f"{rate:.2f}" if round(rate, 2) == rate else f"{rate:g}" for rate in (given, written))
    return "${} in, ${} out, a million tokens".format(*shown)


def _able(session: Session, model: ResolvedModel, index: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """What a model can and cannot do, and who says so."""
    if model.local is not None:
        return (), (), ""
    spec = session.passes[index]
    able = abilities(model.provider, model.name, spec.abilities)
    can, cannot = [], []
    form = getattr(model.dialect, "structured", "")
    if isinstance(form, str) and form:  # a compatible server, of which only a probe tells
        known = recall(session.probes_file, model) is not None
        can.append(f"{_FORMS.get(form, form)} ({'as probed' if known else 'not probed yet'})")
    else:
        can.append(_FORMS[able.structured[0]])
    (can if able.temperature else cannot).append("temperature")
    if able.cache_marks:
        can.append(f"prompt cache from {able.cache_min_tokens:,} tokens on")
    elif model.provider in ("openai", "azure"):
        can.append(f"prompt cache by itself from {able.cache_min_tokens:,} tokens on")
    (can if able.batch and wire_for(model.provider, model.dialect) is not None else cannot).append("batch")
    if able.thinking in ("default", "between_tools", "always"):
        can.append("thinks" + (" always" if able.thinking == "always" else " unless switched off"))
    source = f"the table of {able.as_of}" if able.as_of else "no table: a model that is not in it is trusted"
    if spec.abilities is not None:
        source += ", and the declaration"
    return tuple(can), tuple(cannot), source
