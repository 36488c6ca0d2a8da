"""Vectors of the doubles: texts are the closer the more of their words they share."""

import hashlib
import math
import re

DIMENSION = 2048
_PLACES = 2  # of each word: no two words fall together
_SHORT = 3  # letters: such words are in every text, and say little of what it is about
_SHORT_WEIGHT = 0.1


def vector_of(text: str) -> list[float]:
    """Return which words a text has, each in places of its own by its hash, normalised."""
    counts = [0.0] * DIMENSION
    counts[0] = 1e-6  # a text without words has a direction too
    for word in sorted(set(re.findall(r"\w+", text.lower()))):
        digest = hashlib.sha256(word.encode()).digest()
        for at in range(_PLACES):
            place = int.from_bytes(digest[at * 2 : at * 2 + 2]) % DIMENSION
            counts[place] += _SHORT_WEIGHT if len(word) <= _SHORT else 1.0
    norm = math.sqrt(sum(count * count for count in counts))
    return [count / norm for count in counts]
