"""The entry point `inlay`: finds the command, and turns every way it can end into words and an exit code.

Commands are imported when they are used, so that `inlay --help` is quick. What stays true: no error of a user's making
shows a traceback; an exit code means one thing (see `EXIT_CODES`); a closed pipe ends the command quietly.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from typing import Any, NoReturn

import click

from inlay._version import __version__
from inlay.cli import options, screen
from inlay.cli.words import escaped
from inlay.errors import (
    InlayError,
    Interrupted,
    PlanError,
    ProviderError,
    SourceError,
    SpecError,
    StoreDamaged,
    StoreError,
)

WRONG, STOPPED, UNEXPECTED, PIPE_CLOSED = 2, 3, 70, 141

EXIT_CODES = """\b
Exit codes:
  0    done
  1    done, but some cells failed (or `store verify` found damage, or
       `dbt --check` found files that would change)
  2    the command, the declaration or the source is wrong: nothing was sent
  3    stopped and resumable: budget, interruption, too many failures,
       credentials, quota, a store or target out of reach. Type it again.
  70   an error that Inlay did not foresee; INLAY_TRACEBACK=1 shows where
  141  standard output was closed early
"""

MORE = """\b
More:
  inlay completion --help   commands, options, files and passes by the Tab key
  inlay schema --help       keys explained and mistakes marked in your editor
  docs/errors.md            every error: what it means, and what to do
"""

_SAFE: tuple[tuple[type[InlayError], str], ...] = (
    (StoreError, "Nothing was half-written: what the store had taken before is there."),
    (ProviderError, "Nothing was sent."),
)


class Commands(click.Group):
    """Commands by name, each in its own module, imported when it is used."""

    modules = (
        "enrich",
        "init",
        "doctor",
        "load",
        "plan",
        "run",
        "show",
        "status",
        "costs",
        "prices",
        "explain",
        "correct",
        "corrections",
        "retry",
        "batch",
        "export",
        "report",
        "dbt",
        "eval",
        "store",
        "forget",
        "schema",
        "completion",
    )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they are used."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or None for a name that there is not."""
        if cmd_name not in self.modules:
            return None
        return getattr(importlib.import_module(f"inlay.cli.{cmd_name}"), cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or a usage error with the nearest one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message.split(' (')[0].rstrip('.')}. {_meant(args[0])}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error ends here, in words on standard error and an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.exceptions.Exit, click.ClickException):
            raise
        except KeyboardInterrupt:
            _interrupted(ctx)
        except BrokenPipeError:
            screen.let_go()
            ctx.exit(PIPE_CLOSED)
        except InlayError as error:
            code = WRONG if isinstance(error, SpecError | PlanError | SourceError) else STOPPED
            if not _logged(ctx, error, code):
                _say("error", str(error), *_safe(error), *getattr(error, "__notes__", ()))
            _trace_if_asked()
            ctx.exit(code)
        except Exception as error:  # noqa: BLE001 (the outermost edge: whatever it is, the user gets a sentence)
            if options.is_interrupt(error):
                _interrupted(ctx)
            if not _logged(ctx, error, UNEXPECTED):
                _say(
                    "error",
                    f"Inlay did not expect this: {type(error).__name__}: {error}",
                    "INLAY_TRACEBACK=1 shows where it happened; please report it. Everything answered is in the store.",
                )
            _trace_if_asked()
            ctx.exit(UNEXPECTED)
        return result


def _meant(word: str) -> str:
    import difflib

    if word.endswith((".yaml", ".yml")):
        return f"Say what to do with it: {options.command_line('run', word)}"
    near = difflib.get_close_matches(word, Commands.modules, 1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(Commands.modules)}"


def _logged(ctx: click.Context, error: Exception, code: int) -> bool:
    """Write the error as a line of the log where that is what was asked for; False otherwise."""
    if ctx.meta.get(options.LOG_FORMAT) != "json":
        return False
    from inlay.project.logs import RunLog

    RunLog(sys.stderr).error(error, code)
    return True


def _interrupted(ctx: click.Context) -> NoReturn:
    if _logged(ctx, Interrupted("interrupted", remedy="nothing was sent"), STOPPED):
        ctx.exit(STOPPED)
    _say("interrupted", "Nothing was sent.")
    ctx.exit(STOPPED)


def _say(what: str, text: str, *more: str) -> None:
    """An error on standard error. Later lines are indented, so that no text of a record can pose as one of ours."""
    first, *rest = [escaped(line) for line in text.splitlines()] or [""]
    rest += [escaped(line) for line in more]
    color = False if screen.plain() else None
    head = click.style(f"{what}:", fg="red" if what == "error" else "yellow", bold=True)
    lines = [f"{head} {first}", *(line if line.startswith("  ") else f"  {line}" for line in rest)]
    click.echo("\n".join(lines), err=True, color=color)


def _safe(error: InlayError) -> list[str]:
    """What is not lost, unless the error says it already."""
    if "othing was" in str(error) or isinstance(error, StoreDamaged):
        return []
    return [text for kind, text in _SAFE if isinstance(error, kind)]


def _trace_if_asked() -> None:
    if os.environ.get("INLAY_TRACEBACK"):
        traceback.print_exc()


@click.group(cls=Commands, context_settings=options.CONTEXT, epilog=f"{EXIT_CODES}\n{MORE}")
@click.version_option(__version__, "--version", prog_name="inlay", message="%(prog)s %(version)s")
def cli() -> None:
    """Durable LLM columns in the tables you already have: planned, priced, paid once, kept forever.

    `inlay enrich` needs nothing but a file. Every other command takes a declaration, a YAML file that says which rows
    want which columns (default: inlay.yaml; `inlay init` writes one). Answers are kept in .inlay/ beside it.

    \b
    Examples:
      inlay enrich reviews.csv --field "sentiment: positive|neutral|negative"
      inlay plan                      # what a run would do, why, and its price
      inlay run --limit 100           # a first hundred rows
      inlay run --budget 5 --yes      # the rest, for at most 5 US dollars
      inlay status                    # how far it is, and what failed
    """


def main() -> None:
    """Run the command line and exit with its code."""
    # This process is ours: Arrow's own pool keeps freed memory (18 MB of 50,000 rows), the system's gives it back.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8, or a lone surrogate in somebody's key, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli.main(prog_name="inlay")
