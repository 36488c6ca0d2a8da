"""The chat: (restore) → (condense → retrieve) → augment → generate (⇄ tools; or again at the next source) → persist.

Served with a checkpointer by the API (`build(checkpointer)`), and bare by `langgraph dev`, which brings its own.
"""

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from graphs.context import ChatContext
from graphs.nodes.augment import augment
from graphs.nodes.condense import condense
from graphs.nodes.generate import generate
from graphs.nodes.persist import persist
from graphs.nodes.restore import restore
from graphs.nodes.retrieve import retrieve
from graphs.nodes.tools import tools
from graphs.routing import after_generate, after_restore, after_start
from graphs.state import ChatState, TurnInput

Builder = StateGraph[ChatState, ChatContext, TurnInput, ChatState]
Graph = CompiledStateGraph[ChatState, ChatContext, TurnInput, ChatState]


def draw() -> Builder:
    """Return the chat graph, not compiled yet."""
    drawing = StateGraph(ChatState, context_schema=ChatContext, input_schema=TurnInput)
    drawing.add_node("restore", restore)
    drawing.add_sequence([condense, retrieve, augment, generate])
    drawing.add_node("tools", tools)
    drawing.add_node("persist", persist)
    drawing.add_conditional_edges(START, after_start)
    drawing.add_conditional_edges("restore", after_restore)
    drawing.add_conditional_edges("generate", after_generate)
    drawing.add_edge("tools", "generate")
    drawing.add_edge("persist", END)
    return drawing


builder = draw()


def build(checkpointer: Any = None, drawing: Builder = builder) -> Graph:
    """Return the compiled chat graph, keeping its checkpoints with `checkpointer`."""
    return drawing.compile(checkpointer=checkpointer, name="chat")


graph = build()
