"""Hostile tar archives: nothing is written, and nothing points, outside the folder."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from slipway.programs import archives
from slipway.programs.archives import UnsafeMember, extract_tar

WAYS = [
    pytest.param(False, id="without-filter"),
    pytest.param(
        True,
        id="with-data-filter",
        marks=pytest.mark.skipif(
            not archives.HAS_DATA_FILTER, reason="Python 3.11.4 or newer has the filter"
        ),
    ),
]
CONTENT = b"hostile"


@pytest.fixture(params=WAYS, autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs both ways."""
    monkeypatch.setattr(archives, "HAS_DATA_FILTER", request.param)


def file(name: str, *, mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(CONTENT), mode
    return member


def other(
    name: str, kind: bytes, target: str = "", *, mode: int = 0o755, uid: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid = kind, target, mode, uid
    return member


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return other(name, tarfile.SYMTYPE, target)


def hardlink(name: str, target: str) -> tarfile.TarInfo:
    return other(name, tarfile.LNKTYPE, target)


def folder(name: str, *, mode: int = 0o755) -> tarfile.TarInfo:
    return other(name, tarfile.DIRTYPE, mode=mode)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder to extract into, with a secret and a folder beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    return tmp_path / "inside"


def packed(place: Path, *members: tarfile.TarInfo) -> Path:
    archive = place.with_name("archive.tar.gz")
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as out:
        for member in members:
            out.addfile(member, io.BytesIO(CONTENT[: member.size]))
    return archive


HOSTILE = {
    "absolute path": [file("/absolute")],
    "parent": [file("../secret")],
    "parent further down": [file("a/../../secret")],
    "parent that stays inside": [file("a/../b")],
    "folder outside": [folder("../outside/new")],
    "backslashes": [file("..\\secret")],
    "absolute link": [symlink("link", "/etc/passwd")],
    "link to the parent": [symlink("link", "..")],
    "link outside": [symlink("a/link", "../../secret")],
    "link that goes down and up": [symlink("a/b/link", "c/../../../../secret")],
    # Harmless when it is made; it leaves the folder once `a/b/deep` is a link to the top.
    "link that a later link bends": [
        symlink("a/b/link", "deep/../.."),
        symlink("a/b/deep", "../.."),
        file("a/b/link/secret"),
    ],
    "file through a link": [symlink("link", "sub"), folder("sub"), file("link/hostile")],
    "file over a link": [symlink("link", "sub"), file("link")],
    "folder over a link": [symlink("link", "sub"), folder("link")],
    "link over a link": [symlink("link", "sub"), symlink("link", "other")],
    "absolute hard link": [hardlink("link", "/etc/passwd")],
    "hard link outside": [hardlink("link", "../secret")],
    "hard link to what is missing": [hardlink("link", "missing")],
    # A copy of `a/b/link` nearer to the top would point to `../secret`.
    "hard link to a link": [symlink("a/b/link", "../secret"), hardlink("link", "a/b/link")],
    "hard link through a link": [
        file("sub/file"),
        symlink("to", "sub"),
        hardlink("link", "to/file"),
    ],
    "character device": [other("zero", tarfile.CHRTYPE)],
    "block device": [other("disk", tarfile.BLKTYPE)],
    "pipe": [other("pipe", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_members_are_refused(place: Path, members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(UnsafeMember):
        extract_tar(packed(place, *members), place)
    beside = sorted(each.name for each in place.parent.iterdir())
    assert beside == ["archive.tar.gz", "inside", "outside", "secret"]
    assert (place.parent / "secret").read_text() == "secret"
    assert list((place.parent / "outside").iterdir()) == []
    assert not Path("/absolute").exists()
    for each in place.rglob("*"):
        assert each.resolve().is_relative_to(place.resolve())


def test_what_is_harmless_is_extracted(place: Path) -> None:
    archive = packed(
        place,
        folder("./usr"),
        file("./usr/lib/libx.so.1.2"),
        symlink("./usr/lib/libx.so.1", "libx.so.1.2"),
        symlink("./usr/bin/x", "../lib/libx.so.1"),
        symlink("./usr/dangling", "share/none"),
        hardlink("./usr/lib/copy", "./usr/lib/libx.so.1.2"),
        file("./etc/skipped"),
    )
    extract_tar(archive, place, wanted=lambda member: not member.name.startswith("./etc"))
    assert (place / "usr/bin/x").read_bytes() == CONTENT
    assert (place / "usr/lib/copy").samefile(place / "usr/lib/libx.so.1.2")
    assert os.readlink(place / "usr/dangling") == "share/none"
    assert not (place / "etc").exists()


def test_modes_lose_what_is_dangerous(place: Path) -> None:
    archive = packed(
        place,
        folder("closed", mode=0o000),
        file("closed/program", mode=0o6777),
        file("closed/data", mode=0o1066),
        file("closed/unreadable", mode=0o011),
    )
    extract_tar(archive, place)
    modes = {each.name: each.stat().st_mode & 0o7777 for each in (place / "closed").iterdir()}
    assert modes == {"program": 0o755, "data": 0o644, "unreadable": 0o600}
    assert (place / "closed").stat().st_mode & 0o7700 == 0o700


def test_owners_are_ignored(place: Path) -> None:
    member = file("mine")
    member.uid = member.gid = 12345
    member.uname = member.gname = "daemon"
    extract_tar(packed(place, member), place)
    about = (place / "mine").stat()
    assert (about.st_uid, about.st_gid) == (os.getuid(), os.getgid())


def test_a_damaged_archive_is_an_error(place: Path) -> None:
    archive = place.with_name("archive.tar")
    archive.write_bytes(b"no archive")
    with pytest.raises(tarfile.TarError):
        extract_tar(archive, place)
