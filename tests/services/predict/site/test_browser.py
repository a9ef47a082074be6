"""The catalogue and the page to try a model, in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.predict import site_files
from slipway.datasets.sources import SourceFault
from tests.axe import violations
from tests.browser import Browser, Tab
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.predict.site.page_models import TOYS, add_models
from tests.services.predict.site.site_check import (
    WIDTHS,
    hold_the_page_rules,
    open_model,
    press,
    try_in_browser,
)
from tests.small_models import NAMES
from tests.waiting import until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/predict/*", "clients/javascript/*")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model server over one model for each kind of field, and one that does not load."""
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("toys"))
    add_models(registry)
    registry.add("broken", "raise ValueError('a fault of its own')\n")
    with registry.serving() as running:
        until(
            lambda: (
                len(running.client.get("/v1/models").json()["models"]) == len(TOYS)
                and running.client.get("/v1/models").json()["faults"]
            ),
            lambda: running.client.get("/v1/models").text,
        )
        yield running


def predict(tab: Tab) -> None:
    """Press the main button and wait for a new answer."""
    tab.run("document.querySelector('.answer-place').replaceChildren()")
    tab.click(".send .primary")
    tab.wait("document.querySelector('.answer-place .meta, .answer-place .notice')")


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_trained_models_are_predicted(
    browser: Browser, server: httpx.Client, name: str
) -> None:
    assert try_in_browser(browser, str(server.base_url).rstrip("/"), name)


@pytest.mark.parametrize("name", TOYS)
def test_examples_of_every_kind_of_field_are_predicted(
    browser: Browser, toys: Server, name: str
) -> None:
    assert try_in_browser(browser, toys.address, name)


@pytest.mark.parametrize("dark", [False, True])
def test_the_catalogue_lists_and_finds_models(tab: Tab, toys: Server, dark: bool) -> None:
    for width in WIDTHS:
        tab.resize(width, dark=dark)
        tab.open(toys.address)
        tab.wait("document.querySelector('.card')")
        tab.wait("document.querySelector('.card img')")
        hold_the_page_rules(tab)
    assert tab.run("document.querySelectorAll('.card').length") == len(TOYS) + 1
    assert "a fault of its own" in tab.text(".card.failed")
    tab.run(
        "(each => { each.value = 'jour'; each.dispatchEvent(new Event('input')); })"
        "(document.querySelector('#search'))"
    )
    shown = "[...document.querySelectorAll('.card')].filter((each) => !each.hidden)"
    assert tab.run(f"{shown}.map((each) => each.querySelector('h2').innerText)") == ["Journeys"]
    tab.run(f"{shown}[0].querySelector('h2 a').click()")
    tab.wait("document.querySelector('.workbench .headline')")
    assert "Cost: 1,250" in tab.text(".headline")


@pytest.mark.parametrize("path", ["", *(f"try/{name}" for name in TOYS)])
def test_axe_finds_no_fault(tab: Tab, toys: Server, path: str) -> None:
    for width, dark in ((1280, False), (360, True)):
        tab.resize(width, dark=dark)
        tab.open(f"{toys.address}/{path}")
        tab.wait("document.querySelector('.card, .workbench .headline')")
        try:
            assert violations(tab) == []
        except SourceFault as fault:
            pytest.skip(f"npm does not provide axe-core: {fault}")


