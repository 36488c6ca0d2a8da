"""Whatever people do to a conversation, and in whatever order, it stays a tree with a valid current branch."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from graphs.state import WINDOW_MESSAGES
from tests.providers import OpenAIServer
from tests.support import Person, Server, events_of

pytestmark = pytest.mark.slow
_CHOICE = st.integers(min_value=0, max_value=10_000)
_FINAL = {"complete", "stopped", "interrupted", "failed"}


class Talk:
    """What a test knows of a conversation: each message's parent and role, and the current branch's end."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.parents: dict[str, str | None] = {}
        self.roles: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.leaf: str | None = None

    def of_role(self, role: str) -> list[str]:
        return [message for message, own in self.roles.items() if own == role]

    def branch(self, message: str | None) -> list[str]:
        """Return the ids from the root to a message."""
        up: list[str] = []
        while message is not None:
            up.append(message)
            message = self.parents[message]
        return up[::-1]

    def newest_below(self, message: str) -> set[str]:
        """Return the ends of all branches through a message."""
        children = {parent for parent in self.parents.values() if parent}
        ends = [end for end in self.parents if end not in children]
        return {end for end in ends if message in self.branch(end)}


class TreeMachine(RuleBasedStateMachine):
    """Asks, edits, regenerates, stops, switches and deletes, over HTTP."""

    # Set by the test: hypothesis makes the machines itself.
    run_on_loop: Callable[[Coroutine[Any, Any, Any]], Any]
    person: Person
    dsn: str
    graph_url: str

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk()
        self.deleted: list[str] = []
        self.number = 0

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return type(self).run_on_loop(work)

    async def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.person.http.request(method, path, json=body)

    async def _turn(self, body: dict[str, Any], *, stop: bool = False) -> dict[str, Any]:
        where = {"conversation_id": self.talk.id} if self.talk.id else {}
        start: dict[str, Any] = {}
        async with self.person.http.stream("POST", "/chat/stream", json={**where, **body}) as response:
            assert response.status_code == 200, await response.aread()
            async for event in events_of(response):
                if event.name == "start":
                    start = event.data
                    if stop:
                        await self._call("POST", f"/chat/runs/{start['run_id']}/cancel")
        return start

    def _learn(self, start: dict[str, Any], parent: str | None, text: str | None) -> None:
        question, answer = start["user_message_id"], start["message_id"]
        self.talk.id = start["conversation_id"]
        if text is not None:
            assert question not in self.talk.parents
            self.talk.parents[question], self.talk.roles[question], self.talk.texts[question] = parent, "user", text
        assert answer not in self.talk.parents
        self.talk.parents[answer], self.talk.roles[answer] = question, "assistant"
        self.talk.leaf = answer

    def _words(self) -> str:
        self.number += 1
        return f"Question {self.number}"

    @rule(stop=st.booleans())
    def ask(self, stop: bool) -> None:
        words, parent = self._words(), self.talk.leaf
        self._learn(self._on_loop(self._turn({"message": words}, stop=stop)), parent, words)

    @precondition(lambda self: self.talk.of_role("assistant"))
    @rule(choice=_CHOICE)
    def ask_elsewhere(self, choice: int) -> None:
        answers = self.talk.of_role("assistant")
        parent, words = answers[choice % len(answers)], self._words()
        self._learn(self._on_loop(self._turn({"message": words, "parent_message_id": parent})), parent, words)

    @precondition(lambda self: self.talk.of_role("user"))
    @rule(choice=_CHOICE)
    def edit(self, choice: int) -> None:
        questions = self.talk.of_role("user")
        old, words = questions[choice % len(questions)], self._words()
        start = self._on_loop(self._turn({"message": words, "edit_of": old}))
        self._learn(start, self.talk.parents[old], words)

    @precondition(lambda self: self.talk.of_role("user"))
    @rule(choice=_CHOICE, stop=st.booleans())
    def regenerate(self, choice: int, stop: bool) -> None:
        questions = self.talk.of_role("user")
        question = questions[choice % len(questions)]
        start = self._on_loop(self._turn({"regenerate": True, "parent_message_id": question}, stop=stop))
        assert start["user_message_id"] == question
        self._learn(start, None, None)

    @precondition(lambda self: self.talk.parents)
    @rule(choice=_CHOICE)
    def switch(self, choice: int) -> None:
        messages = list(self.talk.parents)
        message = messages[choice % len(messages)]
        answer = self._on_loop(self._call("PATCH", f"/conversations/{self.talk.id}", {"leaf_id": message}))
        assert answer.status_code == 200, answer.text
        leaf = answer.json()["leaf_id"]
        assert leaf in self.talk.newest_below(message)
        self.talk.leaf = leaf

    @precondition(lambda self: self.talk.id and len(self.talk.parents) > 6)
    @rule()
    def delete(self) -> None:
        assert self.talk.id is not None
        assert self._on_loop(self._call("DELETE", f"/conversations/{self.talk.id}")).status_code == 204
        assert self._on_loop(self._call("GET", f"/conversations/{self.talk.id}/messages")).status_code == 404
        self.deleted.append(self.talk.id)
        self.talk = Talk()

    @invariant()
    def it_is_the_tree_that_was_made(self) -> None:
        query = "SELECT id::text, parent_id::text, role, status, content FROM messages WHERE conversation_id = %s"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rows = connection.execute(query, [self.talk.id]).fetchall() if self.talk.id else []
            left = connection.execute(
                "SELECT count(*) FROM messages WHERE conversation_id = ANY(%s::uuid[])", [self.deleted]
            ).fetchone()
        assert left == (0,)
        assert {row[0]: row[1] for row in rows} == self.talk.parents
        assert {row[0]: row[2] for row in rows} == self.talk.roles
        assert {row[3] for row in rows} <= _FINAL
        assert {row[0]: row[4] for row in rows if row[2] == "user"} == self.talk.texts

    @invariant()
    def the_current_branch_is_shown(self) -> None:
        if self.talk.id is None:
            return
        conversation = self._on_loop(self._call("GET", f"/conversations/{self.talk.id}")).json()
        assert conversation["leaf_id"] == self.talk.leaf
        page = self._on_loop(self._call("GET", f"/conversations/{self.talk.id}/messages?limit=200")).json()
        assert [item["id"] for item in page["items"]] == self.talk.branch(self.talk.leaf)
        for item in page["items"]:
            siblings = {message for message, parent in self.talk.parents.items() if parent == item["parent_id"]}
            assert set(item["sibling_ids"]) == siblings

    @invariant()
    def every_answers_checkpoint_holds_its_branch(self) -> None:
        """SQL is the record, the checkpoint the working copy: what the graph goes on from is what was said."""
        query = "SELECT id::text, content, status, checkpoint_id FROM messages WHERE conversation_id = %s"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rows = connection.execute(query, [self.talk.id]).fetchall() if self.talk.id else []
        contents = {row[0]: row[1] for row in rows}
        for message, _, status, checkpoint in rows:
            if self.talk.roles[message] != "assistant":
                continue
            assert (status == "complete") == (checkpoint is not None)
            if checkpoint is None:
                continue
            body = {"checkpoint": {"checkpoint_id": checkpoint}}
            said = self._on_loop(self._call("POST", f"{self.graph_url}/threads/{self.talk.id}/state/checkpoint", body))
            if said.status_code == 404:
                continue  # pruned: the next question there rebuilds it
            held = [(each["id"], each["content"]) for each in said.json()["values"]["messages"]]
            spoken = [(each, contents[each]) for each in self.talk.branch(message) if contents[each]]
            assert held == spoken[-WINDOW_MESSAGES:]


async def test_any_order_of_changes_keeps_it_a_tree(
    server: Server, anna: Person, openai: OpenAIServer, postgres: str
) -> None:
    openai.script(tokens=[" word"] * 6, delay=0.004)
    loop = asyncio.get_running_loop()

    class Machine(TreeMachine):
        person = anna
        dsn = postgres
        graph_url = f"{server.url}/langgraph"

        @staticmethod
        def run_on_loop(work: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=30)

    rules = settings(
        max_examples=18,
        stateful_step_count=14,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    # Hypothesis is synchronous: its machine runs in a thread, its requests on this loop.
    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, partial(run_state_machine_as_test, Machine, settings=rules))
