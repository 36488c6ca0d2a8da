"""Hands on a crowded page: typing, menus, search, switching, scrolling; and how much of it is in the document.

The time of an interaction is the browser's own (Event Timing: from the input to the next paint, as in INP).
"""

import re

from playwright.async_api import expect

from bench.load import percentile
from bench.report import Row
from bench.ui.browser import CONVERSATIONS, MESSAGES, House, Somebody, Visit
from bench.ui.controls import controlled

INTERACTION_MS = 100
FRAME_MS = 100
DOM_NODES = 5_000
_SHORTEST_MS = 16  # what is shorter, the browser does not report

_WATCH = """
window.taken = new Map();
new PerformanceObserver((list) => {
  for (const { interactionId: id, duration } of list.getEntries())
    if (id) window.taken.set(id, Math.max(duration, window.taken.get(id) ?? 0));
}).observe({ type: "event", durationThreshold: 16, buffered: true });
"""
_FRAMES = """
() => {
  window.frames_ = [];
  let before = performance.now();
  const next = (now) => {
    window.frames_.push(now - before);
    before = now;
    window.frame_ = requestAnimationFrame(next);
  };
  window.frame_ = requestAnimationFrame(next);
}
"""
_CLUMSY = """
() => {
  for (const kind of ["keydown", "pointerdown", "wheel"])
    addEventListener(kind, () => { const end = performance.now() + 200; while (performance.now() < end); }, true);
}
"""
# What the thread would be if every message of it were in the document.
_UNROLLED = """
(count) => {
  const row = document.querySelector(".thread__row");
  for (let number = 0; number < count; number += 1) row.parentElement.append(row.cloneNode(true));
}
"""
# From the click to the frame in which `selector` shows `text`.
_SHOWN = """
async ([click, selector, text]) => {
  const began = performance.now();
  click.click();
  const there = () => [...document.querySelectorAll(selector)].some((element) => element.textContent.includes(text));
  while (!there()) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}
"""


async def _interactions(visit: Visit) -> list[float]:
    """Return the times of all interactions since the page was opened."""
    taken = await visit.page.evaluate("[performance.interactionCount, [...window.taken.values()]]")
    count, reported = int(taken[0]), [float(value) for value in taken[1]]
    return reported + [float(_SHORTEST_MS)] * (count - len(reported))


async def nodes(visit: Visit) -> int:
    """Return the number of elements in the document."""
    return int(await visit.page.evaluate("document.querySelectorAll('*').length"))


async def _type(visit: Visit, keys: str) -> None:
    await visit.message.click()
    await visit.page.keyboard.type(keys, delay=25)
    await visit.message.fill("")


async def _menus(visit: Visit) -> None:
    page = visit.page
    for name in ("Chat settings", "List options", re.compile("^Model"), re.compile("^Account menu")):
        await page.get_by_role("button", name=name).first.click()
        await expect(page.locator(".menu, .popover").last).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator(".menu, .popover")).to_have_count(0)


async def _search(visit: Visit) -> None:
    field = visit.page.get_by_role("searchbox", name="Search chats")
    await field.click()
    await visit.page.keyboard.type("the figures of", delay=60)
    await expect(visit.page.get_by_role("navigation").locator("mark").first).to_be_visible()
    await visit.page.keyboard.press("Escape")


async def _switch(visit: Visit, rounds: int) -> None:
    for number in range(1, rounds + 1):
        link = visit.page.get_by_role("link", name=f"Talk number {number}", exact=True)
        await link.click()
        await expect(visit.page.get_by_role("heading", name=f"Talk number {number}", exact=True)).to_be_visible()
        await visit.page.go_back()
        await expect(visit.answers.last).to_be_visible()


async def _scroll(visit: Visit, steps: int) -> tuple[list[float], int]:
    """Turn the wheel over the thread; return the times between frames, and the most nodes that were there."""
    most = 0
    await visit.page.get_by_role("region", name="Chat", exact=True).hover()
    await visit.page.evaluate(_FRAMES)
    for step in range(steps):
        await visit.page.mouse.wheel(0, -1500 if step < steps * 2 // 3 else 1500)
        await visit.page.wait_for_timeout(30)  # a hand on the wheel
        if step % 5 == 0:
            most = max(most, await nodes(visit))
    frames = await visit.page.evaluate("cancelAnimationFrame(window.frame_), window.frames_")
    return [float(frame) for frame in frames], most


async def _shown(visit: Visit, name: str, selector: str, text: str) -> float:
    """Return how long it takes until a conversation that was clicked in the list is there, network included."""
    link = await visit.page.get_by_role("link", name=name, exact=True).element_handle()
    return float(await visit.page.evaluate(_SHOWN, [link, selector, text]))


async def _at_the_chat(house: House, visit: Visit, crowd: Somebody) -> None:
    await visit.page.add_init_script(_WATCH)
    await visit.open(f"/c/{crowd.conversation}")
    await expect(visit.answers.last).to_contain_text(f"{MESSAGES - 1}")


async def run(house: House, crowd: Somebody, quick: bool) -> list[Row]:
    """Use the page with 10,000 conversations and a chat of 1,000 messages open."""
    keys = "typing in a crowded place " * (1 if quick else 4)
    note = f"{CONVERSATIONS:,} conversations, {MESSAGES:,} messages open"
    async with house.visit(crowd) as visit:
        await _at_the_chat(house, visit, crowd)
        frames, most = await _scroll(visit, 30 if quick else 120)
        await _type(visit, keys)
        await _menus(visit)
        await _search(visit)
        await _switch(visit, 3 if quick else 10)
        times = await _interactions(visit)
        back = await _opening(visit, 1 if quick else 5)
    spoilt = await _spoilt(house, crowd)
    slow = Row("ui", "interaction p95", percentile(times, 0.95), "ms", INTERACTION_MS, note=f"{len(times)} of them")
    frame = Row("ui", "scrolling the chat: p95 between frames", percentile(frames, 0.95), "ms", FRAME_MS)
    return [
        controlled(slow, spoilt["interaction"], "200 ms of work in every event"),
        controlled(frame, spoilt["frame"], "200 ms of work in every event"),
        controlled(Row("ui", "elements in the document", most, "", DOM_NODES, note=note), spoilt["nodes"], "all rows"),
        Row("ui", "from a click to the chat of 1,000 messages being there", max(back), "ms", note="the slowest"),
    ]


async def _opening(visit: Visit, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        await _shown(visit, "Talk number 1", ".page-head__title", "Talk number 1")
        times.append(await _shown(visit, "Long", "article", f"{MESSAGES - 1}"))
    return times


async def _spoilt(house: House, crowd: Somebody) -> dict[str, float]:
    """Use a page whose listeners are slow and whose thread is all there."""
    async with house.visit(crowd) as visit:
        await _at_the_chat(house, visit, crowd)
        await visit.page.evaluate(_CLUMSY)
        await _type(visit, "slowly")
        frames, _ = await _scroll(visit, 10)
        times = await _interactions(visit)
        await visit.page.evaluate(_UNROLLED, MESSAGES)
        return {
            "interaction": percentile(times, 0.95),
            "frame": percentile(frames, 0.95),
            "nodes": await nodes(visit),
        }
