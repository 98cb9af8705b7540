"""Foreign text for an HTML page: escaped, kept apart from the text around it, and with nothing hidden in it.

What stays true: text of a record or of a model never becomes markup, cannot reorder or overlay what stands beside it,
and characters that nobody sees, or that turn the reading direction, are shown by their number. Marks that scripts need
(joiners, direction marks, variation selectors) are left as they are.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# Controls (not tab and line feed), overrides and isolates of direction, zero-width space, word joiner, BOM, line and
# paragraph separator, half surrogate pairs, and tag characters; a flag's tags (England's) belong to an emoji.
_HIDDEN = re.compile(
    "(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)|"
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain_text(text: str) -> str:
    """Text with what is hidden in it shown as `‹U+202E›`; for attributes and titles."""
    return _HIDDEN.sub(lambda found: found[1] or f"‹{_name(found[0])}›", text.replace("\r\n", "\n"))


def shown(text: str) -> Markup:
    """Text as markup: escaped, what is hidden in it marked. Stands inside an element of its own (see `foreign`)."""
    text = text.replace("\r\n", "\n")
    out: list[Markup] = []
    at = 0
    for found in _HIDDEN.finditer(text):
        out.append(escape(text[at : found.start()]))
        out.append(escape(found[1]) if found[1] else Markup('<span class="ctl">{}</span>').format(_name(found[0])))
        at = found.end()
    out.append(escape(text[at:]))
    return Markup("").join(out)


def foreign(text: str) -> Markup:
    """A short text of somebody else's in the middle of ours: its direction is its own."""
    return Markup('<bdi dir="auto">{}</bdi>').format(shown(text))


def _name(char: str) -> str:
    return f"U+{ord(char):04X}"
