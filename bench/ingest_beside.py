"""What people notice while 100 files are indexed: latencies of some routes with and without, in the same run.

The embeddings are the shipped ones, which take all the processor that they are given.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.load import Account, clients, percentile
from bench.papers import KINDS, Paper, paper
from bench.report import Row
from bench.stage import Script, Stage

_FILES, _CHARS = 100, 30_000
_WORDS = "reacking heling stomer"


@dataclass(frozen=True, slots=True)
class _Place:
    """Who asks, and who uploads, at one API process."""

    asker: Account
    uploader: Account
    conversation: str


def _ways(place: _Place) -> dict[str, Callable[[], Awaitable[float]]]:
    """Return what is measured: each does it once and returns milliseconds."""

    def timed(method: str, path: str, body: object = None) -> Callable[[], Awaitable[float]]:
        async def once() -> float:
            began = time.perf_counter()
            await place.asker.call(method, path, body)
            return (time.perf_counter() - began) * 1000

        return once

    async def first_token() -> float:
        heard = await place.asker.ask("How are you?", conversation_id=place.conversation, use_rag=False)
        return heard.first * 1000

    return {
        "GET /conversations": timed("GET", "/conversations?limit=20"),
        "POST /search": timed("POST", "/search", {"query": _WORDS, "k": 10}),
        "first token": first_token,
    }


async def _sample(place: _Place, more: Callable[[], bool]) -> dict[str, list[float]]:
    """Ask for one thing after the other, ten times a second, while `more` says so."""
    times: dict[str, list[float]] = {name: [] for name in _ways(place)}
    while more():
        for name, way in _ways(place).items():
            times[name].append(await way())
            await asyncio.sleep(0.1)
    return times


async def _upload(place: _Place, papers: list[Paper]) -> list[str]:
    made = await asyncio.gather(*(place.uploader.upload(paper.name, paper.content) for paper in papers))
    return [str(file["id"]) for file in made]


async def _indexed(place: _Place) -> None:
    """Return when every file has been indexed."""
    for status in ("pending", "processing"):
        while True:
            if not (await place.uploader.call("GET", f"/files?limit=1&status={status}"))["items"]:
                break
            await asyncio.sleep(0.5)


async def _take_back(place: _Place, files: list[str]) -> None:
    """Delete the files, so that what is left of them need not be waited for."""
    for file in files:
        await place.uploader.call("DELETE", f"/files/{file}")


async def _compare(place: _Place, seconds: float, papers: list[Paper]) -> dict[str, tuple[list[float], list[float]]]:
    """Return milliseconds at rest (before and after) and while files are indexed."""

    async def at_rest() -> dict[str, list[float]]:
        until = time.monotonic() + seconds
        return await _sample(place, lambda: time.monotonic() < until)

    await _sample(place, iter([True] * 15 + [False]).__next__)
    before = await at_rest()
    files = await _upload(place, papers)
    work = asyncio.create_task(_indexed(place))
    until = time.monotonic() + 3 * seconds
    busy = await _sample(place, lambda: not work.done() and time.monotonic() < until)
    await _take_back(place, files)
    await work
    after = await at_rest()
    return {name: (before[name] + after[name], busy[name]) for name in busy}


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Measure with a worker process of its own, then with the one inside of the API's process."""
    seconds = 12.0 if quick else 30.0
    await stage.say(Script(tokens=5, rate=0))
    rows: list[Row] = []
    async with stage.embeddings() as shipped, clients() as session:
        for number, (name, inline) in enumerate((("a worker", "false"), ("the in-process worker", "true"))):
            api = await stage.serve(f"beside-{number}", **shipped, INLINE_WORKER=inline)
            worker = await stage.work(**shipped) if inline == "false" else None
            asker, uploader = [await Account(session, api.url).join() for _ in range(2)]
            made = paper("txt", 1, 100_000)
            await asker.upload(made.name, made.content)
            place = _Place(asker, uploader, await asker.conversation())
            papers = [paper(KINDS[n % len(KINDS)], 1000 * number + n, _CHARS) for n in range(_FILES)]
            for what, (rest, busy) in (await _compare(place, seconds, papers)).items():
                rows.append(_row(what, name, rest, busy))
            for child in (worker, api.child):
                if child is not None:
                    await child.stop()
    return rows


def _row(what: str, worker: str, rest: list[float], busy: list[float]) -> Row:
    p95, p95_rest = percentile(busy, 0.95), percentile(rest, 0.95)
    p50, p50_rest = percentile(busy, 0.5), percentile(rest, 0.5)
    note = f"p95 {p95_rest:.1f} → {p95:.1f} ms, p50 {p50_rest:.1f} → {p50:.1f} ms, {len(busy)} asked meanwhile"
    return Row("ingest", f"p95 of {what} while {worker} indexes", p95 / p95_rest, "times", 1.2, note=note)
