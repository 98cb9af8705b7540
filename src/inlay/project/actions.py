"""What a declaration wants done when a run has ended: commands and webhooks, told by JSON.

    after:
      - command: aws glue start-job-run --job-name silver
        when: success
      - webhook: ${ALERTS_URL}
        when: failure

A command is started without a shell, in the declaration's folder, with this process's environment, and reads the JSON
from its standard input. A webhook gets it by POST, signed where INLAY_WEBHOOK_SECRET is set (see `signature`).
What stays true: an action can neither fail a run nor change its exit code: what went wrong is a sentence among the
notes of the report; nothing of a record is ever a part of a command line; no sentence shows a webhook's address beyond
its host, and the JSON holds no secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inlay._version import __version__
from inlay.errors import SpecError
from inlay.project.places import filled_in
from inlay.spec.model import ActionSpec, Enrichment

SECRET = "INLAY_WEBHOOK_SECRET"  # noqa: S105 (the variable's name)
TRIES = 3
ONE_TRY_S = 30.0
_PAUSES_S = (1.0, 4.0)
_SHOWN = 200


def carry_out(
    enrichment: Enrichment,
    key: str,
    message: Mapping[str, Any],
    env: Mapping[str, str],
    *,
    wanted: Callable[[ActionSpec], bool] = lambda action: True,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Do the actions under `key` (after, on_change) that are wanted, in order; a sentence for each that failed.

    Not idempotent: each call starts the commands and posts again, under the message's own `id`. Never raises for an
    action that fails.
    """
    actions: Sequence[ActionSpec] = getattr(enrichment, key)
    body = json.dumps(message, ensure_ascii=False, default=str).encode("utf-8", "replace")
    failed = []
    for number, action in enumerate(actions):
        if not wanted(action):
            continue
        try:
            if action.command:
                problem = _command(action, enrichment.folder, body)
            else:
                problem = _webhook(enrichment, action, f"{key}[{number}].webhook", body, message, env, sleep)
        except SpecError as error:
            problem = error.message
        if problem:
            failed.append(f"{key}[{number}] failed: {problem}")
    return failed


# --- commands --------------------------------------------------------------------------------------------------------


def _command(action: ActionSpec, folder: Path, body: bytes) -> str:
    """Run it; what went wrong, or nothing. What it prints is not shown, but for its last line where it fails."""
    program = action.command[0]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 (the declaration is its user's own program)
                list(action.command),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                cwd=folder,
                start_new_session=True,
            )
        except FileNotFoundError:
            return f"there is no program {program!r}"
        except OSError as error:
            return f"{program!r} cannot be started ({error.strerror})"
        try:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(body, timeout=action.timeout_s)
            code = process.wait(timeout=action.timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"{program!r} was ended after {action.timeout_s:g} s"
        except BaseException:
            _end(process)
            raise
        return "" if code == 0 else f"{program!r} ended with {_ended(code)}{_last_line(said)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(said: Any) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 4_000))
    lines = said.read().decode("utf-8", "replace").split("\n")
    last = next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")
    return f": {last[:_SHOWN]}" if last else ""


# --- webhooks --------------------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What happened is told to the address that was given, and to no other."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def signature(secret: str, stamp: str, body: bytes) -> str:
    """What stands in `X-Inlay-Signature`: HMAC-SHA256 of the time stamp, a dot and the body, in hex."""
    return "sha256=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _webhook(
    enrichment: Enrichment,
    action: ActionSpec,
    key: str,
    body: bytes,
    message: Mapping[str, Any],
    env: Mapping[str, str],
    sleep: Callable[[float], None],
) -> str:
    assert action.webhook is not None
    url = filled_in(enrichment, str(action.webhook), key, env).strip()
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isascii() or " " in url:
        return "its address is not one that begins with https:// or http://"
    opener = urllib.request.build_opener(_NoRedirects)
    deadline = time.monotonic() + action.timeout_s
    problem = ""
    for turn in range(TRIES):
        if turn:
            sleep(min(_PAUSES_S[turn - 1], max(0.0, deadline - time.monotonic())))
        left = deadline - time.monotonic()
        if left <= 0:
            break
        problem, again = _post(opener, url, body, message, env, min(ONE_TRY_S, left))
        if not again:
            break
    return f"{parts.hostname} {problem}" if problem else ""


def _post(
    opener: urllib.request.OpenerDirector,
    url: str,
    body: bytes,
    message: Mapping[str, Any],
    env: Mapping[str, str],
    timeout_s: float,
) -> tuple[str, bool]:
    """One try: what went wrong (nothing: it was taken), and whether another one may help."""
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"inlay/{__version__}",
        "X-Inlay-Event": str(message["event"]),
        "X-Inlay-Id": str(message["id"]),
        "X-Inlay-Timestamp": stamp,
    }
    if env.get(SECRET):
        headers["X-Inlay-Signature"] = signature(env[SECRET], stamp, body)
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 (https and http alone, above)
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            answer.read(65_536)
    except urllib.error.HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return f"answered {error.code}, and redirects are not followed", False
        return f"answered {error.code}", error.code >= 500 or error.code in (408, 425, 429)
    except TimeoutError:
        return f"did not answer within {timeout_s:.0f} s", True
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return f"did not answer within {timeout_s:.0f} s", True
        return f"cannot be reached ({getattr(reason, 'strerror', None) or type(reason).__name__})", True
    except (OSError, ValueError) as error:
        return f"cannot be reached ({type(error).__name__})", isinstance(error, OSError)
    return "", False
