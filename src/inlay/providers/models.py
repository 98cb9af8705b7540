"""`model: provider:name` resolved: which code speaks to it, where it is, and with which key.

A provider's class says what it needs: one with `answerer` runs in this process and is made without arguments; any
other is a Dialect, made with its endpoint, whose class attributes name `default_endpoint`, `endpoint_env`,
`endpoint_example`, `key_env` and `key_hosts` (all optional). Optional too: `wires`, its other wires (name to
"module:Class"); `endpoint_of_region(region, env)`, a class method that gives the endpoint of a cloud region, or None;
`placed(endpoint, env)`, a class method that gives an endpoint in its plain form and the keyword arguments that the
class is made with; `is_home(host)`, a class method for hosts that no list can name; `signer(env, region)`, a method
that gives a contracts.Signer where requests carry no plain key, or None.

What stays true: a key goes only where its owner sent it, which is the provider's own hosts, this machine, the endpoint
that the environment names, or any endpoint once the declaration names the variable itself; no secret is shown by repr.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inlay import registry
from inlay.contracts import Dialect, LocalModel, Signer
from inlay.errors import SpecError
from inlay.providers.auto import DEFAULT_OPENAI_MODEL, choose
from inlay.providers.credentials import require_key
from inlay.providers.endpoint import Endpoint, parse_endpoint

LEXICAL_VERSION = "1"


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that can be asked: over the wire (`dialect`, `endpoint`) or in this process (`local`).

    `auth_headers` hold the secret, or `signer` makes them a request at a time: for the transport alone. `why` is a
    sentence for the user where Inlay chose.
    """

    provider: str
    name: str
    dialect: Dialect | None = None
    local: LocalModel | None = None
    endpoint: Endpoint | None = None
    auth_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    why: str = ""
    key_variable: str = ""  # where the key came from; empty if none is sent
    signer: Signer | None = field(default=None, repr=False)
    account: str = ""  # the variable that the declaration names for the key, where it is not the provider's own

    @property
    def full_name(self) -> str:
        """`provider:name`, as recipes, prices and reports write it."""
        return f"{self.provider}:{self.name}"

    @property
    def lane(self) -> str:
        """What shares one set of limits, and one transport: provider, endpoint, model and key."""
        if self.endpoint is None:
            return self.full_name
        account = f" with {self.account}" if self.account else ""
        return f"{self.full_name} at {self.endpoint.url}{account}"


def resolve(
    model: str,
    endpoint: str | None = None,
    api_key_env: str | None = None,
    env: Mapping[str, str] | None = None,
    *,
    need_key: bool = True,
    region: str | None = None,
    wire: str | None = None,
) -> ResolvedModel:
    """Find what `model` means here and now. Reads the environment only; asks no network.

    `need_key=False` leaves the key alone (planning needs none). Raises SpecError for a wrong declaration and
    AuthenticationFailed for a key that is missing or cannot be one.
    """
    env = os.environ if env is None else env
    if model == "auto":
        return _auto(endpoint, api_key_env, env, need_key)
    provider, _, name = model.partition(":")
    cls = _load(model, provider, name)
    if hasattr(cls, "answerer"):
        return _local(cls, provider, name, endpoint, api_key_env)
    if not name or name != name.strip() or not name.isprintable():
        raise SpecError(f"`{model}` names no model", key="model", remedy=f"write {provider}:NAME")
    cls = _on_wire(cls, provider, wire)
    if region is not None and provider in registry.providers.ours and not hasattr(cls, "endpoint_of_region"):
        raise SpecError(f"{provider} has no regions", key="region", remedy="remove `region`; it belongs to bedrock")
    place, by_environment, arguments = _endpoint(cls, provider, name, endpoint, region, env)
    dialect = cls(place.url, **arguments)
    headers: tuple[tuple[str, str], ...] = ()
    signer: Signer | None = None
    variable = api_key_env or getattr(cls, "key_env", None)
    if need_key and api_key_env is None and (make := getattr(dialect, "signer", None)) is not None:
        signer = make(env, region)
    if variable and need_key and signer is None:
        if not (api_key_env or by_environment):
            _check_key_goes_home(cls, provider, variable, place)
        headers = dialect.auth(require_key(variable, env, provider=provider))
    elif signer is not None and not by_environment:
        _check_key_goes_home(cls, provider, "", place)
    used = variable if headers and variable else ""
    return ResolvedModel(
        provider,
        name,
        dialect=dialect,
        endpoint=place,
        auth_headers=headers,
        key_variable=used,
        signer=signer,
        account="" if api_key_env in (None, getattr(cls, "key_env", None)) else api_key_env or "",
    )


def _auto(endpoint: str | None, api_key_env: str | None, env: Mapping[str, str], need_key: bool) -> ResolvedModel:
    if endpoint is not None:
        raise SpecError(
            "`model: auto` chooses the endpoint too, so `endpoint` has no meaning beside it",
            key="endpoint",
            remedy="name the model that this endpoint serves: model: compatible:NAME",
        )
    if api_key_env is not None:
        full_name = f"openai:{DEFAULT_OPENAI_MODEL}" if env.get(api_key_env) else ""
        because = f"{api_key_env} is set" if full_name else f"{api_key_env} is not set"
    else:
        full_name, because = choose(env)
    if not full_name:
        chosen = resolve(f"lexical:{LEXICAL_VERSION}", env=env)
        why = (
            f"no API key was found ({because}), so the built-in {chosen.full_name} answers: "
            "it matches words and is no language model"
        )
        return replace(chosen, why=why)
    chosen = resolve(full_name, None, api_key_env, env, need_key=need_key)
    why = f"{because}, so {chosen.full_name} answers"
    if chosen.provider == "openai" and env.get("OPENAI_BASE_URL") and chosen.endpoint is not None:
        why += f", at {chosen.endpoint.url} (OPENAI_BASE_URL)"
    return replace(chosen, why=why)


