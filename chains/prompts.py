"""What the model is really sent: rules, sources, as much of the talk as fits, and the question.

The head of the prompt is the same bytes in every turn of a conversation, so that servers can reuse what they have
already read; sources stand beside the question they were found for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

SYSTEM = (
    "You are a helpful assistant. Answer in the language of the question, briefly and to the point. "
    "Format with Markdown where it helps."
)
_CITE = (
    "Answer the question from the numbered texts above. After each statement, put the number of the text that it rests "
    "on in square brackets, like [1]. If the texts do not answer the question, say that the files do not say it."
)
# A model of half a billion parameters copies whatever an instruction gives as an example, and cites at random: it is
# asked for sentences only, with the best text nearest to the question, and its citations are found by comparison.
_ANSWER = "Answer in one or two full sentences from the texts above."
_NOTHING = (
    "Nothing about this question was found in the user's files. If the question is about them, answer that the files "
    "say nothing about it; never invent what a file says."
)
# Roles and separators cost tokens too; servers differ, this is on the safe side.
_PER_MESSAGE = 6


@dataclass(frozen=True, slots=True)
class SourceText:
    """A numbered passage as the model reads it."""

    n: int
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the talk so far; `id` is None where nobody keeps it."""

    role: str
    content: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages for the model, and what did not fit.

    `tokens` is an estimate. `kept` are the messages of the branch that are among `messages`, `cut_messages` counts
    those that were left out, oldest first.
    """

    messages: list[BaseMessage]
    tokens: int
    kept: list[Said] = field(default_factory=list)
    cut_messages: int = 0
    cut_sources: list[int] = field(default_factory=list)


_KINDS: dict[str, type[AIMessage | SystemMessage | HumanMessage]] = {
    "assistant": AIMessage,
    "system": SystemMessage,
    "user": HumanMessage,
}


_GO_ON = "Go on exactly where you stopped. Do not repeat anything."


def ending(messages: Sequence[BaseMessage], *, goes_on: bool) -> list[BaseMessage]:
    """Return a prompt that ends with an unfinished answer for a model that goes on there, or has to be asked to."""
    bare = [message for message in messages if message.content != _GO_ON]
    return bare if goes_on or not isinstance(bare[-1], AIMessage) else [*bare, HumanMessage(_GO_ON)]


def question_with_sources(
    question: str, sources: Sequence[SourceText], *, nothing_found: bool, small: bool = False
) -> str:
    """Return the last message of the prompt; `small` words it for a very small model."""
    if sources and small:
        listed = "\n\n".join(f"{source.label}\n{source.text}" for source in reversed(sources))
        return f"Texts:\n\n{listed}\n\nQuestion: {question}\n\n{_ANSWER}"
    if sources:
        listed = "\n\n".join(f"[{source.n}] {source.label}\n{source.text}" for source in sources)
        return f"{listed}\n\n{_CITE}\n\nQuestion: {question}"
    return f"{_NOTHING}\n\nQuestion: {question}" if nothing_found else question


def build(
    *,
    system_prompt: str | None,
    history: Sequence[Said],
    question: str,
    sources: Sequence[SourceText],
    nothing_found: bool,
    said: str,
    context_tokens: int,
    answer_tokens: int,
    count: Callable[[str], int],
    small: bool = False,
    goes_on: bool = False,
) -> Prompt:
    """Put a prompt together that leaves `answer_tokens` of the model's `context_tokens` free.

    System prompt and question always stay; then sources, best first, may take half of what is left; then the newest
    messages of `history` (oldest first). `said` is the beginning of an answer to go on with; a model that `goes_on`
    finds it at the end, another one is asked not to repeat it.
    """
    system = SystemMessage(system_prompt or SYSTEM)
    room = (
        context_tokens - answer_tokens - count(str(system.content)) - count(question) - count(said) - 4 * _PER_MESSAGE
    )
    kept_sources: list[SourceText] = []
    left_for_sources = room // 2 if history else room
    for source in sources:
        cost = count(source.text) + count(source.label) + _PER_MESSAGE
        if cost > left_for_sources:
            break
        kept_sources.append(source)
        left_for_sources -= cost
        room -= cost
    last = question_with_sources(question, kept_sources, nothing_found=nothing_found, small=small)
    room -= count(last) - count(question) - sum(count(source.text) for source in kept_sources)
    tokens = context_tokens - answer_tokens - room
    kept: list[Said] = []
    for message in reversed(history):
        cost = count(message.content) + _PER_MESSAGE
        if cost > room:
            break
        room -= cost
        tokens += cost
        kept.append(message)
    # A talk that begins with an answer confuses models (and some servers refuse it).
    while kept and kept[-1].role == "assistant":
        kept.pop()
    kept.reverse()
    messages: list[BaseMessage] = [system, *(_KINDS[m.role](m.content) for m in kept), HumanMessage(last)]
    if said:
        messages = ending([*messages, AIMessage(said)], goes_on=goes_on)
    return Prompt(
        messages,
        tokens=tokens,
        kept=kept,
        cut_messages=len(history) - len(kept),
        cut_sources=[source.n for source in sources[len(kept_sources) :]],
    )
