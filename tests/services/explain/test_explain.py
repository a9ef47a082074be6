"""The dashboard: explanations of models with known effects, and every page of every model."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from services.explain import bias, forms, importance, local, words
from services.explain.subject import catalogue, changed, explaining, load
from slipway import home
from slipway.contract import Model, Record
from slipway.explain import Shapley
from slipway.project import find
from tests.conftest import ROOT, running
from tests.services.explain.dashboard import PAGE, open_every_page
from tests.small_models import NAMES, SmallModels

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/explain/*", "slipway/explain/*")


class Applicant(Record):
    income: float
    debt: float
    town: str
    age: int | None = None


class Chance(Record):
    chance: float
    note: str = ""


class Linear(Model):
    """A chance of 0.4 + 0.3 income - 0.2 debt, and 0.1 more in the north."""

    explained = "chance"

    def predict(self, model_input: list[Applicant]) -> list[Chance]:
        return [
            Chance(chance=0.4 + 0.3 * each.income - 0.2 * each.debt + 0.1 * (each.town == "north"))
            for each in model_input
        ]


def applicants(count: int, *, seed: int) -> list[Record]:
    rng = np.random.default_rng(seed)
    return [
        Applicant(
            income=rng.random(),
            debt=rng.random(),
            town=str(rng.choice(["north", "south", "west"])),
            age=None if rng.random() < 0.3 else int(rng.integers(18, 90)),
        )
        for _ in range(count)
    ]


def test_shap_values_are_the_librarys_and_add_up() -> None:
    """Compare with shap's exact explainer over the same reference."""
    import shap  # takes seconds, and only this test needs it

    background, records = applicants(20, seed=1), applicants(5, seed=2)
    found = importance.attributions(Linear(), "chance", background, records)
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.predictions)
    towns = ["north", "south", "west"]

    def table(rows: list[Record]) -> np.ndarray:
        return np.array([[r.income, r.debt, towns.index(r.town), r.age or 0] for r in rows])

    def predict(columns: np.ndarray) -> np.ndarray:
        rows = [
            Applicant(income=income, debt=debt, town=towns[int(town)], age=int(age))
            for income, debt, town, age in columns
        ]
        return np.array([each.chance for each in Linear().predict(rows)])

    masker = shap.maskers.Independent(table(background), max_samples=len(background))
    theirs = shap.explainers.Exact(predict, masker)(table(records))
    assert found.values == pytest.approx(theirs.values, abs=1e-9)


def test_a_slow_first_call_changes_no_explanation() -> None:
    """The model server explains by all of the rows, too."""

    class Cold(Linear):
        def __init__(self) -> None:
            self.calls = 0

        def predict(self, model_input: list[Applicant]) -> list[Chance]:
            self.calls += 1
            time.sleep(2 if self.calls == 1 else 0)
            return super().predict(model_input)

    background, record = applicants(100, seed=1), applicants(1, seed=2)[0]
    found = importance.shapley_of(Cold(), "chance", background).explain(record)
    served = Shapley(Linear(), background).explain(record)
    assert (found.references, found.base) == (served.references, served.base)


def test_an_ignored_field_has_no_importance() -> None:
    found = importance.attributions(
        Linear(), "chance", applicants(30, seed=3), applicants(30, seed=4)
    )
    assert found.importance()[0][0] == "income"
    assert found.importance()[-1][0] == "age"
    assert found.importance()[-1][1:] == pytest.approx((0, 0), abs=1e-12)


def test_lime_has_the_signs_of_a_linear_model() -> None:
    """The record has a high income, a high debt, and lies in the north."""
    own = Applicant(income=0.95, debt=0.95, town="north", age=40)
    found = local.lime(Linear(), "chance", applicants(100, seed=5), own)
    assert found.weights["income"] == pytest.approx(0.3 * 0.5, abs=0.05)
    assert found.weights["debt"] == pytest.approx(-0.2 * 0.5, abs=0.04)
    assert found.weights["town"] == pytest.approx(0.1, abs=0.03)
    assert abs(found.weights["age"]) < 0.02
    assert found == local.lime(Linear(), "chance", applicants(100, seed=5), own)


def test_lime_explains_a_value_that_is_not_in_the_reference() -> None:
    own = Applicant(income=0.5, debt=0.5, town="abroad")
    rows = [changed(each, {"town": "north"}) for each in applicants(50, seed=6)]
    assert local.lime(Linear(), "chance", rows, own).weights["town"] == pytest.approx(
        -0.1, abs=0.03
    )


def test_partial_dependence_is_the_slope_of_the_model() -> None:
    rows = applicants(60, seed=7)
    dependence = importance.dependence(Linear(), "chance", rows, "income")
    slope = np.diff(dependence.mean) / np.diff(dependence.values)
    assert slope == pytest.approx(0.3)
    towns = importance.dependence(Linear(), "chance", rows, "town")
    by_town = dict(zip(towns.values, towns.mean, strict=True))
    assert by_town["north"] - by_town["west"] == pytest.approx(0.1)
    assert (dependence.low < dependence.mean).all()
    assert (dependence.mean < dependence.high).all()


