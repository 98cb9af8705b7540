"""The canonical form of `inlay.fingerprint`, as DuckDB SQL text.

Planning compares millions of rows inside DuckDB, asking compares single records in Python; both must name an input
alike. What stays true: `canonical_sql(column, type, steps)` gives the text whose UTF-8 bytes are
`canonical([value])` of the value that `value_sql(column, type)` reads, and a property test holds the two equal.
Only text is built here: nothing imports or opens a database. Every name goes through `quote_ident`.

The expressions are shaped by measurement: text that is NFC already (nearly all) is hashed where it lies, which
keeps the whole form within about a tenth of a bare sha256().
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inlay.fingerprint import WHITE_SPACE, WHITE_SPACE_CHARACTERS

__all__ = [
    "NFKC_FUNCTION",
    "canonical_row_sql",
    "canonical_sql",
    "hash_sql",
    "key_sql",
    "nfc_sql",
    "plain_sql",
    "quote_ident",
    "quote_text",
    "value_sql",
]

# DuckDB has no NFKC of its own: `inlay.tables.sql.prepare` registers one under this name.
NFKC_FUNCTION = "inlay_nfkc"

_INTEGERS = frozenset(
    "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT".split()  # noqa: SIM905
)
_TIMESTAMPS = frozenset(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"))


def quote_ident(name: str) -> str:
    """A name as a quoted SQL identifier, whatever it holds; a NUL is refused, since no SQL text can carry it."""
    if not name or "\0" in name:
        raise ValueError("an SQL name must not be empty or hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as an SQL string literal; a NUL is refused, since no SQL text can carry it."""
    if "\0" in text:
        raise ValueError("an SQL literal must not hold a NUL character")
    return "'" + text.replace("'", "''") + "'"


def _class(duckdb_type: str) -> str:
    """The class that decides the form: text, json, integer, float, decimal, boolean, date, ..."""
    kind = duckdb_type.strip().upper()
    if kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION(")) or kind == "VARIANT":
        return "nested"
    base = kind.split("(", 1)[0].strip()
    if base in _INTEGERS:
        return "integer"
    if base in _TIMESTAMPS:
        return "timestamp"
    known = {
        "VARCHAR": "text",
        "JSON": "cast",
        "ENUM": "cast",
        "FLOAT": "float",
        "DOUBLE": "float",
        "DECIMAL": "decimal",
        "BOOLEAN": "boolean",
        "DATE": "date",
        "TIMESTAMP WITH TIME ZONE": "timestamptz",
        "BLOB": "bytes",
    }
    return known.get(base, "cast")


def value_sql(column: str, duckdb_type: str) -> str:
    """What to SELECT so that Python reads a value with the same canonical form as `canonical_sql` gives.

    Scalars that Python knows stay as they are; timestamps become UTC without zone, in microseconds; nested values
    become JSON text; everything else (JSON, ENUM, UUID, TIME, INTERVAL ...) becomes its text.
    """
    name = quote_ident(column)
    kind = _class(duckdb_type)
    if kind == "nested":
        return f"CAST(to_json({name}) AS VARCHAR)"
    if kind == "cast":
        return f"CAST({name} AS VARCHAR)"
    if kind == "timestamp":
        return f"CAST({name} AS TIMESTAMP)"
    if kind == "timestamptz":
        return f"make_timestamp(epoch_us({name}))"
    return name


def plain_sql(column: str, duckdb_type: str) -> str:
    """The SQL twin of `plain()` without its NFC: the text of a value, exactly; NULL stays NULL."""
    value = value_sql(column, duckdb_type)
    kind = _class(duckdb_type)
    if kind in ("text", "nested", "cast"):
        return value
    if kind in ("integer", "boolean"):
        return f"CAST({value} AS VARCHAR)"
    if kind == "float":
        # A FLOAT prints by its shortest 32-bit form, but Python sees the double that it is.
        wide = f"CAST({value} AS DOUBLE)"
        whole = f"CAST(CAST({wide} AS BIGINT) AS VARCHAR)"
        return (
            f"CASE WHEN isnan({wide}) THEN 'nan' WHEN {wide} = trunc({wide}) AND abs({wide}) < 1e15 THEN {whole} "
            f"ELSE CAST({wide} AS VARCHAR) END"
        )
    if kind == "decimal":
        return _decimal(f"CAST({value} AS VARCHAR)", duckdb_type)
    if kind == "date":
        return f"strftime({value}, '%Y-%m-%d')"
    if kind in ("timestamp", "timestamptz"):
        return (
            f"CASE WHEN epoch_us({value}) % 1000000 = 0 THEN strftime({value}, '%Y-%m-%d %H:%M:%S') "
            f"ELSE strftime({value}, '%Y-%m-%d %H:%M:%S.%f') END"
        )
    assert kind == "bytes", kind
    return f"lower(hex({value}))"


def _decimal(text: str, duckdb_type: str) -> str:
    """The printed DECIMAL without the zeros of its scale, and with the zero before the point that DuckDB may omit."""
    width, _, scale = duckdb_type.partition("(")[2].rstrip(") ").partition(",")
    if scale.strip() in ("", "0"):
        return text
    short = f"rtrim(rtrim({text}, '0'), '.')"
    if width.strip() != scale.strip():
        return short
    return f"regexp_replace({short}, '^(-?)(\\.|$)', '\\10\\2')"


_TAGS = {
    "integer": "n",
    "float": "n",
    "decimal": "n",
    "boolean": "b",
    "date": "d",
    "timestamp": "t",
    "timestamptz": "t",
    "bytes": "x",
}


def canonical_sql(column: str, duckdb_type: str, steps: Sequence[str] = (), *, as_is: bool = False) -> str:
    """An expression for the canonical form of one column; never NULL. `steps` are those of `normalize_text`.

    With the step nfkc the connection must have been through `inlay.tables.sql.prepare`. With `as_is` text is taken as
    it stands: cheap, and the canonical form exactly where the text is normal already.
    """
    text = plain_sql(column, duckdb_type)
    tag = _TAGS.get(_class(duckdb_type))
    if tag is not None:
        return f"CASE WHEN ({text}) IS NULL THEN '_;' ELSE concat('{tag}', strlen({text}), ':', {text}, ';') END"
    if as_is:
        return f"CASE WHEN {text} IS NULL THEN '_;' ELSE concat('s', strlen({text}), ':', {text}, ';') END"
    normal = f"{NFKC_FUNCTION}({text}) = {text}" if "nfkc" in steps else _is_nfc_sql(text)
    untidy = "|".join(_UNTIDY[step] for step in ("trim", "collapse_space") if step in steps)
    tidy = f" AND NOT regexp_matches({text}, '{untidy}')" if untidy else ""
    done = _normalized(text, steps)
    # Nearly all text is in its normal form already: then it is hashed where it lies.
    return (
        f"CASE WHEN ({normal}){tidy} THEN concat('s', strlen({text}), ':', {text}, ';') "
        f"WHEN {text} IS NULL THEN '_;' "
        f"ELSE concat('s', strlen({done}), ':', {done}, ';') END"
    )


# Letters, signs and ideographs that stand for themselves in NFC whatever is beside them: a text of these alone is NFC.
PLAIN_RANGES: tuple[tuple[int, int], ...] = (
    (0x0001, 0x02FF),  # Latin, IPA
    (0x0370, 0x0373),  # Greek, Cyrillic, Armenian
    (0x0375, 0x037D),
    (0x037F, 0x0386),
    (0x0388, 0x0482),
    (0x048A, 0x0590),
    (0x05D0, 0x060F),  # Hebrew and Arabic letters
    (0x061B, 0x064A),
    (0x0660, 0x066F),
    (0x0671, 0x06D5),
    (0x10A0, 0x10FF),  # Georgian
    (0x1E00, 0x1EFF),  # Latin with marks, Vietnamese
    (0x2010, 0x20CF),  # punctuation, currencies, arrows, signs
    (0x2190, 0x2328),
    (0x232B, 0x2ADB),
    (0x2E00, 0x3029),  # ideographs, kana, Hangul syllables
    (0x3030, 0x3098),
    (0x309B, 0xA66E),
    (0xAC00, 0xD7A3),
    (0xFF00, 0xFFEF),
    (0x1F000, 0x1FAFF),  # emoji
    (0x20000, 0x2F7FF),
)
_NOT_PLAIN = "[^" + "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in PLAIN_RANGES) + "]"


