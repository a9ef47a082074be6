"""Repurchase: correct labels, moments that do not overlap, and declared dependencies."""

import ast
import csv
import importlib
import json
import lzma
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

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
    """Return a workspace trained on few customers."""
    work = Workspace.tiny(PROJECT, tmp_path_factory.mktemp("repurchase"))
    prepare(work)
    fit(work)
    return work


@pytest.fixture(scope="module")
def orders() -> dict[int, set[datetime]]:
    """Return the times at which each customer bought a product, read line by line."""
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


def test_labels_and_recency_match_the_invoices(
    work: Workspace, orders: dict[int, set[datetime]]
) -> None:
    params = work.params.prepare
    last = datetime.fromisoformat(params["test_at"]).replace(tzinfo=UTC)
    horizon = timedelta(days=params["horizon_days"])
    for split, backs in (("train", range(params["moments"], 0, -1)), ("test", [0])):
        expected = []
        for back in backs:
            moment = last - back * horizon
            for _, times in sorted(orders.items()):
                before = [time for time in times if time < moment]
                if before:
                    days = (moment - max(before)) / timedelta(days=1)
                    bought = any(moment <= time < moment + horizon for time in times)
                    expected.append((pytest.approx(days), moment.timetuple().tm_yday, bought))
        rows = [
            (each.days_since_purchase, each.day_of_year, it) for each, it in read_split(work, split)
        ]
        assert rows == expected
    assert len(orders) > 200


def test_moments_are_separated_and_walked_in_order(work: Workspace) -> None:
    training = PROJECT.module("train")
    records = read_split(work, "train").records
    at = training.moments(records)
    assert at.max() + 1 == PROJECT.params.prepare["moments"]
    assert len({(moment, each.day_of_year) for moment, each in zip(at, records, strict=True)}) == 6

    class LastMomentModel:
        """A model that predicts the last moment it was fitted on."""

        def fit(self, numbers: np.ndarray, bought: np.ndarray) -> None:
            self.seen = numbers[:, 0].max()

        def predict_proba(self, numbers: np.ndarray) -> np.ndarray:
            return np.full((len(numbers), 2), self.seen)

    y_prob = training.walk_forward(LastMomentModel(), at.reshape(-1, 1), at > 0, at, 2)
    assert np.isnan(y_prob[at < 2]).all()
    assert (y_prob[at >= 2] == at[at >= 2] - 1).all()


def test_the_version_records_the_features_it_was_trained_on(work: Workspace) -> None:
    recorded = json.loads((work.weights / lineage.FILE).read_text())
    assert recorded == lineage.record("repurchase")
    assert set(recorded["features"]) == set(PROJECT.model().input_type().model_fields)


def test_candidates_are_compared_by_resampled_rows_and_described_by_their_bins() -> None:
    training, report = PROJECT.module("train"), PROJECT.module("report")
    rng = np.random.default_rng(0)
    y_prob = rng.beta(2, 3, 3000)
    y_true = rng.random(3000) < y_prob
    candidate: Candidate = training.evaluate_candidate("logistic_platt", y_true, y_prob, seed=1)
    assert candidate.parameters == {"calibrated": True}
    assert list(candidate.metrics)[-1] == "brier_skill_se"
    # The standard error of the Brier score, over the variance of the labels.
    approximate = np.std((y_prob - y_true) ** 2) / np.sqrt(3000) / y_true.var()
    assert candidate.metrics["brier_skill_se"] == pytest.approx(approximate, rel=0.2)
    expected = binary_metrics(y_true, "calibration_error", y_prob=y_prob)
    assert report.describe(candidate) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("stage", "files"),
    [("prepare", ["data"]), ("fit", ["train"]), ("evaluate", ["report"]), ("register", [])],
)
def test_the_feature_stores_code_is_among_the_dependencies(stage: str, files: list[str]) -> None:
    """A stage depends on every feature store file that it imports, directly or indirectly."""
    deps = yaml.safe_load((PROJECT.folder / "dvc.yaml").read_text())["stages"][stage]["deps"]
    declared = {(PROJECT.folder / each).resolve() for each in deps if "$" not in each}
    used = set().union(*(imported(PROJECT.folder / f"{name}.py") for name in files))
    if used:
        # Loaded by name at run time, not imported.
        used |= {STORE / "tables/customer_days.py", ROOT / "feature_repo/online_retail.py"}
    assert used - declared == set()
    store = {each for each in declared if STORE in each.parents}
    assert store - used == set()


def imported(file: Path) -> set[Path]:
    """Return the feature store files that `file` imports, directly or indirectly."""
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


def test_the_recency_rule_predicts_as_the_baselines_tree() -> None:
    training, model = PROJECT.module("train"), PROJECT.module("model")
    rng = np.random.default_rng(1)
    numbers = rng.normal(3, 1, (4000, len(model.NUMBERS))).astype(np.float32)
    bought = rng.random(4000) < np.exp(-numbers[:, 0].clip(0.2))
    baseline = training.estimators(0)["baseline"].fit(numbers, bought)
    rule = training.recency_rule(baseline)
    assert len(rule.borders) + 1 == len(rule.shares) == 8
    expected = baseline.predict_proba(numbers)[:, 1]
    assert rule.probabilities(numbers) == pytest.approx(expected)


def test_the_level_is_moved_by_what_the_model_missed_a_year_before() -> None:
    """Every fourth moment has twice the odds of buying, which the feature does not tell."""
    season = importlib.import_module("pipelines.ml.repurchase.season")
    rng = np.random.default_rng(2)
    at, column = np.repeat(np.arange(6), 4000), rng.normal(size=24_000)
    odds = column - 1 + np.log(2) * (at % 4 == 0)
    bought = rng.random(24_000) < 1 / (1 + np.exp(-odds))
    numbers = column[:, None]
    moved = season.moved_by_last_year(make_pipeline(LogisticRegression()), numbers, bought, at)
    assert np.isnan(moved[at < 4]).all()
    for moment in (4, 5):
        rows = at == moment
        assert moved[rows].mean() == pytest.approx(bought[rows].mean(), abs=0.02)
        assert moved[rows] == pytest.approx(1 / (1 + np.exp(-odds[rows])), abs=0.05)
    assert season.shift_to(0.5, np.array([-1.0, 1.0, 3.0])) == pytest.approx(-1, abs=0.2)
