"""API keys: always the value of an environment variable, checked before a request is made with it.

What stays true: a key is read from the environment that is handed in and from nowhere else; no error shows any part
of it; a key that cannot be a header value is refused here, not by a provider after the first call.
"""

from __future__ import annotations

from collections.abc import Mapping

from inlay.errors import AuthenticationFailed


def require_key(variable: str, env: Mapping[str, str], *, provider: str) -> str:
    """The key in this variable. Raises AuthenticationFailed that names the variable and says how to set it."""
    value = env.get(variable)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise AuthenticationFailed(
            f"{provider} needs an API key, and the environment variable {variable} {state}",
            provider=provider,
            remedy=f"export {variable}=…, or name another variable in `api_key_env`",
        )
    if (problem := _problem(value)) is not None:
        raise AuthenticationFailed(
            f"the API key in the environment variable {variable} {problem}",
            provider=provider,
            remedy=f"set {variable} again to the bare key, as the provider shows it",
        )
    return value


def _problem(value: str) -> str | None:
    """What keeps this from being a key, said without showing any of it."""
    if value.strip() == "":
        return "is only white space"
    if value[-1] in "\r\n":
        return "ends with a line break"
    if value != value.strip():
        return "begins or ends with white space"
    if any(char.isspace() for char in value):
        return "holds white space inside"
    if value[0] in "\"'" or value[-1] in "\"'":
        return "is wrapped in quotation marks"
    if not value.isascii():
        return "holds a character that is not ASCII"
    if not value.isprintable():
        return "holds a control character"
    return None
