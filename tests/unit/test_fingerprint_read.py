"""Reading a canonical input back: what `canonical` wrote, value for value."""

from __future__ import annotations

import datetime as dt
import decimal
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.fingerprint import canonical, plain, read_canonical

TEXT = st.text(max_size=20) | st.sampled_from(["|", "s3:abc;", "_;", "", "日本語", "🏨\u202e", "n1:5;|", "\ud800"])
VALUES = st.lists(
    st.none()
    | TEXT
    | st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.lists(TEXT, max_size=3),
    max_size=6,
)
TAGS = {str: "s", bool: "b", int: "n", float: "n", decimal.Decimal: "n", dt.date: "d", dt.datetime: "t", bytes: "x"}


def expected(value):
    return None if value is None else (TAGS.get(type(value), "s"), plain(value))


GIVEN = st.just("") | st.dictionaries(st.sampled_from(["mood", "a|b", "x!"]), st.fixed_dictionaries({"v": TEXT})).map(
    lambda found: json.dumps(found, ensure_ascii=False, separators=(",", ":"))
)


@given(columns=VALUES, rules=GIVEN, upstream=st.none() | VALUES)
def test_what_was_written_is_read(columns, rules, upstream):
    data = canonical(columns)
    data += b"!" + rules.encode("utf-8", "surrogatepass") if rules else b""
    data += b"" if upstream is None else b"|" + canonical(upstream)
    found = read_canonical(data)
    assert found.values == tuple(map(expected, columns))
    assert found.given == rules
    assert found.upstream == tuple(map(expected, upstream or ()))


@given(values=VALUES.filter(bool), cut=st.integers(1, 5))
def test_a_cut_input_is_never_read_as_a_whole_one(values, cut):
    data = canonical(values)
    try:
        found = read_canonical(data[:-cut])
    except ValueError:
        return
    assert len(found.values) < len(values)


@pytest.mark.parametrize(
    "data", [b"s3:ab;", b"s3:abc", b"s:abc;", b"q1:a;", b"_", b"s-1:a;", b"s1:ab", b"3:abc;", b"||", b"!{}x"]
)
def test_bytes_that_are_no_input_are_refused(data):
    with pytest.raises(ValueError, match="not a canonical input"):
        read_canonical(data)
