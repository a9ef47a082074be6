"""Fixtures of the tests in a browser: one Chromium for all of them, and a tab for each."""

from collections.abc import Iterator

import pytest

from slipway.programs.debian import ProgramUnavailable, binary
from tests.browser import Browser, Tab, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    try:
        program = binary("chromium")
    except ProgramUnavailable as fault:
        pytest.skip(f"no Chromium on this machine: {fault}")
    with chromium(program) as running:
        yield running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as opened:
        opened.resize(1280)
        yield opened
