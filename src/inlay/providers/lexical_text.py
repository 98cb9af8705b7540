"""How the lexical model reads a record: folded text, words, stems, sentences, headings, negation.

What stays true: the folded text has exactly the length of the original, so that every span found in it is a span of
the original and every quote is verbatim; everything is linear in the text; the same text always reads the same.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from inlay.providers.lexical_words import NEGATORS, stem

# Beyond this a record is read no further: its postings, reviews and names are far shorter.
MAX_CHARACTERS = 400_000
# A record of at most this many words, without lines, is weighed as a whole rather than sentence by sentence.
SHORT_WORDS = 60
MAX_QUOTE = 240

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?[+#]*")
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,200}>")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6});")
_ENTITIES = {
    "&euro;": "€",
    "&pound;": "£",
    "&yen;": "¥",
    "&amp;": "&",
    "&ndash;": "–",
    "&mdash;": "—",
    "&rsquo;": "’",
    "&quot;": '"',
}
# Full-width forms one to one, so that lengths stay.
_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20}
# A sentence ends at a line's end, at CJK stops, and at . ! ? before white space and something that is not lower case.
_BREAK = re.compile(
    r"[\n\r]\s*|(?<=[。！？])|(?<=[.!?…])(?<!\b[A-Za-z]\.)(?<!\b(?:St|Dr|Mr|Ms|No|Rd|vs)\.)\s+(?=[^a-z\s])|(?<=\s)[•▪●►▸✅👉💵✨]\s*"
)
_TRIM = " \t\u00a0\u3000•▪●►▸*·-–—>~#|\"'“”"
_BULLET = re.compile(r"\s*(?:[•▪●►▸*·>\-–—・✅👉💵✨]|\d{1,2}[.)/]|[a-z][.)])")

_NOT_NEGATING_AFTER = frozenset(
    map(stem, ("only", "just", "later", "fewer", "matter", "limited", "necessarily", "doubt"))
)
_CLAUSE = re.compile(r"[,;:()|.!?\n]|\s[–—-]\s|\b(?:but|however|although|though|aber|pero|mas|mais)\b")
# Scripts that are matched as parts of words: no spaces (Japanese, Thai ...) or particles that stick (Arabic, Korean).
_JOINED_SCRIPT = re.compile(
    r"[\u0590-\u1dff\u2190-\u2bff\u2e80-\ud7ff\uf900-\ufdff\ufe70-\ufeff\uff66-\uff9f\U0001f000-\U0003ffff]"
)
_CJK_NOT = re.compile(r"ありません|できません|しません|不可|なし|ない|不要|没有|不")


def fold(text: str) -> str:
    """Lower case and half width, of exactly the same length."""
    if not text.isascii():
        text = text.translate(_WIDTH)
    lower = text.lower()
    if len(lower) != len(text):  # 'İ' lowers to two characters
        lower = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    return lower


def _blank_tag(match: re.Match[str]) -> str:
    blank = "\n•" if match[0][1:3].lower() == "li" and len(match[0]) > 2 else "\n"
    return blank.ljust(len(match[0]))


def _plain_entity(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], " ").ljust(len(match[0]))


def unmarked(text: str) -> str:
    """The text with HTML tags as line breaks and entities as their characters, of exactly the same length."""
    if "<" in text:
        text = _TAG.sub(_blank_tag, text)
    if "&" in text:
        text = _ENTITY.sub(_plain_entity, text)
    return text


def is_joined(text: str) -> bool:
    """Whether this is matched as a part of the text rather than by its words (日本, إقامة, 🐶)."""
    return _JOINED_SCRIPT.search(text) is not None


def stems_of(text: str) -> list[str]:
    """The stems of a label, a name or a description, in order, camelCase and snake_case taken apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")
    return [stem(word) for word in WORD.findall(fold(spaced))]


