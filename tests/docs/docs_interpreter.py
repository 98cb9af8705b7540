"""The Python of one page: blocks come in as JSON lines, what they printed goes out. `await` works at the top level."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys
import traceback
from typing import Any


def main() -> None:
    """Until the end of standard input."""
    names: dict[str, Any] = {"__name__": "__main__"}
    answers = sys.stdout
    sys.path.insert(0, "")
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            block = json.loads(line)
            printed, error = io.StringIO(), ""
            with contextlib.redirect_stdout(printed):
                try:
                    run(block["code"], block["line"], names, runner)
                except BaseException:
                    error = traceback.format_exc()
            answers.write(json.dumps({"printed": printed.getvalue(), "error": error}) + "\n")
            answers.flush()


def run(code: str, line: int, names: dict[str, Any], runner: asyncio.Runner) -> None:
    """One block; its line numbers are the page's."""
    compiled = compile("\n" * line + code, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if compiled.co_flags & inspect.CO_COROUTINE:
        runner.run(eval(compiled, names))
    else:
        exec(compiled, names)


if __name__ == "__main__":
    main()
