"""The state of a conversation's graph: what is checkpointed after each step, small and readable.

Each channel is something that an engineer wants to see in the studio, or that a run needs to go on elsewhere. Texts
that can be found again (passages of files) are references here.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage, BaseMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from chains.prompts import Prompt
from chains.types import Usage
from llama_service.settings import ModelSource
from persistence.relevance import Confidence
from persistence.search import Retrieval

WINDOW_MESSAGES = 40
WINDOW_CHARACTERS = 60_000
_ALWAYS = 4  # newest messages that stay whatever their length: a long question must be there for its follow-up


def window(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the newest messages that fit the window: at most 40, and at most some 60,000 characters."""
    kept: list[AnyMessage] = []
    characters = 0
    for message in reversed(messages):
        characters += len(str(message.content))
        if len(kept) == WINDOW_MESSAGES or (len(kept) >= _ALWAYS and characters > WINDOW_CHARACTERS):
            break
        kept.append(message)
    return kept[::-1]


def add_recent(left: Any, right: Any) -> list[AnyMessage]:
    """Add messages by id and keep the newest: a checkpoint costs the same in every turn of a conversation.

    What a damaged checkpoint holds instead of messages is dropped; the turn then rebuilds them.
    """
    before: list[Any] = [message for message in left if isinstance(message, BaseMessage)] if left else []
    merged: Any = add_messages(before, right)
    return window(merged)


class SourceReference(TypedDict):
    """A passage that the answer may cite as `[n]`; offsets count characters of the file's extracted text."""

    n: int
    file_id: str
    file_name: str
    chunk_id: str
    position: int
    page: int | None
    heading: str | None
    start: int
    end: int
    score: float
    confidence: NotRequired[Confidence | None]


class ToolStep(TypedDict):
    """A call of a tool. `content` is what the tool told the model besides the passages numbered in `sources`.

    `file_ids` are the files that `content` itself was read from, `shared` whether one of them is somebody else's.

    `problem` is why it can't be made as the model asked for it. `status` is pending until the call has ended.
    """

    id: str
    name: str
    title: str
    arguments: dict[str, Any]
    problem: str | None
    status: Literal["pending", "done", "failed", "denied"]
    content: str
    sources: list[int]
    file_ids: list[str]
    shared: bool
    ms: int | None


class ToolRound(TypedDict):
    """What the model said and called at once; `usage` is what that cost."""

    text: str
    usage: dict[str, Any] | None
    steps: list[ToolStep]


class PromptParts(TypedDict):
    """What the model was sent, by parts: the rules, which messages and sources, how much did not fit."""

    system: str
    history: list[str]
    sources: list[int]
    tokens: int
    cut_messages: int
    cut_sources: list[int]


class Searched(TypedDict):
    """What a turn searched: files or libraries that it named, its conversation's, the own library too, or nothing.

    `files` tells how many.

    `confidence` tells how likely the sources that were found answer the question.
    """

    scope: Literal["files", "libraries", "conversation", "library", "none"]
    files: int
    confidence: NotRequired[Confidence | None]


class FailedSource(TypedDict):
    """A source of models that nobody answered at, so that the next one was asked."""

    source: ModelSource
    code: str
    message: str


class Summary(TypedDict):
    """What was said before the newest messages: everything up to the message `until`, that one included."""

    text: str
    until: str


NOTHING_SEARCHED = Searched(scope="none", files=0)


class AnswerInfo(TypedDict):
    """How the answer came about; `error` is the code of what ended it early."""

    model_source: str | None
    model_name: str | None
    fallback_from: str | None
    finish_reason: str | None
    usage: dict[str, Any] | None
    reasoning: str
    searched: Searched
    error: NotRequired[dict[str, str] | None]


class TurnInput(TypedDict, total=False):
    """What a turn begins with: the question as the last message. The rest empties what the last turn has left."""

    messages: Annotated[list[AnyMessage], add_recent]
    query: str | None
    searched: Searched
    sources: list[SourceReference]
    nothing_found: bool
    prompt: PromptParts | None
    failed_sources: list[FailedSource]
    rounds: list[ToolRound]
    answer: AnswerInfo | None


class ChatState(TurnInput, total=False):
    """What the nodes hand to each other. The untracked values are found again where a run goes on elsewhere."""

    summary: Summary | None
    retrieval: Annotated[Retrieval, UntrackedValue]
    assembled: Annotated[Prompt, UntrackedValue]


def turn_input(question: AnyMessage, sources: Sequence[SourceReference] = ()) -> TurnInput:
    """Return the input of a new turn; `sources` are those that the first part of a continued answer was given."""
    return TurnInput(
        messages=[question],
        query=None,
        searched=NOTHING_SEARCHED,
        sources=list(sources),
        nothing_found=False,
        prompt=None,
        failed_sources=[],
        rounds=[],
        answer=None,
    )


def pending_steps(state: TurnInput) -> list[ToolStep]:
    """Return the calls of the last round, where they have not ended."""
    rounds = state.get("rounds")
    return [step for step in rounds[-1]["steps"] if step["status"] == "pending"] if rounds else []


def text_of_rounds(state: TurnInput) -> str:
    """Return what of the answer was said before the calls of its rounds."""
    return "".join(round_["text"] for round_ in state.get("rounds") or ())


def usage_of_rounds(state: TurnInput) -> list[Usage]:
    """Return what the calls of a model have cost that its rounds ended with."""
    return [Usage.of(round_["usage"]) for round_ in state.get("rounds") or () if round_["usage"]]


def asked_message(state: TurnInput) -> AnyMessage | None:
    """Return the last message that a human sent."""
    return next((message for message in reversed(state["messages"]) if message.type == "human"), None)


def question_of(state: TurnInput) -> str:
    """Return the text of the last message that a human sent."""
    asked = asked_message(state)
    return str(asked.text) if asked is not None else ""


def history_of(state: TurnInput) -> list[AnyMessage]:
    """Return the messages above the question, oldest first."""
    messages = state["messages"]
    last = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].type == "human"), 0)
    return list(messages[:last])
