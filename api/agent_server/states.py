"""States of threads as the protocol has them."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from langchain_core.messages import AnyMessage, BaseMessage
from langgraph.types import StateSnapshot

from api.state import AppState
from graphs.runs.branch import ConversationBranch
from llama_service.errors import NotFound
from persistence import runs
from persistence.tables import Conversation, Run
from persistence.withheld import withhold

_WRITTEN_WITHIN = 3.0  # seconds; a run's last checkpoint is written beside its end
_LOOK_EVERY = 0.02


def plain(value: Any) -> Any:
    """Return a state's value as JSON can hold it; messages as LangChain writes them."""
    if isinstance(value, BaseMessage):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def interrupts_of(snapshot: StateSnapshot) -> list[dict[str, Any]]:
    """Return what a state waits for."""
    return [{"id": interrupt.id, "value": plain(interrupt.value)} for interrupt in snapshot.interrupts]


def state_read(snapshot: StateSnapshot) -> dict[str, Any]:
    """Return a snapshot as the protocol's ThreadState."""
    checkpoint = _checkpoint(snapshot.config)
    parent = _checkpoint(snapshot.parent_config) if snapshot.parent_config else None
    return {
        "values": plain(dict(snapshot.values)),
        "next": list(snapshot.next),
        "tasks": [
            {
                "id": task.id,
                "name": task.name,
                "error": str(task.error) if task.error else None,
                "interrupts": [{"id": interrupt.id, "value": plain(interrupt.value)} for interrupt in task.interrupts],
                "checkpoint": None,
                "state": None,
                "result": plain(task.result) if task.result is not None else None,
            }
            for task in snapshot.tasks
        ],
        "metadata": plain(dict(snapshot.metadata or {})),
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "checkpoint_id": checkpoint["checkpoint_id"],
        "parent_checkpoint_id": parent["checkpoint_id"] if parent else None,
        "interrupts": interrupts_of(snapshot),
    }


def _checkpoint(config: Any) -> dict[str, Any]:
    named = config["configurable"]
    return {
        "thread_id": named["thread_id"],
        "checkpoint_ns": named.get("checkpoint_ns", ""),
        "checkpoint_id": named.get("checkpoint_id"),
        "checkpoint_map": None,
    }


class ThreadStates:
    """The states of a conversation that was checked to be the caller's."""

    def __init__(self, state: AppState, conversation: Conversation) -> None:
        self._state = state
        self.conversation = conversation
        self._config: dict[str, Any] = {"configurable": {"thread_id": str(conversation.id)}}

    async def at(self, checkpoint_id: str) -> StateSnapshot:
        """Return the state of a checkpoint of the thread. Raises NotFound."""
        named = {**self._config["configurable"], "checkpoint_id": checkpoint_id}
        snapshot = await self._state.graph.aget_state({"configurable": named})
        if snapshot.created_at is None:
            raise NotFound
        return snapshot

    async def shown(self, value: Any) -> Any:
        """Return a value as the thread's owner may see it now."""
        async with self._state.database.reading() as session:
            return await withhold(session, self.conversation.user_id, value)

    async def read(self, snapshot: StateSnapshot) -> dict[str, Any]:
        """Return a state as the protocol has it."""
        read: dict[str, Any] = await self.shown(state_read(snapshot))
        return read

    async def newest_of(self, run_id: UUID) -> StateSnapshot | None:
        """Return the newest state of a run, None where it has none."""
        return await self._state.runs.latest_state(self.conversation.id, run_id)

    async def ended(self, run_id: UUID, *, waits: bool) -> StateSnapshot | None:
        """Return the last state of a run that has ended, or that `waits` for a person, once it is written.

        Until then the newest one of a run that has ended may be that in which it waited.
        """
        deadline = asyncio.get_running_loop().time() + _WRITTEN_WITHIN
        while True:
            snapshot = await self.newest_of(run_id)
            done = snapshot is not None and (bool(snapshot.interrupts) if waits else not snapshot.next)
            if done or asyncio.get_running_loop().time() > deadline:
                return snapshot
            await asyncio.sleep(_LOOK_EVERY)

    async def updates(self, run_id: UUID) -> list[dict[str, Any]]:
        """Return what each node of a run has returned, in order."""
        config: Any = self._config
        history = self._state.graph.aget_state_history(config, filter={"run": str(run_id)})
        snapshots = [snapshot async for snapshot in history]
        return [
            {task.name: plain(task.result)}
            for snapshot in reversed(snapshots)
            for task in snapshot.tasks
            if task.name != "__start__" and task.result is not None and not task.interrupts
        ]

    async def current(self) -> dict[str, Any]:
        """Return the state at the end of the branch that is shown; of messages alone, where no checkpoint has it."""
        leaf = self.conversation.leaf_id
        if leaf is None:
            return self._of_messages([])
        async with self._state.database.reading() as session:
            run = await runs.newest_of_message(session, leaf)
        snapshot = await self.newest_of(run.id) if run is not None else None
        if snapshot is not None:
            return await self.read(snapshot)
        return self._of_messages(await self.messages(leaf))

    async def messages(self, message_id: UUID) -> list[AnyMessage]:
        """Return the newest messages of the branch that ends in a message."""
        return await ConversationBranch(self._state.database, self.conversation.id).recent(str(message_id))

    def _of_messages(self, messages: Sequence[AnyMessage]) -> dict[str, Any]:
        return {
            "values": {"messages": plain(list(messages))} if messages else {},
            "next": [],
            "tasks": [],
            "metadata": {},
            "created_at": None,
            "checkpoint": {**_checkpoint(self._config)},
            "parent_checkpoint": None,
            "checkpoint_id": None,
            "parent_checkpoint_id": None,
            "interrupts": [],
        }

    async def history(
        self, limit: int, before: str | None, metadata: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return states of all branches that hold at least some metadata, newest first."""
        config: Any = self._config
        earlier: Any = {"configurable": {**self._config["configurable"], "checkpoint_id": before}} if before else None
        found = self._state.graph.aget_state_history(config, filter=metadata or None, before=earlier, limit=limit)
        read: list[dict[str, Any]] = await self.shown([state_read(snapshot) async for snapshot in found])
        return read

    async def place_of(self, checkpoint_id: str) -> tuple[Run, bool]:
        """Return the run that a checkpoint is of, and whether its answer stands in it. Raises NotFound."""
        snapshot = await self.at(checkpoint_id)
        run_id = (snapshot.metadata or {}).get("run")
        async with self._state.database.reading() as session:
            run = await runs.of_conversation(session, self.conversation.id, UUID(str(run_id))) if run_id else None
        if run is None:
            raise NotFound
        return run, snapshot.values.get("answer") is not None
