"""Checks of the website that hold for every page and every model, in a real browser."""

import itertools
import json

from tests.browser import Browser, Tab

# A phone, a tablet and a desktop.
WIDTHS = (360, 768, 1280)

UNLABELLED = """
[...document.querySelectorAll('input, select, textarea')]
  .filter((each) => !each.labels?.length && !each.getAttribute('aria-label'))
  .map((each) => each.outerHTML.slice(0, 200))
"""
UNNAMED = """
[...document.querySelectorAll('button, a, img, canvas, audio, video, [role=tab], summary')]
  .filter((each) => !each.closest('[aria-hidden=true]')
    && !(each.innerText || each.textContent || '').trim()
    && !each.getAttribute('aria-label') && each.getAttribute('alt') === null)
  .map((each) => each.outerHTML.slice(0, 200))
"""
REPEATED_IDS = """
[...document.querySelectorAll('[id]')].map((each) => each.id)
  .filter((id, place, all) => all.indexOf(id) !== place)
"""
DANGLING = """
[...document.querySelectorAll('[aria-describedby], [aria-controls], [aria-labelledby], label[for]')]
  .flatMap((each) => ['aria-describedby', 'aria-controls', 'aria-labelledby', 'for']
    .flatMap((name) => (each.getAttribute(name) || '').split(' ').filter(Boolean)))
  .filter((id) => !document.getElementById(id))
"""
HEADINGS = """
[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .filter((each) => each.offsetParent).map((each) => Number(each.tagName[1]))
"""
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter((each) => each.offsetParent && !each.closest('.scroll, pre, .visually-hidden, .skip')
    && each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((each) => each.outerHTML.slice(0, 120))
"""


IN_BROWSER = "each.textContent === 'Run in this browser'"


def press(tab: Tab, text: str) -> None:
    """Press the visible button with this text."""
    tab.run(
        f"[...document.querySelectorAll('button')].find((each) => each.offsetParent"
        f" && each.textContent === {text!r}).click()"
    )


def hold_the_page_rules(tab: Tab) -> None:
    """Fail unless the page is accessible in structure, fits its width and has no complaint."""
    assert tab.run(UNLABELLED) == []
    assert tab.run(UNNAMED) == []
    assert tab.run(REPEATED_IDS) == []
    assert tab.run(DANGLING) == []
    levels = tab.run(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels)), levels
    assert tab.run("document.documentElement.lang") == "en"
    assert tab.run("document.querySelectorAll('main, header').length") == 2
    assert tab.run("document.documentElement.scrollWidth <= innerWidth"), tab.run(TOO_WIDE)
    assert tab.complaints == []


def try_in_browser(browser: Browser, url: str, name: str) -> str:
    """Open the page of a model at three widths, then try its first example.

    Returns the sentence of the answer.
    """
    with browser.tab() as tab:
        for width in WIDTHS:
            tab.resize(width)
            open_model(tab, url, name)
            hold_the_page_rules(tab)
        return try_first_example(tab, url, name)


def open_model(tab: Tab, url: str, name: str) -> None:
    """Open the page of a model and wait until its first example and that answer are shown."""
    tab.open(f"{url}/try/{name}")
    tab.wait("document.querySelector('.workbench .headline')")


def try_first_example(tab: Tab, url: str, name: str) -> str:
    """Hold that the first example fills the form of the open page and is predicted.

    Returns the sentence of the answer.
    """
    example = tab.run(
        f"fetch('{url}/v1/models/{name}/schema').then((each) => each.json())"
        ".then((each) => each.examples[0].input)"
    )
    tab.run("[...document.querySelectorAll('.input [role=tab]')][1].click()")
    shown = json.loads(tab.run("document.querySelector('#record-json').value"))
    given = {key for key, value in example.items() if value is not None}
    assert given <= shown.keys(), f"the form of {name} lost {sorted(given - shown.keys())}"
    assert not _differing(example, shown), f"the form changed {_differing(example, shown)}"
    tab.run("[...document.querySelectorAll('.input [role=tab]')][0].click()")
    tab.click(".send .primary")
    tab.wait("document.querySelector('.meta .id, .notice.bad')")
    assert "id" in tab.text(".meta"), tab.text(".answer-place")
    headline = tab.text(".headline")
    if tab.run(f"[...document.querySelectorAll('button')].some((each) => {IN_BROWSER})"):
        run_in_browser(tab)
    hold_the_page_rules(tab)
    return headline


def run_in_browser(tab: Tab) -> float:
    """Run the graph in the browser, where the page offers it; return the largest difference.

    The two differ by the order of sums, and where the browser decodes a JPEG by another level.
    """
    press(tab, "Run in this browser")
    tab.wait("document.querySelector('.in-browser, .follow-ups .error')")
    assert tab.run("document.querySelector('.follow-ups .error')?.textContent ?? null") is None
    assert "The same label as the server's." in tab.text(".in-browser")
    return float(tab.run("document.querySelector('.in-browser').dataset.difference"))


def _differing(example: dict[str, object], shown: dict[str, object]) -> list[str]:
    """Return the fields whose value changed on its way through the form; files are not compared."""
    return [
        name
        for name, value in example.items()
        if value is not None and not _equal(value, shown[name])
    ]


def _equal(value: object, shown: object) -> bool:
    """Return whether the form kept the value; files have names there, or the other alphabet.

    The form leaves out what is not given, also in records in records.
    """
    if isinstance(value, dict) and isinstance(shown, dict):
        given = {name: each for name, each in value.items() if each is not None}
        return given.keys() == shown.keys() and all(
            _equal(each, shown[name]) for name, each in given.items()
        )
    if isinstance(value, list) and isinstance(shown, list):
        return len(value) == len(shown) and all(map(_equal, value, shown))
    if isinstance(value, str) and isinstance(shown, str):
        shown = shown.replace("+", "-").replace("/", "_")
        value = value.replace("+", "-").replace("/", "_")
        return shown == value or shown.startswith("file ")
    return value == shown
