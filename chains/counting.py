"""A fast estimate of how many tokens a text has, for usage that a provider does not tell and for cutting prompts.

Characters for a token differ by script, not much by model. The figures were fitted to the tokenizer of Qwen2.5 (151,646
entries) on prose, legal texts, code and JSON in a dozen languages; most estimates lie within a quarter of its count.
"""

import re
from collections.abc import Sequence

from langchain_core.messages import BaseMessage

LETTER_CHARS = 4.2
MARK_CHARS = 2.0
DIGIT_CHARS = 1.0
CYRILLIC_CHARS = 2.4
CJK_CHARS = 1.5
OTHER_CHARS = 1.2
MESSAGE_TOKENS = 4
"""What a chat template adds around each message."""
PICTURE_TOKENS = 1_100
"""What a large picture takes, by OpenAI's rule for its models that see."""

_DIGITS = re.compile(r"[0-9]+")
_MARKS = re.compile(r"[!-/:-@\[-`{-~\n\u00a0-\u00bf\u2010-\u2027]+")
_LETTERS = re.compile(r"[A-Za-z \t\r\u00c0-\u024f]+")
_CYRILLIC = re.compile(r"[\u0400-\u052f]+")
_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+")


def _chars(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))


# The same kinds in ASCII: taking bytes out is five times faster than looking for runs (a prompt of 40 messages is
# counted in 0.1 ms instead of 0.5, before its first token).
_ASCII = bytes(range(128))
_ASCII_DIGITS, _ASCII_MARKS, _ASCII_LETTERS = (
    bytes(byte for byte in _ASCII if pattern.fullmatch(chr(byte))) for pattern in (_DIGITS, _MARKS, _LETTERS)
)


def _kinds(text: str) -> tuple[int, int, int]:
    """Return how many digits, marks and Latin letters a text has; white space counts as letters."""
    if not text.isascii():
        return _chars(_DIGITS, text), _chars(_MARKS, text), _chars(_LETTERS, text)
    plain, length = text.encode(), len(text)
    digits, marks, letters = (
        length - len(plain.translate(None, kind)) for kind in (_ASCII_DIGITS, _ASCII_MARKS, _ASCII_LETTERS)
    )
    return digits, marks, letters


def count_tokens(text: str) -> int:
    """Return about how many tokens `text` has; 0 for an empty text only."""
    if not text:
        return 0
    digits, marks, letters = _kinds(text)
    tokens = letters / LETTER_CHARS + marks / MARK_CHARS + digits / DIGIT_CHARS
    rest = len(text) - digits - marks - letters
    if rest:
        cyrillic, cjk = _chars(_CYRILLIC, text), _chars(_CJK, text)
        tokens += cyrillic / CYRILLIC_CHARS + cjk / CJK_CHARS + (rest - cyrillic - cjk) / OTHER_CHARS
    return max(1, round(tokens))


def count_prompt(messages: Sequence[BaseMessage]) -> int:
    """Return about how many tokens `messages` have as a prompt: their texts, pictures and calls of tools."""
    return sum(count_tokens(str(message.text)) + MESSAGE_TOKENS + _beside_text(message) for message in messages)


def _beside_text(message: BaseMessage) -> int:
    calls = getattr(message, "tool_calls", None)
    tokens = count_tokens(str(calls)) if calls else 0
    if isinstance(message.content, list):
        tokens += PICTURE_TOKENS * sum(
            isinstance(part, dict) and part.get("type") != "text" for part in message.content
        )
    return tokens
