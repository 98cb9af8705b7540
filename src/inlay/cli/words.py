"""Numbers, money and time in words, and foreign text made harmless for a terminal.

What stays true: `escaped` leaves nothing that a terminal obeys (escape sequences, control characters, bidirectional
marks), so that no record, key or model answer can move the cursor, recolour, reorder or forge a line.
"""

from __future__ import annotations

import re

from inlay.reporting.words import count, counted, dollars, duration, percent, when

__all__ = [
    "count",
    "counted",
    "dollars",
    "duration",
    "escaped",
    "json_escaped",
    "kinds",
    "percent",
    "price_range",
    "size",
    "when",
]

_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def escaped(text: str, most: int | None = None) -> str:
    """Text for a terminal: what would be obeyed is shown as `\\x1b`; cut to `most` characters with an ellipsis."""
    text = _OBEYED.sub(_shown, text if most is None else text[: most + 1])
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def json_escaped(document: str) -> str:
    """JSON text whose strings hold nothing that a terminal obeys; the same document to every reader."""
    return _OBEYED.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(ord(found[0])), document)


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def price_range(estimate: float | None, worst: float | None) -> str:
    """`$0.0123, at most $0.0456`: what is expected, and the most that it can be."""
    if estimate is None or worst is None or worst <= estimate:
        return dollars(estimate)
    return f"{dollars(estimate)}, at most {dollars(worst)}"


def size(number: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def kinds(counts: dict[str, int]) -> str:
    """`timeout 12, refused 3`: the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{escaped(name)} {number:,}" for name, number in ordered)
