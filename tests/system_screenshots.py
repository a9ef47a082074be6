"""Take the pictures of the pages in docs/systems/, from a running platform.

    make up
    slipway demo traffic titanic --drift fare --minutes 1
    slipway dashboard
    python -m tests.system_screenshots [NAME ...]

writes `docs/pictures/systems/`, all pictures or those named. The registry must hold titanic, spam
and fashion_mnist. Look at every picture before you commit it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from slipway import home
from slipway.access.registry_keys import key_file
from slipway.programs.debian import binary
from tests.browser import Tab, chromium
from tests.conftest import ROOT
from tests.screenshots import save
from tests.waiting import until

FOLDER = ROOT / "docs" / "pictures" / "systems"
WIDTH = 1200
# A page of the dashboard predicts thousands of rows before it is complete.
SECONDS = 180.0
FIGURES = "document.querySelectorAll('[data-testid=stImage] img').length"
LOADED = (
    "[...document.querySelectorAll('[data-testid=stImage] img')]"
    ".every((each) => each.complete && each.naturalWidth)"
)
# Streamlit is rerunning the page as long as its main block is marked stale or a spinner shows.
IDLE = "!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSpinner]')"


def address(service: str) -> str:
    return f"http://{home.LOOPBACK}:{home.port(service)}"


def wait(tab: Tab, script: str) -> None:
    until(lambda: tab.run(f"Boolean({script})"), tab.text, seconds=SECONDS)


def open_dashboard(tab: Tab, project: str, page: str, *, figures: int, heading: str = "") -> None:
    """Open a page of the dashboard, wait until it has its figures, and scroll to a heading."""
    tab.open(f"{address('explain')}/?project={project}&page={quote(page)}")
    wait(tab, f"{FIGURES} >= {figures} && {LOADED} && {IDLE}")
    tab.run("document.querySelector('[data-testid=stHeader]')?.remove()")
    scroll_to(tab, heading or project)


def scroll_to(tab: Tab, heading: str) -> None:
    """Scroll to the first heading with this text."""
    wanted = json.dumps(heading)
    tab.run(
        "[...document.querySelectorAll('h1, h2, h3')]"
        f".find((each) => each.innerText.includes({wanted}))?.scrollIntoView()"
    )


def show_summary(tab: Tab) -> None:
    open_dashboard(tab, "titanic", "What matters", figures=2)


def show_prediction(tab: Tab) -> None:
    open_dashboard(tab, "titanic", "One prediction", figures=2, heading="for this record is")


def show_form(tab: Tab) -> None:
    open_dashboard(tab, "titanic", "One prediction", figures=2)


def show_fairness(tab: Tab) -> None:
    open_dashboard(tab, "titanic", "Fairness", figures=1)


def show_heat_map(tab: Tab) -> None:
    open_dashboard(tab, "fashion_mnist", "One prediction", figures=2)


def show_words(tab: Tab) -> None:
    open_dashboard(tab, "spam", "One prediction", figures=0)
    wait(tab, f"document.querySelector('p b + br') && {IDLE}")
    scroll_to(tab, "for this record is")


def key_header() -> dict[str, str]:
    return {"X-API-Key": key_file().read_text()}


def open_mlflow(tab: Tab, place: str) -> None:
    """Open a page of MLflow, signed in.

    Chromium keeps the key of the first address. A page whose own address has one may fetch nothing.
    """
    tab.open(address("mlflow").replace("://", f"://me:{key_file().read_text()}@"))
    tab.open(f"{address('mlflow')}/{place}")


def titanic_runs() -> tuple[str, list[str]]:
    """Return the experiment of titanic and its newest runs of candidates."""
    server, path = address("mlflow"), "api/2.0/mlflow"
    found = httpx.get(
        f"{server}/{path}/experiments/get-by-name",
        params={"experiment_name": "titanic"},
        headers=key_header(),
    ).json()
    experiment = found["experiment"]["experiment_id"]
    body = {"experiment_ids": [experiment], "filter": "tags.mlflow.parentRunId LIKE '%'"}
    runs = httpx.post(f"{server}/{path}/runs/search", json=body, headers=key_header()).json()[
        "runs"
    ]
    return experiment, [each["info"]["run_id"] for each in runs][:4]


def show_comparison(tab: Tab) -> None:
    experiment, runs = titanic_runs()
    chosen = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"
    open_mlflow(tab, f"#/compare-runs?{chosen}")
    wait(tab, "document.body.innerText.includes('Parallel Coordinates Plot')")
    wait(tab, "document.querySelector('svg.main-svg')")
    close_assistant(tab)


def show_run(tab: Tab) -> None:
    """The run of the registered version: its parameters and metrics."""
    path = "api/2.0/mlflow/registered-models/alias"
    query = {"name": "titanic", "alias": "champion"}
    response = httpx.get(f"{address('mlflow')}/{path}", params=query, headers=key_header())
    version = response.json()["model_version"]
    experiment, _ = titanic_runs()
    open_mlflow(tab, f"#/experiments/{experiment}/runs/{version['run_id']}")
    wait(tab, "/Metrics \\(\\d+\\)/.test(document.body.innerText)")
    close_assistant(tab)
    tab.run(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5')]"
        ".find((each) => each.innerText.startsWith('Metrics'))?.scrollIntoView()"
    )


def close_assistant(tab: Tab) -> None:
    """Close the panel of MLflow's assistant, which no one has set up."""
    tab.run(
        "[...document.querySelectorAll('button')]"
        ".find((each) => /close/i.test(each.getAttribute('aria-label') ?? ''))?.click()"
    )


def show_drift(tab: Tab) -> None:
    tab.open(f"{address('monitor')}/projects/titanic")
    wait(tab, "document.querySelector('h1')")


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name, the height of the window, and how its page is opened."""

    name: str
    height: int
    show: Callable[[Tab], None]


PICTURES = (
    Picture("shap-summary.png", 760, show_summary),
    Picture("one-prediction.png", 820, show_prediction),
    Picture("plain-words.png", 340, show_prediction),
    Picture("form.png", 640, show_form),
    Picture("fairness.png", 620, show_fairness),
    Picture("heat-map.png", 900, show_heat_map),
    Picture("colored-words.png", 620, show_words),
    Picture("run-comparison.png", 900, show_comparison),
    Picture("run.png", 800, show_run),
    Picture("drift.png", 1000, show_drift),
)


def main(names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium(binary("chromium")) as browser:
        for each in PICTURES:
            if names and each.name not in names:
                continue
            with browser.tab() as tab:
                tab.resize(WIDTH, each.height)
                tab.send("Emulation.setScrollbarsHidden", hidden=True)
                each.show(tab)
                tab.wait("!document.getAnimations().some((each) => each.playState === 'running')")
                file = FOLDER / each.name
                tab.screenshot(file, whole=False)
                save(file.read_bytes(), file)


if __name__ == "__main__":
    main(sys.argv[1:])
