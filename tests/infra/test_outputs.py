"""The pages of docs/systems show what they claim: pictures, and outputs of the current commands."""

import re
from pathlib import Path

import pytest

from infra.documentation import outputs
from infra.documentation.outputs import OUTPUTS, CommandFailed, Output
from tests.conftest import ROOT
from tests.small_models import SmallModels
from tests.system_screenshots import FOLDER, PICTURES

PAGES = ROOT / outputs.PAGES
NAMES = sorted(page.stem for page in PAGES.glob("*.md"))
PICTURE = re.compile(r"!\[[^]]+\]\(\.\./pictures/systems/([\w-]+\.png)\)")
MOST_BYTES, MOST_BYTES_TOGETHER = 200_000, 1_500_000


def text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text()


def tasks(page: str) -> list[str]:
    rows = text(page).split("| task |")[1].splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows if row.startswith("|")]


@pytest.mark.parametrize("page", NAMES)
def test_every_task_shows_a_picture_or_an_output(page: str) -> None:
    sections = dict(
        re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", text(page), re.MULTILINE | re.DOTALL)
    )
    assert tasks(page)
    for task in tasks(page):
        shown = PICTURE.findall(sections[task]) + list(outputs.blocks(sections[task]))
        assert shown, task


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_a_block_shows_the_current_command_and_what_it_printed(output: Output) -> None:
    found = outputs.blocks(text(output.page))[output.name]
    start, end = outputs.block(output, "PRINTED").split("PRINTED")
    assert found.startswith(start)
    assert found.endswith(end)
    printed = found.removeprefix(start).removesuffix(end)
    assert printed.strip()
    assert outputs.normalize(printed) == printed


def test_no_page_has_a_block_that_nothing_writes() -> None:
    written = {(each.page, each.name) for each in OUTPUTS}
    found = {
        (page.stem, name)
        for page in PAGES.glob("*.md")
        for name in outputs.blocks(page.read_text())
    }
    assert found == written


def test_every_picture_is_taken_by_the_script_used_by_a_page_and_small() -> None:
    files = {each.name: each.stat().st_size for each in FOLDER.iterdir()}
    assert files.keys() == {each.name for each in PICTURES}
    used = {name for page in PAGES.glob("*.md") for name in PICTURE.findall(page.read_text())}
    assert used == files.keys()
    assert max(files.values()) < MOST_BYTES
    assert sum(files.values()) < MOST_BYTES_TOGETHER


def test_a_history_has_the_lines_that_the_page_shows(small_registry: SmallModels) -> None:
    """Run the page's command on a small model: the same words, but for its name."""
    [shown] = [each for each in OUTPUTS if each.name == "promotions"]
    command = shown.command.replace("titanic", "loans")
    printed = Output("promotions", shown.page, command).run(small_registry.repository)
    block = outputs.blocks(text(shown.page))["promotions"]
    assert printed.replace("loans", "titanic") in block


def test_what_differs_between_runs_is_replaced() -> None:
    printed = "at 2026-11-26T00:34:00.032+00:00 by 01a2157a-e752-8fdb-8927-07e900070df7  \n"
    assert outputs.normalize(f"{printed}{'0f' * 32} v1") == "at <time> by <id>\n<hash> v1"
    assert outputs.normalize("0.09859123456789012") == "0.09859123456789012"


def test_a_command_that_fails_or_prints_nothing_is_an_error(tmp_path: Path) -> None:
    for command in ("echo no such model >&2; exit 1", "true"):
        with pytest.raises(CommandFailed):
            Output("any", "any", command).run(tmp_path)


def test_a_page_without_marks_is_named(tmp_path: Path) -> None:
    (tmp_path / outputs.PAGES).mkdir(parents=True)
    (tmp_path / outputs.PAGES / "any.md").write_text("# Any\n")
    with pytest.raises(ValueError, match="add <!-- output one --> and <!-- /output one -->"):
        outputs.write(Output("one", "any", "true"), "printed", tmp_path)
