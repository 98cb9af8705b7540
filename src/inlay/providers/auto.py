"""What the environment offers: each provider's variables, and the model that `model: auto` takes of it.

What stays true: only the environment is read, and the network is never asked; the first offer that is whole is taken,
in the order of this table; a value of a variable is shown nowhere but that of a deployment, which is a model's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inlay import registry

DEFAULT_OPENAI_MODEL = "gpt-6-luna"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider needs of the environment. `credentials` are alternatives, each a set of variables; every one of
    `places` (alternatives too) must be set besides. `model` is a cheap and sensible one, or in `model_env`. `ambient`
    are credentials that are there for other reasons too: they work, but `auto` spends no money on their account."""

    provider: str
    credentials: tuple[tuple[str, ...], ...]
    places: tuple[tuple[str, ...], ...] = ()
    model: str = ""
    model_env: str = ""
    ambient: tuple[tuple[str, ...], ...] = ()

    def credential(self, env: Mapping[str, str]) -> tuple[str, ...]:
        """The variables that hold a credential, the first alternative that is whole; empty if none is."""
        every = (*self.credentials, *self.ambient)
        return next((names for names in every if all(env.get(name) for name in names)), ())

    def missing(self, env: Mapping[str, str]) -> list[str]:
        """The variables that are still to be set; of alternatives the one that has most, else the first."""
        out: list[str] = []
        if not self.credential(env):
            every = (*self.credentials, *self.ambient)
            begun = max(every, key=lambda names: sum(bool(env.get(name)) for name in names))
            out += [name for name in begun if not env.get(name)]
        return out + [names[0] for names in self.places if not any(env.get(name) for name in names)]

    def chosen(self, env: Mapping[str, str]) -> str:
        """The name of the model, without its provider; empty where the environment must say it and does not."""
        return self.model or env.get(self.model_env, "")


OFFERS: tuple[Offer, ...] = (
    Offer("openai", (("OPENAI_API_KEY",),), model=DEFAULT_OPENAI_MODEL),
    Offer("anthropic", (("ANTHROPIC_API_KEY",),), model="claude-haiku-5-5"),
    Offer(
        "azure",
        (("AZURE_OPENAI_API_KEY",), ("AZURE_OPENAI_AD_TOKEN",)),
        (("AZURE_OPENAI_ENDPOINT",),),
        model_env="AZURE_OPENAI_DEPLOYMENT",
    ),
    Offer(
        "bedrock",
        (("AWS_BEARER_TOKEN_BEDROCK",),),
        (("AWS_REGION", "AWS_DEFAULT_REGION"),),
        model="openai.gpt-oss-20b-1:0",
        ambient=(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_PROFILE",)),
    ),
)


def offers() -> list[Offer]:
    """The offers of the providers that this version has, in the order in which `auto` looks."""
    known = registry.providers.names()
    return [offer for offer in OFFERS if offer.provider in known]


def choose(env: Mapping[str, str]) -> tuple[str, str]:
    """(`provider:name`, which variables said so); or ("", what is not set) where nothing is offered."""
    short: list[str] = []
    for offer in offers():
        credential = offer.credential(env)
        missing = offer.missing(env)
        if credential in offer.ambient:
            continue
        if credential and not missing and offer.chosen(env):
            said = " and ".join(credential) + (" are set" if len(credential) > 1 else " is set")
            return f"{offer.provider}:{offer.chosen(env)}", said
        if credential:
            short.append(f"{credential[0]} is set, but not {(missing or [offer.model_env])[0]}")
    keys = [offer.credentials[0][0] for offer in offers()]
    listed = f"{', '.join(keys[:-1])} and {keys[-1]} are" if len(keys) > 1 else f"{keys[0]} is"
    return "", "; ".join(short) or f"{listed} not set"