def _is_nfc_sql(text: str) -> str:
    """Whether a text is NFC already; the cheap signs first (CPU s for 284 MB: 0.02, 0.6, 4.0)."""
    plain = f"strlen({text}) = length({text}) OR NOT regexp_matches({text}, '{_NOT_PLAIN}')"
    return f"{plain} OR nfc_normalize({text}) = {text}"


# What a text must hold for a step to change it.
_UNTIDY = {
    "trim": f"\\A[{WHITE_SPACE}]|[{WHITE_SPACE}]\\z",
    "collapse_space": f"[{WHITE_SPACE.replace(' ', '')}]|[{WHITE_SPACE}][{WHITE_SPACE}]",
}


def nfc_sql(text: str) -> str:
    """NFC of a text that may hold NUL: nfc_normalize() alone would cut it there (DuckDB 1.5).

    NUL takes part in no composition, so the pieces between can be normalised one by one.
    """
    pieces = f"list_transform(string_split({text}, chr(0)), lambda piece: nfc_normalize(piece))"
    return f"CASE WHEN contains({text}, chr(0)) THEN array_to_string({pieces}, chr(0)) ELSE nfc_normalize({text}) END"


def _normalized(text: str, steps: Sequence[str]) -> str:
    """The SQL twin of `normalize_text`."""
    done = f"{NFKC_FUNCTION}({text})" if "nfkc" in steps else nfc_sql(text)
    if "collapse_space" in steps:
        done = f"regexp_replace({done}, '[{WHITE_SPACE}]+', ' ', 'g')"
    if "trim" in steps:
        done = f"trim({done}, '{WHITE_SPACE_CHARACTERS}')"
    return done


def canonical_row_sql(columns: Mapping[str, str], steps: Sequence[str] = (), *, as_is: bool = False) -> str:
    """The canonical form of several columns (name to DuckDB type), in the order of their names; never NULL."""
    parts = [canonical_sql(name, columns[name], steps, as_is=as_is) for name in sorted(columns)]
    if len(parts) == 1:
        return parts[0]
    return f"concat({', '.join(parts)})" if parts else "''"


def hash_sql(expression: str) -> str:
    """The first 32 hex digits of SHA-256 over a text: `short_hash` of its UTF-8 bytes, in hex."""
    return f"left(sha256({expression}), 32)"


def key_sql(columns: Sequence[str], types: Mapping[str, str]) -> str:
    """The row key as one text, NULL where a part is NULL: the SQL twin of `key_text`.

    One column: its plain text, exactly as it is (no NFC: two rows whose keys differ in form are two rows).
    Several: each part as `BYTES:text`, joined, so that no two keys share a text.
    """
    parts = [plain_sql(name, types[name]) for name in columns]
    if len(parts) == 1:
        return parts[0]
    return " || ".join(f"strlen({part}) || ':' || ({part})" for part in parts)