def test_sentences_say_what_the_model_does() -> None:
    rows = applicants(200, seed=8)
    found = importance.contrast(Linear(), "chance", rows, "income")
    assert found is not None
    gap = found.other - found.usual
    sentence = words.general(found, "chance", share=True)
    assert sentence == (
        f"An income {gap:.3g} above the usual {found.usual:.3g} raises the chance by "
        f"{30 * gap:.1f} points on average."
    )
    town = importance.contrast(Linear(), "chance", rows, "town")
    assert town is not None
    assert "north" in (town.usual, town.other)
    assert town.change == pytest.approx(0.1 if town.other == "north" else -0.1)
    assert words.reason("debt", 0.9, 0.5, -0.08, "chance", share=True) == (
        "A debt of 0.9, 0.4 above the usual 0.5, lowers the chance by 8.0 points."
    )
    assert words.reason("floor_area", None, 80.0, 12_345.0, "price", share=False) == (
        "That floor area is unknown raises the price by 12,300."
    )


def test_an_effect_that_rounds_to_nothing_has_no_direction() -> None:
    for moved in (0.0, 0.0004, -0.0004):
        assert words.reason("age", 30, 40, moved, "chance", share=True) == (
            "An age of 30, 10 below the usual 40, hardly moves the chance."
        )
    found = importance.contrast(Linear(), "chance", applicants(200, seed=8), "age")
    assert found is not None
    assert words.general(found, "chance", share=True).endswith(
        "hardly moves the chance on average."
    )
    assert words.reason("age", None, 40, -0.0006, "chance", share=True) == (
        "That age is unknown lowers the chance by 0.1 points."
    )
    assert words.reason("rooms", 2, 3, 0.0, "price", share=False).endswith("moves the price.")
    assert words.reason("rooms", 2, 3, 0.0004, "price", share=False).endswith("by 0.0004.")


def judged(chances: dict[str, float], *, rows: int, seed: int) -> list[dict[str, Any]]:
    """Return test rows with half positive labels; the true positive rate depends on the group."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        group = str(rng.choice(sorted(chances)))
        truth = bool(rng.random() < 0.5)
        granted = bool(rng.random() < (chances[group] if truth else 0.1))
        prediction = {"granted": granted, "probability": 0.9 * granted + 0.05}
        found.append({"record": {"group": group}, "prediction": prediction, "label": truth})
    return found


def test_a_planted_bias_is_found_and_a_fair_model_is_left_alone() -> None:
    planted = bias.bias(judged({"a": 0.9, "b": 0.5}, rows=800, seed=1), "group")
    assert planted is not None
    assert planted.found
    [b] = planted.comparisons
    assert (planted.baseline, b.group) == ("a", "b")
    assert b.verdict == "below four fifths, beyond chance"
    assert b.opportunity is not None
    assert b.opportunity.value == pytest.approx(-0.4, abs=0.1)
    fair = {"a": 0.8, "b": 0.8, "c": 0.8, "d": 0.8}
    alarms = [
        result.found
        for seed in range(60)
        if (result := bias.bias(judged(fair, rows=800, seed=seed), "group"))
    ]
    # Two judgements per field, each wrong at most 1 time in 20.
    assert sum(alarms) <= 8
    assert len(alarms) == 60


def test_calibration_is_of_each_group() -> None:
    """The probabilities are calibrated in one group and twice too high in the other."""
    rng = np.random.default_rng(2)
    rows = []
    for place in range(3000):
        group, probability = "ab"[place % 2], float(rng.random())
        truth = bool(rng.random() < (probability if group == "a" else probability / 2))
        prediction = {"granted": probability > 0.5, "probability": probability}
        rows.append({"record": {"group": group}, "prediction": prediction, "label": truth})
    found = bias.bias(rows, "group")
    assert found is not None
    assert {each.group for each in found.calibration} == {"a", "b"}
    for each in found.calibration:
        rate = each.mean_probability if each.group == "a" else each.mean_probability / 2
        assert each.positive_share.low - 0.03 < rate < each.positive_share.high + 0.03


def test_the_ratio_of_rates_has_its_coverage() -> None:
    """Also with few rows, 95 of 100 intervals cover the true ratio."""
    rng = np.random.default_rng(3)
    inside = 0
    for one, other in zip(rng.binomial(60, 0.2, 2000), rng.binomial(80, 0.4, 2000), strict=True):
        ratio = bias.ratio((one, 60), (other, 80), coverage=0.95)
        inside += ratio.low <= 0.5 <= ratio.high
    assert 0.94 <= inside / 2000 <= 0.99
    assert bias.ratio((0, 50), (0, 50), coverage=0.95).value == 1


def test_drivers_add_up_to_the_gap_and_name_its_field() -> None:
    found = importance.attributions(
        Linear(), "chance", applicants(60, seed=9), applicants(60, seed=10)
    )
    drivers = bias.drivers(found, "town")
    assert drivers["north"][0][0] == "town"
    for group, fields in drivers.items():
        own = [each.town == group for each in found.records]
        gap = found.predictions[own].mean() - found.predictions.mean()
        assert sum(value for _, value in fields) == pytest.approx(gap)


def test_the_form_follows_the_schema() -> None:
    fields = {
        widget.name: widget
        for widget in forms.widgets(
            load_model("titanic").input_type(),
        )
    }
    assert fields["sex"].choices == ("female", "male")
    assert fields["embarked"].choices == ("C", "Q", "S")
    assert (fields["embarked"].optional, fields["sex"].optional) == (True, False)
    assert (fields["passenger_class"].kind, fields["passenger_class"].high) == ("integer", 3)
    assert (fields["age"].kind, fields["age"].optional, fields["age"].high) == ("number", True, 110)
    assert fields["name"].kind == "text"
    [ratings] = [
        widget
        for widget in forms.widgets(load_model("movies").input_type())
        if widget.name == "ratings"
    ]
    assert ratings.kind == "json"
    with pytest.raises(
        ValueError, match="passenger_class: Input should be less than or equal to 3"
    ):
        forms.record(
            load_model("titanic").input_type(),
            {
                "name": "x",
                "sex": "male",
                "passenger_class": 4,
                "siblings_spouses": 0,
                "parents_children": 0,
                "fare": 3,
            },
        )


def load_model(name: str) -> Model:
    return find(name).model()


@pytest.mark.parametrize("name", NAMES)
def test_every_page_of_every_model(
    small_registry: SmallModels, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page fails; the pages of a model without a number say what cannot be shown.

    tests/pipelines/test_projects.py does the same with the projects' models.
    """
    assert open_every_page(name, monkeypatch) == (name != "shapes")


