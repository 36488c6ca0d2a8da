"""Search among 100,000 passages of many users: against a bare Chroma query, and against the same scope among few.

The vectors are random, so nothing of the embedding model's cost is in these figures: a stub server answers at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from bench.explain import rows_read
from bench.fill import MODEL, Filler, analyze, crowd, share
from bench.load import Account, clients, median, percentile
from bench.report import Row
from bench.stage import Stage, stage
from llama_service.dsn import PostgresDsn
from llama_service.runtime.process import free_port
from persistence.lexical import query_terms
from persistence.search import Retriever, Scope
from persistence.session import Database
from persistence.vectors.chroma import ChromaIndex, connect

_K = 10
_FEW, _SCOPE = 1_000, 5_000
_MEMBERS = 1_000
_COLLECTION = "documents"


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody whose searches are measured, and the numbers of their files."""

    account: Account
    files: range

    @property
    def scope(self) -> Scope:
        return Scope(UUID(self.account.user_id))


@asynccontextmanager
async def embeddings(filler: Filler) -> AsyncIterator[str]:
    """Serve OpenAI's embeddings on loopback, with a vector that is there already; yields the address."""
    vectors = [filler.vector() for _ in range(64)]

    async def answer(request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        count = 1 if isinstance(texts, str) else len(texts)
        data = [{"object": "embedding", "index": n, "embedding": vectors[n % 64]} for n in range(count)]
        return web.json_response({"object": "list", "data": data, "model": MODEL, "usage": {"total_tokens": count}})

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


class _Bench:
    """The stores of a stage, a retriever in this process, and a bare client of Chroma."""

    def __init__(self, made: Stage) -> None:
        self.database = Database(PostgresDsn.of(made.postgres.dsn), 10)
        self.index = ChromaIndex(made.chroma.url, _COLLECTION, SecretStr(made.chroma.token))
        self.filler = Filler(self.database, self.index)
        self.model = MODEL
        self.retriever = Retriever(self.database, self.index, self)
        self._bare = connect(made.chroma.url, SecretStr(made.chroma.token))

    async def of_query(self, _: str) -> tuple[str, Sequence[float]]:
        """Return some vector, as an embedding model would."""
        return MODEL, self.filler.vector()

    async def of_passages(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return some vectors."""
        return [self.filler.vector() for _ in texts]

    def question(self, person: _Person) -> str:
        """Return words that stand in one of the person's files."""
        number = person.files[int(time.perf_counter_ns()) % len(person.files)]
        return self.filler.words(number)

    async def search(self, person: _Person) -> None:
        """Search as `POST /search` does."""
        found, _ = await self.retriever.search(person.scope, self.question(person), _K)
        if len(found) != _K:
            raise ValueError(f"{len(found)} passages found")

    def bare(self, person: _Person) -> Callable[[], Awaitable[Any]]:
        """Return a query that a plain application would send to Chroma for the same scope."""
        collection = self._bare.get_collection(self._bare.list_collections()[0].name)
        where: Any = {"owner": person.account.user_id}

        def query() -> None:
            vectors: list[Sequence[float]] = [self.filler.vector()]
            found = collection.query(query_embeddings=vectors, n_results=_K, where=where)
            if len(found["ids"][0]) != _K:
                raise ValueError("Chroma found too little")

        return lambda: asyncio.to_thread(query)


async def _times(rounds: int, *ways: Callable[[], Awaitable[Any]]) -> list[list[float]]:
    """Do each way in turn; return the milliseconds of each, the first tenth left out."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + rounds // 10):
        for way, kept in zip(ways, times, strict=True):
            began = time.perf_counter()
            await way()
            if number >= rounds // 10:
                kept.append((time.perf_counter() - began) * 1000)
    return times


async def run(made: Stage, quick: bool) -> list[Row]:
    """Fill the stores, then measure each pair in turn."""
    rounds, everything = (60, 20_000) if quick else (300, 100_000)
    bench = _Bench(made)
    async with clients() as session, embeddings(bench.filler) as url:
        api = await made.serve(OPENAI_BASE_URL=url, OPENAI_EMBED_MODEL=MODEL, INLINE_WORKER="false")
        people = [await Account(session, api.url).join() for _ in range(2)]
        size = bench.filler.size
        began = time.monotonic()
        small = _Person(people[0], await bench.filler.give(people[0].user_id, _FEW // size))
        large = _Person(people[1], await bench.filler.give(people[1].user_id, _SCOPE // size))
        others = crowd(made.postgres.dsn, (everything - _FEW - _SCOPE) // size)
        for other in others:
            await bench.filler.give(other, 1)
        await bench.filler.flush(wait=True)
        analyze(made.postgres.dsn)
        note = f"{everything:,} passages of {len(others) + 2:,} users, written in {time.monotonic() - began:.0f} s"
        rows = await _growth(made, bench, small, rounds, note)
        rows += await _against_chroma(bench, large, rounds, everything)
        rows += await _over_http(session, bench, large, rounds)
        rows += await _reads(bench, large)
        rows += await _library(made, bench, people[0], rounds // 3, everything)
        await api.child.stop()
    await bench.database.close()
    return rows


def _p95(times: list[float]) -> str:
    return f"p95 {percentile(times, 0.95):.1f} ms"


async def _growth(full: Stage, bench: _Bench, person: _Person, rounds: int, note: str) -> list[Row]:
    """Search the same scope in turn where there is nothing else, in stores of its own, and among everything."""
    async with stage(full.folder / "few") as little:
        alone = _Bench(little)
        (owner,) = crowd(little.postgres.dsn, 1)
        account = Account(person.account.session, "", user_id=owner)
        same = _Person(account, await alone.filler.give(owner, _FEW // alone.filler.size))
        await alone.filler.flush(wait=True)
        analyze(little.postgres.dsn)
        few, many = await _times(rounds, lambda: alone.search(same), lambda: bench.search(person))
        await alone.database.close()
    return [
        Row("search", f"1,000 in scope of {_FEW:,}, p50", median(few), "ms", note=_p95(few)),
        Row("search", "1,000 in scope of all, p50", median(many), "ms", note=f"{_p95(many)}; {note}"),
        Row("search", "among many to among few, p50", median(many) / median(few), "times", 1.3),
    ]


async def _against_chroma(bench: _Bench, person: _Person, rounds: int, everything: int) -> list[Row]:
    ours, bare = await _times(rounds, lambda: bench.search(person), bench.bare(person))
    what = f"{_SCOPE:,} in scope of {everything:,}"
    return [
        Row("search", f"{what}, p50", median(ours), "ms", note=_p95(ours)),
        Row("search", "the same by a bare Chroma query, p50", median(bare), "ms", note=f"top {_K}, same filter"),
        Row("search", "ours to Chroma's, p50", median(ours) / median(bare), "times", 5),
    ]


async def _over_http(session: aiohttp.ClientSession, bench: _Bench, person: _Person, rounds: int) -> list[Row]:
    async def ask() -> None:
        found = await person.account.call("POST", "/search", {"query": bench.question(person), "k": _K})
        if len(found["passages"]) != _K:
            raise ValueError("too little found")

    (times,) = await _times(rounds, ask)
    note = f"{_p95(times)}; embedding by a stub"
    return [Row("search", f"POST /search, {_SCOPE:,} in scope, p50", median(times), "ms", note=note)]


async def _library(made: Stage, bench: _Bench, owner: Account, rounds: int, passages: int) -> list[Row]:
    """Search a library of many passages as one of its 1,000 members, and the same files as their owner, in turn."""
    (keeper,) = crowd(made.postgres.dsn, 1, "keeper")
    files = await bench.filler.give(keeper, passages // bench.filler.size)
    await bench.filler.flush(wait=True)
    member = share(made.postgres.dsn, keeper, crowd(made.postgres.dsn, _MEMBERS, "member"))
    analyze(made.postgres.dsn)
    own = _Person(Account(owner.session, "", user_id=keeper), files)
    shared = _Person(Account(owner.session, "", user_id=member), files)
    alone, together = await _times(rounds, lambda: bench.search(own), lambda: bench.search(shared))
    what = f"library of {passages:,} with {_MEMBERS:,} members"
    return [
        Row("search", f"{what}, its owner's search, p50", median(alone), "ms", note=_p95(alone)),
        Row("search", f"{what}, a member's search, p50", median(together), "ms", note=_p95(together)),
        Row("search", "a member's search to the owner's", median(together) / median(alone), "times", 1.3),
    ]


async def _reads(bench: _Bench, person: _Person) -> list[Row]:
    """Compare the rows that one search reads with those that its scope has."""
    question = bench.question(person)
    async with rows_read(bench.database) as read:
        await bench.retriever.search(person.scope, question, _K)
    terms = len(query_terms(question))
    most = {"files": len(person.files), "postings": terms * len(person.files), "passages": _K}
    beyond = sum(max(0, read[table] - limit) for table, limit in most.items())
    beyond += sum(count for table, count in read.items() if table.startswith("scan of"))
    note = ", ".join(f"{read[table]} of {table}" for table in most)
    return [Row("search", "rows read that are not the scope's", beyond, "rows", 0, note=f"read: {note}")]
