"""Vectors of the doubles: the same text gives the same vector, texts that share words lie close."""

import hashlib
import math
import re

DIMENSION = 32


def vector_of(text: str) -> list[float]:
    """Return the normalised sum of a pseudo-random vector for each word."""
    summed = [1e-6] * DIMENSION
    for word in re.findall(r"\w+", text.lower()):
        for place, byte in enumerate(hashlib.sha256(word.encode()).digest()):
            summed[place] += byte / 127.5 - 1
    norm = math.sqrt(sum(number * number for number in summed))
    return [number / norm for number in summed]
