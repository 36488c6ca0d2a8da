"""How fast files are read, split and indexed without embeddings, and a book of 300 pages with the shipped ones."""

import asyncio
import time
from typing import Any

import psycopg

from bench.load import Account, clients, spent_cpu_seconds
from bench.papers import pages, paper
from bench.report import Row
from bench.stage import Stage
from bench.words import paragraphs
from llama_service.runtime.process import free_port
from tests.files.pdf import pdf

# Open WebUI's CPU seconds for a MB of text, without embedding; a third of that is the goal.
_THEIRS = {"txt": 3.6, "md": 5.5, "pdf": 8.8}
_PAGES, _PAGE_CHARS = 300, 2_700
_MARK = "Zanzibarquokka"
_PATIENCE = 300.0


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Measure a worker process of its own, as it takes what has been uploaded before."""
    rows: list[Row] = []
    async with clients() as session:
        # Nothing listens at this port: the embeddings' jobs fail at once and wait for better days.
        nowhere = {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1", "INLINE_WORKER": "false"}
        api = await stage.serve(**nowhere)
        account = await Account(session, api.url).join()
        for number, kind in enumerate(_THEIRS):
            rows += await _speed(stage, account, kind, 4 if quick else 12, 1000 * number, nowhere)
        await api.child.stop()
    return rows + await _book(stage)


async def _speed(
    stage: Stage, account: Account, kind: str, count: int, seed: int, environment: dict[str, str]
) -> list[Row]:
    papers = [paper(kind, seed + number, 700_000) for number in range(count)]
    files = [(await account.upload(made.name, made.content))["id"] for made in papers]
    worker = await stage.work(**environment)
    assert worker.pid is not None
    async with await psycopg.AsyncConnection.connect(stage.postgres.dsn, autocommit=True) as connection:
        await _until(connection, "SELECT count(*) > 0 FROM files WHERE status = 'processing' AND NOT searchable")
        began, spent = time.perf_counter(), _spent(stage, worker.pid)
        await _until(connection, "SELECT count(*) = 0 FROM files WHERE NOT searchable")
        took, spent = time.perf_counter() - began, _spent(stage, worker.pid) - spent
        query = "SELECT sum(octet_length(text)) / 1e6 FROM files WHERE name LIKE %s"
        row = await (await connection.execute(query, (f"{kind}-%",))).fetchone()
    await worker.stop()
    for file in files:  # their vectors must not be made before the book's
        await account.call("DELETE", f"/files/{file}")
    size = float(row[0]) if row else 0.0
    goal = _THEIRS[kind] / 3
    note = f"{count} files, {size:.1f} MB of text; Postgres's part included"
    return [
        Row("ingest", f"{kind}, without embeddings", size / took, "MB/s", 1, "more", f"{count} files"),
        Row("ingest", f"{kind}, CPU for a MB of text", spent / size, "s", goal, note=note),
    ]


def _spent(stage: Stage, worker: int) -> float:
    return spent_cpu_seconds(worker) + spent_cpu_seconds(stage.postgres_pid)


async def _until(connection: psycopg.AsyncConnection[Any], query: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        row = await (await connection.execute(query)).fetchone()
        if row and row[0]:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(query)
        await asyncio.sleep(0.01)


def book() -> bytes:
    """Return a PDF of 300 full pages; a word that stands nowhere else is on the last one."""
    text = " ".join(paragraphs(5, _PAGES * _PAGE_CHARS)) + f" {_MARK}."
    step = len(text) // _PAGES + 1
    return pdf([pages([text[at : at + step]])[0] for at in range(0, len(text), step)])


async def _book(stage: Stage) -> list[Row]:
    content = await asyncio.to_thread(book)
    async with stage.embeddings() as shipped, clients() as session:
        api = await stage.serve("book", **shipped)
        account = await Account(session, api.url).join()
        await account.call("POST", "/search", {"query": "warm"})
        began = time.perf_counter()
        file = await account.upload("book.pdf", content)
        found, done = 0.0, 0.0
        while not done:
            if not found:
                answer = await account.call("POST", "/search", {"query": _MARK, "k": 1})
                found = time.perf_counter() - began if answer["passages"] else 0.0
            state = await account.call("GET", f"/files/status/{file['id']}")
            if state["status"] == "completed":
                done = time.perf_counter() - began
            elif state["status"] == "failed" or time.perf_counter() - began > _PATIENCE:
                raise ValueError(f"the book ended as {state}")
            await asyncio.sleep(0.1)
        await api.child.stop()
    note = f"{len(content) / 1e6:.1f} MB over HTTP, {state['chunks_total']} passages, the in-process worker"
    return [
        Row("ingest", "300-page PDF until its last page is found by words", found, "s", 10, note=note),
        Row("ingest", "the same until all of it is embedded", done, "s", 120, note="multilingual-e5-small, as shipped"),
    ]
