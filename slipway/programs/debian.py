"""Find programs on PATH, or unpack their Debian packages into the cache without root.

Prometheus, its node exporter, Alertmanager, HAProxy, Redis and Chromium have no Python package. If
they are not installed, apt-get fetches and verifies Debian's packages, and only their files are
unpacked: nothing is installed, no service is started, no user is added.
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
from slipway.datasets.catalogue import Source
from slipway.datasets.sources import SourceFault, obtain
from slipway.programs.archives import extract_tar
from slipway.programs.debian_closure import fetch_closure

PROBE_SECONDS = 20
UNPACKED = (
    *("lib/", "usr/bin/", "usr/lib/", "usr/sbin/"),
    *("usr/share/fonts/", "usr/share/prometheus/", "usr/share/X11/xkb/"),
)
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""
# The descriptor for a folder whose path is compiled into a program; bash scripts may use 3 to 9.
DESCRIPTOR = 9


class ProgramUnavailable(Exception):
    """Raised when a program is not installed and apt lacks it; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """The Debian packages of a program, and its file in them."""

    package: str
    """The package that an administrator would install."""
    file: str
    """The program's path in the first of the unpacked packages."""
    unpacked: tuple[str, ...] = ()
    """The packages to unpack, with libraries that a slim machine lacks; default: `package`."""
    names: tuple[str, ...] = ()
    """Its names on PATH; default: its key in PROGRAMS."""
    fixed: str | None = None
    """A folder of its package whose absolute path is compiled into the program."""
    closure: bool = False
    """Unpack all that the packages need and this machine lacks, with fonts, in one tree."""
    version: str = "--version"
    """The option that makes it print its version and exit."""

    @property
    def packages(self) -> tuple[str, ...]:
        return self.unpacked or (self.package,)


# Debian's redis-server is a link to redis-check-rdb, which acts according to its argv[0].
REDIS = ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
HAPROXY = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
CHROMIUM = ("chromium-headless-shell", "fonts-dejavu-core")
PROGRAMS = {
    "chromium": Program(
        "chromium",
        "usr/lib/chromium/chromium-headless-shell",
        CHROMIUM,
        names=("chromium", "chromium-headless-shell", "google-chrome"),
        closure=True,
    ),
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
    # Computes as another processor would: how equal results are across makers is tested with it.
    "qemu-x86_64": Program(
        "qemu-user-static",
        "usr/bin/qemu-x86_64-static",
        names=("qemu-x86_64", "qemu-x86_64-static"),
    ),
    "node-exporter": Program(
        "prometheus-node-exporter",
        "usr/bin/prometheus-node-exporter",
        names=("node_exporter", "prometheus-node-exporter"),
    ),
}


def binary(name: str) -> Path:
    """Return the program `name`; apt-get fetches it the first time, in a few seconds.

    Raises:
        KeyError: the program is unknown.
        ProgramUnavailable: the program is not installed, and apt-get cannot fetch it.
    """
    return installed(name) or _unpack(name, _program(name))


def installed(name: str) -> Path | None:
    """Return the program if it is on PATH or was unpacked before; fetch nothing.

    Raises:
        KeyError: the program is unknown.
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
    """Unpack the packages, and write a start script that finds their libraries."""
    folder = _folder()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if found := installed(name):  # meanwhile, by another process
            return found
        try:
            if program.closure:
                trees = [_closure_tree(program.packages)]
            else:
                trees = [_tree(package) for package in program.packages]
        except (SourceFault, OSError, tarfile.TarError) as error:
            raise ProgramUnavailable(
                f"{name} is not on PATH, and Debian's package cannot be fetched: {error}\n"
                f"Install it: apt-get install {program.package}"
            ) from error
        starter = _starter(name, program, trees)
        _probe(name, program, starter)
        return starter.replace(folder / "bin" / name)


def _tree(package: str) -> Path:
    """Return the folder of the package's programs and libraries, which are unpacked once."""
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


def _closure_tree(packages: tuple[str, ...]) -> Path:
    """Return the folder of the packages and of all that they need, which are unpacked once."""
    target = _folder() / "packages" / f"{packages[0]}-closure"
    if target.is_dir():
        return target
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as scratch:
        downloads, tree = Path(scratch) / "downloads", Path(scratch) / "tree"
        downloads.mkdir()
        for archive in fetch_closure(packages, downloads):
            extract_tar(archive, tree, wanted=_wanted)
        (tree / "fonts.conf").write_text(FONTS.format(folder=target / "usr/share/fonts"))
        tree.rename(target)
    return target


def _wanted(member: tarfile.TarInfo) -> bool:
    return member.name.removeprefix("./").startswith(UNPACKED)


def _starter(name: str, program: Program, trees: list[Path]) -> Path:
    """Write a script that replaces itself by the program (exec), so that the process id stays."""
    libraries = sorted({library.parent for tree in trees for library in tree.rglob("*.so*")})
    starter = _folder() / "bin" / f".{name}"
    lines = ["#!/bin/bash"]
    file = trees[0] / program.file
    if libraries:
        lines.append(f"export LD_LIBRARY_PATH={quote(':'.join(map(str, libraries)))}")
    if program.closure:
        lines.append(f"export FONTCONFIG_FILE={quote(str(trees[0] / 'fonts.conf'))}")
    if program.fixed:
        file = _relocated(file, program.fixed)
        lines.append(f"exec {DESCRIPTOR}< {quote(f'{trees[0]}{program.fixed}')}")
    lines.append(f'exec -a {name} {quote(str(file))} "$@"')
    starter.write_text("\n".join(lines) + "\n")
    starter.chmod(0o755)
    return starter


def _relocated(file: Path, fixed: str) -> Path:
    """Write a copy of the program that finds its folder through an open file descriptor.

    Debian's Alertmanager reads its templates from /usr/share, where only root may write. The path
    in the program is replaced by one of the same length, padded with slashes.

    A patch is the only way that works everywhere. No setting: version 0.25 has no option or
    variable for this folder (`--web.ui-path` is another one), and `templates` in its configuration
    adds files to the default ones, which it reads first. No wrapper: Go opens files without the C
    library, so LD_PRELOAD has no effect, and a mount namespace needs user namespaces, which Docker
    denies by default. No other build: upstream's contains the templates, but comes from GitHub and
    as an image only; neither PyPI nor npm nor Debian bookworm has it.
    """
    content = file.read_bytes()
    place = f"/proc/self/fd/{DESCRIPTOR}".ljust(len(fixed), "/").encode()
    if fixed.encode() not in content:
        raise ProgramUnavailable(f"{file} does not contain the path {fixed}, as it is expected to")
    moved = file.with_name(f"{file.name}-relocated")
    moved.write_bytes(content.replace(fixed.encode(), place))
    moved.chmod(0o755)
    return moved


def _probe(name: str, program: Program, starter: Path) -> None:
    """Raise ProgramUnavailable if the unpacked program does not run on this machine."""
    try:
        done = subprocess.run(
            [starter, program.version],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    else:
        if done.returncode == 0:
            return
        problem = done.stderr.strip()[-300:]
    starter.unlink()
    raise ProgramUnavailable(
        f"{name} was unpacked but does not run: {problem}\n"
        f"Install it: apt-get install {program.package}"
    )
