"""Check every page's links, and the tests that the pages of docs/systems name."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, files_of_checkout
from tests.infra.test_runbook import FENCE, LINK, anchors

PAGES = [ROOT / name for name in files_of_checkout("*.md")]
SYSTEMS = sorted((ROOT / "docs" / "systems").glob("*.md"))
SEEN = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
systems = pytest.mark.parametrize("page", SYSTEMS, ids=lambda page: page.stem)


def test_there_are_pages() -> None:
    assert len(PAGES) > 20
    assert set(SYSTEMS) < set(PAGES)


def test_each_part_of_the_platform_has_a_page() -> None:
    assert {page.stem for page in SYSTEMS} == {
        *("experiment_tracking", "feature_store", "interpretability"),
        *("ml_platform", "model_monitoring", "real_time_serving"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), target
        assert place.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(place.read_text()), target


@systems
def test_each_task_names_a_test_that_is_there(page: Path) -> None:
    text = page.read_text()
    tasks = [row for row in text.split("| task |")[1].splitlines()[2:] if row.startswith("|")]
    assert len(tasks) >= 4
    for row in tasks:
        found = SEEN.search(row)
        assert found, row
        file, name = ROOT / found[1], found[2]
        assert file.is_file(), row
        assert name is None or re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE), row


def test_each_note_of_the_comparison_is_used_and_defined() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text()
    used = {int(number) for number in re.findall(r" \[(\d+)\]", text)}
    defined = [int(number) for number in re.findall(r"^(\d+)\. \[", text, re.MULTILINE)]
    assert defined == list(range(1, len(defined) + 1))
    assert used == set(defined)


def test_each_claim_about_another_product_has_a_source() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in rows[2:]:
        for cell in row[2:]:
            assert cell == "not described" or re.search(r" \[\d+\]$", cell), (row[0], cell)


def test_the_layout_names_every_folder() -> None:
    """README.md lists each folder of the services and of the infrastructure."""
    text = (ROOT / "README.md").read_text()
    layout = text.split("## Repository layout")[1].split("\n## ")[0]
    named = set(re.findall(r"`((?:services|infra)/\w+)/`", layout))
    files = [Path(name).parts for name in files_of_checkout("services/*", "infra/*")]
    assert named == {"/".join(parts[:2]) for parts in files if len(parts) > 2}
