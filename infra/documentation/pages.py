"""Find the pages of the documentation."""

import subprocess
from collections.abc import Iterator
from pathlib import Path


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
