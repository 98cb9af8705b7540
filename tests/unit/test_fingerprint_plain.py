"""Characters that planning takes for NFC without normalising them."""

from __future__ import annotations

import unicodedata

import duckdb
import pytest

from inlay.fingerprint import canonical
from inlay.fingerprint_sql import PLAIN_RANGES, canonical_sql

PLAIN = [chr(code) for first, last in PLAIN_RANGES for code in range(first, last + 1)]


def test_plain_characters_are_nfc_alone_and_are_not_reordered() -> None:
    wrong = [char for char in PLAIN if unicodedata.combining(char) or unicodedata.normalize("NFC", char) != char]
    assert wrong == []


def test_no_plain_character_joins_the_one_before_it() -> None:
    joining = set()
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(code):
                joining.add(pair[1])
    joining |= {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # Hangul, by arithmetic
    assert "\u0301" in joining
    assert joining.isdisjoint(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII",
        "が日本語 العربية 한국어 🙂 Việt café",
        "cafe\u0301",
        "か\u3099",
        "\u1112\u1161\u11ab",
        "a\u0316\u0301\u0327",
        "\u212b and \u2126",
        "日本\0e\u0301",
        "مَرْحَبًا",
        "",
    ],
)
def test_sql_and_python_give_plain_and_other_text_one_form(text: str) -> None:
    con = duckdb.connect()
    found = con.execute(f"SELECT {canonical_sql('t', 'VARCHAR')} FROM (SELECT ? AS t)", [text]).fetchall()
    con.close()
    assert found[0][0].encode() == canonical([text])
