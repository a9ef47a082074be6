"""Hostile and damaged archives: refused before anything is scored, and nothing is written."""

import io
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from services.predict.batch.entries import BadArchive, check_name
from services.predict.batch.formats import BadTable
from services.predict.batch.media_files import DamagedFile, MediaFiles
from services.predict.batch.tar_files import TarFiles
from services.predict.batch.zip_files import ZipFiles
from slipway.contract.shipped import Shipped
from tests.services.predict.batch.batch_models import read_json_lines, score, ship_model
from tests.services.predict.batch.media_models import (
    NEGATIVES,
    picture,
    pictures,
    write_tar,
    write_zip,
)

NOT_INSIDE = "is not a path inside the archive"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    return ship_model(tmp_path_factory.mktemp("model"), NEGATIVES)


def refusal(model: Shipped, source: Path) -> str:
    """Return why the archive is refused; nothing may exist afterwards that was not there before."""
    folder = source.parent
    before = {each: each.stat().st_mtime_ns for each in folder.iterdir() if each.is_file()}
    target = folder / "out.jsonl"
    with pytest.raises(BadArchive) as refused:
        score(model, source, target)
    work = folder / "out.jsonl.work"
    assert {each: each.stat().st_mtime_ns for each in folder.iterdir() if each != work} == before
    assert {each.name for each in work.iterdir()} <= {"lock", "unpacked.tar"}
    assert not Path("/absolute.png").exists()
    message = str(refused.value)
    assert message.startswith(f"{source.name}: ")
    assert message.isascii()
    assert len(message) < 250
    return message


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.png", NOT_INSIDE),
        ("a/../../secret.png", NOT_INSIDE),
        ("a/../b.png", NOT_INSIDE),
        ("/absolute.png", NOT_INSIDE),
        ("..\\secret.png", NOT_INSIDE),
        ("C:secret.png", NOT_INSIDE),
        ("a\nb.png", "holds a control character"),
        ("a\x1b[31m.png", "holds a control character"),
        (f"{'long/' * 300}a.png", "is longer than 1,024 bytes"),
        (".hidden/../../secret.png", NOT_INSIDE),
    ],
)
def test_names_that_leave_the_archive_are_refused(
    model: Shipped, tmp_path: Path, kind: str, name: str, message: str
):
    (tmp_path / "in").mkdir()
    write = write_zip if kind == "zip" else write_tar
    source = write(tmp_path / "in" / f"in.{kind}", {"fine.png": picture(1), name: picture(2)})
    assert message in refusal(model, source)
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("name", ["a\0b.png", "", ".", "./", "a/..", "\udcff.png", "a" * 1025])
def test_other_invalid_names_are_refused(name: str):
    with pytest.raises(BadArchive):
        check_name(name)


def test_names_are_compared_in_their_shortest_form(model: Shipped, tmp_path: Path):
    files = {"a/1.png": picture(1), "./a//1.png": picture(2)}
    assert "holds './a//1.png' twice" in refusal(model, write_zip(tmp_path / "in.zip", files))
    assert "holds './a//1.png' twice" in refusal(model, write_tar(tmp_path / "in.tar", files))
    two = write_zip(tmp_path / "two.zip", {"1.png": picture(1), "2.png": picture(2)})
    two.write_bytes(two.read_bytes().replace(b"2.png", b"1.png"))
    assert "holds '1.png' twice" in refusal(model, two)


def zip_with(file: Path, name: str, content: bytes = b"x", **attributes: int) -> Path:
    """Write an archive with one picture, and an entry with these attributes."""
    write_zip(file, {"fine.png": picture(1)})
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        archive.writestr(info, content)
    return file


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_zip_with_links_or_devices_is_refused(model: Shipped, tmp_path: Path, kind: int):
    source = zip_with(tmp_path / "in.zip", "link.png", b"/etc/passwd", external_attr=kind << 16)
    assert "'link.png' is neither a file nor a folder" in refusal(model, source)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_another_method_is_refused(model: Shipped, tmp_path: Path, method: int):
    """Their readers unpack a whole block at once."""
    source = zip_with(tmp_path / "in.zip", "a.png", compress_type=method)
    assert "compressed by another method than deflate" in refusal(model, source)


def test_an_encrypted_zip_is_refused(model: Shipped, tmp_path: Path):
    source = write_zip(tmp_path / "in.zip", {"a.png": picture(1)})
    content = source.read_bytes()
    directory = content.index(b"PK\x01\x02")
    flags = struct.pack("<H", 1)
    source.write_bytes(content[: directory + 8] + flags + content[directory + 10 :])
    assert "'a.png' is encrypted" in refusal(model, source)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"],
)
def test_a_tar_with_links_or_devices_is_refused(model: Shipped, tmp_path: Path, kind: bytes):
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert "is neither a file nor a folder" in refusal(model, tmp_path / "in.tar")


