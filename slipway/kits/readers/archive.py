"""Files of a folder, a tar or a zip archive, in the order of their names."""

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SOUNDS = (".wav",)


def read_files(place: Path, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield the path inside `place` and the content of every file, sorted by path.

    `place` is a folder, a tar archive (also compressed) or a zip. With `suffixes`, only files whose
    names end so, in upper case as well.

    Raises:
        ValueError: `place` is none of these.
    """
    if place.is_dir():
        files = {
            file.relative_to(place).as_posix(): file for file in place.rglob("*") if file.is_file()
        }
        for name in sorted(files):
            if _wanted(name, suffixes):
                yield name, files[name].read_bytes()
    elif place.is_file() and tarfile.is_tarfile(place):
        with tarfile.open(place) as archive:
            # In the order of the archive: a compressed one cannot be read from the end.
            found = {}
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream and _wanted(member.name, suffixes):
                    found[member.name.removeprefix("./")] = stream.read()
        yield from sorted(found.items())
    elif place.is_file() and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as zipped:
            for name in sorted(each for each in zipped.namelist() if not each.endswith("/")):
                if _wanted(name, suffixes):
                    yield name, zipped.read(name)
    else:
        raise ValueError(f"{place} is neither a folder nor a tar or zip archive")


def by_folder(
    place: Path, suffixes: tuple[str, ...] = PICTURES
) -> Iterator[tuple[str, str, bytes]]:
    """Yield label, path and content of every file; the label is the name of its folder.

    Raises:
        ValueError: `place` is no folder or archive, or a file lies in no folder.
    """
    for name, content in read_files(place, suffixes):
        label = PurePosixPath(name).parent.name
        if not label:
            raise ValueError(f"{place.name}: {name} lies in no folder that would be its label")
        yield label, name, content


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    return not suffixes or name.lower().endswith(suffixes)
