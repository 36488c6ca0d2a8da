"""LangGraph's Agent Server protocol under `/langgraph`, over the same conversations and the same rights.

A thread is a conversation, a checkpoint a state of its message tree, a run a turn. For `langgraph_sdk`, `RemoteGraph`,
`useStream` and studios. What the protocol knows and this server does not do (crons, stores, webhooks, breakpoints) is
refused, not swallowed.
"""

from fastapi import APIRouter

from api.agent_server import assistants, runs, threads

PREFIX = "/langgraph"

router = APIRouter(prefix=PREFIX)
for _module in (assistants, threads, runs):
    router.include_router(_module.router)
