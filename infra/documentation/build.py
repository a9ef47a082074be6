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

from slipway import paths

PAGES = Path(".slipway/documentation/pages")
LINK = re.compile(r"\]\(([^)#\s]+)")


def page_files(root: Path) -> Iterator[Path]:
    """Yield the repository's pages, committed or new, relative to `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    yield from (Path(name) for name in listed.stdout.splitlines() if (root / name).is_file())


def linked_files(page: Path, root: Path) -> Iterator[Path]:
    """Yield the files, relative to `root`, to which the page links."""
    for target in LINK.findall((root / page).read_text()):
        place = (root / page.parent / target).resolve()
        if "://" not in target and place.is_file() and place.is_relative_to(root):
            yield place.relative_to(root)


def collect(root: Path, into: Path) -> None:
    """Copy every page and every file that a page links to into the empty folder `into`."""
    shutil.rmtree(into, ignore_errors=True)
    for page in page_files(root):
        for file in (page, *linked_files(page, root)):
            (into / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, into / file)


def main() -> int:
    root = paths.root().resolve()
    collect(root, root / PAGES)
    program = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    # The notice about the theme's successor would be the only output of a successful build.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    status = subprocess.run(program, cwd=root, env=env).returncode
    if not status:
        print(f"documentation: {PAGES.with_name('site') / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
