"""The dashboard, opened page by page in this process."""

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from services.explain import importance, local, parts, parts_page
from services.explain.subject import catalogue, load
from slipway.explain import pictures
from slipway.explain.ways import Way
from tests.conftest import ROOT

PAGE = ROOT / "services" / "explain" / "page.py"
# A busy machine explains as much as an idle one.
UNHURRIED = 600.0
PAGES = ("The model", "What matters", "One field", "One prediction", "Fairness")


def opened(name: str) -> AppTest:
    """Open the dashboard anew on a model, without the explanations that another test kept."""
    streamlit.cache_resource.clear()
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    return page.sidebar.selectbox(key="project").select(name).run()


def open_every_page(name: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Open every page of a registered model, and fail with the first that fails.

    Returns whether its answers have a number that can be divided among parts of the record; the
    pages of a model without one must say so. Few rows are explained, with few samples: 60 rows as
    on the page took two CPU seconds more for each model, and 49 cells of a picture up to 50.
    """
    monkeypatch.setattr(pictures, "GRIDS", (2,))
    monkeypatch.setattr(importance, "ROWS", 20)
    monkeypatch.setattr(importance, "SECONDS", dict.fromkeys(importance.SECONDS, 0.02))
    monkeypatch.setattr(local, "SAMPLES", 200)
    monkeypatch.setattr(parts_page, "TEXTS", 2)
    monkeypatch.setattr(parts, "SECONDS", UNHURRIED)
    page = opened(name)
    subject = load(name, catalogue()[name][0])
    by_parts = subject.way in (Way.PICTURE, Way.WORDS)
    dividable = bool(subject.numbers) or by_parts
    for title in PAGES:
        page.sidebar.radio(key="page").set_value(title).run()
        assert not page.exception, (name, title, page.exception)
        assert not page.error, (name, title, page.error)
        if title in PAGES[1:4] and not dividable:
            assert "no single number" in page.warning[0].value
        elif title in PAGES[1:4] and not subject.rows and not by_parts:
            assert page.warning, title
    return dividable
