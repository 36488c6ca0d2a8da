"""axe-core over a page, and the pictures' sizes."""

import json

from playwright.async_api import Page

from tests.e2e.browser import ROOT

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


async def accessible(page: Page, where: str = "") -> None:
    """Check the page as it stands: no violation of WCAG 2.2 A and AA. `where` names its state in the failure."""
    session = await page.context.new_cdp_session(page)
    # The page's own policy forbids foreign scripts; the debugger may still evaluate one.
    await session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    script = f"axe.run(document, {{runOnly: {json.dumps(TAGS)}}}).then(r => JSON.stringify(r.violations))"
    # Colours are judged as they are in the end, not half-way through fading in.
    await page.evaluate(
        "Promise.allSettled(document.getAnimations().map((a) => a.effect.getTiming().iterations === 1 && a.finished))"
    )
    found = await session.send("Runtime.evaluate", {"expression": script, "awaitPromise": True})
    await session.detach()
    violations = json.loads(found["result"]["value"])
    told = [f"{v['id']}: {node['html'][:200]}" for v in violations for node in v["nodes"]]
    assert not told, "\n".join([where, *told])
