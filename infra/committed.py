"""Generated files that are committed: write them, or compare them with what is generated."""

from collections.abc import Mapping
from pathlib import Path


def write(wanted: Mapping[str, str], folder: Path, *, pattern: str) -> list[Path]:
    """Write the texts by file name, and delete other files that match `pattern`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(pattern):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)
    return [folder / name for name in wanted]


def differences(
    wanted: Mapping[str, str], folder: Path, *, pattern: str, owner: str, sources: str
) -> list[str]:
    """Return a line for each file that is missing, belongs to no `owner`, or differs from
    `sources`."""
    found = {file.name: file.read_text() for file in folder.glob(pattern)}
    missing = [f"{folder / name} is missing" for name in wanted.keys() - found.keys()]
    left = [f"{folder / name} belongs to no {owner}" for name in found.keys() - wanted.keys()]
    stale = [
        f"{folder / name} differs from what {sources} generate"
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    return sorted(missing + left + stale)
