"""Take the documentation's pictures of the website, from a running model server.

    make up
    python -m tests.screenshots http://127.0.0.1:8000

writes `docs/pictures/`: the catalogue and three pages, light and dark. The server must serve the
projects of `PAGES`.

    python -m tests.screenshots http://127.0.0.1:8000 --projects digits cifar10

writes `pictures/try.png` of the projects named, or of all that are served: the page to try each,
with its first example predicted. `slipway readme` shows it. Look at every picture before you commit
it.
"""

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import httpx
from PIL import Image

from slipway.programs.debian import binary
from slipway.project import discover
from slipway.projects.readme import TRY_PAGE
from tests.browser import Tab, chromium
from tests.conftest import ROOT
from tests.services.predict.site.site_check import open_model, press

FOLDER = ROOT / "docs" / "pictures"
WIDTH = 1280
PROJECT_HEIGHT = 900
MOST_BYTES = 200_000
COLORS = 256
PICTURES_LOADED = (
    "[...document.querySelectorAll('.card-picture')].every((each) => each.querySelector('img'))"
)


@dataclass(frozen=True)
class Screenshot:
    """A picture: its file's name, the height of the window, and what is done before it is taken."""

    name: str
    height: int
    prepare: Callable[[Tab, str], None]
    dark: bool = False


def show_catalogue(tab: Tab, address: str) -> None:
    tab.open(address)
    tab.wait("document.querySelector('.card')")
    tab.wait(PICTURES_LOADED)


def show_computer_vision(tab: Tab, address: str) -> None:
    show_catalogue(tab, address)
    press(tab, "Computer vision")


def predict(tab: Tab, address: str, name: str) -> None:
    open_model(tab, address, name)
    tab.click(".send .primary")
    tab.wait("document.querySelector('.meta .id')")
    tab.run("scrollTo(0, 0)")


def show_titanic(tab: Tab, address: str) -> None:
    predict(tab, address, "titanic")
    press(tab, "Why?")
    tab.wait("document.querySelector('.signed li')")
    tab.run("scrollTo(0, 0)")


def show_document_scanner(tab: Tab, address: str) -> None:
    predict(tab, address, "document_scanner")


def show_people_tracker(tab: Tab, address: str) -> None:
    predict(tab, address, "people_tracker")


PAGES = (
    Screenshot("catalogue.png", 1100, show_catalogue),
    Screenshot("catalogue-dark.png", 830, show_computer_vision, dark=True),
    Screenshot("try-page.png", 1000, show_titanic),
    Screenshot("try-page-dark.png", 1000, show_titanic, dark=True),
    Screenshot("try-document-scanner.png", 1080, show_document_scanner),
    Screenshot("try-people-tracker.png", 1080, show_people_tracker),
)


def save(content: bytes, file: Path) -> None:
    """Write a PNG of 256 colors, a third of the size of one with all.

    Half of them are the most frequent ones, those of the page and of what it draws over pictures.
    """
    image = Image.open(io.BytesIO(content)).convert("RGB")
    counted = Counter(image.get_flattened_data())
    frequent = [color for color, _ in counted.most_common(COLORS // 2)]
    rest = image.quantize(COLORS // 2, Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*chain.from_iterable(frequent), *rest])
    reduced = image.quantize(palette=palette, dither=Image.Dither.NONE)
    reduced.save(file, optimize=True)
    size = file.stat().st_size
    if size >= MOST_BYTES:
        raise ValueError(f"{file} has {size} bytes: at most {MOST_BYTES} are allowed")
    print(f"{file.relative_to(ROOT)}: {size / 1000:.0f} KB")


def project_pages(address: str, names: list[str]) -> Iterator[tuple[Screenshot, Path]]:
    """Yield the page of each project that is served, and its file."""
    served = {each["name"] for each in httpx.get(f"{address}/v1/models").json()["models"]}
    for project in discover():
        if project.name in served and (not names or project.name in names):
            take = partial(predict, name=project.name)
            file = project.folder / "pictures" / TRY_PAGE
            yield Screenshot(TRY_PAGE, PROJECT_HEIGHT, take), file


def main(address: str, names: list[str]) -> None:
    address = address.rstrip("/")
    if names[:1] == ["--projects"]:
        pages = list(project_pages(address, names[1:]))
    else:
        pages = [(each, FOLDER / each.name) for each in PAGES if not names or each.name in names]
    with chromium(binary("chromium")) as browser:
        for each, file in pages:
            with browser.tab() as tab:
                tab.resize(WIDTH, each.height, dark=each.dark)
                tab.send("Emulation.setScrollbarsHidden", hidden=True)
                each.prepare(tab, address)
                tab.wait("!document.getAnimations().length")
                tab.screenshot(file, whole=False)
                save(file.read_bytes(), file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