def _load(model: str, provider: str, name: str) -> Any:
    if not name and provider not in registry.providers.names():
        if provider in registry.providers.planned:
            raise registry.providers.unknown(provider, key="model")
        raise SpecError(
            f"`{model}` has no provider before it",
            key="model",
            remedy=f"write openai:{model}, or compatible:{model} with `endpoint`, or auto",
        )
    if provider not in registry.providers.names():
        error = registry.providers.unknown(provider, key="model")
        if provider not in registry.providers.planned and "did you mean" not in error.remedy:
            # Ollama's names have a colon of their own: llama3:8b.
            error.remedy += f"; for a server of your own write compatible:{model} with `endpoint`"
        raise error
    return registry.providers.load(provider, key="model")


def _local(cls: Any, provider: str, name: str, endpoint: str | None, api_key_env: str | None) -> ResolvedModel:
    for key, value in (("endpoint", endpoint), ("api_key_env", api_key_env)):
        if value is not None:
            raise SpecError(
                f"`{provider}` runs in this process and takes no `{key}`", key=key, remedy=f"remove `{key}`"
            )
    if provider == "lexical" and name not in ("", LEXICAL_VERSION):
        raise SpecError(
            f"there is no lexical:{name}", key="model", remedy=f"this version has lexical:{LEXICAL_VERSION}"
        )
    return ResolvedModel(provider, name or LEXICAL_VERSION, local=cls())


def runs_here(model: str) -> bool:
    """Whether this names a model that runs in this process, and so has neither endpoint nor key."""
    provider = model.partition(":")[0]
    return provider in registry.providers.names() and hasattr(registry.providers.load(provider), "answerer")


def _on_wire(cls: Any, provider: str, wire: str | None) -> Any:
    """The class for the wire that was asked for; without a wish, the provider's own."""
    if wire is None:
        return cls
    wires: Mapping[str, str] = getattr(cls, "wires", {})
    found = registry.load_target(wires[wire]) if wire in wires else None
    if found is not None and getattr(found, "name", None) == getattr(cls, "name", None):
        return found
    # A gateway that is a subclass of OpenAI's wire inherits the list, and none of the wires on it is its own.
    own = found is None and len(wires) > 0
    known = f"{provider} has {', '.join(wires)}" if own else f"{provider} has one wire: leave `wire` out"
    raise SpecError(f"{provider} has no wire `{wire}`", key="wire", remedy=known)


def _endpoint(
    cls: Any, provider: str, name: str, endpoint: str | None, region: str | None, env: Mapping[str, str]
) -> tuple[Endpoint, bool, dict[str, Any]]:
    """Where the model is, whether the environment said so, and what the class is made with beside it."""
    variable = getattr(cls, "endpoint_env", None)
    key, by_environment = "endpoint", False
    if endpoint is None and variable and env.get(variable):
        endpoint, key, by_environment = env[variable], variable, True
    if endpoint is None:
        endpoint = getattr(cls, "default_endpoint", None)
        if (of_region := getattr(cls, "endpoint_of_region", None)) is not None:
            endpoint = of_region(region, env)
    if endpoint is None:
        example = getattr(cls, "endpoint_example", "http://127.0.0.1:8000/v1")
        raise SpecError(
            f"{provider}:{name} needs an `endpoint`",
            key="endpoint",
            remedy=f"add, for example, endpoint: {example}" + (f", or export {variable}=…" if variable else ""),
        )
    plain: str = endpoint
    arguments: dict[str, Any] = {}
    if (placed := getattr(cls, "placed", None)) is not None:
        plain, arguments = placed(plain, env)
    return parse_endpoint(plain, key=key), by_environment, arguments


def _check_key_goes_home(cls: Any, provider: str, variable: str, place: Endpoint) -> None:
    """A declaration from somebody else must not send this machine's own key, or a token (no `variable`), to a place of
    its choice."""
    homes: tuple[str, ...] = getattr(cls, "key_hosts", ())
    at_home = any(place.host == home or place.host.endswith("." + home) for home in homes)
    if (is_home := getattr(cls, "is_home", None)) is not None:
        at_home = is_home(place.host)
    if not homes or at_home or place.reach == "loopback":
        return
    if variable:
        remedy = f"say so with api_key_env: {variable}, or use compatible:NAME for a server without that key"
    elif named := getattr(cls, "endpoint_env", None):
        remedy = f"name the endpoint in {named} instead of the declaration, or a key for it in `api_key_env`"
    else:
        remedy = "name a key for it in `api_key_env`"
    raise SpecError(
        f"{variable or 'your credential'} is not sent to {place.host}, which is not {provider}'s own host",
        key="endpoint",
        remedy=remedy,
    )
