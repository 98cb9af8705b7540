"""When a predicted value is the known one: forms of values in which equal means the same.

    "ミャンマー " ─► NFKC, trimmed, one space, no case ─► its synonym ─► form     right = equal forms

What stays true: a comparison knows the type of its field and nothing of where values come from; a text that cannot be
a value of that type has no form, and is no truth; comparing is symmetric, save that numbers are near each other as
seen from the known one.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from inlay.errors import SpecError
from inlay.fingerprint import normalize_text, plain
from inlay.spec.fields import FieldSpec

# A form: hashable, and equal for values that are the same. A list has a frozenset of its items' forms.
Form = Any
NOTHING: Form = frozenset()
_TRUE = frozenset(("true", "t", "yes", "y", "1", "on"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "off"))
_SEPARATORS = re.compile(r"\s*[;|,、\n]\s*")
# Numbers that went through a float and back are still the same.
_EXACT = 1e-9


def folded(text: str) -> str:
    """A text without what does not make another value: width, case, spaces around and repeated within."""
    return unicodedata.normalize("NFKC", normalize_text(text, ("nfkc", "trim", "collapse_space")).casefold())


class Synonyms:
    """Texts that mean the same: each is known by one of its group."""

    def __init__(self, groups: Iterable[Iterable[str]] = ()) -> None:
        self._of: dict[str, str] = {}
        for group in groups:
            self._join([folded(text) for text in group if folded(text)])

    def _join(self, texts: list[str]) -> None:
        known = {self._of[text] for text in texts if text in self._of}
        if not texts:
            return
        chosen = min(known) if known else texts[0]
        # Groups that share a text are one group.
        for text, name in list(self._of.items()):
            if name in known:
                self._of[text] = chosen
        self._of.update(dict.fromkeys(texts, chosen))

    def form(self, text: str) -> str:
        """The text, folded, as its group is known."""
        plain_form = folded(text)
        return self._of.get(plain_form, plain_form)


class Comparison:
    """Values of one field, compared. `tolerance` is how far numbers may be apart, in their own unit."""

    def __init__(self, spec: FieldSpec, synonyms: Synonyms | None = None, tolerance: float = 0.0) -> None:
        self._spec = spec
        self._synonyms = synonyms or Synonyms()
        self._tolerance = tolerance
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise SpecError(f"{tolerance:g} is no tolerance", key="--tolerance", remedy="write 0 or more, such as 0.5")

    @property
    def numeric(self) -> bool:
        """Whether values are numbers, for which a distance means something."""
        return self._spec.type in ("integer", "number")

    @property
    def several(self) -> bool:
        """Whether a value is a set of items."""
        return self._spec.type == "list"

    def form(self, value: Any) -> Form | None:
        """The form of a known or predicted value, as text or typed; None where it can be no value of the field."""
        return self._form(self._spec, value)

    def score(self, truth: Form, found: Form | None) -> float:
        """1 where they are the same, 0 where not; of lists the F1 of their items. Nothing found where nothing was to
        be found is right."""
        if found is None or found is NOTHING:
            return float(truth == NOTHING)
        if self.numeric and truth != NOTHING:
            near = math.isclose(truth, found, rel_tol=_EXACT, abs_tol=max(self._tolerance, 0.0))
            # A distance of exactly the tolerance is within it, whatever binary fractions make of it.
            return float(near or abs(truth - found) <= self._tolerance * (1 + _EXACT))
        if self.several:
            both = len(truth & found)
            return 2 * both / (len(truth) + len(found)) if truth or found else 1.0
        return float(truth == found)

    def known_values(self) -> Mapping[Form, str]:
        """The forms of an enum's labels (of a list's, of its items) and how they are written; empty for other types."""
        spec = self._spec.item if self.several else self._spec
        return {self._synonyms.form(label): label for label in spec.values}

    # --- by type

    def _form(self, spec: FieldSpec, value: Any) -> Form | None:
        if value is None:
            return None
        if spec.type == "list":
            return self._items(spec, value)
        if spec.type == "object":
            return self._parts(spec, value)
        text = value if isinstance(value, str) else plain(value) or ""
        if spec.type in ("string", "text", "enum"):
            return self._synonyms.form(text) or None
        return _SCALARS[spec.type](text.strip())

    def _items(self, spec: FieldSpec, value: Any) -> Form | None:
        if isinstance(value, str):
            if value.lstrip().startswith("["):
                try:
                    value = json.loads(value)
                except ValueError:
                    return None
            else:
                value = [part for part in _SEPARATORS.split(value) if part.strip()]
        if not isinstance(value, list):
            return None
        forms = [self._form(spec.item, item) for item in value]
        return frozenset(form for form in forms if form is not None)

    def _parts(self, spec: FieldSpec, value: Any) -> Form | None:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if not isinstance(value, Mapping):
            return None
        return tuple((name, self._form(part, value.get(name))) for name, part in spec.fields.items())


def _boolean(text: str) -> bool | None:
    word = text.casefold()
    return True if word in _TRUE else False if word in _FALSE else None


def _number(text: str) -> float | None:
    try:
        number = float(unicodedata.normalize("NFKC", text).replace(",", "").replace("_", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str) -> str | None:
    try:
        return dt.datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)).timestamp()


_SCALARS = {"boolean": _boolean, "integer": _number, "number": _number, "date": _date, "datetime": _moment}
