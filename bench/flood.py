"""As fast as it goes: tokens a second through one worker, and what a token weighs on the wire."""

import asyncio
import time

from bench.load import Account, clients, cpu_seconds, settle
from bench.report import Row
from bench.stage import Script, Stage

STREAMS = 8


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Read from a provider that never waits: one stream alone, then several at once."""
    tokens = 5_000 if quick else 20_000
    await stage.say(Script(tokens, 0))
    rows = []
    async with clients() as session:
        api = await stage.serve()
        account = await Account(session, api.url).join()
        await account.ask("Warm up.")
        for streams in (1, STREAMS):
            await settle(1.0)
            began, before = time.perf_counter(), cpu_seconds(api.pid)
            heard = await asyncio.gather(*(account.ask("Tell me everything.") for _ in range(streams)))
            seconds, cpu = time.perf_counter() - began, cpu_seconds(api.pid) - before
            made = streams * tokens
            note = f"{streams} streams of {tokens} tokens, {cpu / made * 1e6:.0f} us CPU a token"
            goals = (6000.0, 80.0) if streams == STREAMS else (None, None)
            rows.append(Row("flood", f"{streams} at once", made / seconds, "tokens/s", goals[0], "more", note))
            weight = sum(one.size for one in heard) / made
            rows.append(Row("flood", f"{streams} at once, on the wire", weight, "bytes/token", goals[1]))
        await stage.say(Script(150, 50))
        heard = await asyncio.gather(*(account.ask("And slowly?") for _ in range(10)))
        weight = sum(one.size for one in heard) / 1500
        rows.append(Row("paced", "10 at 50 tokens/s, on the wire", weight, "bytes/token", 80))
        await api.child.stop()
    return rows
