"""Turn text into index terms, the same way for passages and for questions.

Words are lower-cased, freed of accents and stemmed by script (Snowball: Russian for Cyrillic, English for
Latin); identifiers, versions and dotted names are kept whole and in parts; numbers are kept; scripts without
spaces give overlapping pairs of characters. Nothing is left out here: how much a word says is the ranking's
affair.
"""

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import snowballstemmer
from numpy.typing import NDArray

Ints = NDArray[np.integer]

_CACHED_TOKENS = 131_072
_CACHED_NAMES = 32_768  # more than files in a scope: walking through more of them than that, none is found again
_LONGEST_TERM = 64
_FUNCTION_WEIGHT = 0.2

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana, Han
    "\uac00-\ud7af\U00020000-\U0003134f"  # Hangul, more Han
)
# A run of letters and digits, which single joints may continue: snake_case, 3.14, user@host, don't,
# well-known.
_TOKEN = re.compile(
    rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+(?:[.,:/@'’+\-‐‑][^\W{_UNSPACED}]+)*(?:\+\+|\#(?!\w))?", re.UNICODE
)
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")
_JOINTS = re.compile(r"[.,:/@+\-‐‑_]+")
_CAMEL = re.compile(r"[A-ZА-ЯЁ]+(?=[A-ZА-ЯЁ][a-zа-яё])|[A-ZА-ЯЁ]?[a-zа-яё]+|[A-ZА-ЯЁ]+|\d+|[^\W\d_]+")
_HAS_CAMEL = re.compile(r"[a-zа-яё][A-ZА-ЯЁ]|[A-ZА-ЯЁ]{2}[a-zа-яё]{2}|[^\W\d_]\d|\d[^\W\d_]")
_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\Z")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_APOSTROPHE = re.compile(r"['’]")

# Words that ask or join and name nothing, in English and Russian.
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    a about according all also an and any are as at be been being between both but by can could describe did
    do does during each explain for from give given had has have he her his how i if in into is it its itself
    like list many me mentioned most much my no not of on one or other our out over please provided she should
    so some such tell than that the their them then there these they this those through to under up use used
    using was we were what when where which who whom whose why will with would you your а без был была были
    было быть в вам вас ваш весь во вот все всего всех вы где да для до его ее ей ему если есть еще же за и из
    или им их к как какая какие каких какого какое какой каком какому кем ко когда кого которая которого
    которое которой которые который которых кто куда ли между меня мне мой можно мы на над нам нас наш не него
    нее нет ни них но о об однако он она они оно от перед по под пожалуйста после почему при про расскажи с
    сколько со так также такая такие такой там тебя тем то того тоже той только том ты у уже чего чей чем что
    чтобы чье чья эта эти это этого этой этом этот эту я является
    """,
    )
)
# Words by which people mean their files rather than what is in them.
_FILE_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
        article attached attachment book content contents context doc document file main page paper pdf point
        report summary summarise summarize summarization text topic translate upload uploaded overview key
        вложение документ документе документа книга содержание содержимое статья страница суть текст тексте текста тема
        файл файле файла кратко краткое пересказ перескажи резюме главное основное переведи отчет
        """,
    )
)


_WORDS_FOR_A_FILE = frozenset(
    re.findall(r"\S+", "attached attachment document file pdf upload uploaded вложение документ файл приложенный")
)


_WORDS_FOR_NEWEST = frozenset(["latest", "newest", "recent", "последний", "новейший", "свежий"])


# Words that ask of several things at once.
_WORDS_FOR_SEVERAL = frozenset(
    re.findall(
        r"\S+",
        """
        both compare compared comparing comparison differ difference different versus vs
        обе обеих обеим обеими оба обоих обоим обоими отличаться отличие разница различие различаться сравнить сравни
        сравнение
        """,
    )
)
# Words that may, and may as well speak of what is in one file: "all contracts", but not "all customers".
_WORDS_FOR_EACH = frozenset(
    re.findall(r"\S+", "all each every все всех всем всеми каждый каждая каждое каждом каждого каждой")
)
_DOCUMENTS = frozenset(
    re.findall(
        r"\S+",
        """
        agreement article attachment contract document file invoice lease letter manual memo minutes offer paper policy
        proposal protocol report statement
        акт аренда вложение договор документ заявление инструкция контракт отчет письмо политика предложение приказ
        протокол регламент руководство соглашение статья счет файл
        """,
    )
)
_NUMBERS = frozenset(re.findall(r"\S+", "two three four five два две двух двум три трех трем четыре четырех пять пяти"))


def asks_for_several(text: str) -> bool:
    """Whether a text asks, in English or Russian, of several things at once: "both contracts", "compare"."""
    return not _terms_of(_WORDS_FOR_SEVERAL).isdisjoint(terms(text))


def asked_several_of(text: str) -> list[str]:
    """Return the terms of what a text asks for several of: "contract" for "both contracts"."""
    several, each = _terms_of(_WORDS_FOR_SEVERAL), _terms_of(_WORDS_FOR_EACH)
    left_out = (_function_terms() | _terms_of(_NUMBERS)) - several - each
    said = [term for term in terms(text) if term not in left_out]
    found = []
    for before, term, after in zip(["", *said], said, [*said[1:], ""], strict=False):
        if term in several:
            found += [after, before]
        elif term in each and after in _terms_of(_DOCUMENTS):
            found.append(after)
    return [term for term in dict.fromkeys(found) if term and term not in several | each]


def is_word_for_document(term: str) -> bool:
    """Whether a term is a word for a file, or a kind of document, in English or Russian."""
    return term in _terms_of(_DOCUMENTS)


def asks_for_newest(text: str) -> bool:
    """Whether a text asks, in English or Russian, for the newest of several files."""
    return not _terms_of(_WORDS_FOR_NEWEST).isdisjoint(terms(text))


def mentions_files(text: str) -> bool:
    """Whether a text says, in English or Russian, that it is about a file."""
    return not _terms_of(_WORDS_FOR_A_FILE).isdisjoint(terms(text))


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repeated as often as they occur."""
    found: list[str] = []
    for token in _TOKEN.findall(unicodedata.normalize("NFKC", text)):
        found += _token_terms(token) if len(token) <= _LONGEST_TERM else _split_token(token)
    return found


def query_terms(text: str) -> list[str]:
    """Return the terms of a question, each once, in the order in which they come."""
    return list(dict.fromkeys(terms(text)))


@dataclass(frozen=True, slots=True)
class Postings(Mapping[str, tuple[list[int], list[int]]]):
    """Where each term of a file stands: term → passages that hold it (positions, ascending), and how often each does.

    Held in flat arrays: a log has hundreds of thousands of terms, and lists of their own take three times the memory.
    """

    rows: Mapping[str, int]  # by term, in the order of `ends`
    ends: Ints
    positions: Ints
    counts: Ints

    def __getitem__(self, term: str) -> tuple[list[int], list[int]]:
        row = self.rows[term]
        part = slice(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))
        return self.positions[part].tolist(), self.counts[part].tolist()

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def postings(passages: Iterable[str]) -> tuple[Postings, list[int]]:
    """Index the passages of one file; return its postings, and the length of each passage in terms."""
    rows: dict[str, int] = {}
    of, positions, counts = array("i"), array("i"), array("i")
    lengths: list[int] = []
    for position, passage in enumerate(passages):
        found = terms(passage)
        lengths.append(len(found))
        for term, count in Counter(found).items():
            of.append(rows.setdefault(term, len(rows)))
            positions.append(position)
            counts.append(count)
    row_of = np.asarray(of, dtype=np.int32)
    by_term = np.argsort(row_of, kind="stable")
    ends = np.cumsum(np.bincount(row_of, minlength=len(rows)))
    return Postings(rows, ends, np.asarray(positions)[by_term], np.asarray(counts)[by_term]), lengths


@lru_cache(maxsize=_CACHED_TOKENS)
def _token_terms(token: str) -> tuple[str, ...]:
    """Return the terms of one token; remembered, as few words make up most of any text."""
    return _split_token(token)


def _split_token(token: str) -> tuple[str, ...]:
    if _UNSPACED_RUN.match(token):
        return tuple(token[i : i + 2] for i in range(len(token) - 1)) or (token,)
    if token.isdecimal() or _NUMBER.match(token):
        return (token.replace(",", ""),)
    plain = token.isalpha()
    if plain and not _HAS_CAMEL.search(token):
        return (_stem(token),)
    return _compound_terms(token)


def _compound_terms(token: str) -> tuple[str, ...]:
    """Return the parts of a token with joints, digits or inner capitals, and its whole where that names something."""
    pieces = [piece for piece in _JOINTS.split(token) if piece]
    parts: list[str] = []
    named = len(pieces) > 1 and not re.fullmatch(r"[^\W\d_]+(?:[/,\-‐‑:+.'’][^\W\d_]+)+", token)
    for piece in pieces:
        if _HAS_CAMEL.search(piece):
            inner = _CAMEL.findall(piece)
            if len(inner) > 1:
                parts.append(_fold(piece))
                parts.extend(_stem(word) for word in inner if len(word) > 1 or word.isdigit())
                continue
        parts.append(_stem(piece))
    whole = _fold(token)
    if len(pieces) > 1:
        if named or "." in token or "@" in token:
            parts.append(whole)
        elif len(pieces) == 2 and "-" in whole:
            parts.append(_stem(whole.replace("-", "")))
    if token[-1] in "+#":
        parts.append(whole)
    return tuple(part[:_LONGEST_TERM] for part in parts if part)


def _fold(word: str) -> str:
    """Lower-case, with ё as е and Latin letters without their accents."""
    word = word.lower().replace("ё", "е").replace("‐", "-").replace("‑", "-")
    if word.isascii() or _CYRILLIC.search(word):
        return word
    bare = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return bare.replace("ß", "ss")


def _stem(word: str) -> str:
    folded = _APOSTROPHE.sub("'", _fold(word))[:_LONGEST_TERM]
    if folded[:1].isdigit():
        return folded
    # A stemmer keeps its word in itself: a new one for each word that the cache does not know is safe in any
    # thread.
    stemmer = snowballstemmer.stemmer("russian" if _CYRILLIC.match(folded) else "english")
    stemmed = str(stemmer.stemWord(folded))
    return _APOSTROPHE.sub("", stemmed) or folded


def subject_terms(text: str) -> frozenset[str]:
    """Return the terms that name what a text is about, beyond function words and words for the file itself."""
    return _subjects(terms(text))


def _subjects(found: Iterable[str]) -> frozenset[str]:
    return frozenset(found) - _function_terms() - _terms_of(_FILE_WORDS)


@lru_cache(maxsize=_CACHED_NAMES)
def name_words(file_name: str) -> frozenset[str]:
    """Return all terms of a file's name, its ending left out."""
    return frozenset(terms((file_name.rpartition(".")[0] or file_name).replace("_", " ")))


@lru_cache(maxsize=_CACHED_NAMES)
def name_terms(file_name: str) -> frozenset[str]:
    """Return the terms by which a question may name a file: those of its name, its ending and bare numbers left out."""
    return frozenset(term for term in _subjects(name_words(file_name)) if not term.isdecimal() or len(term) == 4)


def query_weights(text: str) -> dict[str, float]:
    """Return the question's terms with their factor for the ranking: words that carry no subject count little."""
    function_terms = _function_terms()
    return {term: _FUNCTION_WEIGHT if term in function_terms else 1.0 for term in query_terms(text)}


def _function_terms() -> frozenset[str]:
    return _terms_of(_FUNCTION_WORDS)


@lru_cache(maxsize=16)
def _terms_of(words: frozenset[str]) -> frozenset[str]:
    return frozenset(term for word in words for term in _token_terms(word))
