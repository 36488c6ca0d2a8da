"""Made-up English and Russian prose: words as often as words come, in sentences and paragraphs."""

import random
from functools import lru_cache
from typing import Literal

import numpy as np

Language = Literal["en", "ru"]

_SYLLABLES: dict[Language, tuple[str, str, str]] = {
    "en": ("b c d f g h l m n p r s t v w st tr pl", "a e i o u ea oo", "n r s t l m nd st ck"),
    "ru": ("б в г д ж з к л м н п р с т х ст пр", "а е и о у ы я", "н р с т л м ть в й"),
}
_ENDINGS: dict[Language, tuple[str, ...]] = {
    "en": ("", "", "", "s", "ed", "ing", "er", "ly"),
    "ru": ("", "а", "ы", "ов", "ам", "ого", "ая", "ил"),
}
_WORDS = 20_000
_SHIFT = 2.7  # Mandelbrot's correction of Zipf's law: p(rank) is proportional to 1 / (rank + 2.7)


@lru_cache(maxsize=2)
def vocabulary(language: Language) -> tuple[str, ...]:
    """Return the words of a language, the most frequent first; short ones come more often, as they do."""
    dice = random.Random(f"words of {language}")
    first, middle, last = (part.split() for part in _SYLLABLES[language])
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        syllables = 1 + min(3, int(dice.random() * (1 + len(found) / 2000)))
        stem = "".join(dice.choice(first) + dice.choice(middle) for _ in range(syllables)) + dice.choice(last)
        found[stem + dice.choice(_ENDINGS[language])] = None
    return tuple(found)


@lru_cache(maxsize=1)
def _shares() -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    weights = 1 / (np.arange(_WORDS) + _SHIFT)
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = np.cumsum(weights) / weights.sum()
    return shares


def paragraphs(seed: int, characters: int, language: Language = "en") -> list[str]:
    """Return paragraphs of `characters` in all, or a little more; the same for the same seed."""
    chance = np.random.default_rng([seed, len(language), ord(language[0])])
    words = vocabulary(language)
    ranks = np.minimum(np.searchsorted(_shares(), chance.random(characters // 4 + 60)), _WORDS - 1)
    found: list[str] = []
    length, at = 0, 0
    while length < characters and at < len(ranks):
        sentences = []
        for size in chance.integers(7, 20, size=int(chance.integers(3, 8))):
            sentence = " ".join(words[rank] for rank in ranks[at : at + size])
            at += int(size)
            if sentence:
                sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
        found.append(" ".join(sentences))
        length += len(found[-1]) + 2
    return found


def prose(seed: int, characters: int, language: Language = "en") -> str:
    """Return the paragraphs as one text."""
    return "\n\n".join(paragraphs(seed, characters, language))
