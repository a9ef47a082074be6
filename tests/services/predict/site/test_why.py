"""Explanations of pictures and texts on the page to try a model, in a real browser."""

from collections.abc import Iterator

import pytest

from slipway.datasets.sources import SourceFault
from tests.axe import violations
from tests.browser import Tab
from tests.services.explained_models import EXPLAINED, MODELS, add_explained_models
from tests.services.fake_models import ModelRegistryFixture, Server
from tests.services.predict.site.site_check import WIDTHS, hold_the_page_rules, press
from tests.waiting import until

# The middle of the cell that matters, and of another one, on a canvas of 504 pixels.
MATTERS, ANOTHER = (290, 160), (30, 30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("explained"))
    add_explained_models(registry)
    with registry.serving() as running:
        until(lambda: len(running.client.get("/v1/models").json()["models"]) == len(MODELS))
        yield running


def ask_why(tab: Tab, server: Server, name: str) -> None:
    """Open the page of a model, and ask why it predicted what is stored with its example."""
    tab.open(f"{server.address}/try/{name}")
    tab.wait("document.querySelector('.workbench .headline')")
    press(tab, "Why?")
    tab.wait("document.querySelector('.follow-ups .signed li')")


def pixel(tab: Tab, place: tuple[int, int]) -> list[int]:
    """Return the color of a place of the heat map, once it is drawn."""
    tab.wait("document.querySelector('.heat-map canvas').width === 504")
    context = "document.querySelector('.heat-map canvas').getContext('2d')"
    found = tab.run(f"[...{context}.getImageData({place[0]}, {place[1]}, 1, 1).data]")
    return list(found)


def test_the_heat_map_is_drawn_over_the_picture(tab: Tab, served: Server) -> None:
    ask_why(tab, served, "lamp")
    assert "Probability of on 100 %" in tab.text(".heat-map h3")
    # A corner of the cell: its number stands in the middle.
    corner = (MATTERS[0] + 30, MATTERS[1] + 30)
    red, _, blue, _ = pixel(tab, corner)
    assert blue - red > 100
    red, _, blue, _ = pixel(tab, ANOTHER)
    assert blue == red
    assert tab.run("document.querySelectorAll('.heat-map .signed li').length") == 1
    assert "1. Row 3, column 5" in tab.text(".heat-map .signed")
    label = tab.run("document.querySelector('.heat-map canvas').getAttribute('aria-label')")
    assert "The strongest are Row 3, column 5: +" in label
    assert tab.complaints == []


def test_the_activation_map_is_drawn_where_the_network_pools(tab: Tab, served: Server) -> None:
    ask_why(tab, served, "lamp")
    tab.run("[...document.querySelectorAll('.heat-map details')].at(-1).open = true")
    canvas = "document.querySelector('canvas.activation')"
    tab.wait(f"{canvas}.width === 504")
    label = tab.run(f"{canvas}.getAttribute('aria-label')")
    assert "Class-activation map of on: the shares of 7 x 7 positions" in label
    colors = {
        place: tab.run(f"[...{canvas}.getContext('2d').getImageData({x}, {y}, 1, 1).data]")
        for place, (x, y) in {
            "there": (MATTERS[0] + 30, MATTERS[1] + 30),
            "elsewhere": ANOTHER,
        }.items()
    }
    # Blue raises the logit: strongly where the picture is bright, hardly elsewhere.
    blue = {place: color[2] - color[0] for place, color in colors.items()}
    assert blue["there"] > 100
    assert 0 <= blue["elsewhere"] < 60
    hold_the_page_rules(tab)


def test_colors_and_values_are_there_for_the_keyboard(tab: Tab, served: Server) -> None:
    ask_why(tab, served, "lamp")
    colored = pixel(tab, (MATTERS[0] + 30, MATTERS[1] + 30))
    tab.run("document.querySelector('.heat-map input[type=checkbox]').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", text=" ")
    assert tab.run("document.activeElement.checked") is False
    assert pixel(tab, (MATTERS[0] + 30, MATTERS[1] + 30)) != colored
    tab.run("document.querySelector('.heat-map summary').focus()")
    for kind in ("rawKeyDown", "char", "keyUp"):
        tab.send(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            text="\r",
            windowsVirtualKeyCode=13,
        )
    tab.wait("document.querySelector('.heat-map details').open")
    assert tab.run("document.querySelectorAll('.heat-map tbody tr').length") == 7
    assert tab.run("document.querySelectorAll('.heat-map tbody td').length") == 49
    assert tab.complaints == []


def test_the_picture_that_was_sent_is_explained(tab: Tab, served: Server) -> None:
    ask_why(tab, served, "finder")
    assert "Sum of the scores of boxes 100 %" in tab.text(".heat-map h3")
    assert "blurred it is 0" in tab.text(".heat-map .hint")


def test_words_are_colored(tab: Tab, served: Server) -> None:
    ask_why(tab, served, "mail")
    words = (
        "[...document.querySelectorAll('.word')].map((each) => [each.textContent, each.className])"
    )
    assert dict(tab.run(words)) == {
        "Free": "word raises-4",
        "money": "word raises-2",
        "we": "word ",
        "are": "word ",
        "sorry": "word lowers-2",
    }
    assert tab.text(".words") == "Free money"
    assert "+25 %" in tab.text(".follow-ups .signed")
    assert tab.complaints == []


@pytest.mark.parametrize("name", EXPLAINED)
def test_explanations_hold_the_rules_of_every_page(tab: Tab, served: Server, name: str) -> None:
    for width in WIDTHS:
        tab.resize(width, dark=width == 360)
        ask_why(tab, served, name)
        hold_the_page_rules(tab)
        if width != 768:
            try:
                assert violations(tab) == []
            except SourceFault as fault:
                pytest.skip(f"npm does not provide axe-core: {fault}")


def test_models_that_cannot_be_explained_have_no_button(tab: Tab, served: Server) -> None:
    tab.open(f"{served.address}/try/mirror")
    tab.wait("document.querySelector('.workbench .headline')")
    assert "Why?" not in tab.text()
