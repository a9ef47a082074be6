"""Extract tar archives from untrusted sources.

Python 3.11.4 added `extractall(filter="data")`. Debian 12 has Python 3.11.2, so the same checks are
implemented here, for every Python 3.11. If the interpreter has the filter, both apply.
"""

import copy
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

# The mode bits that a file keeps, as with Python's own filter: no setuid, setgid and sticky bits,
# and no write permission for group and others.
FILE_MODE = 0o755
HAS_DATA_FILTER = hasattr(tarfile, "data_filter")


class UnsafeMember(tarfile.TarError):
    """Raised when a member would be written or point outside the folder, or is a device or pipe."""


def extract_tar(
    archive: Path, folder: Path, *, wanted: Callable[[tarfile.TarInfo], bool] | None = None
) -> None:
    """Extract the members for which `wanted` is true, by default all, into `folder`.

    Files, folders and links are extracted, in the order of the archive; owners are ignored. Members
    before an unsafe one have been extracted when this raises, so extract into a temporary folder.

    Raises:
        UnsafeMember: a member is absolute or holds `..`, is written through a link, is a link that
            leaves the folder, or is a device or a pipe.
        tarfile.TarError: the archive is damaged, or Python's own filter refuses a member.
        OSError: the archive cannot be read, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    extract = _extract_with_data_filter if HAS_DATA_FILTER else _extract_without_filter
    with tarfile.open(archive) as members:
        for member in members:
            if wanted is None or wanted(member):
                extract(members, member, folder)


def _extract_with_data_filter(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path
) -> None:
    _check(member, folder)
    archive.extract(member, folder, filter="data")


def _extract_without_filter(
    archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path
) -> None:
    _check(member, folder)
    plain = copy.copy(member)
    # -1 keeps the current owner: as root, files would otherwise get the archive's owner ids.
    plain.uid = plain.gid = -1
    plain.uname = plain.gname = ""
    plain.mode = _file_mode(member.mode) if member.isreg() else FILE_MODE
    archive.extract(plain, folder)


def _file_mode(mode: int) -> int:
    mode &= FILE_MODE
    if not mode & 0o100:
        mode &= ~0o111
    return mode | 0o600


def _check(member: tarfile.TarInfo, folder: Path) -> None:
    """Raise UnsafeMember unless the member stays in `folder`.

    No path is resolved through links, which an archive could change between check and use: nothing
    is written through a link, and a link's target may contain `..` only at its beginning, where it
    stands for the folders that contain the link.
    """
    name = _relative(member, member.name)
    _refuse_links(member, folder, name)
    if member.issym():
        _check_target(member, name)
    elif member.islnk():
        target = _relative(member, member.linkname)
        _refuse_links(member, folder, target)
        # A hard link to a missing file would be extracted from the archive unchecked.
        if not (folder / target).is_file():
            raise UnsafeMember(f"{member.name}: links to {member.linkname}, which is not a file")
    elif not (member.isreg() or member.isdir()):
        raise UnsafeMember(f"{member.name}: is neither a file nor a folder nor a link")


def _relative(member: tarfile.TarInfo, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise UnsafeMember(f"{member.name}: {name!r} is not a path inside the folder")
    return path


def _refuse_links(member: tarfile.TarInfo, folder: Path, name: PurePosixPath) -> None:
    """Raise UnsafeMember if a part of the path, or the file itself, is a symbolic link."""
    place = str(folder)
    for part in name.parts:
        place = os.path.join(place, part)
        if os.path.islink(place):
            raise UnsafeMember(
                f"{member.name}: {part} is a link, and nothing is written through it"
            )


def _check_target(member: tarfile.TarInfo, name: PurePosixPath) -> None:
    target = PurePosixPath(member.linkname)
    up = 0
    for part in target.parts:
        if part != "..":
            break
        up += 1
    if (
        target.is_absolute()
        or ".." in target.parts[up:]
        or up > len(name.parts) - 1
        or "\0" in member.linkname
    ):
        raise UnsafeMember(f"{member.name}: links to {member.linkname}, outside the folder")
