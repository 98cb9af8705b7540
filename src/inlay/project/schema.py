"""The JSON Schema of declarations as a file, where editors find it."""

from __future__ import annotations

import json
from pathlib import Path

from inlay.publish.write import write_text
from inlay.spec.schema import schema


def write_schema(path: str | Path) -> Path:
    """Write it whole or not at all; see `inlay.project.write_schema`."""
    return write_text(path, json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