def test_boxes_are_drawn_and_the_state_is_carried_over(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "detector")
    assert "none yet" in tab.text(".state")
    predict(tab)
    assert "2 boxes found" in tab.text(".headline")
    assert "carried over" in tab.text(".state")
    colors = (
        "new Set(new Uint32Array(document.querySelector('.drawn canvas').getContext('2d')"
        ".getImageData(0, 0, 500, 380).data.buffer)).size"
    )
    with_boxes = tab.run(colors)
    predict(tab)
    assert "2" in tab.text(".facts")
    press(tab, "Reset")
    assert "none yet" in tab.text(".state")
    tab.run(
        "(each => { each.value = '1'; each.dispatchEvent(new Event('input')); })"
        "(document.querySelector('[data-field=min_score] input'))"
    )
    predict(tab)
    assert "Nothing found" in tab.text(".headline")
    assert with_boxes > 3
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("fields", "headline"),
    [
        ({"letter": "R", "sure": True}, "Letter: R"),
        ({"text": "It rains.", "words": 2}, "It rains."),
        ({"cluster": 2, "outlier": False}, "Cluster: 2"),
        ({"effect": 0.5, "pays": True}, "Pays: yes"),
        ({"topics": ["earn", "acq"], "known": 3}, "Topics: earn, acq"),
        ({"films": [{"id": 1, "title": each} for each in "ABCDE"]}, "Films: A, B, C and 2 more"),
        ({"films": [], "known": 3}, "Films: 0 entries"),
    ],
)
def test_the_headline_says_what_the_author_put_first(
    tab: Tab, toys: Server, fields: dict[str, object], headline: str
) -> None:
    open_model(tab, toys.address, "journeys")
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number"}
    item = {"string": {"type": "string"}, "object": {"type": "object", "properties": {}}}
    schema = {
        "properties": {
            name: {"type": "array", "items": item["object" if name == "films" else "string"]}
            if isinstance(value, list)
            else {"type": kinds[type(value)]}
            for name, value in fields.items()
        }
    }
    said = tab.run(
        "import(new URL('sentence.js', document.querySelector('script[type=module]').src).href)"
        f".then(({{sentenceOf}}) => sentenceOf({json.dumps(schema)}, {{}}, {json.dumps(fields)}))"
    )
    assert said["headline"] == headline


def test_points_are_set_on_the_picture(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "detector")
    tab.click("[data-field=focus] .not-given input")
    tab.click("[data-pick=point]")
    tab.click(".preview canvas")
    numbers = "[...document.querySelectorAll('[data-field=focus] [type=number]')]"
    x, y = map(float, tab.run(f"{numbers}.map((each) => each.value)"))
    # The middle of a picture of 128 by 96 pixels.
    assert abs(x - 64) < 1.5
    assert abs(y - 48) < 1.5
    predict(tab)
    assert "id" in tab.text(".meta")


def test_camera_drawing_and_live_pictures(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "detector")
    before = tab.run("document.querySelector('.preview canvas').getAttribute('aria-label')")
    press(tab, "Draw")
    pad = tab.run(
        "(each => { each.scrollIntoView({block: 'center'}); const box = "
        "each.getBoundingClientRect(); return [box.x, box.y]; })"
        "(document.querySelector('canvas.pad'))"
    )
    tab.mouse("mousePressed", pad[0] + 50, pad[1] + 50)
    tab.mouse("mouseMoved", pad[0] + 200, pad[1] + 200)
    tab.mouse("mouseReleased", pad[0] + 200, pad[1] + 200)
    label = "document.querySelector('.preview canvas').getAttribute('aria-label')"
    tab.wait(f"{label} !== {before!r}")
    assert "280 by 280" in tab.run(label)
    press(tab, "Camera")
    tab.click("dialog .primary")
    tab.wait(f"!{label}.includes('280 by 280')")
    press(tab, "Use the camera live")
    tab.wait("document.querySelector('.output').innerText.includes('frames a second')")
    tab.wait("document.querySelector('.state').innerText.includes('carried over')")
    press(tab, "Stop the camera")
    assert tab.complaints == []


def test_a_streaming_model_writes_as_it_goes_and_can_be_stopped(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "counts")
    predict(tab)
    assert "1 2 3 4 5" in tab.text(".headline")
    assert "id" in tab.text(".meta")
    for name, value in (("until", "1000"), ("pause", "0.1")):
        tab.run(f"document.querySelector('[data-field={name}] input').value = '{value}'")
    tab.click(".send .primary")
    tab.wait("document.querySelector('.streaming')?.textContent.startsWith('1 2 3')")
    press(tab, "Stop")
    tab.wait("document.querySelector('.send').innerText.includes('Stopped')")
    assert "1 2 3" in tab.text(".answer-place")
    predicting = "document.querySelector('.send .primary').disabled"
    assert tab.run(predicting) is False
    assert tab.complaints == []


def test_tracks_are_drawn_over_the_video(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "followers")
    predict(tab)
    assert "1 track found" in tab.text(".headline")
    assert "1 track over 10 frames" in tab.text(".drawn")
    tab.wait("document.querySelector('canvas.over-video').width === 96")
    drawn = (
        "document.querySelector('canvas.over-video').getContext('2d')"
        ".getImageData(0, 0, 96, 64).data.some((each) => each)"
    )
    tab.wait(drawn)
    assert tab.complaints == []


