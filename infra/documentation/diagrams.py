"""Draw the pages' Mermaid diagrams as SVG files: `python -m infra.documentation.diagrams`.

GitHub draws them itself. The site shows these files instead, since its theme would load Mermaid
from another host. A file is named by the hash of its diagram's text, so an outdated one is never
shown.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.documentation.pages import page_files
from slipway import paths
from slipway.datasets.catalogue import Source
from slipway.datasets.sources import obtain
from slipway.programs.debian import binary

FOLDER = Path("docs/pictures/diagrams")
FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MERMAID = Source(kind="npm", locator="mermaid@11.12.0", member="package/dist/mermaid.min.js")
SHA256 = "07e37dfa97b337ccc85365d57eddf99b9706f09db3b59b260d0333b23b343c4b"
SECONDS = 120
# Labels as plain SVG text: a picture in a page shows no HTML.
SETTINGS = {
    "startOnLoad": False,
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "nodeSpacing": 30, "rankSpacing": 40},
    "theme": "neutral",
    # Large, since a column of text is half as wide as the drawing.
    "themeVariables": {"fontSize": "24px"},
    "fontFamily": "system-ui, sans-serif",
}
PAGE = """<!doctype html><meta charset="utf-8"><script src="mermaid.js"></script><body><script>
mermaid.initialize({settings});
mermaid.render("diagram", {text}).then(({{svg}}) => {{
  document.body.textContent = btoa(String.fromCodePoint(...new TextEncoder().encode(svg)));
}});
</script>"""
DRAWN = re.compile(r"<body>([A-Za-z0-9+/=]+)</body>")


class DiagramMissing(Exception):
    """Raised for a diagram that was not drawn; the message says how to draw it."""


def file_of(text: str) -> Path:
    """Return the path of the SVG file of a diagram, relative to the repository's root."""
    return FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.svg"


def with_pictures(page: str, place: Path, root: Path) -> tuple[str, list[Path]]:
    """Return the page at `place` with pictures instead of diagrams, and the pictures' paths.

    Raises:
        DiagramMissing: a diagram is new or has changed.
    """
    used: list[Path] = []

    def picture(found: re.Match[str]) -> str:
        file = file_of(found[1])
        if not (root / file).is_file():
            raise DiagramMissing(
                f"{place}: a diagram is not drawn; run `python -m infra.documentation.diagrams`"
            )
        used.append(file)
        return f"![Diagram]({os.path.relpath(file, place.parent)})"

    return FENCE.sub(picture, page), used


def diagrams(root: Path) -> Iterator[str]:
    """Yield the text of each diagram of the repository's pages."""
    for page in page_files(root):
        yield from FENCE.findall((root / page).read_text())


def draw(text: str, mermaid: Path) -> str:
    """Return the diagram as SVG, drawn by Mermaid's own script in Chromium."""
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "page.html"
        shutil.copy(mermaid, page.with_name("mermaid.js"))
        page.write_text(PAGE.format(settings=json.dumps(SETTINGS), text=json.dumps(text)))
        options = ["--headless=new", "--disable-gpu", "--virtual-time-budget=30000", "--dump-dom"]
        if os.geteuid() == 0:
            # Chromium's sandbox refuses to run as root.
            options.append("--no-sandbox")
        done = subprocess.run(
            [binary("chromium"), *options, f"--user-data-dir={scratch}/profile", page.as_uri()],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    drawn = DRAWN.search(done.stdout)
    if drawn is None:
        raise RuntimeError(f"Mermaid drew nothing of:\n{text}\n{done.stderr[-2000:]}")
    svg = base64.b64decode(drawn[1]).decode()
    # Its lines and letters are dark, also on a dark page.
    return svg.replace("<style>", "<style>#diagram{background:white;}", 1) + "\n"


def main() -> int:
    root = paths.root().resolve()
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    (root / FOLDER).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        mermaid = obtain(MERMAID, Path(scratch), partial=Path(scratch) / "partial")
        if hashlib.sha256(mermaid.read_bytes()).hexdigest() != SHA256:
            raise RuntimeError(f"{MERMAID.locator} is not the expected file")
        for text in diagrams(root):
            (root / file_of(text)).write_text(draw(text, mermaid))
            print(f"documentation: {file_of(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
