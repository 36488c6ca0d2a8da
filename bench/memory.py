"""Memory of the API process: idle, per open stream that waits, and after many turns."""

import asyncio

import aiohttp
import orjson
import psutil

from bench.load import Account, clients
from bench.report import Row
from bench.stage import Script, Service, Stage

_SILENT = Script(tokens=3, rate=0.005)  # one token, then nothing for 200 seconds
_KEPT = 35.0  # seconds; a run's events stay in memory for 30 after its end


def rss(service: Service) -> int:
    """Return the resident memory of a process in bytes."""
    return int(psutil.Process(service.pid).memory_info().rss)


async def _open(account: Account) -> aiohttp.ClientResponse:
    """Ask, read up to the first token, and leave the stream open."""
    body = orjson.dumps({"message": "Wait with me."})
    response = await account.session.post(f"{account.url}/api/v1/chat/stream", data=body, headers=account.headers)
    told = b""
    while b"event: chunk" not in told:
        piece = await response.content.readany()
        if not piece:
            raise ValueError(f"the stream ended: {told!r}")
        told += piece
    return response


async def _open_many(account: Account, count: int) -> list[aiohttp.ClientResponse]:
    opened: list[aiohttp.ClientResponse] = []
    for _ in range(0, count, 20):
        opened += await asyncio.gather(*(_open(account) for _ in range(20)))
    return opened


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Measure one process after another; growth counts from a process that has been warm for a while."""
    streams, turns = (100, 200) if quick else (400, 1000)
    rows = []
    async with clients() as session:
        api = await stage.serve(PROVIDER_MAX_IN_FLIGHT="1000", PROVIDER_BETWEEN_TOKENS_TIMEOUT="600")
        await asyncio.sleep(3)
        rows.append(Row("memory", "API process, idle", rss(api) / 1e6, "MB", 300))
        await stage.say(_SILENT)
        account = await Account(session, api.url).join()
        opened = await _open_many(account, 60)  # pools and caches fill up
        before = rss(api)
        opened += await _open_many(account, streams)
        each = (rss(api) - before) / streams / 1000
        rows.append(Row("memory", "an open stream that waits", each, "kB", 100, note=f"{streams} streams"))
        for response in opened:
            response.close()
        await api.child.stop(timeout=3)
        await stage.say(Script(20, 0))
        rows.append(await _growth(stage, session, turns))
    return rows


async def _growth(stage: Stage, session: aiohttp.ClientSession, turns: int) -> Row:
    api = await stage.serve()
    account = await Account(session, api.url).join()

    async def talk(count: int) -> int:
        for _ in range(0, count, 10):
            conversation = await account.conversation()
            for number in range(9):
                await account.ask(f"And {number}?", conversation_id=conversation)
        await asyncio.sleep(_KEPT)
        return rss(api)

    before = await talk(turns)
    after = await talk(turns)
    await api.child.stop()
    return Row("memory", "growth over turns", (after - before) / turns / 1000, "kB/turn", 1, note=f"{turns} more turns")
