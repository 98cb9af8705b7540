"""`${VAR}` and `${VAR:-default}` in the texts of a declaration.

Expansion happens once, after YAML is parsed, so a value can neither add keys nor be expanded again; `$${` stands for
a literal `${`. Prompts and fields are never expanded: what the model reads is what the file says, and an answer's
recipe does not depend on who runs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from inlay.spec.problems import nearest, show_text

_USE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_FORM = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand(text: str, env: Mapping[str, str], fail: Callable[[str, str], None]) -> str:
    """The text with its variables filled in; a mistake goes to `fail(message, remedy)` and leaves nothing there.

    As in a shell, the default of `${VAR:-default}` also stands in for an empty variable.
    """

    def value(use: re.Match[str]) -> str:
        inside: str | None = use[1]
        if inside is None:
            return "${"
        form = _FORM.fullmatch(inside)
        if form is None or not use[2] or (form[2] and "${" in form[2]):
            fail(f"`{show_text(use[0])}` is not a variable", "write ${NAME} or ${NAME:-default}; $${ for a literal ${")
            return ""
        name, default = form[1], form[2]
        found = env.get(name)
        if found is None and default is None:
            meant = nearest(name, env)
            hint = f"did you mean `{meant}`? " if meant else ""
            fail(
                f"the environment variable `{show_text(name)}` is not set",
                f"{hint}set it, or give a default: ${{{show_text(name)}:-…}}",
            )
            return ""
        return default if default is not None and not found else (found or "")

    return _USE.sub(value, text)
