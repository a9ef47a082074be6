"""Fetch Debian packages together with what they need and this machine lacks, without root.

A browser needs some 40 libraries, whose names differ between Debian's releases: apt-cache names
them. They are downloaded in one step, since each `apt-get update` takes seconds.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from slipway.datasets.sources import run_client, tar_of, updated_apt

# Tools of a desktop that depend on half of it; no library needs them.
SKIPPED = frozenset({"dpkg", "debconf", "x11-utils", "xdg-utils", "xfonts-utils"})
ONLY_DEPENDS = [
    f"--no-{kind}"
    for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
]


def fetch_closure(packages: Iterable[str], folder: Path) -> Iterator[Path]:
    """Yield a tar archive with the files of each package, one at a time; nothing is installed.

    Args:
        packages: these, and what they depend on, except for what dpkg has installed.
        folder: an empty folder for package lists and downloads.

    Raises:
        SourceFault: apt is not on this machine, or cannot fetch a package.
    """
    options = updated_apt(folder)
    missing = _missing(list(packages), options, folder)
    run_client("apt-get", *options, "download", *missing, cwd=folder)
    for package in sorted(folder.glob("*.deb")):
        yield tar_of(package, folder / "tree.tar")
        package.unlink()


def _missing(packages: list[str], options: list[str], folder: Path) -> list[str]:
    """Return the packages and all that they depend on, without those that are installed."""
    states = run_client("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", cwd=folder)
    installed = {line.split()[-1] for line in states.splitlines() if line.startswith("ii")}
    found = dict.fromkeys(packages)
    level = packages
    while level:
        text = run_client("apt-cache", *options, *ONLY_DEPENDS, "depends", *level, cwd=folder)
        level = [
            name
            for name in dict.fromkeys(_dependencies(text))
            if name not in found and name not in installed and name not in SKIPPED
        ]
        found.update(dict.fromkeys(level))
    return list(found)


def _dependencies(text: str) -> Iterator[str]:
    """Yield the packages in the output of `apt-cache depends`; of alternatives, the first."""
    alternative = False
    for line in text.splitlines():
        kind, colon, name = line.strip().partition(": ")
        if not colon or not kind.lstrip("|").endswith("Depends"):
            continue
        if not alternative and not name.startswith("<"):
            yield name
        alternative = kind.startswith("|")
