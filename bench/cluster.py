"""A small cluster on one machine: `serve --workers 2`, two file workers, their Postgres and Chroma, many streams.

Every part's processor time is measured by itself, so that what fills first can be told, and what more machines would
do.
"""

import asyncio
import time
from dataclasses import dataclass

import psutil
import psycopg

from bench.load import Account, clients, median, percentile, settle, tree_cpu_seconds
from bench.report import Row
from bench.stage import Script, Stage

RATE = 20.0
TOKENS = 200
_LATE = 1.0  # seconds behind its pace, at which a stream counts as one that does not keep it
_TEXT = "The lighthouse keeper wrote down wind, fog and ships each night. " * 400


@dataclass(frozen=True, slots=True)
class Load:
    """What so many streams at once took; `late` is how far the slowest one was behind, `parts` are CPU seconds."""

    streams: int
    seconds: float
    first: list[float]
    late: float
    parts: dict[str, float]
    connections: int


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Raise the number of streams step by step, with files coming in all the time; then count what one turn costs."""
    steps = (20, 60) if quick else (50, 100, 200, 300)
    await stage.say(Script(TOKENS, RATE))
    api = await stage.serve_by(2, INLINE_WORKER="false")
    workers = [await stage.work(), await stage.work()]
    processes = {"api": [api.pid], "workers": [worker.pid or 0 for worker in workers]}
    processes |= {"postgres": [stage.postgres_pid], "chroma": [stage.chroma.child.pid or 0]}
    processes |= {"doubles": [stage.doubles.pid or 0] if stage.doubles else [], "clients": [psutil.Process().pid]}
    async with clients() as session:
        accounts = [await Account(session, api.url).join() for _ in range(20)]
        await asyncio.gather(*(account.ask("Warm up.") for account in accounts))
        await settle(2.0)
        loads = [await _with_files(stage, accounts, processes, streams) for streams in steps]
        costs = await _costs(stage, accounts, processes)
    rows: list[Row] = []
    for load in loads:
        shares = ", ".join(f"{name} {cpu / load.seconds:.2f}" for name, cpu in load.parts.items())
        note = f"CPUs in use: {shares}; {load.connections} connections to Postgres"
        rows.append(Row("cluster", f"{load.streams} streams: slowest behind its pace", load.late, "s", note=note))
        rows.append(Row("cluster", f"{load.streams} streams: first token, median", median(load.first), "s"))
        rows.append(Row("cluster", f"{load.streams} streams: first token, p95", percentile(load.first, 0.95), "s"))
    kept = [load.streams for load in loads if load.late <= _LATE]
    rows.append(Row("cluster", "streams that keep their pace", float(max(kept, default=0)), "", better="more"))
    return rows + costs


async def _with_files(stage: Stage, accounts: list[Account], processes: dict[str, list[int]], streams: int) -> Load:
    """Let so many streams run side by side while files are uploaded one after the other."""
    uploading = asyncio.create_task(_upload_forever(accounts[0]))
    before, began = _cpu(processes), time.perf_counter()
    asking = [
        asyncio.create_task(accounts[number % len(accounts)].ask(f"Question {number}?")) for number in range(streams)
    ]
    await asyncio.sleep(TOKENS / RATE / 2)
    connections = _connections(stage)
    heard = await asyncio.gather(*asking)
    seconds, after = time.perf_counter() - began, _cpu(processes)
    uploading.cancel()
    await asyncio.gather(uploading, return_exceptions=True)
    await settle(3.0)
    late = max(one.whole - one.first for one in heard) - (TOKENS - 1) / RATE
    parts = {name: after[name] - before[name] for name in processes}
    return Load(streams, seconds, [one.first for one in heard], max(late, 0.0), parts, connections)


async def _upload_forever(account: Account) -> None:
    number = 0
    while True:
        number += 1
        await account.upload(f"log-{number}.txt", f"{number} {_TEXT}".encode())
        await asyncio.sleep(0.5)


async def _costs(stage: Stage, accounts: list[Account], processes: dict[str, list[int]]) -> list[Row]:
    """Count what a turn of 200 tokens takes of each part, with ten at a time and nothing else going on."""
    turns = 100
    await settle(3.0)
    cpu, counted = _cpu(processes), _counted(stage)
    for _ in range(turns // 10):
        await asyncio.gather(*(account.ask("What does it cost?") for account in accounts[:10]))
    await settle(3.0)
    cpu = {name: spent - cpu[name] for name, spent in _cpu(processes).items()}
    counted = {name: value - counted[name] for name, value in _counted(stage).items()}
    note = f"{turns} turns of {TOKENS} tokens, ten at a time, each in a new chat, with its title"
    return [
        Row("cluster", "a turn: CPU of the API", cpu["api"] / turns * 1000, "ms", note=note),
        Row("cluster", "a turn: CPU of Postgres", cpu["postgres"] / turns * 1000, "ms"),
        Row("cluster", "a turn: transactions", counted["transactions"] / turns, ""),
        Row("cluster", "a turn: rows written", counted["rows"] / turns, ""),
        Row("cluster", "a turn: write-ahead log", counted["wal"] / turns / 1000, "kB"),
        Row("cluster", "a turn: the database grows by", counted["bytes"] / turns / 1000, "kB"),
    ]


def _cpu(processes: dict[str, list[int]]) -> dict[str, float]:
    # The clients are this process, whose children are the other parts.
    return {
        name: sum(
            tree_cpu_seconds(pid) if name != "clients" else sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids
        )
        for name, pids in processes.items()
    }


def _counted(stage: Stage) -> dict[str, float]:
    with psycopg.connect(stage.environment["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(
            """
            SELECT xact_commit, tup_inserted + tup_updated, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8,
                   pg_database_size(datname)::float8
            FROM pg_stat_database WHERE datname = current_database()
            """
        ).fetchone()
    assert row is not None
    return dict(zip(("transactions", "rows", "wal", "bytes"), map(float, row), strict=True))


def _connections(stage: Stage) -> int:
    with psycopg.connect(stage.environment["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchone()
    return int(row[0]) if row else 0