class Source:
    """One input of a record: its original text, the folded twin of the same length, and its words."""

    __slots__ = ("ends", "folded", "name", "starts", "stems", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text[:MAX_CHARACTERS]
        self.folded = fold(unmarked(self.text))
        self.stems: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        for match in WORD.finditer(self.folded):
            self.stems.append(stem(match[0]))
            self.starts.append(match.start())
            self.ends.append(match.end())


class Sentence:
    """A span of one source, with the words first..last of it. `heading` is the sentence that heads its section."""

    __slots__ = ("bullet", "end", "first", "heading", "last", "negators", "source", "start")

    def __init__(self, source: Source, start: int, end: int, first: int, last: int, bullet: bool) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.first = first
        self.last = last
        self.bullet = bullet
        self.heading: Sentence | None = None
        self.negators: list[int] | None = None

    @property
    def text(self) -> str:
        """The sentence as it stands in the record."""
        return self.source.text[self.start : self.end]

    def stems(self) -> list[str]:
        """Its stems, in order."""
        return self.source.stems[self.first : self.last]

    def negation_at(self) -> list[int]:
        """Numbers of the words of this sentence that negate."""
        if self.negators is None:
            source, found = self.source, []
            for i in range(self.first, self.last):
                word = source.folded[source.starts[i] : source.ends[i]]
                if word in NEGATORS or word.endswith(("n't", "n’t")):
                    after = source.stems[i + 1] if i + 1 < self.last else ""
                    if after not in _NOT_NEGATING_AFTER:
                        found.append(i)
            self.negators = found
        return self.negators

    def negates(self, terms: Mapping[str, float], *, before: int = 6, after: int = 4) -> bool:
        """Whether a negation in the same clause governs one of these terms ("no visa sponsorship", "not required")."""
        negators = self.negation_at()
        if not negators:
            return False
        source = self.source
        for i in range(self.first, self.last):
            follower = source.stems[i + 1] if i + 1 < self.last else ""
            if source.stems[i] not in terms and source.stems[i] + follower not in terms:
                continue
            # Only the negators in reach, so that a long text full of them stays linear.
            for n in negators[bisect_left(negators, i - before) : bisect_right(negators, i + after)]:
                low, high = (n, i) if n < i else (i, n)
                if low != high and not _CLAUSE.search(source.folded, source.ends[low], source.starts[high]):
                    return True
        return False

    def negates_span(self, end: int) -> bool:
        """Whether a negation follows a match that ends here, as in Japanese (リモート不可)."""
        return _CJK_NOT.search(self.source.folded, end, min(end + 12, self.end)) is not None


class Record:
    """A record as the lexical model sees it. `sentences` runs over all inputs, in order.

    `units` are what labels are looked for in: the sentences, or each input as a whole where the record is short.
    """

    __slots__ = ("sentences", "short", "sources", "units")

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.sources = [Source(name, text) for name, text in texts.items() if text]
        words = sum(len(source.stems) for source in self.sources)
        self.short = words <= SHORT_WORDS and not any("\n" in source.folded.strip() for source in self.sources)
        self.sentences: list[Sentence] = []
        for source in self.sources:
            self.sentences += _sentences(source)
        self.units = self.sentences
        if self.short:
            self.units = [
                Sentence(source, *quotable, 0, len(source.stems), False)
                for source in self.sources
                if (quotable := _trimmed(source.text))[1] > 0
            ]


def _trimmed(text: str) -> tuple[int, int]:
    return len(text) - len(text.lstrip()), len(text.rstrip())


def _sentences(source: Source) -> list[Sentence]:
    """Cut a source into sentences and give each the heading of its section."""
    text = unmarked(source.text)
    starts = source.starts
    out: list[Sentence] = []
    heading: Sentence | None = None
    first, begin, count, mark = 0, 0, len(starts), ""
    spans = [(match.start(), match.end()) for match in _BREAK.finditer(text)]
    spans.append((len(text), len(text)))
    for stop, resume in spans:
        start, end = begin, stop
        begin = resume
        bullet = bool(mark) or _BULLET.match(text, start, end) is not None
        mark = text[stop:resume].strip()
        while start < end and (text[start] in _TRIM or text[start].isspace()):
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        last = first
        while last < count and starts[last] < stop:
            last += 1
        if end > start:
            sentence = Sentence(source, start, end, first, last, bullet)
            if _is_heading(text, sentence, "\n" in text[stop:resume] or "\r" in text[stop:resume]):
                heading = sentence
            else:
                sentence.heading = heading
            out.append(sentence)
        first = last
    return out


def _is_heading(text: str, sentence: Sentence, ends_line: bool) -> bool:
    """A short line of its own that is no bullet and no sentence: "Requirements", "What we offer:", "【待遇】"."""
    if not ends_line or sentence.bullet or sentence.last - sentence.first > 7 or sentence.end - sentence.start > 60:
        return False
    return text[sentence.end - 1] not in ".!?,;。、" or text[sentence.end - 1] in ":：】"


def quote_span(sentence: Sentence, at: int | None = None) -> tuple[int, int]:
    """The span to quote: the sentence, or where that is long, a window of whole words around position `at`."""
    start, end = sentence.start, sentence.end
    if end - start <= MAX_QUOTE:
        return start, end
    middle = start if at is None else at
    low = max(start, middle - MAX_QUOTE // 2)
    high = min(end, low + MAX_QUOTE)
    low = max(start, high - MAX_QUOTE)
    text = sentence.source.text
    if low > start and (space := text.find(" ", low, min(low + 30, middle))) >= 0:
        low = space + 1
    if high < end and (space := text.rfind(" ", max(low + 1, high - 30), high)) > 0:
        high = space
    while high > low and text[high - 1].isspace():
        high -= 1
    return low, high
