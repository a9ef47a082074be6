"""The images that a Dockerfile defines: its named stages with a CMD."""

import re
from pathlib import Path

STAGE = re.compile(r"^FROM\s.*\sAS\s+(\S+)\s*$", re.IGNORECASE | re.MULTILINE)
RUNS = re.compile(r"^CMD\s", re.IGNORECASE | re.MULTILINE)
FILE = Path("infra") / "images" / "Dockerfile"


class NoImages(ValueError):
    """The Dockerfile has no named stage with a CMD."""


def targets(text: str) -> list[str]:
    """Return the named stages with a `CMD` of their own, in the order of the file.

    Raises:
        NoImages: there is none.
    """
    _, *parts = STAGE.split(text)
    found = [name for name, body in zip(parts[::2], parts[1::2], strict=True) if RUNS.search(body)]
    if not found:
        raise NoImages("no stage of the Dockerfile has both a name (AS) and a CMD")
    return found
