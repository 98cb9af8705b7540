"""The little that the lexical model knows of languages beforehand: common words, negations, English endings.

What stays true: nothing here belongs to a subject; words of the user's subject come from the fields' descriptions.
"""

from __future__ import annotations

from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _words(
    """a about above after again all also am an and any anyone are as at be because been before being below between both
    but by can could did do does doing down during each either else ever every few for from further get gets getting
    got had has have having he her here him his how i i'm i've if in into is it it's its just let like may me might
    more most much must my need needs of off on once one only or other our out over own per please put same shall she
    should so some someone something still such than that that's the their them then there these they this those
    through to too under until up upon us use used very via want wants was we we're we've were what what's when where
    which while who whom whose why will with would yet you you'd you'll you're you've your
    whether true false"""
)
# Words that are everywhere: they count, but less.
WEAK_WORDS = _words(
    """able allow ask available best better call change check come day different employee employer find first give go
    good great help high include job know last level long look low make many mean mention name new number offer order
    people person place possible provide require role say see show small start state take team tell thing time try
    type way week well work year record text describe kind"""
)
NEGATORS = _words(
    """no not never without cannot none nor neither unable nicht kein keine keinen sin ni não nao sem nem pas sans
    aucun aucune non ohne ليس لا بدون غير لن"""
)

# An ending, and how much must be left before it. The first that fits is taken off.
_SUFFIXES = (
    ("izations", 6), ("ization", 6), ("ations", 4), ("ation", 4), ("ships", 4), ("ship", 4), ("ments", 4), ("ment", 4),
    ("ings", 3), ("ing", 3), ("ally", 4), ("edly", 4), ("ies", 3), ("ied", 3), ("ated", 4), ("ates", 4), ("ate", 4),
    ("ions", 4), ("ion", 4), ("ly", 4), ("ed", 3), ("es", 3), ("s", 3),
)  # fmt: skip


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A folded word without its commonest English endings: `sponsored`, `sponsorship` and `sponsors` are `sponsor`."""
    if not word.isascii() or len(word) < 4:
        return word
    if word.endswith("'s"):
        word = word[:-2]
    for suffix, shortest in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= shortest:
            if suffix == "s" and word[-2] in "su":
                break
            word = _without(word, suffix)
            break
    if len(word) > 5 and word.endswith(("ival", "awal", "oval", "usal")):  # arrival, withdrawal, approval, refusal
        word = word[:-2]
    if len(word) > 4 and word.endswith("ll"):
        word = word[:-1]
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word[-1] == "y" else word


def _without(word: str, suffix: str) -> str:
    word = word[: -len(suffix)]
    if suffix in ("ies", "ied"):
        return word + "y"
    if suffix in ("ing", "ings", "ed") and len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        return word[:-1]
    return word


_STOP_STEMS = frozenset(map(stem, STOP_WORDS)) | STOP_WORDS
_WEAK_STEMS = frozenset(map(stem, WEAK_WORDS))


def is_stop(word_stem: str) -> bool:
    """Whether a stem carries no meaning of its own."""
    return word_stem in _STOP_STEMS


def weight_of(word_stem: str) -> float:
    """How much a stem counts before its rarity among the labels is known."""
    return 0.4 if word_stem in _WEAK_STEMS else 1.0