def test_a_recording_is_sent_as_wav(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "echoes")
    press(tab, "Record")
    tab.wait("/recording, [1-9]/.test(document.querySelector('.said').textContent)")
    press(tab, "Stop recording")
    tab.wait("[...document.querySelectorAll('button')].some((e) => e.textContent === 'Record')")
    predict(tab)
    assert "hello" in tab.text(".answer")
    assert tab.run("document.querySelector('.answer audio').src.startsWith('blob:')")
    assert "Save page" in tab.text(".answer")
    assert tab.complaints == []


def test_lists_grow_and_shrink_and_errors_stand_at_their_field(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "journeys")
    press(tab, "Add a row")
    rows = "document.querySelectorAll('[data-field=stops] .rows > li').length"
    assert tab.run(rows) == 3
    tab.click(".send .primary")
    tab.wait("document.querySelector('.rows > li:nth-child(3) [data-field=city].failed')")
    assert "422" in str(tab.complaints.pop())
    assert tab.run("document.activeElement.closest('[data-field=city]') !== null")
    press(tab, "Remove")
    tab.run("document.querySelector('.rows > li:nth-child(2) > button').click()")
    predict(tab)
    assert "id" in tab.text(".meta")
    assert "between 1,000 and 1,625" in tab.text(".interval")
    assert tab.run("document.querySelectorAll('.answer .curve polyline').length") == 1
    assert tab.complaints == []


def test_why_feedback_and_the_same_call_elsewhere(tab: Tab, server: httpx.Client) -> None:
    address = str(server.base_url).rstrip("/")
    open_model(tab, address, "loans")
    predict(tab)
    press(tab, "Why?")
    tab.wait("document.querySelectorAll('.signed li').length === 5")
    tab.click(".feedback button")
    tab.wait("document.querySelector('.feedback [role=status]').textContent.includes('record')")
    press(tab, "API")
    snippets = tab.text(".snippets")
    assert f"curl {address}/v1/models/loans/predict" in snippets
    assert "httpx.post" in snippets
    assert "await fetch" in snippets
    tab.run("location.hash = 'card'")
    tab.run("document.querySelector('#card').open = true")
    tab.wait("document.querySelector('#card table')")
    hold_the_page_rules(tab)


def test_tabs_and_the_form_work_by_keyboard(tab: Tab, toys: Server) -> None:
    open_model(tab, toys.address, "journeys")
    tab.run("document.querySelector('.input [role=tab]').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        for kind in ("keyDown", "keyUp"):
            tab.send("Input.dispatchKeyEvent", type=kind, key=key)
    assert tab.run("document.activeElement.textContent") == "Form"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.run(outline) == "solid"
    tab.run("document.querySelector('[data-field=budget] input').focus()")
    tab.run("document.querySelector('.answer-place').replaceChildren()")
    for kind in ("rawKeyDown", "char", "keyUp"):
        tab.send(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            text="\r",
            windowsVirtualKeyCode=13,
        )
    tab.wait("document.querySelector('.meta .id')")


def test_a_key_is_needed_and_kept_in_memory_only(
    tab: Tab, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway.access import keys

    registry = ModelRegistryFixture(tmp_path_factory.mktemp("guarded"))
    add_models(registry)
    monkeypatch.setenv("SLIPWAY_HOME", str(registry.home))
    secret = keys.create("a visitor", ["predict"])[1]
    with registry.serving(require_keys=True) as running:
        tab.open(f"{running.address}/try/journeys")
        tab.wait("document.querySelector('.notice.bad')")
        assert "Sign in" in tab.text(".notice")
        tab.complaints.clear()
        tab.click(".sign-in summary")
        tab.run(f"document.querySelector('#api-key').value = {json.dumps(secret)}")
        tab.click(".sign-in .primary")
        tab.wait("document.querySelector('.workbench .headline')")
        predict(tab)
        assert "id" in tab.text(".meta")
        stored = "[localStorage.length, sessionStorage.length, document.cookie.length]"
        assert tab.run(stored) == [0, 0, 0]
        press(tab, "API")
        assert secret not in tab.text(".snippets")
        assert tab.complaints == []


def test_no_file_of_the_site_names_another_host() -> None:
    for file in Path(site_files.FOLDER).iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        for scheme in ("http://", "https://", "//cdn", "ws://"):
            named = [line for line in text.splitlines() if f'"{scheme}' in line]
            assert not named, f"{file.name} names another host: {named}"
