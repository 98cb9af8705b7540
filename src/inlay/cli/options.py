"""Arguments and options that several commands share, and the questions that commands ask."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from inlay.cli import completing
from inlay.errors import SpecError

if TYPE_CHECKING:
    from inlay.spec.model import Enrichment

DEFAULT_FILE = "inlay.yaml"
# Where the command notes the form of its messages, for whoever writes its error.
LOG_FORMAT = "inlay.log_format"
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class InOrder(click.Group):
    """A group that lists its commands in the order in which they are written down."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As declared; click would sort them."""
        return list(self.commands)


class Dollars(click.ParamType):
    """An amount of money: a finite number of US dollars, zero or more."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to dollars, or a usage error."""
        try:
            amount = float(str(value).removeprefix("$"))
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount) or amount < 0:
            self.fail(f"{value!r} is not an amount of US dollars, like 5 or 0.50", param, ctx)
        return amount


class Rows(click.ParamType):
    """A number of rows, zero or more."""

    name = "rows"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text to a whole number, or a usage error."""
        text = str(value).replace(",", "").replace("_", "")
        if not (text.isascii() and text.isdigit() and len(text) < 18):
            self.fail(f"{value!r} is not a number of rows, like 100", param, ctx)
        return int(text)


class Days(click.ParamType):
    """A length of time, written like `ttl` in a declaration; in days."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """`90s`, `15m`, `12h`, `30d` or `4w` to days, or a usage error."""
        from inlay.spec.forms import duration_s

        try:
            return duration_s(str(value)) / 86_400
        except ValueError:
            self.fail(f"{value!r} is not a length of time, like 12h, 90d or 4w", param, ctx)


declaration = click.argument(
    "declaration", default=DEFAULT_FILE, metavar="[DECLARATION]", shell_complete=completing.declarations
)
limit = click.option(
    "--limit",
    type=Rows(),
    metavar="ROWS",
    help="At most this many rows that need work.  [default: select.limit of the declaration]",
)
refresh = click.option(
    "--refresh", type=click.Choice(["stale"]), help="Ask again what was answered under an earlier prompt or model."
)
budget = click.option(
    "--budget",
    type=Dollars(),
    metavar="USD",
    help="The most that may be spent, in US dollars; takes the place of the declaration's budget.",
)
limit_made = click.option(
    "--limit", type=Rows(), metavar="ROWS", help="At most this many rows that need work.  [default: all]"
)
budget_made = click.option("--budget", type=Dollars(), metavar="USD", help="The most that may be spent, in US dollars.")
mode = click.option(
    "--mode",
    type=click.Choice(["live", "batch", "auto"]),
    help="How calls go out: one by one, in batches at half the price, or in batches where there are many.  "
    "[default: mode of the declaration, else live]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
pass_name = click.option(
    "--pass",
    "passes",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.passes,
    help="Only this pass; may be repeated.",
)
keys = click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Only this row; may be repeated. A key of several columns is a JSON list: '[\"JP\", 7]'.",
)
quiet = click.option("--quiet", is_flag=True, help="Show nothing but errors.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def _note_log_format(ctx: click.Context, param: click.Parameter, value: str) -> str:
    ctx.meta[LOG_FORMAT] = value
    return value


log_format = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="INLAY_LOG_FORMAT",
    show_envvar=True,
    is_eager=True,
    callback=_note_log_format,
    help="What is told while it runs, on standard error: words, or one JSON object a line (docs/logs.md).",
)


def load(file: str) -> Enrichment:
    """The declaration; SpecError where it is wrong."""
    from inlay.spec.load import load

    return load(file)


def refreshing(name: str | None) -> tuple[str, ...]:
    """The `--refresh` option as the library takes it."""
    return () if name is None else (name,)


def command_line(verb: str, file: str | None, *more: str) -> str:
    """A command to suggest: the declaration is named unless it is the default one; None where there is no file."""
    if file is None:
        return "the same command" if verb in ("run", "plan") else f"inlay {verb} (once there is a file: --save)"
    parts = ["inlay", *verb.split(), *([] if file == DEFAULT_FILE else [file]), *more]
    return " ".join(shlex.quote(part) for part in parts)


def stored_keys(enrichment: Enrichment, given: Sequence[str]) -> list[str]:
    """Keys as the store writes them. SpecError for one that does not fit the declaration's key columns."""
    from inlay.project.keys import parsed_key

    return [parsed_key(enrichment, text) for text in given]


def shown_key(enrichment: Enrichment, key: str) -> str:
    """A key as `--key` takes it."""
    from inlay.project import keys

    return keys.shown_key(enrichment, key)


def is_interrupt(error: BaseException) -> bool:
    """Whether this means Ctrl-C, at a question or within a query: DuckDB tells of it with a plain RuntimeError."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return True
    return type(error) is RuntimeError and str(error) == "Query interrupted"


def on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def sure(question: str, *, yes: bool) -> None:
    """Ask before something destructive. SpecError where nobody can be asked; Abort at a no."""
    if yes:
        return
    if not on_terminal():
        raise SpecError(f"{question} There is no terminal to ask on", key="--yes", remedy="add --yes to go ahead")
    click.confirm(question, abort=True, err=True)
