"""Fetching from sources that are wrong, interrupted or missing."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from slipway.datasets import DatasetUnavailable, catalogue, fetch
from slipway.datasets.fetch import cached_path

CONTENT = bytes(range(256)) * 4000


class Site(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; `/short` is interrupted, `/wrong` has other bytes; both support ranges."""

    requests: list[str] = []  # noqa: RUF012 - one server a test, cleared by the fixture
    broken = False

    def do_GET(self) -> None:
        start = self.headers.get("Range", "")
        self.requests.append(f"{self.path} {start}".strip())
        if self.path == "/gone":
            self.send_error(404, "Not here")
            return
        offset = int(start.removeprefix("bytes=").rstrip("-") or 0)
        body = (CONTENT if self.path != "/wrong" else CONTENT[::-1])[offset:]
        self.send_response(206 if offset else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/short" and not offset:
            self.wfile.write(body[:300_000])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.requests.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty catalogue, cache and mirror."""
    for name in ("catalogue", "mirror", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(catalogue, "folder", lambda: tmp_path / "catalogue")
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLIPWAY_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.delenv("SLIPWAY_DATASETS", raising=False)
    return tmp_path


def describe(folders: Path, *sources: dict[str, str], content: bytes = CONTENT) -> None:
    """Put the data set `numbers` with one file into the catalogue."""
    entry = {
        "title": "Numbers",
        "home": "https://example.org/numbers",
        "licence": "none",
        "citation": "none",
        "files": {
            "numbers.bin": {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "sources": list(sources),
            }
        },
    }
    (folders / "catalogue" / "numbers.yaml").write_text(yaml.safe_dump(entry))


def test_from_an_address_then_from_the_cache(folders: Path, site: str) -> None:
    describe(folders, {"kind": "url", "locator": f"{site}/whole"})
    first = fetch("numbers")
    assert first.path("numbers.bin").read_bytes() == CONTENT
    assert first.origins == {"numbers.bin": f"url {site}/whole"}
    assert fetch("numbers").origins == {"numbers.bin": "cache"}
    assert Site.requests == ["/whole"]


def test_an_interrupted_download_is_resumed(folders: Path, site: str) -> None:
    describe(folders, {"kind": "url", "locator": f"{site}/short"})
    with pytest.raises(DatasetUnavailable, match="no source provides numbers.bin"):
        fetch("numbers")
    assert fetch("numbers").path("numbers.bin").read_bytes() == CONTENT
    assert Site.requests == ["/short", "/short bytes=300000-"]


def test_wrong_bytes_are_never_kept(folders: Path, site: str) -> None:
    describe(folders, {"kind": "url", "locator": f"{site}/wrong"})
    with pytest.raises(DatasetUnavailable, match="sha256 .* is expected"):
        fetch("numbers")
    assert [path.name for path in (folders / "cache").rglob("numbers*")] == []


def test_the_next_source_is_tried(folders: Path, site: str) -> None:
    (folders / "mirror" / "kept.bin").write_bytes(CONTENT)
    describe(
        folders,
        {"kind": "pypi", "locator": "no-such-package-slipway==1.0", "member": "x"},
        {"kind": "url", "locator": f"{site}/gone"},
        {"kind": "url", "locator": f"{site}/wrong"},
        {"kind": "mirror", "locator": "kept.bin"},
    )
    assert fetch("numbers").origins == {"numbers.bin": "mirror kept.bin"}


def test_the_message_lists_each_error_and_says_what_to_do(folders: Path, site: str) -> None:
    describe(
        folders,
        {"kind": "url", "locator": f"{site}/gone"},
        {"kind": "url", "locator": "http://127.0.0.1:9/closed"},
        {"kind": "mirror", "locator": "absent.bin"},
    )
    with pytest.raises(DatasetUnavailable) as caught:
        fetch("numbers")
    message = str(caught.value)
    for part in ("404", "refused", "$SLIPWAY_MIRROR", "https://example.org", "$SLIPWAY_DATASETS"):
        assert part in message


@pytest.mark.parametrize("damage", [CONTENT[:-1], b"\x01" + CONTENT[1:], b""])
def test_a_damaged_cache_is_fetched_again(
    folders: Path, site: str, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(folders, {"kind": "url", "locator": f"{site}/whole"})
    wanted = catalogue.entry("numbers").files["numbers.bin"]
    fetch("numbers")
    cached_path("numbers.bin", wanted).write_bytes(damage)
    assert fetch("numbers").path("numbers.bin").read_bytes() == CONTENT
    assert "is damaged" in capsys.readouterr().out


def test_the_users_folder_comes_first_and_is_verified(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(folders, {"kind": "mirror", "locator": "absent.bin"})
    own = folders / "own" / "numbers" / "numbers.bin"
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    monkeypatch.setenv("SLIPWAY_DATASETS", str(folders / "own"))
    assert fetch("numbers").path("numbers.bin") == own
    own.write_bytes(b"else")
    with pytest.raises(DatasetUnavailable, match="4 bytes where"):
        fetch("numbers")


def test_two_processes_fetch_once(folders: Path, site: str) -> None:
    describe(folders, {"kind": "url", "locator": f"{site}/whole"})
    threads = [threading.Thread(target=fetch, args=["numbers"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Site.requests == ["/whole"]


def test_a_member_of_an_archive(folders: Path) -> None:
    from slipway.datasets.sources import SourceFault, _untar

    archive = folders / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo("./package/data.bin")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    assert _untar(archive, "package/data.bin", folders / "out").read_bytes() == b"abc"
    with pytest.raises(SourceFault, match="package/none"):
        _untar(archive, "package/none", folders / "out")
    (folders / "cut.tgz").write_bytes(archive.read_bytes()[:40])
    with pytest.raises(SourceFault, match="cannot be read"):
        _untar(folders / "cut.tgz", "package/data.bin", folders / "out")


def test_an_unknown_name_lists_the_known(folders: Path) -> None:
    describe(folders, {"kind": "mirror", "locator": "absent.bin"})
    with pytest.raises(KeyError, match="known: numbers"):
        fetch("letters")


@pytest.mark.parametrize(
    ("change", "named"),
    [({"bytes": 0}, "bytes"), ({"sha256": "abc"}, "sha256"), ({"size": 1}, "size")],
)
def test_a_malformed_entry_names_file_and_field(
    folders: Path, change: dict[str, object], named: str
) -> None:
    describe(folders, {"kind": "mirror", "locator": "absent.bin"})
    file = folders / "catalogue" / "numbers.yaml"
    entry = yaml.safe_load(file.read_text())
    entry["files"]["numbers.bin"].update(change)
    file.write_text(yaml.safe_dump(entry))
    with pytest.raises(ValueError, match=rf"numbers\.yaml(.|\n)*{named}"):
        fetch("numbers")


@pytest.mark.parametrize("name", sorted(catalogue.entries()))
def test_every_data_set_of_the_catalogue_comes_from_its_first_source(name: str) -> None:
    """Fetched from the real registries, through the shared cache."""
    dataset = fetch(name)
    assert set(dataset.paths) == set(dataset.entry.files)