def tar_header(name: str, kind: bytes, size: int) -> bytes:
    """Return a header that may lie about the size, with a valid checksum."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, abs(size)
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        header[124:136] = b"\xff" * 4 + struct.pack(">q", size)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    "content",
    [
        # The size of a long name or of attributes, which the reader would allocate.
        tar_header("x", tarfile.GNUTYPE_LONGNAME, 2**31) + b"\0" * 5_000_000,
        tar_header("x", tarfile.XHDTYPE, 2**31) + b"\0" * 5_000_000,
        tar_header("x", tarfile.XHDTYPE, -512) + b"\0" * 5_000_000,
        # Negative sizes lead back, for ever.
        tar_header("x", tarfile.REGTYPE, -512) * 3,
        tar_header("x", tarfile.REGTYPE, -1024) * 3,
        tar_header("x", tarfile.REGTYPE, 2**40) + b"\0" * 1024,
        tar_header("x", tarfile.GNUTYPE_LONGNAME, 0) * 5000,
        tar_header("x", tarfile.REGTYPE, 0) + b"damaged" * 200,
        b"no archive" * 200,
        b"",
        b"\x1f\x8bno gzip",
    ],
)
def test_a_tar_whose_headers_lie_is_refused(model: Shipped, tmp_path: Path, content: bytes):
    source = tmp_path / "in.tar"
    source.write_bytes(content)
    refusal(model, source)


def test_a_sparse_tar_is_refused(model: Shipped, tmp_path: Path):
    """A terabyte of zeros takes a hundred bytes."""
    attributes = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
    attributes |= {"GNU.sparse.name": "a.png", "GNU.sparse.size": str(2**40)}
    with tarfile.open(tmp_path / "in.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.pax_headers, member.size = attributes, 1
        archive.addfile(member, io.BytesIO(b"x"))
    refusal(model, tmp_path / "in.tar")


def test_a_hundred_thousand_entries_are_refused(model: Shipped, tmp_path: Path):
    names = dict.fromkeys((f"{number}.png" for number in range(100_000)), b"")
    message = "holds over 50,000 entries; divide it into several archives"
    assert message in refusal(model, write_zip(tmp_path / "in.zip", names))
    (tmp_path / "in.tar").write_bytes(
        b"".join(tar_header(name, tarfile.REGTYPE, 0) for name in list(names)[:50_001])
    )
    assert message in refusal(model, tmp_path / "in.tar")


def test_a_directory_that_takes_too_much_memory_is_refused(model: Shipped, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number in range(300):
            info = zipfile.ZipInfo(f"{number}.png")
            info.comment = b"x" * 60_000
            archive.writestr(info, b"")
    assert "has headers that are too long" in refusal(model, tmp_path / "in.zip")


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_decompression_bomb_is_refused(model: Shipped, tmp_path: Path, kind: str):
    zeros = dict.fromkeys((f"{number}.png" for number in range(10)), bytes(8 * 2**20))
    source = (write_zip if kind == "zip" else write_tar)(tmp_path / f"in.{kind}", zeros)
    assert source.stat().st_size < 100_000
    assert "it is a decompression bomb" in refusal(model, source)
    unpacked = tmp_path / "out.jsonl.work" / "unpacked.tar"
    assert not unpacked.exists()


def test_a_zip_whose_sizes_lie_gives_an_error_row(model: Shipped, tmp_path: Path):
    """A megabyte that claims to be 10 bytes: no more than 10 bytes are unpacked."""
    files = {"a.png": picture(1), "b.png": bytes(2**20)}
    source = write_zip(tmp_path / "in.zip", files)
    content = source.read_bytes()
    directory = content.rindex(b"PK\x01\x02")
    changed = content[: directory + 24] + struct.pack("<I", 10) + content[directory + 28 :]
    source.write_bytes(changed)
    target = tmp_path / "out.jsonl"
    assert score(model, source, target).bad == 1
    errors = [row["error"] for row in read_json_lines(target)]
    assert errors == [None, "image: b.png is damaged in the archive"]


def test_a_picture_that_is_too_large_is_not_read(model: Shipped, tmp_path: Path):
    files = {"a.png": picture(1), "b.png": random.Random(1).randbytes(10_000_001)}
    target = tmp_path / "out.jsonl"
    assert score(model, write_zip(tmp_path / "in.zip", files), target).bad == 1
    errors = [row["error"] for row in read_json_lines(target)]
    assert errors == [None, "image: must be at most 10,000,000 bytes, got 10,000,001"]


def test_names_in_other_encodings(model: Shipped, tmp_path: Path):
    """UTF-8 without its flag, as macOS writes it, is read; Latin-1 is refused."""
    source = write_zip(tmp_path / "utf8.zip", {"??.png": picture(1)})
    content = source.read_bytes()
    source.write_bytes(content.replace(b"??.png", "ü".encode() + b".png"))
    target = tmp_path / "utf8.jsonl"
    score(model, source, target)
    assert [row["file"] for row in read_json_lines(target)] == ["ü.png"]
    (tmp_path / "a").mkdir()
    for flag in (0, 0x800):
        source = write_zip(tmp_path / "a" / "in.zip", {"?.png" if not flag else "é.png": b"x"})
        latin = source.read_bytes().replace(b"?.png", b"\xfc.png")
        source.write_bytes(latin.replace("é".encode(), b"\xfc\xfc"))
        assert "is not UTF-8" in refusal(model, source)
    with tarfile.open(tmp_path / "a" / "in.tar", "w", encoding="latin-1", format=0) as archive:
        archive.addfile(tarfile.TarInfo("ü.png"))
    assert "is not UTF-8" in refusal(model, tmp_path / "a" / "in.tar")


def read_all(files: MediaFiles) -> None:
    try:
        for path in files.sizes:
            with suppress(DamagedFile):
                assert len(files.read(path)) <= files.sizes[path]
    finally:
        files.close()


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_archives_with_changed_bytes_are_read_or_refused(tmp_path: Path, kind: str):
    """No other exception, whatever bytes change: 400 archives."""
    readers: dict[str, Callable[[Path], MediaFiles]] = {"zip": ZipFiles}
    reader = readers.get(kind, lambda file: TarFiles(file, tmp_path))
    source = (write_zip if kind == "zip" else write_tar)(tmp_path / f"in.{kind}", pictures(5))
    content, chance = source.read_bytes(), random.Random(1)
    refused = 0
    for _ in range(400):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 3, 30))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        source.write_bytes(changed[: chance.choice((len(changed), chance.randrange(len(changed))))])
        try:
            read_all(reader(source))
        except BadTable:
            refused += 1
    assert 0 < refused < 400
