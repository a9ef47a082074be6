"""Markers in a page, between which generated text stands."""

from pathlib import Path

import pytest

from slipway.marks import replace_between

PAGE = "# Title\n\n<!-- one -->\nold\n<!-- /one -->\n\n<!-- two -->\nkept\n<!-- /two -->\n"


def test_only_the_text_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    replace_between(page, "one", "new")
    assert page.read_text() == PAGE.replace("\nold\n", "\n\nnew\n\n")


@pytest.mark.parametrize("content", ["", "<!-- one -->", "<!-- /one --> <!-- one -->"])
def test_a_page_without_the_markers_is_named(tmp_path: Path, content: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(content)
    with pytest.raises(ValueError, match="page.md has no place .* <!-- one --> and <!-- /one -->"):
        replace_between(page, "one", "new")
    assert page.read_text() == content
