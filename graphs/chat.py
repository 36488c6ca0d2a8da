"""The chat: retrieve → augment → generate → persist.

Served with a checkpointer by the API (`build(checkpointer)`), and bare by `langgraph dev`, which brings its own.
"""

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from graphs.context import ChatContext
from graphs.nodes import augment, generate, persist, retrieve
from graphs.state import ChatInput, ChatState

Graph = CompiledStateGraph[ChatState, ChatContext, ChatInput, ChatState]


def build(checkpointer: Any = None) -> Graph:
    """Return the compiled chat graph, keeping its checkpoints with `checkpointer`."""
    return builder.compile(checkpointer=checkpointer, name="chat")


builder = StateGraph(ChatState, context_schema=ChatContext, input_schema=ChatInput)
builder.add_node("retrieve", retrieve)
builder.add_node("augment", augment)
builder.add_node("generate", generate)
builder.add_node("persist", persist)
builder.add_edge(START, "retrieve")
builder.add_edge("retrieve", "augment")
builder.add_edge("augment", "generate")
builder.add_edge("generate", "persist")
builder.add_edge("persist", END)

graph = build()
