"""The first visit, with an empty cache: how much script comes over the wire, and when the page is there to see."""

from collections.abc import Awaitable, Callable
from typing import Any

from bench.report import Row
from bench.ui.browser import House, Somebody, Visit
from bench.ui.controls import controlled

SCRIPT_KB = 250
LARGEST_PAINT_MS = 1_500
_LATENCY_MS = 400

_WATCH = """
window.paint = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.paint = entry.startTime;
}).observe({ type: "largest-contentful-paint", buffered: true });
"""
# The API documentation's script is ours too, so the page's policy lets it in.
_HEAVY = """
addEventListener("DOMContentLoaded", () => {
  document.head.append(Object.assign(document.createElement("script"), { src: "/docs/swagger-ui-bundle.js" }));
});
"""

Spoil = Callable[[Visit], Awaitable[None]]


async def scripts_loaded(visit: Visit, path: str = "/") -> float:
    """Load a page with an empty cache and return the bytes of JavaScript that came over the wire, headers included."""
    scripts: set[str] = set()
    sizes: dict[str, float] = {}

    def answered(event: dict[str, Any]) -> None:
        if "javascript" in event["response"]["mimeType"]:
            scripts.add(event["requestId"])

    visit.debugger.on("Network.responseReceived", answered)
    visit.debugger.on("Network.loadingFinished", lambda it: sizes.update({it["requestId"]: it["encodedDataLength"]}))
    await visit.open(path)
    await visit.page.wait_for_load_state("networkidle")
    return sum(size for request, size in sizes.items() if request in scripts)


async def _paint(visit: Visit, path: str) -> float:
    await visit.page.add_init_script(_WATCH)
    await visit.open(path)
    await visit.page.wait_for_load_state("networkidle")
    return float(await visit.page.evaluate("window.paint"))


async def _heavy(visit: Visit) -> None:
    await visit.page.add_init_script(_HEAVY)


async def _far_away(visit: Visit) -> None:
    conditions = {"offline": False, "latency": _LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
    await visit.debugger.send("Network.emulateNetworkConditions", conditions)


async def _script_kb(house: House, who: Somebody, spoil: Spoil | None = None) -> float:
    async with house.visit(who) as visit:
        if spoil:
            await spoil(visit)
        return await scripts_loaded(visit) / 1000


async def _painted_ms(house: House, who: Somebody, path: str, spoil: Spoil | None = None) -> float:
    async with house.visit(who) as visit:
        if spoil:
            await spoil(visit)
        return await _paint(visit, path)


async def run(house: House, crowd: Somebody, quick: bool) -> list[Row]:
    """Load the page for the first time again and again; the slowest time counts."""
    rounds = 2 if quick else 8
    script = Row("ui", "JavaScript of the first load, compressed", await _script_kb(house, crowd), "kB", SCRIPT_KB)
    rows = [controlled(script, await _script_kb(house, crowd, _heavy), "one more script")]
    for name, path in (("a new chat", "/"), ("a chat of 1,000 messages", f"/c/{crowd.conversation}")):
        times = [await _painted_ms(house, crowd, path) for _ in range(rounds)]
        note = f"empty cache, slowest of {rounds}"
        paint = Row("ui", f"largest paint, {name}", max(times), "ms", LARGEST_PAINT_MS, note=note)
        spoilt = await _painted_ms(house, crowd, path, _far_away)
        rows.append(controlled(paint, spoilt, f"{_LATENCY_MS} ms to the server"))
    return rows
