"""A crash of Postgres loses the last events of a run, whose worker lives on: they are written again before the next.

Deleting them leaves what such a crash leaves.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import psutil
import psycopg
import pytest

from bench.follower import Follower
from bench.load import Account
from bench.stage import Service, Stage
from llama_service.settings import Settings
from tests.conftest import Database
from tests.integration.api.test_chat import messages
from tests.integration.api.test_waiting import read_on, until_action
from tests.integration.recovery.conftest import Serve, at
from tests.integration.recovery.test_workers import WHOLE, answer_of
from tests.providers import OpenAIServer
from tests.support import Event, Person, Server, events_of, eventually, serving

Rows = list[tuple[int, str]]


def stored(database: Database, run: str) -> Rows:
    """Return the run's events, as the database has them."""
    return database.execute("SELECT seq, event FROM run_events WHERE run_id = %s ORDER BY seq", [run]).fetchall()


def lose(database: Database, run: str, after: int) -> None:
    """Lose the run's events behind a number."""
    lost = database.execute("DELETE FROM run_events WHERE run_id = %s AND seq > %s", [run, after])
    assert lost.rowcount > 0


async def read_until(seen: list[Event], person: Person, enough: int, then: Callable[[str], Any]) -> None:
    """Ask and read to the end; call `then` with the run's id when so many events are there."""
    async with person.http.stream("POST", "/chat/stream", json={"message": "Count.", "use_rag": False}) as response:
        assert response.status_code == 200, await response.aread()
        async for event in events_of(response):
            seen.append(event)
            if len(seen) == enough:
                await asyncio.to_thread(then, seen[0].data["run_id"])


def text_of(seen: list[Event]) -> str:
    return "".join(event.data["content"] for event in seen if event.name == "chunk")


async def test_they_are_there_before_the_next_ones(anna: Person, openai: OpenAIServer, database: Database) -> None:
    openai.script(tokens=[f" t{number % 10}" for number in range(40)], delay=0.05)
    seen: list[Event] = []
    await read_until(seen, anna, 10, lambda run: lose(database, run, after=4))
    assert seen[-1].name == "done"
    assert [event.id for event in seen] == list(range(1, len(seen) + 1)), "readers see each one once"
    assert stored(database, seen[0].data["run_id"]) == [(event.id, event.name) for event in seen]


async def test_they_are_there_before_the_end(anna: Person, openai: OpenAIServer, database: Database) -> None:
    openai.script(tokens=[" one", " two", " three", " four"], delay=0.1, fault="hang_between")
    seen: list[Event] = []
    stopping: list[asyncio.Task[Any]] = []
    loop = asyncio.get_running_loop()

    def lose_and_stop(run: str) -> None:
        lose(database, run, after=2)
        cancel = anna.http.post(f"/chat/runs/{run}/cancel")
        loop.call_soon_threadsafe(lambda: stopping.append(asyncio.ensure_future(cancel)))

    await read_until(seen, anna, 4, lose_and_stop)
    assert (await stopping[0]).status_code < 300
    assert (seen[-1].name, seen[-1].data["finish_reason"]) == ("done", "stopped")
    assert stored(database, seen[0].data["run_id"]) == [(event.id, event.name) for event in seen]


async def test_they_are_there_before_another_worker_goes_on(
    server: Server, settings: Settings, openai: OpenAIServer, database: Database
) -> None:
    openai.script(tokens=[" one", " two", " three", " four"], delay=0.1, fault="hang_between")
    seen: list[Event] = []
    async with serving(settings.model_copy(update={"shutdown_grace_seconds": 0})) as first:
        person = await Person.join(first.url)
        engine = first.app.state.resources.runs

        def lose_and_leave(run: str) -> None:
            lose(database, run, after=2)
            loop.call_soon_threadsafe(engine.begin_closing, 0)

        loop = asyncio.get_running_loop()
        await read_until(seen, person, 4, lose_and_leave)
        await person.close()
    there = await Person.enter(server.url, person.name, person.password)
    run, conversation = seen[0].data["run_id"], seen[0].data["conversation_id"]
    rest = await read_on(there, run, seen[-1].id)
    answer = (await messages(there, conversation))[-1]
    await there.close()
    assert rest[-1].data["error"]["code"] == "interrupted", "a model of OpenAI's wire does not go on behind a text"
    assert (answer["status"], answer["content"]) == ("interrupted", text_of(seen))
    assert stored(database, run) == [(event.id, event.name) for event in [*seen, *rest]]


async def test_what_was_said_before_a_call_is_whole(anna: Person, openai: OpenAIServer, database: Database) -> None:
    """The state before a call is on disk at once, the words of it in the log a moment later."""
    openai.script(rounds=[[("remember", {"fact": "Anna likes tea."})]], preamble="Just a moment.", reply="It is noted.")
    seen = await until_action(anna, message="I like tea", tools=["remember"], model_source="openai")
    run, step = seen[0].data["run_id"], seen[-2].data["step"]["id"]
    said = text_of(seen)
    cut = "UPDATE run_events SET data = %s WHERE run_id = %s AND seq = %s"
    pieces = [event.id for event in seen if event.name == "chunk"]
    database.execute(cut, ['{"type":"chunk","content":"Just"}', run, pieces[0]])
    for other in pieces[1:]:
        database.execute(cut, ['{"type":"chunk","content":""}', run, other])
    body = {"decisions": [{"step_id": step, "decision": "approve"}]}
    assert (await anna.http.post(f"/chat/runs/{run}/resume", json=body)).status_code == 202
    rest = await read_on(anna, run, seen[-1].id)
    answer = (await messages(anna, seen[0].data["conversation_id"]))[-1]
    assert answer["content"] == "Just" + text_of(rest) == f"{said}It is noted."


@pytest.fixture
def lazy_log(parts: Stage) -> Iterator[None]:
    """A Postgres that writes to its log at once what somebody waits for, and all else much later: a crash loses it."""
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        # New connections wait for their commits, as they do in every installation but the tests'.
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = on")
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    yield
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET synchronous_commit")
        connection.execute("ALTER SYSTEM RESET wal_writer_delay")
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.slow
@pytest.mark.usefixtures("lazy_log")
async def test_a_crash_of_postgres_and_the_death_of_the_worker_lose_no_word(
    serve: Serve, parts: Stage, second: Service, http: aiohttp.ClientSession
) -> None:
    first = await serve("a")
    anna = await Account(http, first.url).join()
    follower = Follower(anna)
    reading = asyncio.create_task(follower.ask("Count for me.", model_source="ollama"))

    async def spoken() -> bool:
        return follower.heard(20)()

    await eventually(spoken)
    postmaster = psutil.Process(parts.postgres_pid)
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    before = follower.last_id
    await parts.postgres.child.wait()
    await parts.postgres.stop()
    await parts.postgres.start()

    async def goes_on() -> bool:
        return follower.last_id > before + 2

    await eventually(goes_on)
    await first.kill()
    await reading
    assert not follower.ended
    there = at(anna, second)
    await follower.resume(there)
    assert (follower.faults, follower.events[-1].name, follower.text) == ([], "done", WHOLE)
    answer = await answer_of(there, follower.start["conversation_id"])
    assert (answer["status"], answer["content"]) == ("complete", WHOLE)
    with psycopg.connect(parts.environment["DATABASE_URL"], autocommit=True) as connection:
        assert stored(connection, follower.run_id) == [(event.id, event.name) for event in follower.events]
