"""Kill the worker that reads files, again and again: `python -m bench.kills [--kills 1000]`.

Files of all formats are uploaded, some are deleted meanwhile, and the worker dies (`kill -9`) at every stage and at
random moments. Afterwards each file has to be completed, or failed with its reason, exactly as when the same files are
read without any disturbance; nothing twice, nothing missing, nothing of a deleted file. Exit code 1 where not.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
import structlog

from bench.kills_audit import Kept, audit, busy, index_differs
from bench.load import Account, Refused, clients
from bench.papers import any_paper
from bench.stage import Stage, stage
from llama_service.runtime.process import launcher_argv
from llama_service.settings import Settings

_MOMENTS = ("start", "extract", "split", "embed", "any")
_WAITING = 6  # jobs in the queue while there are kills to come
_MOMENT_PATIENCE = 3.0
_DELETED = 0.2  # for each file that comes
_PATIENCE = 240.0
_STAGES = """
    SELECT f.stage FROM files f JOIN procrastinate_jobs j ON j.args ->> 'file_id' = f.id::text
    JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND f.status = 'processing' AND w.id > %s
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, and what must not have: one sentence for each violation."""

    happened: Counter[str]
    violations: list[str]


@dataclass
class Nursery:
    """Where workers come from, one at a time."""

    process: asyncio.subprocess.Process
    pid: int = 0

    async def bear(self) -> None:
        """Start a worker."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()
        self.pid = int(await self.process.stdout.readline())

    async def kill(self) -> None:
        """End the worker as the kernel does when memory runs out, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        await asyncio.to_thread(_until_gone, self.pid)


def orphans(folder: Path) -> int:
    """Count processes that dead workers, who ran in this folder, have left behind."""
    here = [p.info for p in psutil.process_iter(["ppid", "cwd"]) if p.info["cwd"] == str(folder.resolve())]
    return sum(info["ppid"] == 1 for info in here)


def _until_gone(pid: int) -> None:
    while psutil.pid_exists(pid):
        time.sleep(0.002)


@contextlib.asynccontextmanager
async def nursery(made: Stage) -> Any:
    """Open a nursery whose workers log into the stage's folder."""
    spec = made.spec("kills", ["bench.nursery"], 0, "", **made.environment)
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    with spec.log_path.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *launcher_argv(signal.SIGKILL, (), spec.argv),
            env=dict(spec.env),
            cwd=spec.cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield Nursery(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Uploads:
    """Somebody who uploads one file after the other and deletes some."""

    account: Account
    folder: Path
    dice: random.Random
    kept: dict[str, Kept] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    made: int = 0
    refused: int = 0

    async def add(self) -> None:
        """Upload another file; its bytes are remembered."""
        self.made += 1
        paper = await asyncio.to_thread(any_paper, self.made)
        path = self.folder / f"{self.made}"
        path.write_bytes(paper.content)
        try:
            file = await self.account.upload(paper.name, paper.content)
        except Refused as refused:  # a damaged file may be turned away at the door
            if refused.status != 415:
                raise
            self.refused += 1
        else:
            self.kept[file["id"]] = Kept(file["id"], paper.name, path)

    async def delete(self) -> None:
        """Delete any of the files, whatever happens to it just now."""
        file = self.dice.choice(sorted(self.kept))
        await self.account.call("DELETE", f"/files/{file}")
        del self.kept[file]
        self.deleted.append(file)


async def storm(made: Stage, *, kills: int, seed: int) -> Outcome:
    """Kill so many workers, let the last one finish, and look at what is there."""
    happened: Counter[str] = Counter()
    api = await made.serve("uploads", INLINE_WORKER="false")
    papers = made.folder / "papers"
    papers.mkdir(exist_ok=True)
    async with clients() as session, nursery(made) as workers:
        account = await Account(session, api.url).join()
        uploads = Uploads(account, papers, random.Random(seed))
        over = asyncio.Event()
        uploading = asyncio.create_task(_upload(made, uploads, over))
        try:
            await _kill(made, workers, kills, random.Random(seed + 1), happened)
        finally:
            over.set()
            await uploading
        began = time.monotonic()
        await workers.bear()
        violations = await _settled(made, "after the kills")
        happened["seconds until all was settled"] = round(time.monotonic() - began)
        control = await _undisturbed(session, api.url, uploads)
        violations += await _settled(made, "undisturbed")
        violations += await asyncio.to_thread(
            audit, made.postgres.dsn, made.chroma, control, list(uploads.kept.values()), uploads.deleted
        )
        if left := orphans(made.folder):
            violations.append(f"{left} processes of dead workers live on")
        happened["files"], happened["files deleted"] = uploads.made, len(uploads.deleted)
        happened["files refused at the door"] = uploads.refused
        await workers.kill()
    await api.child.stop()
    return Outcome(happened, violations)


async def _upload(made: Stage, uploads: Uploads, over: asyncio.Event) -> None:
    async with await psycopg.AsyncConnection.connect(made.postgres.dsn, autocommit=True) as connection:
        while not over.is_set():
            row = await (
                await connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")
            ).fetchone()
            if row and row[0] < _WAITING:
                await uploads.add()
                if uploads.kept and uploads.dice.random() < _DELETED:
                    await uploads.delete()
            await asyncio.sleep(0.05)


async def _kill(made: Stage, workers: Nursery, kills: int, dice: random.Random, happened: Counter[str]) -> None:
    async with await psycopg.AsyncConnection.connect(made.postgres.dsn, autocommit=True) as connection:
        for number in range(kills):
            last = await (await connection.execute("SELECT max(id) FROM procrastinate_workers")).fetchone()
            await workers.bear()
            moment = _MOMENTS[number % len(_MOMENTS)]
            await _wait_for(connection, moment, dice)
            await workers.kill()
            before = (last[0] if last else None) or 0
            found = {row[0] for row in await (await connection.execute(_STAGES, (before,))).fetchall()}
            happened["kills"] += 1
            for name in sorted(found) or ["no file"]:
                happened[f"kills at {name}"] += 1
            if number % 100 == 99:
                print(f"{number + 1} kills", file=sys.stderr, flush=True)


async def _wait_for(connection: psycopg.AsyncConnection[Any], moment: str, dice: random.Random) -> None:
    """Return a little after a file has come to this stage with the new worker, or at any time."""
    if moment in ("start", "any"):
        await asyncio.sleep(dice.uniform(0, 0.4 if moment == "start" else 1.5))
        return
    deadline = time.monotonic() + _MOMENT_PATIENCE
    began = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    query = "SELECT 1 FROM files WHERE status = 'processing' AND stage = %s AND updated_at > %s LIMIT 1"
    while time.monotonic() < deadline:
        if began and await (await connection.execute(query, (moment, began[0]))).fetchone():
            await asyncio.sleep(dice.uniform(0, 0.06))
            return
        await asyncio.sleep(0.003)


async def _settled(made: Stage, when: str) -> list[str]:
    """Wait until every file has ended and the index holds what Postgres does; else say what is left."""
    deadline = time.monotonic() + _PATIENCE
    left: list[str] = ["unknown"]
    while time.monotonic() < deadline:
        left = await asyncio.to_thread(busy, made.postgres.dsn)
        if not left:
            left = await asyncio.to_thread(index_differs, made.postgres.dsn, made.chroma)
        if not left:
            return []
        await asyncio.sleep(0.5)
    return [f"{when}: {what}" for what in left]


async def _undisturbed(session: aiohttp.ClientSession, url: str, uploads: Uploads) -> dict[str, str]:
    """Upload the kept files to another account; return the ids there by the ids of the storm."""
    control = await Account(session, url).join()
    return {kept.id: (await control.upload(kept.name, kept.path.read_bytes()))["id"] for kept in uploads.kept.values()}


async def _run(kills: int, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as folder:
        async with stage(Path(folder)) as made:
            made.environment.update(MAX_FILES_PER_USER="1000000", MAX_BYTES_PER_USER_MB="1000000")
            return await storm(made, kills=kills, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
        del os.environ[name]
    print(f"seed {given.seed}", flush=True)
    outcome = asyncio.run(_run(given.kills, given.seed))
    for what, count in sorted(outcome.happened.items()):
        print(f"{count:7} {what}")
    for violation in outcome.violations:
        print(f"VIOLATION {violation}")
    print(f"{len(outcome.violations)} violations")
    sys.exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    main()
