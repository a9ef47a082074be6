"""Fetch Debian packages together with what they need and this machine lacks, without root.

A browser needs some 40 libraries, whose names differ between Debian's releases: apt-cache names
them. They are downloaded in one step, since each `apt-get update` takes seconds.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from slipway.datasets.sources import SourceFault

CLIENT_SECONDS = 600
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
    lists, archives = folder / "lists", folder / "archives"
    for each in (lists / "partial", archives / "partial"):
        each.mkdir(parents=True)
    # Separate package lists need no root, and work where `apt-get update` was never run.
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}", "--quiet"]
    if os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]
    _run("apt-get", *options, "--error-on=any", "update", cwd=folder)
    wanted = list(packages)
    missing = _missing(wanted, options, folder)
    _run("apt-get", *options, "download", *missing, cwd=folder)
    archive = folder / "tree.tar"
    for package in sorted(folder.glob("*.deb")):
        with archive.open("wb") as stream:
            done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=stream)
        if done.returncode:
            raise SourceFault(f"dpkg-deb could not unpack {package.name}")
        yield archive
        package.unlink()


def _missing(packages: list[str], options: list[str], folder: Path) -> list[str]:
    """Return the packages and all that they depend on, without those that are installed."""
    states = _run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", cwd=folder)
    installed = {line.split()[-1] for line in states.splitlines() if line.startswith("ii")}
    found = dict.fromkeys(packages)
    level = packages
    while level:
        text = _run("apt-cache", *options, *ONLY_DEPENDS, "depends", *level, cwd=folder)
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


def _run(*command: str | Path, cwd: Path) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise SourceFault(f"{command[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise SourceFault(f"{command[0]} took over {CLIENT_SECONDS} s") from error
    if done.returncode:
        raise SourceFault((done.stderr.strip().splitlines() or ["no message"])[-1][:300])
    return done.stdout
