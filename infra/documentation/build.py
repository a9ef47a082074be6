"""Build the documentation as a site: `python -m infra.documentation.build`.

The pages lie where their readers look for them, beside the code. MkDocs wants them in one folder,
so they are collected there first, with the files that they link to.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.documentation.diagrams import DiagramMissing, with_pictures
from infra.documentation.pages import page_files
from slipway import paths

PAGES = Path(".slipway/documentation/pages")
SITE = PAGES.with_name("site")
# The theme's script would load these from there: Mermaid, if a page had a diagram to draw, and a
# substitute for a class that every browser has had since 2020.
FOREIGN = "https://unpkg.com/"
LINK = re.compile(r"\]\(([^)#\s]+)")


def linked_files(page: Path, root: Path) -> Iterator[Path]:
    """Yield the files, relative to `root`, to which the page links."""
    for target in LINK.findall((root / page).read_text()):
        place = (root / page.parent / target).resolve()
        if "://" not in target and place.is_file() and place.is_relative_to(root):
            yield place.relative_to(root)


def collect(root: Path, into: Path) -> None:
    """Copy every page and every file that a page links to into the empty folder `into`.

    Raises:
        DiagramMissing: a page has a diagram of which there is no picture.
    """
    shutil.rmtree(into, ignore_errors=True)
    pages = list(page_files(root))
    drawn = {page: with_pictures((root / page).read_text(), page, root) for page in pages}
    for page, (_, pictures) in drawn.items():
        for file in (page, *linked_files(page, root), *pictures):
            (into / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, into / file)
    # Last, since pages link to each other.
    for page, (text, _) in drawn.items():
        (into / page).write_text(text)


def build_site(root: Path) -> "subprocess.CompletedProcess[str]":
    """Build the site from the collected pages, without any address to load code from."""
    # Not --quiet, with which --strict does not see warnings.
    program = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    # Without the notice about the theme's successor.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(program, cwd=root, env=env, stderr=subprocess.PIPE, text=True)
    for script in (root / SITE / "assets" / "javascripts").glob("*.js"):
        script.write_text(script.read_text().replace(FOREIGN, ""))
    return done


def main() -> int:
    root = paths.root().resolve()
    try:
        collect(root, root / PAGES)
    except DiagramMissing as fault:
        print(f"documentation: {fault}", file=sys.stderr)
        return 1
    done = build_site(root)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
    else:
        print(f"documentation: {SITE / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
