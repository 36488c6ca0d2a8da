"""CPU that streaming costs: ten streams at fifty tokens a second, each model source against the bare proxy."""

import asyncio
from collections.abc import Awaitable, Callable

from bench.load import Account, Heard, clients, cpu_seconds, listen, median, provider_body, settle, tree_cpu_seconds
from bench.report import Row
from bench.stage import Script, Stage

STREAMS = 10
RATE = 50.0


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Stream through the proxy and through each source in turn, several rounds."""
    tokens, rounds = (150, 2) if quick else (400, 3)
    await stage.say(Script(tokens, RATE))
    async with clients() as session:
        proxy, api = await stage.proxy(), await stage.serve()
        account = await Account(session, api.url).join()

        def through(source: str) -> Callable[[], Awaitable[Heard]]:
            return lambda: account.ask("How does weather come about?", model_source=source)

        ways: dict[str, tuple[int, Callable[[], Awaitable[Heard]]]] = {
            "proxy": (
                proxy.pid,
                lambda: listen(session, f"{proxy.url}/chat/completions", provider_body("How does weather come about?")),
            ),
            **{source: (api.pid, through(source)) for source in ("openai", "ollama", "aihub")},
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        stores: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, (pid, ask) in ways.items():
                await settle(1.0)
                before, stored = cpu_seconds(pid), tree_cpu_seconds(stage.postgres_pid)
                await asyncio.gather(*(ask() for _ in range(STREAMS)))
                if number:  # the first round warms up
                    made = STREAMS * tokens / 1000
                    spent[name].append((cpu_seconds(pid) - before) * 1000 / made)
                    stores[name].append((tree_cpu_seconds(stage.postgres_pid) - stored) * 1000 / made)
        for part in (proxy, api):
            await part.child.stop()
    base = median(spent["proxy"])
    note = f"{STREAMS} streams, {RATE:g} tokens/s, {rounds} rounds of {tokens} tokens"
    rows = [Row("CPU per 1,000 tokens", "bare proxy", base, "ms", note=note)]
    for name in ("openai", "ollama", "aihub"):
        value = median(spent[name])
        extra = f"Postgres beside it: {median(stores[name]):.0f} ms"
        rows.append(Row("CPU per 1,000 tokens", f"source {name}", value, "ms", note=extra))
        rows.append(Row("CPU per 1,000 tokens", f"source {name} to proxy", value / base, "times", 1.6))
    return rows
