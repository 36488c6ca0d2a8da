"""A provider that fails every third time: no question lost, no run stuck, no stream without an end."""

import asyncio
from typing import Any

import psycopg

from bench.load import Account, clients, settle
from bench.report import Row
from bench.stage import Stage
from tests.providers import OpenAIServer

USERS = 50
_LEFT = """
    SELECT (SELECT count(*) FROM messages WHERE role = 'user'),
           (SELECT count(*) FROM runs WHERE status = 'running'),
           (SELECT count(*) FROM messages WHERE role = 'assistant' AND status = 'complete')
"""


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Ask many times, many at once; then look at what the database holds."""
    turns = 200 if quick else 1000
    told = {"answered": 0, "told an error": 0, "neither": 0}
    with psycopg.connect(stage.postgres.dsn, autocommit=True) as connection:
        before = _counts(connection)
        async with OpenAIServer(record=False) as provider, clients(USERS) as session:
            provider.script(tokens=["word "] * 20, fault="500", every=3)
            api = await stage.serve("bad-days", OPENAI_BASE_URL=provider.url, PROVIDER_MAX_RETRIES="0")
            account = await Account(session, api.url).join()
            places = asyncio.Semaphore(USERS)

            async def turn(number: int) -> None:
                async with places:
                    try:
                        await account.ask(f"Question {number}?")
                        told["answered"] += 1
                    except ValueError as refused:
                        told["told an error" if "event: error" in str(refused) else "neither"] += 1

            await asyncio.gather(*(turn(number) for number in range(turns)))
            await settle(2)
            after = _counts(connection)
            await api.child.stop()
    kept = after[0] - before[0]
    note = f"{USERS} at once; {told['answered']} answered, {told['told an error']} told an error"
    return [
        Row("bad days", "questions lost", turns - kept, "questions", 0, note=note),
        Row("bad days", "runs stuck", after[1], "runs", 0),
        Row("bad days", "streams that ended without a word", told["neither"], "streams", 0),
        Row("bad days", "answers complete in the database", after[2] - before[2], "answers"),
    ]


def _counts(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    row = connection.execute(_LEFT).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])
