"""The documentation builds as a site without a warning, and leads to every page."""

import re
from pathlib import Path

import pytest

from infra.documentation import build, diagrams
from infra.documentation.pages import page_files
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages, of the files that they link to, and of the site's settings."""
    folder = tmp_path_factory.mktemp("documentation")
    build.collect(ROOT, folder / build.PAGES)
    (folder / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text())
    return folder


@pytest.fixture(scope="module")
def site(checkout: Path) -> Path:
    done = build.build_site(checkout)
    assert done.returncode == 0, done.stderr
    return checkout / build.SITE


def test_the_site_holds_every_page(site: Path) -> None:
    for page in page_files(ROOT):
        name = "index.html" if page.name == "README.md" else f"{page.stem}.html"
        assert (site / page.parent / name).is_file(), page


def test_the_site_loads_nothing_from_another_host(site: Path) -> None:
    """Links to other hosts are fine; what a browser loads by itself, or by a script, is not."""
    loads = re.compile(
        r"<(?:script|img|iframe|source|video|audio|object|embed)\b[^>]*\b(?:src|data)=[\"']?(?:https?:)?//"
        r"|<link\b(?=[^>]*\bhref=[\"']?(?:https?:)?//)(?![^>]*rel=[\"']?canonical)"
        r"|url\([\"']?(?:https?:)?//|@import\s+[\"']?(?:https?:)?//"
    )
    files = [each for each in site.rglob("*") if each.suffix in (".html", ".css", ".svg")]
    assert len(files) > 50
    for file in files:
        assert not loads.search(file.read_text()), file
    for file in site.rglob("*.js"):
        assert "unpkg.com" not in file.read_text(), file


def test_a_diagram_is_shown_as_the_picture_drawn_of_it(checkout: Path, site: Path) -> None:
    (diagram,) = diagrams.diagrams(ROOT)
    assert diagrams.file_of(diagram).name in (site / "index.html").read_text()
    drawn = (site / diagrams.file_of(diagram)).read_text()
    words = " ".join(re.sub(r"<[^>]*>", " ", drawn).split())
    assert all(each in words for each in ("MLflow registry", "feature store", "labels"))
    with pytest.raises(diagrams.DiagramMissing, match="infra.documentation.diagrams"):
        diagrams.with_pictures(f"```mermaid\n{diagram}x\n```\n", Path("README.md"), ROOT)


def test_the_menu_has_every_page_outside_of_the_projects() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in page_files(ROOT):
        if page.parts[0] != "pipelines":
            assert f": {page.as_posix()}\n" in text, page


def test_a_broken_link_fails_the_build(checkout: Path) -> None:
    page = checkout / build.PAGES / "docs" / "faq.md"
    text = page.read_text()
    page.write_text(text + "\n[nothing](not_there.md)\n")
    done = build.build_site(checkout)
    page.write_text(text)
    assert done.returncode == 1
    assert "not_there.md" in done.stderr
