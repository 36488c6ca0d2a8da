"""Pages do not grow with what is behind them: conversations of a user, messages of a conversation."""

import time
from uuid import UUID

import aiohttp
import psycopg

from bench.load import Account, clients, median
from bench.report import Row
from bench.stage import Stage

_CONVERSATIONS = """
    INSERT INTO conversations (id, user_id, title, title_source, created_at, updated_at)
    SELECT gen_random_uuid(), %(user)s, 'Talk number ' || n, 'user', now() - n * interval '1 minute',
           now() - n * interval '1 minute'
    FROM generate_series(1, %(count)s) n
"""

# One branch, each message the parent of the next; ids are made from their number, so that parents are known.
_TALK = """
    WITH made AS (
        SELECT n, md5(%(conversation)s || n)::uuid AS id, md5(%(conversation)s || (n - 1))::uuid AS parent
        FROM generate_series(1, %(count)s) n
    ), written AS (
        INSERT INTO messages (id, conversation_id, parent_id, role, content, created_at)
        SELECT id, %(conversation)s::uuid, CASE WHEN n > 1 THEN parent END,
               CASE n %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
               repeat('Words of message ' || n || '. ', 12), now() - (%(count)s - n) * interval '1 second'
        FROM made
    )
    UPDATE conversations SET leaf_id = md5(%(conversation)s || %(count)s)::uuid WHERE id = %(conversation)s::uuid
"""


def fill_conversations(dsn: str, user_id: str, count: int) -> None:
    """Give a user so many conversations."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_CONVERSATIONS, {"user": UUID(user_id), "count": count})
        connection.execute("VACUUM ANALYZE conversations")


def fill_talk(dsn: str, conversation: str, count: int) -> None:
    """Put a branch of so many messages into an empty conversation."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TALK, {"conversation": conversation, "count": count})
        connection.execute("VACUUM ANALYZE messages")


async def _compare(
    name: str, few: tuple[Account, str], many: tuple[Account, str], rounds: int, counts: tuple[int, int]
) -> list[Row]:
    """Fetch the small and the large one in turn."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for number in range(rounds + 10):
        for kind, (account, path) in (("few", few), ("many", many)):
            began = time.perf_counter()
            page = await account.call("GET", path)
            if number >= 10:
                times[kind].append((time.perf_counter() - began) * 1000)
            if not page["items"]:
                raise ValueError(f"{path} is empty")
    small, large = median(times["few"]), median(times["many"])
    return [
        Row("pages", f"{name}, {counts[1]:,}", large, "ms", note=f"with {counts[0]}: {small:.1f} ms; 10 to a page"),
        Row("pages", f"{name}, {counts[1]:,} to {counts[0]}", large / small, "times", 1.2),
    ]


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Compare the first page of lists of very different lengths."""
    rounds = 60 if quick else 200
    dsn = stage.postgres.dsn
    async with clients() as session:
        api = await stage.serve()
        poor, rich = await Account(session, api.url).join(), await Account(session, api.url).join()
        fill_conversations(dsn, poor.user_id, 10)
        fill_conversations(dsn, rich.user_id, 10_000)
        page = "/conversations?limit=10"
        rows = await _compare("first page of conversations", (poor, page), (rich, page), rounds, (10, 10_000))
        paths = [await _talk(stage, session, poor, count) for count in (50, 5_000)]
        rows += await _compare("opening a conversation", (poor, paths[0]), (poor, paths[1]), rounds, (50, 5_000))
        await api.child.stop()
    return rows


async def _talk(stage: Stage, session: aiohttp.ClientSession, account: Account, count: int) -> str:
    conversation = (await account.call("POST", "/conversations", {"title": f"{count} messages"}))["id"]
    fill_talk(stage.postgres.dsn, conversation, count)
    return f"/conversations/{conversation}/messages?limit=10"
