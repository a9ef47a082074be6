"""Names of projects, and messages for unknown names that say what was probably meant."""

from collections.abc import Collection
from difflib import get_close_matches

from slipway import paths


def project_names() -> list[str]:
    """Return the names of the repository's projects, by their folders alone."""
    try:
        files = paths.root().glob("pipelines/*/*/params.yaml")
    except FileNotFoundError:
        return []
    return sorted(file.parent.name for file in files)


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Return a message for a name that does not exist, with the closest known one or all.

    Args:
        kind: what the name should be, such as `project`.
    """
    close = get_close_matches(name.rpartition("/")[2], known, n=1)
    if close:
        return f"no {kind} {name!r}; did you mean {close[0]}?"
    return f"no {kind} {name!r}; known: {', '.join(known) or 'none'}"
