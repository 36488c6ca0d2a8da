"""Answers as they are written: how busy they keep the main thread, and what they leave behind in memory."""

import statistics

from playwright.async_api import expect

from bench.report import Row
from bench.ui.browser import ANSWER, MESSAGES, House, Somebody, Visit
from bench.ui.controls import controlled

BUSY_PERCENT = 40
HEAP_KB_PER_ANSWER = 20  # what the page knows of such an answer is a fifth of this
_RATE = 50  # tokens a second
_LEAK_KB = 100
_WARM = 10  # answers before the heap counts: caches fill up, code is compiled

_BUSY = "setInterval(() => { const end = performance.now() + 60; while (performance.now() < end); }, 40)"
_LEAK = f"(window.kept ??= []).push(new Array({_LEAK_KB} * 128).fill(Math.random()))"


def _tokens(count: int) -> list[str]:
    """Return an answer with all kinds of Markdown in it, in tokens of about a word."""
    pieces: list[str] = []
    number = 0
    while len(pieces) < count:
        number += 1
        for word in ANSWER.format(number=number).split(" "):
            pieces += [f"{word} "]
        pieces += [*(f"word{n % 7} " for n in range(60)), "\n\n"]
    return pieces[:count]


async def _busy_percent(visit: Visit, seconds: float) -> float:
    before, began = await visit.metric("TaskDuration"), await visit.metric("Timestamp")
    await visit.page.wait_for_timeout(seconds * 1000)  # a stretch of time is what is measured here
    after, ended = await visit.metric("TaskDuration"), await visit.metric("Timestamp")
    return 100 * (after - before) / (ended - began)


async def _streaming(house: House, crowd: Somebody, seconds: float) -> Row:
    tokens = _tokens(int(_RATE * (seconds + 20)))
    house.model.script(tokens=tokens, delay=1 / _RATE)
    async with house.visit(crowd) as visit:
        await visit.open(f"/c/{crowd.conversation}")
        await expect(visit.answers.last).to_contain_text(f"{MESSAGES - 1}")
        await visit.ask("Write a lot")
        await expect(visit.answers.last).to_contain_text("word3")
        length = "document.querySelector('article[aria-busy=true]').textContent.length"
        said = await visit.page.evaluate(length)
        busy = await _busy_percent(visit, seconds)
        said = await visit.page.evaluate(length) - said
        await visit.page.evaluate(_BUSY)
        spoilt = await _busy_percent(visit, 2)
        await visit.page.get_by_role("button", name="Stop", exact=True).click()
        await expect(visit.page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    note = f"{_RATE} tokens/s over {seconds:.0f} s ({said / seconds:.0f} characters/s), {MESSAGES:,} messages above"
    row = Row("ui", "main thread busy while an answer streams", busy, "%", BUSY_PERCENT, note=note)
    return controlled(row, spoilt, "a loop that works 60 of 100 ms")


async def _heap_kb(visit: Visit) -> float:
    for _ in range(2):  # what the first collection finalises, the second frees
        await visit.debugger.send("HeapProfiler.collectGarbage")
    return await visit.metric("JSHeapUsedSize") / 1000


async def _growth(house: House, count: int, every: int, leak: bool) -> tuple[float, list[float]]:
    """Ask `count` times in one conversation; return the heap's slope in kB an answer, and the heap's sizes."""
    house.model.script(reply=ANSWER.format(number=1))
    somebody, _ = await house.join()
    points: list[tuple[int, float]] = []
    async with house.visit(somebody) as visit:
        await visit.open("/")
        for number in range(1, count + _WARM + 1):
            await visit.ask(f"Question {number}")
            asked = visit.page.get_by_role("article", name="You").get_by_text(f"Question {number}", exact=True)
            await expect(asked).to_be_visible()
            await expect(visit.answers.last.get_by_role("button", name="Regenerate")).to_be_enabled()
            if leak:
                await visit.page.evaluate(_LEAK)
            if number >= _WARM and (number - _WARM) % every == 0:
                points.append((number, await _heap_kb(visit)))
    slope = statistics.linear_regression(*zip(*points, strict=True)).slope
    return slope, [heap for _, heap in points]


async def run(house: House, crowd: Somebody, quick: bool) -> list[Row]:
    """Let one long answer stream, then many short ones."""
    count, every = (12, 4) if quick else (100, 10)
    rows = [await _streaming(house, crowd, 3 if quick else 15)]
    slope, heaps = await _growth(house, count, every, leak=False)
    spoilt, _ = await _growth(house, 8 if quick else 20, 4, leak=True)
    note = f"{heaps[0] / 1000:.1f} MB after {_WARM}, {heaps[-1] / 1000:.1f} MB after {count} more, rubbish collected"
    row = Row("ui", f"heap over {count} answers", slope, "kB/answer", HEAP_KB_PER_ANSWER, note=note)
    return [*rows, controlled(row, spoilt, f"{_LEAK_KB} kB kept of each")]
