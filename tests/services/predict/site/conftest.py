"""Fixtures of the tests in a browser: a tab for each test."""

from collections.abc import Iterator

import pytest

from tests.browser import Browser, Tab


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as opened:
        opened.resize(1280)
        yield opened
