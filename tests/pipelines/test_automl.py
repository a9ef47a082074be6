"""AutoML: budgets, reproducible searches and served pipelines."""

from pathlib import Path

import numpy as np
import optuna
import pytest

from pipelines.ml.automl import budget, data, searches, train
from pipelines.ml.automl.budget import Budget, Trial, run
from pipelines.ml.automl.model import NUMBERS, Automl, Cardholder, features
from pipelines.ml.automl.searches import FOLDS, Rows
from pipelines.ml.automl.space import pipeline
from slipway.datasets import fetch
from slipway.project import find
from slipway.training import LabelledRows
from slipway.training.boosting_export import export_boosting
from slipway.training.tabular import export_onnx
from tests.pipelines.automl_jobs import TRIED, broken, hungry, slow

Sides = dict[str, list[tuple[Cardholder, bool]]]
SETTINGS = {"columns": "with_ratios", "percent_kept": 60}


@pytest.fixture(scope="module")
def sides() -> Sides:
    split = data.splits(fetch("uci_credit_card_default"), seed=1, test_share=0.25)
    return {name: list(rows) for name, rows in split.items()}


@pytest.fixture(scope="module")
def rows(sides: Sides) -> Rows:
    some = sides["train"][:600]
    return Rows(
        features([each for each, _ in some])["numbers"], np.array([label for _, label in some])
    )


def test_no_cardholder_is_in_both_splits_or_repeated(sides: Sides) -> None:
    """Rows that differ only in sex are equal to the model, since sex is not a feature."""
    keys = [each.model_dump_json(exclude={"sex"}) for rows in sides.values() for each, _ in rows]
    assert len(set(keys)) == len(keys) == 29_874
    assert np.mean([label for _, label in sides["test"]]) == pytest.approx(0.221, abs=0.002)


def test_features_by_hand(sides: Sides) -> None:
    card = sides["train"][0][0]
    bills = {f"bill_{month}": 1000.0 * month for month in range(1, 7)}
    paid = {f"paid_{month}": 500.0 for month in range(1, 7)}
    delays = {f"delay_{month}": month - 2 for month in range(1, 7)}
    changed = {**bills, **paid, **delays, "credit_limit": 10_000.0, "bill_3": -5.0}
    made = card.model_copy(update=changed)
    values = dict(zip(NUMBERS, features([made])["numbers"][0].tolist(), strict=True))
    assert (values["months_behind"], values["worst_delay"], values["mean_delay"]) == (4, 4, 1.5)
    assert values["use_2"] == pytest.approx(0.2)
    assert values["use_grew"] == pytest.approx(-0.5)
    assert values["share_paid_1"] == pytest.approx(0.25)
    assert values["share_paid_2"] == 1
    assert values["paid_of_limit"] == pytest.approx(0.3)
    other = {"male": "female", "female": "male"}[made.sex]
    swapped = features([made.model_copy(update={"sex": other})])["numbers"]
    assert (swapped == features([made])["numbers"]).all()


def test_a_search_over_its_time_is_stopped_and_keeps_its_trials() -> None:
    # The time includes starting Python, which takes longer on a busy machine.
    tries = (run(slow, Budget(1, seconds, 200)) for seconds in (4.0, 20.0, 100.0))
    found = next(each for each in tries if each.trials)
    assert found.ended == "time"
    assert found.trials == [TRIED]


def test_a_search_over_its_memory_is_stopped_and_keeps_its_trials() -> None:
    found = run(hungry, Budget(1, 120.0, 200))
    assert found.ended == "memory"
    assert found.trials == [TRIED]


def test_a_search_within_its_budget_ends_and_an_error_is_raised() -> None:
    assert run(hungry, Budget(1, 120.0, 600)).ended == "done"
    with pytest.raises(RuntimeError, match="broken"):
        run(broken, Budget(1, 120.0, 200))