def test_the_slider_sets_how_many_rows_are_explained(
    small_registry: SmallModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "SECONDS", dict.fromkeys(importance.SECONDS, 0.02))
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    page.sidebar.selectbox(key="project").select("loans").run()
    page.sidebar.radio(key="page").set_value("What matters").run()
    for rows in (60, 20):
        page.sidebar.slider(key="rows").set_value(rows).run()
        assert not page.exception
        assert any(f"over {rows} test rows" in each.value for each in page.caption)


def test_a_record_edited_in_the_form_is_what_is_explained(small_registry: SmallModels) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    page.sidebar.selectbox(key="project").select("loans").run()
    page.sidebar.radio(key="page").set_value("One prediction").run()
    version = catalogue()["loans"][0]
    subject = load("loans", version)
    [region] = [each for each in page.selectbox if each.label == "region"]
    region.select("south" if region.value == "north" else "north")
    [submit] = [each for each in page.button if each.label == "Explain"]
    submit.click().run()
    # The page uses 60 rows until the slider is moved.
    record = changed(subject.records(60)[0], {"region": region.value})
    [prediction] = subject.model.predict([record])
    probability = words.number(prediction.probability, share=True)
    assert any(
        each.value.startswith(f"The probability for this record is {probability};")
        for each in page.subheader
    )


def test_an_undeclared_number_can_be_explained(small_registry: SmallModels) -> None:
    loans = load("loans", catalogue()["loans"][0])
    houses = load("houses", catalogue()["houses"][0])
    assert type(loans.model).explained == loans.numbers[0] == "probability"
    assert type(houses.model).explained is None
    assert type(explaining(houses.model, "price")).explained == "price"
    found = importance.attributions(
        houses.model, "price", houses.background[:20], houses.records(3)
    )
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.predictions)


def test_the_command_listens_on_loopback_only(tmp_path: Path) -> None:
    port = home.free_port()
    address = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    with running(
        *(sys.executable, "-m", "slipway", "dashboard"),
        env={"SLIPWAY_EXPLAIN_PORT": str(port), "SLIPWAY_HOME": str(tmp_path)},
        log=log,
        ready=f"{address}/_stcore/health",
        folder=ROOT / "docs",
    ) as process:
        assert httpx.get(address).status_code == 200
        import psutil

        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        listening = {
            each.laddr.ip
            for one in family
            for each in one.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}
    output = log.read_text()
    assert address in output
    assert "External URL" not in output
    assert "Network URL" not in output


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SLIPWAY_EXPLAIN_PORT", "eighty", "must be a port number"),
        ("SLIPWAY_EXPLAIN_HOST", "everywhere", "must be an IP address"),
    ],
)
def test_an_invalid_setting_is_reported(variable: str, value: str, complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slipway", "dashboard"],
        cwd=ROOT,
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1
    assert f"{variable} {complaint}" in done.stderr
