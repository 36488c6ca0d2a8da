"""Questions with the places of their answers, and messages of three kinds; see README.md for where they come from."""

import csv
import html
import importlib
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Languages of the Declaration whose passages are asked, and those whose differences are measured.
ASKED = {
    "en": "eng", "ru": "rus", "de": "deu_1996", "es": "spa", "zh": "cmn_hans",
    "ar": "arb", "fr": "fra", "tr": "tur", "hi": "hin", "ja": "jpn",
}  # fmt: skip
LANGUAGES = (
    *ASKED.values(), "ita", "por_PT", "nld", "pol", "ces", "ukr", "heb", "pes_1", "ben", "tha", "vie", "kor",
    "ell_monotonic", "swe", "fin", "hun", "ron_2006", "ind",
)  # fmt: skip
# Up to some 250 characters, to the end of a sentence.
_PIECE = r"\S[\s\S]{0,250}?[.!?»\")](?=\s|$)(?:[\s\S]{0,120}?[.!?](?=\s|$))?"
_ASKERS = ("en", "ru", "de", "es", "zh", "ar")


@dataclass(frozen=True, slots=True)
class Pair:
    """Documents and the questions that are asked of them, in one pair of languages.

    `scopes` are those that are asked: so many documents beside the one that answers, and without it; 0 for all others.
    """

    name: str
    docs: Sequence[Any]
    questions: Sequence[Any]
    scopes: Sequence[int | None] = (0, None, 4)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a kind: chat, rework or files; `origin` names where it comes from."""

    kind: str
    text: str
    origin: str


def rows(name: str) -> list[list[str]]:
    """Return the rows of a table beside this file."""
    with (HERE / f"{name}.tsv").open(encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


class Sets:
    """The question sets of `folder` (harness.py, datasets.py) and the Declaration of Human Rights in `declarations`."""

    def __init__(self, folder: str, declarations: str) -> None:
        sys.path.insert(0, folder)
        self.harness = importlib.import_module("harness")
        self._datasets = importlib.import_module("datasets")
        self._declarations = Path(declarations)

    def pairs(self) -> list[Pair]:
        """Return all pairs of a question's and a document's language."""
        xquad = self._datasets.xquad
        pairs = [Pair(f"{q}>{d}", *xquad(d, q)) for q in ("en", "ru") for d in ("en", "ru")]
        pairs += [self._in_pieces(pair) for pair in pairs]
        pairs.append(Pair("chroma", *self._datasets.chroma()))
        for language in ("en", "ru"):
            docs, questions = xquad(language)
            places = {question.id: question.refs for question in questions}
            for asker in ("de", "es", "zh", "ar"):
                asked = [(i, text) for i, other, text in rows("translated") if other == asker]
                translated = [self.harness.Query(i, text, places[i]) for i, text in asked]
                pairs.append(Pair(f"{asker}>{language}", docs, translated))
        beside = [*xquad("en")[0][:20], *xquad("ru")[0][20:40]]
        for language in ASKED:
            text, articles = self.declaration(language)
            docs = [self.harness.Doc("rights", text, "rights", language), *beside]
            for asker in _ASKERS:
                questions = [
                    self.harness.Query(f"{n}{asker}", text, [("rights", *articles[int(n) - 1])])
                    for n, other, text in rows("rights")
                    if other == asker
                ]
                pairs.append(Pair(f"{asker}>{language} rights", docs, questions))
        return pairs

    def _in_pieces(self, pair: Pair) -> Pair:
        """Return a pair whose documents are a few sentences each, as notes and short files are."""
        docs, starts = [], {}
        for doc in pair.docs:
            starts[doc.id] = [(match.start(), match.end()) for match in re.finditer(_PIECE, doc.text)]
            docs += [
                self.harness.Doc(f"{doc.id}-{first}", doc.text[first:last], doc.id, doc.lang)
                for first, last in starts[doc.id]
            ]
        questions = []
        for question in pair.questions:
            (doc_id, first, last), *_ = question.refs
            piece = next((begin for begin, end in starts[doc_id] if begin <= first and last <= end), None)
            if piece is not None:
                ref = (f"{doc_id}-{piece}", first - piece, last - piece)
                questions.append(self.harness.Query(question.id, question.text, [ref]))
        return Pair(f"{pair.name} pieces", docs, questions, (None, 4, 11))

    def declaration(self, language: str) -> tuple[str, list[tuple[int, int]]]:
        """Return the Declaration as text, and where each of its thirty articles stands in it."""
        text, places = "", []
        for article in self.articles(ASKED[language]):
            places.append((len(text), len(text) + len(article)))
            text += article + "\n\n"
        return text, places

    def articles(self, code: str) -> list[str]:
        """Return the articles of the Declaration in a language."""
        page = (self._declarations / f"{code}.html").read_text(encoding="utf-8")
        bare = (
            re.sub(r"<h\d.*?</h\d>|<[^>]+>", " ", part, flags=re.DOTALL)
            for part in re.findall(r"<article.*?</article>", page, re.DOTALL)
        )
        return [" ".join(html.unescape(part).split()) for part in bare]

    def messages(self) -> tuple[list[Message], list[Message]]:
        """Return messages to learn from, and others to test with: none of these is learned."""
        learned = [Message(kind, text, "written") for kind, _, text in rows("messages")] + _made_of_templates()
        tested = [Message(kind, text, "unseen") for kind, _, text in rows("unseen")]
        chance = random.Random(1)
        for language in ("en", "ru"):
            questions = chance.sample(self._datasets.xquad(language)[1], 300)
            learned += [Message("files", question.text, "xquad") for question in questions[:200]]
            tested += [Message("files", question.text, "xquad") for question in questions[200:]]
        learned += [Message("files", text, "rights") for _, _, text in rows("rights")]
        learned += [Message("files", text, "rights") for _, _, text in rows("translated")]
        tested += [Message("files", question.text, "chroma") for question in self._datasets.chroma()[1]]
        return learned, tested


def _made_of_templates() -> list[Message]:
    """Return messages of some forms about many things, so that the form is learned and not what it is about."""
    table = rows("templates")
    topics = {language: text.split("|") for kind, language, text in table if kind == "topic"}
    chance = random.Random(11)
    made = []
    for kind, language, template in table:
        if kind == "topic":
            continue
        texts: dict[str, None] = {}
        for _ in range(5 if "{" in template else 1):
            small, large = chance.randint(2, 99), chance.randint(100, 9999)
            first = chance.randint(10, 99) if "20{" in template else chance.choice([small, large])
            second = chance.randint(10, 99) if "20{" in template else chance.randint(2, 999)
            text = template.replace("{topic}", chance.choice(topics[language]))
            texts[text.replace("{a}", str(first)).replace("{b}", str(second))] = None
        made += [Message(kind, text, "template" if "{" in template else "written") for text in texts]
    return made
