"""axe-core, which checks pages for accessibility; npm provides it, and its hash is verified."""

import hashlib
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock

from slipway import home
from slipway.datasets.catalogue import Source
from slipway.datasets.sources import obtain
from tests.browser import Tab

SOURCE = Source(kind="npm", locator="axe-core@4.10.3", member="package/axe.min.js")
SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def script() -> str:
    """Return axe-core's script; it is downloaded once into the cache.

    Raises:
        SourceFault: npm does not provide it.
    """
    file = home.cache() / "tests" / f"axe-{SHA256[:16]}.js"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.is_file():
            with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
                found = obtain(SOURCE, Path(scratch), partial=Path(scratch) / "partial")
                assert hashlib.sha256(found.read_bytes()).hexdigest() == SHA256
                found.rename(file)
    return file.read_text()


def violations(tab: Tab) -> list[str]:
    """Return what axe-core finds on the page: each rule, and the elements that break it."""
    tab.run(script() + "; true")
    passed, found = tab.run(
        f"axe.run(document, {{runOnly: {RULES}}}).then((result) => [result.passes.length,"
        " result.violations.map((each) =>"
        " `${each.id}: ${each.nodes.map((node) => node.target.join(' ')).join(', ')}`)])"
    )
    assert passed > 10, "axe-core did not look at the page"
    return list(found)
