"""`python -m inlay.testing`: the simulator as a process of its own.

Prints its endpoint on one line and serves until SIGTERM, SIGINT, or (with `--until-eof`) the end of its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from inlay.errors import InlayError, SpecError
from inlay.testing.batch_faults import BATCH_FAULTS
from inlay.testing.faults import FAULTS
from inlay.testing.routes import endpoint_lines
from inlay.testing.service import Service
from inlay.testing.settings import SimulatorSpec
from inlay.testing.simulator import Server, new_loop

# Options that are settings of the same name.
_PLAIN = (
    "latency",
    "requests_per_minute",
    "tokens_per_minute",
    "max_concurrency",
    "null_share",
    "seed",
    "key_pattern",
    "batch_polls",
    "batch_seconds",
)
_HELP = f"""A simulated model provider that speaks the wires of OpenAI, Azure, Anthropic and Bedrock, misbehaves on request and
counts what it was asked.

\b
Endpoints, below the address that it prints (which ends in /v1):
{endpoint_lines("http://HOST:PORT")}

GET /ledger, /ledger/summary and /ledger/batches give its books; POST /control changes its settings.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 takes a free one.")
@click.option("--latency", help="Seconds: 0.2, uniform:0.1,0.4, lognormal:MEDIAN,SIGMA or tokens:FIRST,EACH.")
@click.option("--fault", "faults", multiple=True, metavar="NAME[=SHARE]", help="Strike calls; may be repeated.")
@click.option("--requests-per-minute", type=float, metavar="N")
@click.option("--tokens-per-minute", type=float, metavar="N")
@click.option("--max-concurrency", type=int, metavar="N", help="503 above it.")
@click.option("--input-price", type=float, metavar="USD", help="Per million tokens.  [default: 0.1]")
@click.option("--output-price", type=float, metavar="USD", help="Per million tokens.  [default: 0.5]")
@click.option("--null-share", type=float, metavar="SHARE", help="Of nullable fields.  [default: 0.1]")
@click.option("--seed", type=int, metavar="N")
@click.option("--key-pattern", metavar="REGEX", help="What the ledger notes of each message.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable with the only key that is let in.")
@click.option("--aws-keys-from-env", is_flag=True, help="Verify signatures by AWS_ACCESS_KEY_ID's secret key.")
@click.option("--batch-fault", "batch_faults", multiple=True, metavar="NAME", help="Strike batches; may be repeated.")
@click.option("--batch-polls", type=int, metavar="N", help="Polls that find a batch unfinished.")
@click.option("--batch-seconds", type=float, metavar="S", help="How long a batch takes.")
@click.option("--spec", "spec_file", metavar="FILE", help="Settings as JSON; - reads one line of standard input.")
@click.option("--ledger", metavar="FILE", help="Append every finished call as a JSON line.")
@click.option("--cpu", type=int, metavar="N", help="Run on this CPU alone.")
@click.option("--until-eof", is_flag=True, help="End when standard input does.")
@click.option("--list-faults", is_flag=True, help="Print every fault with its sentence.")
def main(list_faults: bool, **options: Any) -> None:
    if list_faults:
        for fault in FAULTS.values():
            click.echo(f"{fault.name:22} {fault.sentence}")
        for name, sentence in BATCH_FAULTS.items():
            click.echo(f"{name:22} {sentence}")
        return
    try:
        spec = _spec(options)
        if options["cpu"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {options["cpu"]})
        service = Service(spec, ledger_file=options["ledger"])
        server = Server(service, host=options["host"], port=options["port"])
        # The books hold many small objects that live long: looking through them again and again costs a third.
        gc.set_threshold(100_000, 50, 1_000)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(_serve(server, watch_stdin=options["until_eof"]))
    except (InlayError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _spec(options: dict[str, Any]) -> SimulatorSpec:
    settings = _settings_file(options["spec_file"])
    settings |= {name: options[name] for name in _PLAIN if options[name] is not None}
    price = {"input_per_million": options["input_price"], "output_per_million": options["output_price"]}
    if any(value is not None for value in price.values()):
        settings["prices"] = {"*": {name: value for name, value in price.items() if value is not None}}
    if options["faults"]:
        settings["faults"] = [_fault(text) for text in options["faults"]]
    if options["batch_faults"]:
        settings["batch_faults"] = [{"fault": name} for name in options["batch_faults"]]
    if options["aws_keys_from_env"]:
        access, secret = (_secret_of(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        settings["aws_keys"] = {access: secret}
    if (name := options["api_key_env"]) is not None:
        settings["api_keys"] = [_secret_of(name)]
    return SimulatorSpec.of(settings)


def _secret_of(name: str) -> str:
    if not (key := os.environ.get(name)):
        raise SpecError(
            f"the environment variable {name} is not set", key=name, remedy="set it, or leave the option out"
        )
    return key


def _settings_file(name: str | None) -> dict[str, Any]:
    if name is None:
        return {}
    try:
        text = _line_of_stdin() if name == "-" else Path(name).read_text(encoding="utf-8")
        settings = json.loads(text)
    except (OSError, ValueError) as error:
        raise SpecError(f"the settings cannot be read: {error}", file=name, remedy="give one JSON object") from None
    if not isinstance(settings, dict):
        raise SpecError("the settings are not a JSON object", file=name)
    return settings


def _line_of_stdin() -> str:
    # Unbuffered: a buffered reader would swallow the end of the pipe, which tells of our parent's end.
    data = b""
    while not data.endswith(b"\n"):
        part = os.read(0, 65_536)
        if not part:
            break
        data += part
    return data.decode()


def _fault(text: str) -> dict[str, Any]:
    name, _, share = text.partition("=")
    try:
        return {"fault": name, "share": float(share)} if share else {"fault": name}
    except ValueError:
        raise SpecError(f"{share!r} is not a share", key="--fault", remedy="write NAME=0.3") from None


async def _serve(server: Server, *, watch_stdin: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if watch_stdin:
        loop.add_reader(0, lambda: None if os.read(0, 1024) else stopping.set())
    click.echo(await server.start())
    sys.stdout.flush()
    await stopping.wait()
    if watch_stdin:
        loop.remove_reader(0)
    await server.stop()


if __name__ == "__main__":
    main(prog_name="python -m inlay.testing")
