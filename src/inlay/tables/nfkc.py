"""NFKC inside DuckDB, which knows only NFC: a macro over a table of Python's own compatibility characters.

What stays true: the macro gives exactly what `unicodedata.normalize("NFKC", ...)` gives in this process, since its
table is read from there. It rests on the definition: NFKC is the canonical composition of the full compatibility
decomposition, so replacing every compatibility character by its NFKD and taking NFC of the result is enough.
(A Python function registered with DuckDB would need numpy, and would hold the interpreter's lock.)
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from inlay.fingerprint_sql import NFKC_FUNCTION, nfc_sql, quote_text

if TYPE_CHECKING:
    import duckdb

_PAGE = 64
_TABLE = "inlay_nfkc_table"  # a variable of the connection, not a literal: a literal would be parsed at each mention
_PAGES = "inlay_nfkc_pages"
_SHORT = "inlay_nfkc_widths"
_WIDTHS = 0xFF00  # Halfwidth and Fullwidth Forms; FF01-FF9F all have a decomposition


# Where characters with a decomposition can be: not among unified ideographs, Hangul syllables, private use.
_RANGES = (
    (0x80, 0x3400),
    (0xA000, 0xAC00),
    (0xD7A4, 0xD800),
    (0xF900, 0x17000),
    (0x18D00, 0x20000),
    (0x2F800, 0x30000),
)


@cache
def _decompositions() -> dict[int, str]:
    """Compatibility character to its NFKD, for each whose NFKD is not its NFD."""
    found: dict[int, str] = {}
    for low, high in _RANGES:
        for code in range(low, high):
            char = chr(code)
            # decomposition() first: much cheaper than normalising every character twice
            if unicodedata.decomposition(char):
                text = unicodedata.normalize("NFKD", char)
                if text != unicodedata.normalize("NFD", char):
                    found[code] = text
    return found


def create_nfkc(con: duckdb.DuckDBPyConnection) -> None:
    """Create the macro on this connection alone (not on its cursors). Idempotent."""
    found = _decompositions()
    used = sorted({code // _PAGE for code in found})
    # A table in pages: page number -> where its characters start in the table (null: it has none).
    starts = {page: place * _PAGE for place, page in enumerate(used)}
    pages = ",".join(str(starts.get(page, "NULL")) for page in range(used[-1] + 1))
    table = "\x01".join(found.get(page * _PAGE + low, "") for page in used for low in range(_PAGE))
    con.execute(f"SET VARIABLE {_PAGES} = CAST('[{pages}]' AS INTEGER[])")
    con.execute(f"SET VARIABLE {_TABLE} = string_split({quote_text(table)}, chr(1))")
    members = _ranges(sorted(found))
    # A list that is a constant is copied for every 2,048 pieces: so the widths of East Asian text, by far the most
    # frequent, have a short one of their own, and pieces that hold nothing to replace look nothing up.
    widths = "\x01".join(found.get(code, "") for code in range(_WIDTHS, _WIDTHS + 0xF0))
    con.execute(f"SET VARIABLE {_SHORT} = string_split({quote_text(widths)}, chr(1))")
    pieces = f"regexp_extract_all(x, '(?s)[{members}]|[^{members}]+')"
    place = f"getvariable('{_PAGES}')[unicode(piece) // {_PAGE} + 1] + unicode(piece) % {_PAGE} + 1"
    spelled = (
        f"list_transform({pieces}, lambda piece: CASE WHEN length(piece) > 1 THEN piece "
        f"WHEN unicode(piece) BETWEEN {_WIDTHS + 1} AND {_WIDTHS + 0x9F} "
        f"THEN getvariable('{_SHORT}')[unicode(piece) - {_WIDTHS - 1}] WHEN unicode(piece) = {0x3000} THEN ' ' "
        f"WHEN regexp_matches(piece, '[{members}]') THEN getvariable('{_TABLE}')[{place}] ELSE piece END)"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP MACRO {NFKC_FUNCTION}(x) AS "
        f"CASE WHEN regexp_matches(x, '[{members}]') THEN array_to_string(list_transform(string_split("
        f"array_to_string({spelled}, ''), chr(0)), lambda part: nfc_normalize(part)), chr(0)) ELSE {nfc_sql('x')} END"
    )


def _ranges(codes: list[int]) -> str:
    """The inside of an RE2 character class."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in spans)
