"""The models that a declaration names, put in the place of their names.

What stays true: a pass that says `model: NAME` means what it would mean with the keys of `models.NAME` written out, so
that renaming a model changes no recipe; a key of the pass comes before the same key of the name; no name can be taken
for a provider.
"""

from __future__ import annotations

from collections.abc import Mapping

from inlay import registry
from inlay.spec.model import ModelSpec, PassSpec
from inlay.spec.problems import Problems, join_key, nearest, show_text, suggest

# What a name says for a pass that does not say it itself.
SAID_ONCE = ("endpoint", "region", "wire", "api_key_env", "temperature", "prices")


def check_models(models: Mapping[str, ModelSpec], problems: Problems) -> None:
    """Note every name that a provider has, and every model that is only another name."""
    if not models:
        return
    providers = registry.providers.names()
    for name, spec in models.items():
        key = join_key("models", name)
        if name in providers or name in registry.providers.planned or name == "auto":
            what = "chooses a model by the environment" if name == "auto" else "is a provider"
            problems.add(f"`{name}` {what}, so it cannot be a name of your own", key, remedy="choose another name")
        elif spec.model not in models and (provider := spec.model.partition(":")[0]) not in (*providers, "auto"):
            unknown = registry.providers.unknown(show_text(provider))
            remedy = (
                unknown.remedy if ":" in spec.model else f"write provider:name, such as openai:{show_text(provider)}"
            )
            problems.add(unknown.message, problems.known_key(f"{key}.model"), remedy=remedy)
        elif spec.model in models:
            problems.add(
                f"`{show_text(spec.model)}` is a name too; a name stands for provider:name",
                problems.known_key(f"{key}.model"),
                remedy=f"write {models[spec.model].model}" if models[spec.model].model not in models else "",
            )


def put_in(spec: PassSpec, index: int, models: Mapping[str, ModelSpec], problems: Problems) -> PassSpec:
    """The pass with its named model written out. Idempotent. Mistakes are noted."""
    if not models:
        return spec
    if spec.models:
        for number, name in enumerate(spec.models):
            key = f"passes[{index}].models[{number}]"
            _check_known(name, key, models, problems)
            found = models.get(name)
            if found is not None and (found.options or found.temperature is not None):
                what = "options" if found.options else "temperature"
                problems.add(
                    f"`{name}` has `{what}` of its own, and the models of a cascade share those of the pass",
                    key,
                    remedy=f"move `{what}` from `models.{name}` to the pass",
                )
        return spec
    named = models.get(spec.model)
    if named is None:
        _check_known(spec.model, f"passes[{index}].model", models, problems)
        return spec
    said = {key: getattr(named, key) for key in SAID_ONCE if getattr(spec, key) is None}
    options = {**named.options, **spec.options}
    return spec.model_copy(update={**said, "options": options, "model": named.model, "named": spec.model})


def _check_known(name: str, key: str, models: Mapping[str, ModelSpec], problems: Problems) -> None:
    """A word that is neither a name nor a provider was meant as a name, where there are names."""
    if name in models or ":" in name or name == "auto" or problems.covers(key):
        return
    providers = registry.providers.names()
    if name in providers or name in registry.providers.planned:
        return
    remedy = suggest(name, models, what="models")
    if nearest(name, models) is None:
        remedy += f"; or write provider:name, such as openai:{show_text(name)}"
    problems.add(f"there is no model `{show_text(name)}` in `models`", problems.known_key(key), remedy=remedy)
