"""Models that are fed by the feature store: what the pages say, dependencies and lineage."""

import json
import re
from pathlib import Path

import pytest
import yaml

from slipway.features import definitions, lineage, tables
from slipway.project import Project
from tests.conftest import PROJECTS, ROOT, by_name
from tests.services.fake_models import ModelRegistryFixture, echo

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = (
    "feature_repo/*",
    "slipway/features/*",
    "docs/systems/feature_store.md",
    "pipelines/ml/churn/dvc.yaml",
    "pipelines/ml/customer_segments/dvc.yaml",
    "pipelines/ml/flight_delay/dvc.yaml",
    "pipelines/ml/repurchase/dvc.yaml",
)

STORE = ROOT / "slipway" / "features"
FED = [each for each in PROJECTS if each.model().looked_up is not None]


def test_at_least_three_models_are_fed() -> None:
    names = {each.name for each in FED}
    trained = {each.name for each in FED if not elsewhere(each)}
    assert names == set(definitions.load().services) > trained
    assert trained >= {"churn", "customer_segments", "repurchase"}


def elsewhere(project: Project) -> str | None:
    """Return why the training rows do not come from the store, None if they do."""
    return getattr(project.module("data"), "NOT_FROM_STORE", None)


def feeds() -> dict[str, list[str]]:
    """Return the models that read each view, by the name of the view."""
    known = definitions.load()
    found: dict[str, list[str]] = {name: [] for name in (*known.views, *known.on_demand)}
    for service in sorted(known.services):
        plan = known.plan(service)
        for view in (*(read.view for read in plan.reads), *plan.transformations):
            found[view.name].append(service)
    return found


@pytest.mark.parametrize("page", ["feature_repo/README.md", "docs/systems/feature_store.md"])
def test_a_page_says_which_views_feed_which_models(page: str) -> None:
    """Each row of the table begins with a view and ends with its models."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", (ROOT / page).read_text(), re.MULTILINE)
    written = {view: re.findall(r"`(\w+)`", models) for view, models in rows}
    assert {view: written.get(view) for view in feeds()} == feeds()


def test_views_are_shared() -> None:
    assert sum(len(models) > 1 for models in feeds().values()) >= 3


@pytest.mark.parametrize("project", FED, ids=by_name)
def test_training_depends_on_the_features_and_writes_their_lineage(project: Project) -> None:
    stages = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"]
    assert project.model().looked_up is not None
    plan = definitions.load().plan(project.model().looked_up.service)
    built = {definitions.table_of(read.view).name for read in plan.reads}
    code = {Path(tables.find(name).code).resolve() for name in built}
    for stage, needed in (("prepare", "history.py"), ("fit", "lineage.py")):
        deps = {(project.folder / each).resolve() for each in stages[stage]["deps"]}
        if stage == "prepare" and elsewhere(project):
            assert code <= deps
            continue
        assert code | {STORE / needed} <= deps
        assert any(each.parent == ROOT / "feature_repo" for each in deps)


def test_a_view_names_every_model_that_was_trained_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lineage of each service, as the stage `fit` writes it, under its own model's name."""
    fake_models = ModelRegistryFixture(tmp_path / "fake_models")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fake_models.uri)
    for project in FED:
        assert project.model().looked_up is not None
        record = lineage.record(project.model().looked_up.service)
        assert set(record["features"]) <= set(project.model().input_type().model_fields)
        weights = {lineage.FILE: json.dumps(record).encode()}
        fake_models.add(project.name, echo(project.name), weights=weights)
        (found,) = lineage.of_model(project.name)
        assert found.changed() == []
    for view, models in feeds().items():
        assert sorted(each.model for each in lineage.of_feature(view)) == models
    used = {each.model for each in lineage.of_feature("customer_year", "net_spent_365d")}
    assert used == {"customer_segments"}
