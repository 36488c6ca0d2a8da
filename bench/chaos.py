"""Kill parts of a running service at random and count what is lost: `python -m bench.chaos [--seconds 300]`.

Two API processes, a queue worker, Chroma and Postgres die (`kill -9`; Postgres is restarted) and come back, while
many conversations go on whose clients drop at random. Afterwards every question has to be there, each answer complete
to the letter or stopped by its client, no run stuck, no event seen twice or out of order. Exit code 1 where not. The
model is one that can go on behind an unfinished text (Ollama's wire).
"""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from bench.chaos_audit import audit, running, unfinished_files, whole_answer
from bench.chaos_clients import Curtain, Talker
from bench.load import Account, clients, settle
from bench.stage import Script, Service, Stage, stage
from llama_service.runtime.process import Child
from llama_service.settings import Settings

_ANSWER = Script(tokens=60, rate=20)  # three seconds
_FILES_PATIENCE = 90.0
_LEASE_PATIENCE = 30.0  # what a dead worker's run may take to be taken over, and to end


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, and what must not have: one sentence for each violation."""

    happened: Counter[str]
    violations: list[str]


async def chaos(made: Stage, *, seconds: float, conversations: int, seed: int) -> Outcome:
    """Let conversations go on for so long while parts die, each at least once."""
    dice = random.Random(seed)
    await made.say(_ANSWER)
    apis = [
        await made.serve(name, INLINE_WORKER="false", DEFAULT_MODEL_SOURCE="ollama", MODEL_FALLBACK_SOURCES="ollama")
        for name in ("api-a", "api-b")
    ]
    worker = await made.work()
    happened: Counter[str] = Counter()
    async with clients() as session:
        joined = [await Account(session, apis[0].url).join() for _ in range(min(conversations, 10))]
        curtain = Curtain()
        urls = [api.url for api in apis]
        talkers = [
            Talker(joined[n % len(joined)], urls, random.Random(dice.random()), curtain, f"talker {n}")
            for n in range(conversations)
        ]
        breaking = asyncio.create_task(_break_things(made, apis, worker, dice, seconds, happened))
        breaking.add_done_callback(lambda _: curtain.fall())
        await asyncio.gather(*(talker.talk() for talker in talkers))
        await breaking
    violations = await _after(made, talkers)
    for talker in talkers:
        happened += talker.seen
        happened["turns"] += len(talker.turns)
    for child in made.apis:
        await child.stop(timeout=10)
    return Outcome(happened, violations)


async def _after(made: Stage, talkers: list[Talker]) -> list[str]:
    """Give files, and the leases of runs that nobody heard of, the time that they may take; then look at everything."""
    lease = time.monotonic() + _LEASE_PATIENCE
    while running(made.postgres.dsn) and time.monotonic() < lease:
        await settle(0.5)
    deadline = time.monotonic() + _FILES_PATIENCE
    while (left := unfinished_files(made.postgres.dsn)) and time.monotonic() < deadline:
        await settle(0.5)
    files = [f"{left} files were never indexed"] if left else []
    return files + audit(made.postgres.dsn, talkers, whole_answer(_ANSWER))


async def _break_things(
    made: Stage, apis: list[Service], worker: Child, dice: random.Random, seconds: float, happened: Counter[str]
) -> None:
    """End one part after the other; each is back before the next one dies, and all are at the end."""

    def killing(child: Child) -> Callable[[], Awaitable[None]]:
        async def again() -> None:
            child.kill()
            await child.wait()
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            await child.start()

        return again

    ways: dict[str, Callable[[], Awaitable[None]]] = {
        "kills of the first API process": killing(apis[0].child),
        "kills of the second API process": killing(apis[1].child),
        "kills of the queue worker": killing(worker),
        "kills of Chroma": killing(made.chroma.child),
        "restarts of Postgres": made.restart_postgres,
    }
    # Every part dies at least once, in a random order, before chance decides, however slow the machine is.
    order = dice.sample(sorted(ways), len(ways))
    deadline = time.monotonic() + seconds
    while order or time.monotonic() < deadline:
        await asyncio.sleep(dice.uniform(0.5, 2.5))
        what = order.pop() if order else dice.choice(sorted(ways))
        await ways[what]()
        happened[what] += 1


async def _run(seconds: float, conversations: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        async with stage(Path(folder), script=_ANSWER) as made:
            return await chaos(made, seconds=seconds, conversations=conversations, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
        del os.environ[name]
    print(f"seed {given.seed}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        outcome = asyncio.run(_run(given.seconds, given.conversations, given.seed))
        for what, count in sorted(outcome.happened.items()):
            print(f"{count:7} {what}")
        for violation in outcome.violations:
            print(f"VIOLATION {violation}")
        print(f"{len(outcome.violations)} violations")
        sys.exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    main()
