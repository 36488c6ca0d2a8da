"""Many readers at once: a hundred streams at twenty tokens a second through one worker."""

import asyncio
import time

from bench.load import Account, clients, cpu_seconds, listen, median, percentile, provider_body, settle
from bench.report import Row
from bench.stage import Script, Stage

RATE = 20.0


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Start all streams in the same moment; do it once to warm up and once to measure."""
    streams, tokens = (40, 60) if quick else (100, 200)
    await stage.say(Script(tokens, RATE))
    url = f"{stage.environment['OPENAI_BASE_URL']}/chat/completions"
    async with clients() as session:
        api = await stage.serve()
        account = await Account(session, api.url).join()
        await asyncio.gather(*(account.ask("Warm up.") for _ in range(streams // 4)))
        alone = [(await listen(session, url, provider_body("One alone."))).first for _ in range(3)]
        await settle(1.0)
        began, before = time.perf_counter(), cpu_seconds(api.pid)
        heard = await asyncio.gather(*(account.ask("All together now.") for _ in range(streams)))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(api.pid) - before
        await api.child.stop()
    added = [one.first - median(alone) for one in heard]
    late = max(one.whole - one.first for one in heard) - (tokens - 1) / RATE
    note = f"{streams} streams at {RATE:g} tokens/s, started together; {cpu / seconds * 100:.0f} % of a CPU"
    return [
        Row("many streams", "first token added, p95", percentile(added, 0.95), "s", 1, note=note),
        Row("many streams", "first token added, median", median(added), "s"),
        Row("many streams", "slowest stream behind its pace at the end", max(late, 0.0), "s", 0.5),
    ]
