"""What a model thinks, told apart from what it answers, in the spellings that servers use."""

from typing import Any

# Openings of an answer that are thoughts, and what ends them. Only at the very beginning of an answer: further on they
# are part of it, as where somebody asks about such a tag.
_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
)
_LONGEST = max(len(opening) for opening, _ in _TAGS)


class ThinkingSplitter:
    """Splits text that may begin with thoughts in tags, cut anywhere. When `is_decided` it is not needed any more."""

    __slots__ = ("_closing", "_held", "is_decided")

    def __init__(self) -> None:
        self.is_decided = False
        self._closing: str | None = None
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Take text; return (reasoning, answer) as far as it is certain which is which."""
        text, self._held = self._held + text, ""
        if self._closing is None:
            begin = text.lstrip()
            opened = next((tags for tags in _TAGS if begin.startswith(tags[0])), None)
            if opened is None:
                if len(begin) < _LONGEST and any(opening.startswith(begin) for opening, _ in _TAGS):
                    self._held = text
                    return "", ""
                self.is_decided = True
                return "", text
            self._closing = opened[1]
            text = begin[len(opened[0]) :]
        return self._until_closed(text, self._closing)

    def _until_closed(self, text: str, closing: str) -> tuple[str, str]:
        end = text.find(closing)
        if end >= 0:
            answer = text[end + len(closing) :].lstrip()
            self.is_decided = bool(answer)
            # Closed, which "" stands for; the white space before the answer may still be on its way.
            self._closing = ""
            return text[:end], answer
        kept = next((n for n in range(min(len(closing) - 1, len(text)), 0, -1) if closing.startswith(text[-n:])), 0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], ""

    def rest(self) -> tuple[str, str]:
        """Return what was held back, at the end: thoughts that were not closed are thoughts."""
        held, self._held = self._held, ""
        self.is_decided = True
        return (held, "") if self._closing else ("", held)


def parts_of(content: Any) -> tuple[str, str]:
    """Return (reasoning, text) of a message's content: a string, or a list of typed parts (Mistral, LiteLLM)."""
    if isinstance(content, str):
        return "", content
    reasoning, text = "", ""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict):
            kind = str(part.get("type") or "text")
            if kind in ("thinking", "reasoning", "thought"):
                reasoning += _text_of(part.get("thinking") or part.get("reasoning") or part.get("text"))
            else:
                text += _text_of(part.get("text") or part.get("refusal"))
    return reasoning, text


def reasoning_of(message: dict[str, Any]) -> str:
    """Return the reasoning that stands beside a message's content, under any of its names."""
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks"):
        if found := message.get(name):
            return _text_of(found)
    return ""


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text_of(item) for item in value)
    if isinstance(value, dict):
        return _text_of(value.get("text") or value.get("thinking") or value.get("summary") or value.get("content"))
    return ""
