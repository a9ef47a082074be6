"""`slipway datasets add` writes an entry that can be fetched."""

import hashlib
from pathlib import Path

import pytest

from slipway.datasets import catalogue, fetch
from slipway.datasets.add import add


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with an empty catalogue, as the current folder."""
    (tmp_path / "pipelines" / "datasets").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "flowers.csv").write_text("length\n1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLIPWAY_MIRROR", str(tmp_path / "mirror"))
    return tmp_path


def test_an_added_data_set_is_fetched_from_the_cache(top: Path) -> None:
    file = top / "flowers.csv"
    entry = add([file], "flowers", title="Some flowers", about={"licence": "CC0"})
    assert entry == top / "pipelines" / "datasets" / "flowers.yaml"
    found = catalogue.entry("flowers")
    assert (found.title, found.licence, found.citation) == ("Some flowers", "CC0", "unknown")
    described = found.files["flowers.csv"]
    assert described.bytes == file.stat().st_size
    assert described.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    dataset = fetch("flowers")
    assert dataset.path("flowers.csv").read_text() == "length\n1\n"
    assert dataset.origins == {"flowers.csv": "cache"}


def test_a_source_names_a_package_and_its_member(top: Path) -> None:
    add([top / "flowers.csv"], "flowers", source="pypi flowers==1.0 flowers/data.csv")
    (source,) = catalogue.entry("flowers").files["flowers.csv"].sources
    assert (source.kind, source.locator, source.member) == (
        *("pypi", "flowers==1.0", "flowers/data.csv"),
    )


def test_several_files_are_one_data_set(top: Path) -> None:
    (top / "more.csv").write_text("2\n")
    add([top / "flowers.csv", top / "more.csv"], "flowers")
    assert sorted(fetch("flowers").paths) == ["flowers.csv", "more.csv"]


def test_mistakes_are_named_and_write_nothing(top: Path) -> None:
    file = top / "flowers.csv"
    (top / "empty.csv").touch()
    for files, name, source, message in (
        ([file], "Flowers", "", "snake_case, got 'Flowers'"),
        ([top / "none.csv"], "flowers", "", "there is no file"),
        ([top / "empty.csv"], "flowers", "", "is empty"),
        ([file], "flowers", "pypi", "must be a kind, a locator"),
        ([file], "flowers", "ftp somewhere", "begin with one of pypi, debian"),
        ([file, file], "flowers", "url https://example.org", "of one file, got 2"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            add(files, name, source=source)
    assert list((top / "pipelines" / "datasets").iterdir()) == []
    add([file], "flowers")
    with pytest.raises(FileExistsError, match="the catalogue has flowers already"):
        add([file], "flowers")
