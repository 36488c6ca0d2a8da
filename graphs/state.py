"""The state of a turn. What is large or can be found again is never checkpointed."""

from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from chains.prompts import Prompt
from graphs.record import Generation
from persistence.search import Retrieval

WINDOW = 20  # messages; the whole talk is in SQL


def newest(left: Sequence[AnyMessage], right: Any) -> list[AnyMessage]:
    """Add messages by id and keep the newest: a checkpoint costs the same in every turn."""
    before: list[Any] = list(left)
    merged: Any = add_messages(before, right)
    return list(merged)[-WINDOW:]


class ChatInput(TypedDict):
    """What a turn is begun with: the question as the last message."""

    messages: Annotated[list[AnyMessage], newest]


class ChatState(ChatInput, total=False):
    """What the nodes hand to each other."""

    retrieval: Annotated[Retrieval, UntrackedValue]
    prompt: Annotated[Prompt, UntrackedValue]
    generation: Annotated[Generation, UntrackedValue]
