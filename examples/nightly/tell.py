"""The hook behind `on_change`: what happened comes as JSON on standard input, and goes into a file as a line each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

message = json.load(sys.stdin)
with (Path(__file__).parent / ".play" / "events.jsonl").open("a", encoding="utf-8") as file:
    for event in message.get("events", [message]):
        file.write(json.dumps(event, ensure_ascii=False) + "\n")
