"""Reading a canonical input back: what `canonical` wrote, value for value."""

from __future__ import annotations

import datetime as dt
import decimal

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


@given(columns=VALUES, upstream=st.none() | VALUES)
def test_what_was_written_is_read(columns, upstream):
    data = canonical(columns) + (b"" if upstream is None else b"|" + canonical(upstream))
    groups = read_canonical(data)
    assert groups[0] == tuple(map(expected, columns))
    assert groups[1:] == (() if upstream is None else (tuple(map(expected, upstream)),))


@given(values=VALUES.filter(bool), cut=st.integers(1, 5))
def test_a_cut_input_is_never_read_as_a_whole_one(values, cut):
    data = canonical(values)
    try:
        groups = read_canonical(data[:-cut])
    except ValueError:
        return
    assert len(groups) == 1
    assert len(groups[0]) < len(values)


@pytest.mark.parametrize("data", [b"s3:ab;", b"s3:abc", b"s:abc;", b"q1:a;", b"_", b"s-1:a;", b"s1:ab", b"3:abc;"])
def test_bytes_that_are_no_input_are_refused(data):
    with pytest.raises(ValueError, match="not a canonical input"):
        read_canonical(data)