def test_a_trial_over_the_memory_is_recorded_and_the_search_goes_on(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(settings: dict, seed: int) -> object:
        if settings["learner"] == "network":
            raise MemoryError
        return pipeline({"learner": "logistic", "columns": "as_given", "percent_kept": 100}, seed)

    monkeypatch.setattr(searches, "pipeline", prepared)
    trials: list[Trial] = []
    searches.optimise(
        trials.append, fits=60, rows=rows, seed=1, sampler="random", prune=False, trees=40
    )
    over = [each.settings["learner"] == "network" for each in trials]
    assert [each.ended == "memory" for each in trials] == over
    assert 0 < sum(over) < len(trials)
    assert all((each.score is None) == (each.ended == "memory") for each in trials)


@pytest.mark.parametrize("prune", [False, True])
def test_optuna_is_reproducible_and_keeps_to_its_fits(rows: Rows, prune: bool) -> None:
    runs: list[list[Trial]] = [[], []]
    for trials in runs:
        searches.optimise(
            trials.append, fits=36, rows=rows, seed=3, sampler="tpe", prune=prune, trees=40
        )
    assert runs[0] == runs[1]
    assert 36 <= runs[0][-1].fits < 36 + FOLDS
    used = np.diff([0, *(each.fits for each in runs[0])])
    pruned = np.array([each.ended == "pruned" for each in runs[0]])
    assert (len(runs[0]) > 12) == pruned.any() == prune
    # A trial with all folds has a score.
    assert (used[~pruned] == FOLDS).all()
    assert (used[pruned] < FOLDS).all()


def test_a_trial_with_all_folds_is_not_pruned(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(self: object, study: object, trial: optuna.trial.FrozenTrial) -> bool:
        return len(trial.intermediate_values) == FOLDS

    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", prune)
    trials: list[Trial] = []
    searches.optimise(trials.append, fits=6, rows=rows, seed=3, sampler="tpe", prune=True, trees=40)
    assert [each.ended for each in trials] == ["complete", "complete"]


def test_flaml_is_reproducible_and_its_pipelines_are_extracted(rows: Rows) -> None:
    runs: list[list[Trial]] = [[], []]
    for trials in runs:
        searches.flaml(trials.append, fits=18, rows=rows, seed=3)
    assert runs[0] == runs[1]
    assert [each.fits for each in runs[0]] == list(range(3, 19, 3))
    assert {each.settings["learner"] for each in runs[0]} == {"lightgbm", "xgboost", "extra_trees"}
    exact = 0
    for each in runs[0]:
        score = float(np.mean(list(rows.scores(each.settings, 3))))
        # Boosters that draw columns or rows do so by a seed that FLAML keeps to itself.
        names = ("colsample_bytree", "colsample_bylevel", "subsample")
        if any(each.settings.get(name, 1.0) < 1 for name in names):
            assert score == pytest.approx(each.score, abs=0.02)
        else:
            assert score == pytest.approx(each.score, abs=1e-9)
            exact += 1
    assert exact >= 3


def test_areas_are_compared_on_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    defaulted = rng.random(2_000) < 0.3
    one = defaulted + rng.normal(0, 1, 2_000)
    y_prob = {"one": one, "shifted": one + 5, "alike": one + rng.normal(0, 0.05, 2_000)}
    y_prob["other"] = defaulted + rng.normal(0, 1, 2_000)
    errors = train.distance_errors(train.resampled_areas(y_prob, defaulted, 0), "one")
    # One area alone has an error of 0.011 on so many rows; two unrelated ones differ by 0.016.
    assert errors["one"] == errors["shifted"] == 0
    assert 0 < errors["alike"] < 0.002
    assert errors["other"] == pytest.approx(0.016, abs=0.003)


def test_the_simplest_search_within_one_standard_error_is_chosen() -> None:
    areas = {
        "baseline": 0.9,
        "logistic_as_it_comes": 0.72,
        "manual": 0.788,
        "random_search": 0.782,
        "flaml": 0.789,
    }
    tried = [train.Candidate(name, {"roc_auc": area}) for name, area in areas.items()]
    tried[2].metrics["cut"] = 1.0
    chosen = {error: train.choose(tried, dict.fromkeys(areas, error)).name for error in (0, 0.008)}
    assert chosen == {0: "flaml", 0.008: "random_search"}
    assert next(iter(train.UNTUNED)) == train.BASELINE
    assert list(train.SEARCHES) == find("automl").params.fit["searches"]


def test_searches_never_see_the_validation_rows(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []
    validation: list[np.ndarray] = []

    def run_here(search: budget.Search, budget: Budget, **arguments: Rows) -> budget.SearchResult:
        given.append(arguments["rows"].numbers)
        trials: list[Trial] = []
        search(trials.append, fits=budget.fits, **arguments)
        return train.SearchResult(trials, "done")

    validate = train.validate

    def seen(name: str, settings: dict, found: object, first: Rows, second: Rows, seed: int):
        validation.append(second.numbers)
        return validate(name, settings, found, first, second, seed)

    monkeypatch.setattr(train, "run", run_here)
    monkeypatch.setattr(train, "validate", seen)
    some = sides["train"][:400]
    by_hand = [{"learner": "logistic", "preparation": "bins", **SETTINGS}]
    train.fit(
        train=LabelledRows([each for each, _ in some], [label for _, label in some]),
        weights=tmp_path,
        seed=1,
        searches=["manual", "random_search"],
        fits=6,
        seconds=60,
        megabytes=600,
        trees=40,
        by_hand=by_hand,
    )
    assert [len(each) for each in given] == [300, 300]
    searched = {row.tobytes() for each in given for row in each}
    assert all(not searched & {row.tobytes() for row in each} for each in validation)
    assert {len(each) for each in validation} == {100}


@pytest.mark.parametrize(
    "settings",
    [
        {"learner": "logistic", "preparation": "bins"},
        {"learner": "logistic", "preparation": "squares"},
        {"learner": "network", "hidden_layer_sizes": [8, 12]},
        {"learner": "extra_trees", "n_estimators": 20},
        {"learner": "lightgbm", "n_estimators": 20},
        {"learner": "xgboost", "n_estimators": 20, "max_depth": 3},
    ],
    ids=lambda settings: "_".join(str(each) for each in settings.values()),
)
def test_every_learner_can_be_served(rows: Rows, settings: dict, tmp_path: Path) -> None:
    with searches.quiet():
        made = pipeline({**settings, **SETTINGS}, 0).fit(rows.numbers, rows.defaulted)
    export_boosting()
    export_onnx(made, {"numbers": len(NUMBERS)}, tmp_path)
    (tmp_path / "decision.json").write_text('{"threshold": 0.5}')
    served = Automl()
    served.load(tmp_path)
    y_prob = served.run({"numbers": rows.numbers})["probabilities"][:, 1]
    wanted = made.predict_proba(rows.numbers)[:, 1]
    assert np.abs(y_prob - wanted).max() < 1e-4
    assert np.std(y_prob) > 0.01


def test_a_search_stopped_by_its_time_is_not_served(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect = {"learner": "lightgbm", **SETTINGS}

    def cut(*_: object, **__: object) -> dict[str, train.SearchResult]:
        return {"flaml": train.SearchResult([Trial(perfect, 0.9, 3, "complete")], "time")}

    validate = train.validate

    def flattered(name: str, *rest: object):
        candidate, y_prob = validate(name, *rest)
        if name == "flaml":
            candidate.metrics["roc_auc"] = 1.0
        return candidate, y_prob

    monkeypatch.setattr(train, "run_searches", cut)
    monkeypatch.setattr(train, "validate", flattered)
    some = sides["train"][:300]
    rows = LabelledRows([each for each, _ in some], [label for _, label in some])
    same = {"seed": 1, "fits": 3, "seconds": 1, "megabytes": 1, "trees": 40, "by_hand": []}
    fitted = train.fit(train=rows, weights=tmp_path, searches=["flaml"], **same)
    assert fitted.chosen != "flaml"
    assert "flaml" in {each.name for each in fitted.candidates}
