"""What `repurchase` learns from: true labels, moments that do not overlap, declared code."""

import ast
import csv
import json
import lzma
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from slipway.datasets import fetch
from slipway.features import lineage
from slipway.project import find
from slipway.reporting.metrics import binary_metrics
from slipway.stages.fit import fit
from slipway.stages.prepare import prepare
from slipway.training import Candidate
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace
from tests.conftest import ROOT

PROJECT = find("repurchase")
ONE_IN = PROJECT.params.tiny.prepare["one_in"]
STORE = ROOT / "slipway" / "features"


@pytest.fixture(scope="module")
def work(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Trained on few customers."""
    made = Workspace.tiny(PROJECT, tmp_path_factory.mktemp("repurchase"))
    prepare(made)
    fit(made)
    return made


@pytest.fixture(scope="module")
def orders() -> dict[int, set[datetime]]:
    """The moments at which each customer bought a product, read line by line."""
    found: dict[int, set[datetime]] = {}
    file = fetch("online_retail_ii").path("online_retail.csv.xz")
    with lzma.open(file, "rt", newline="") as stream:
        for line in csv.DictReader(stream):
            who = line["Customer ID"]
            if not who or float(who) % ONE_IN or line["Invoice"].startswith("C"):
                continue
            sold = float(line["Price"]) > 0 and int(line["Quantity"]) > 0
            if sold and line["StockCode"][:5].isdigit():
                time = datetime.strptime(line["InvoiceDate"], "%m/%d/%Y %H:%M")
                found.setdefault(int(float(who)), set()).add(time.replace(tzinfo=UTC))
    return found


def test_labels_and_recency_are_those_of_the_invoices(
    work: Workspace, orders: dict[int, set[datetime]]
) -> None:
    params = work.params.prepare
    last = datetime.fromisoformat(params["test_at"]).replace(tzinfo=UTC)
    horizon = timedelta(days=params["horizon_days"])
    for split, backs in (("train", range(params["moments"], 0, -1)), ("test", [0])):
        wanted = []
        for back in backs:
            moment = last - back * horizon
            for _, times in sorted(orders.items()):
                before = [time for time in times if time < moment]
                if before:
                    days = (moment - max(before)) / timedelta(days=1)
                    bought = any(moment <= time < moment + horizon for time in times)
                    wanted.append((pytest.approx(days), moment.timetuple().tm_yday, bought))
        rows = [
            (each.days_since_purchase, each.day_of_year, it) for each, it in read_split(work, split)
        ]
        assert rows == wanted
    assert len(orders) > 200


def test_moments_are_told_apart_and_walked_in_order(work: Workspace) -> None:
    training = PROJECT.module("train")
    records = read_split(work, "train").records
    at = training.moments(records)
    assert at.max() + 1 == PROJECT.params.prepare["moments"]
    assert len({(moment, each.day_of_year) for moment, each in zip(at, records, strict=True)}) == 6

    class Witness:
        """Answers with how many rows it was fitted on."""

        def fit(self, numbers: np.ndarray, bought: np.ndarray) -> None:
            self.seen = numbers[:, 0].max()

        def predict_proba(self, numbers: np.ndarray) -> np.ndarray:
            return np.full((len(numbers), 2), self.seen)

    answers = training.forward(Witness(), at.reshape(-1, 1), at > 0, at, 2)
    assert np.isnan(answers[at < 2]).all()
    assert (answers[at >= 2] == at[at >= 2] - 1).all()


def test_the_version_says_which_features_it_was_trained_from(work: Workspace) -> None:
    told = json.loads((work.weights / lineage.FILE).read_text())
    assert told == lineage.record("repurchase")
    assert set(told["features"]) == set(PROJECT.model().input_type().model_fields)


def test_candidates_are_compared_by_resampled_rows_and_described_by_their_bins() -> None:
    training, report = PROJECT.module("train"), PROJECT.module("report")
    rng = np.random.default_rng(0)
    y_prob = rng.beta(2, 3, 3000)
    y_true = rng.random(3000) < y_prob
    made: Candidate = training.compared("logistic_platt", y_true, y_prob, seed=1)
    assert made.parameters == {"calibrated": True}
    assert list(made.metrics)[-1] == "brier_skill_se"
    # The spread of the Brier score over that of the labels; the share of buyers hardly moves.
    near = np.std((y_prob - y_true) ** 2) / np.sqrt(3000) / y_true.var()
    assert made.metrics["brier_skill_se"] == pytest.approx(near, rel=0.2)
    wanted = binary_metrics(y_true, "calibration_error", y_prob=y_prob)
    assert report.describe(made) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("stage", "files"),
    [("prepare", ["data"]), ("fit", ["train"]), ("evaluate", ["report"]), ("register", [])],
)
def test_the_stores_code_is_among_the_dependencies(stage: str, files: list[str]) -> None:
    """Whatever of the feature store a stage imports, by way of anything, makes it run again."""
    told = yaml.safe_load((PROJECT.folder / "dvc.yaml").read_text())["stages"][stage]["deps"]
    declared = {(PROJECT.folder / each).resolve() for each in told if "$" not in each}
    used = set().union(*(imported(PROJECT.folder / f"{name}.py") for name in files))
    if used:
        # Found by their names when they are run, not imported.
        used |= {STORE / "tables/customer_days.py", ROOT / "feature_repo/online_retail.py"}
    assert used - declared == set()
    store = {each for each in declared if STORE in each.parents}
    assert store - used == set()


def imported(file: Path) -> set[Path]:
    """The files of the feature store that `file` imports, and that those do."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        tree = ast.parse(waiting.pop().read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                for place in (ROOT / f"{name.replace('.', '/')}.py", package(name)):
                    if place.is_file() and STORE in place.parents and place not in found:
                        found.add(place)
                        waiting.append(place)
    return found - {STORE / "__init__.py"}


def package(name: str) -> Path:
    return ROOT / name.replace(".", "/") / "__init__.py"
