"""The documentation builds as a site without a warning, and leads to every page."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.documentation import build
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages, of the files that they link to, and of the site's settings."""
    folder = tmp_path_factory.mktemp("documentation")
    build.collect(ROOT, folder / build.PAGES)
    (folder / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text())
    return folder


def run_mkdocs(folder: Path) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True)


def test_the_site_holds_every_page(checkout: Path) -> None:
    done = run_mkdocs(checkout)
    assert done.returncode == 0, done.stderr
    site = checkout / build.PAGES.with_name("site")
    for page in build.page_files(ROOT):
        name = "index.html" if page.name == "README.md" else f"{page.stem}.html"
        assert (site / page.parent / name).is_file(), page


def test_the_menu_has_every_page_outside_of_the_projects() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in build.page_files(ROOT):
        if page.parts[0] != "pipelines":
            assert f": {page.as_posix()}\n" in text, page


def test_a_broken_link_fails_the_build(checkout: Path) -> None:
    page = checkout / build.PAGES / "docs" / "faq.md"
    text = page.read_text()
    page.write_text(text + "\n[nothing](not_there.md)\n")
    done = run_mkdocs(checkout)
    page.write_text(text)
    assert done.returncode == 1
    assert "not_there.md" in done.stderr


def test_no_font_comes_from_another_host() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)
    assert settings["theme"]["font"] == "false"
