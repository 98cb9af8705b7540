"""`python -m inlay`: the same as the command `inlay`."""

from __future__ import annotations

from inlay.cli.main import main

if __name__ == "__main__":
    main()
