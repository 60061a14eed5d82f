"""axe-core, the accessibility checker of the trade, run in a page of the real browser.

True here: every finding counts, whatever its weight; what axe cannot decide by itself is a finding too.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from tests.browser.chromium import Page

_FOUND = importlib.util.find_spec("axe_playwright_python")  # not imported: of it we want the one file
assert _FOUND
assert _FOUND.origin
_AXE = Path(_FOUND.origin).with_name("axe.min.js").read_text("utf-8")
_RUN = """
axe.run(document, {resultTypes: ['violations', 'incomplete'], preload: false}).then(found => JSON.stringify({
  passed: found.passes.length,
  findings: found.violations.flatMap(v => v.nodes.map(n => `axe, ${v.impact}: ${v.id} at ${n.target.join(' ')}: ${n.failureSummary}`)),
  undecided: found.incomplete.flatMap(v => v.nodes.map(n => `axe, undecided: ${v.id} at ${n.target.join(' ')}`)),
}))
"""


async def axe(page: Page) -> list[str]:
    """What axe finds, as sentences."""
    await page.call("Emulation.setScriptExecutionDisabled", value=False)  # for its own timers; the page has no script
    await page.run(f"{_AXE};0")
    found: dict[str, Any] = json.loads(await page.run(_RUN))
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    assert found["passed"] > 10, "axe had hardly anything to look at"
    return [*found["findings"], *found["undecided"]]
