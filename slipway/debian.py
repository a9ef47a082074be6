"""Programs that come as Debian packages: found on PATH, else unpacked into the cache without root.

Prometheus, its exporter of the machine, Alertmanager, HAProxy and Redis have no Python package.
Where the machine has none of its own, apt's own client fetches and verifies Debian's, and only its
files are unpacked: nothing is installed, no service is started, no user is added.
"""

import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from filelock import FileLock

from slipway import home
from slipway.archives import extract_tar
from slipway.datasets.catalogue import Source
from slipway.datasets.sources import SourceFault, obtain

PROBE_SECONDS = 20
UNPACKED = ("usr/bin/", "usr/lib/", "usr/sbin/", "usr/share/prometheus/")
# What a folder that a program has by heart is opened as; bash has 3 to 9 for its scripts.
DESCRIPTOR = 9


class ProgramUnavailable(Exception):
    """The program is neither installed nor to be had from apt; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """Where a program lies in which Debian packages."""

    package: str
    """What an administrator would install."""
    file: str
    """Its path in the first of the packages that hold it."""
    unpacked: tuple[str, ...] = ()
    """The packages to unpack: its own, and libraries that a slim machine lacks."""
    names: tuple[str, ...] = ()
    """What it is called on PATH."""
    fixed: str | None = None
    """A folder of its package that it looks for there and nowhere else."""
    version: str = "--version"
    """What has it tell its version and end."""

    @property
    def packages(self) -> tuple[str, ...]:
        return self.unpacked or (self.package,)


# Debian's redis-server is a link to redis-check-rdb, which acts by the name it is called by.
REDIS = ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
HAPROXY = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
PROGRAMS = {
    "prometheus": Program("prometheus", "usr/bin/prometheus"),
    "promtool": Program("prometheus", "usr/bin/promtool"),
    "alertmanager": Program(
        "prometheus-alertmanager",
        "usr/bin/prometheus-alertmanager",
        names=("alertmanager", "prometheus-alertmanager"),
        fixed="/usr/share/prometheus/alertmanager",
    ),
    "amtool": Program("prometheus-alertmanager", "usr/bin/amtool"),
    "redis-server": Program("redis-server", "usr/bin/redis-check-rdb", REDIS),
    "redis-cli": Program("redis-tools", "usr/bin/redis-cli", REDIS),
    "haproxy": Program("haproxy", "usr/sbin/haproxy", HAPROXY, version="-v"),
    "node-exporter": Program(
        "prometheus-node-exporter",
        "usr/bin/prometheus-node-exporter",
        names=("node_exporter", "prometheus-node-exporter"),
    ),
}


def binary(name: str) -> Path:
    """The program `name`, ready to run; fetched with apt-get the first time (a few seconds).

    Raises:
        KeyError: no such program is known.
        ProgramUnavailable: it is not installed and apt-get could not give it.
    """
    return installed(name) or _unpack(name, _program(name))


def installed(name: str) -> Path | None:
    """The program if it is on PATH or was unpacked before; nothing is fetched.

    Raises:
        KeyError: no such program is known.
    """
    program = _program(name)
    for each in program.names or (name,):
        if found := shutil.which(each):
            return Path(found)
    unpacked = _folder() / "bin" / name
    return unpacked if unpacked.is_file() else None


def _program(name: str) -> Program:
    if name not in PROGRAMS:
        raise KeyError(f"no program {name!r} is known; known: {', '.join(sorted(PROGRAMS))}")
    return PROGRAMS[name]


def _folder() -> Path:
    return home.cache() / "debian"


def _unpack(name: str, program: Program) -> Path:
    """Unpack the packages, and write a starter that finds their libraries."""
    folder = _folder()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if found := installed(name):  # by another process meanwhile
            return found
        try:
            trees = [_tree(package) for package in program.packages]
        except (SourceFault, OSError, tarfile.TarError) as error:
            raise ProgramUnavailable(
                f"{name} is not on PATH, and Debian's package could not be had: {error}\n"
                f"Install it: apt-get install {program.package}"
            ) from error
        starter = _starter(name, program, trees)
        _probe(name, program, starter)
        return starter.replace(folder / "bin" / name)


def _tree(package: str) -> Path:
    """The package's programs and libraries, unpacked once."""
    target = _folder() / "packages" / package
    if target.is_dir():
        return target
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as scratch:
        source = Source(kind="debian", locator=package)
        archive = obtain(source, Path(scratch), partial=Path(scratch) / "partial")
        tree = Path(scratch) / "tree"
        extract_tar(archive, tree, wanted=_wanted)
        tree.rename(target)
    return target


def _wanted(member: tarfile.TarInfo) -> bool:
    return member.name.removeprefix("./").startswith(UNPACKED)


def _starter(name: str, program: Program, trees: list[Path]) -> Path:
    """A script that becomes the program under its own name, so that its process id is kept."""
    libraries = sorted({library.parent for tree in trees for library in tree.rglob("*.so*")})
    starter = _folder() / "bin" / f".{name}"
    lines = ["#!/bin/bash"]
    file = trees[0] / program.file
    if libraries:
        lines.append(f"export LD_LIBRARY_PATH={quote(':'.join(map(str, libraries)))}")
    if program.fixed:
        file = _relocated(file, program.fixed)
        lines.append(f"exec {DESCRIPTOR}< {quote(f'{trees[0]}{program.fixed}')}")
    lines.append(f'exec -a {name} {quote(str(file))} "$@"')
    starter.write_text("\n".join(lines) + "\n")
    starter.chmod(0o755)
    return starter


def _relocated(file: Path, fixed: str) -> Path:
    """A copy of the program that finds its folder by an open descriptor.

    Debian's Alertmanager reads its templates from /usr/share, where only root may put them. The
    path in the program is replaced by one of the same length, filled up with slashes.
    """
    found = file.read_bytes()
    place = f"/proc/self/fd/{DESCRIPTOR}".ljust(len(fixed), "/").encode()
    if fixed.encode() not in found:
        raise ProgramUnavailable(f"{file} does not look for {fixed} as it is known to")
    moved = file.with_name(f"{file.name}-relocated")
    moved.write_bytes(found.replace(fixed.encode(), place))
    moved.chmod(0o755)
    return moved


def _probe(name: str, program: Program, starter: Path) -> None:
    """Raises ProgramUnavailable: what was unpacked does not run on this machine."""
    try:
        done = subprocess.run(
            [starter, program.version],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    else:
        if done.returncode == 0:
            return
        said = done.stderr.strip()[-300:]
    starter.unlink()
    raise ProgramUnavailable(
        f"{name} was unpacked but does not run: {said}\n"
        f"Install it: apt-get install {program.package}"
    )
