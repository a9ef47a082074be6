"""AutoML: budgets that hold, searches that come out alike, and what was selected extracted."""

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
from slipway.training import Examples
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
        features([each for each, _ in some])["numbers"], np.array([truth for _, truth in some])
    )


def test_nobody_is_on_both_sides_or_twice(sides: Sides) -> None:
    """Sex is no feature: who differs in it alone is the same row to the model."""
    keys = [each.model_dump_json(exclude={"sex"}) for rows in sides.values() for each, _ in rows]
    assert len(set(keys)) == len(keys) == 29_874
    assert np.mean([truth for _, truth in sides["test"]]) == pytest.approx(0.221, abs=0.002)


def test_features_by_hand(sides: Sides) -> None:
    card = sides["train"][0][0]
    bills = {f"bill_{month}": 1000.0 * month for month in range(1, 7)}
    paid = {f"paid_{month}": 500.0 for month in range(1, 7)}
    delays = {f"delay_{month}": month - 2 for month in range(1, 7)}
    changed = {**bills, **paid, **delays, "credit_limit": 10_000.0, "bill_3": -5.0}
    made = card.model_copy(update=changed)
    told = dict(zip(NUMBERS, features([made])["numbers"][0].tolist(), strict=True))
    assert (told["months_behind"], told["worst_delay"], told["mean_delay"]) == (4, 4, 1.5)
    assert told["use_2"] == pytest.approx(0.2)
    assert told["use_grew"] == pytest.approx(-0.5)
    assert told["share_paid_1"] == pytest.approx(0.25)
    assert told["share_paid_2"] == 1
    assert told["paid_of_limit"] == pytest.approx(0.3)
    other = {"male": "female", "female": "male"}[made.sex]
    swapped = features([made.model_copy(update={"sex": other})])["numbers"]
    assert (swapped == features([made])["numbers"]).all()


def test_a_search_over_its_time_is_stopped_and_keeps_its_trials() -> None:
    # The time is of starting Python too, which a busy machine stretches.
    tries = (run(slow, Budget(1, seconds, 200)) for seconds in (4.0, 20.0, 100.0))
    found = next(each for each in tries if each.trials)
    assert found.ended == "time"
    assert found.trials == [TRIED]


def test_a_search_over_its_memory_is_stopped_and_keeps_its_trials() -> None:
    found = run(hungry, Budget(1, 120.0, 200))
    assert found.ended == "memory"
    assert found.trials == [TRIED]


def test_within_its_budget_it_ends_and_a_fault_is_told() -> None:
    assert run(hungry, Budget(1, 120.0, 600)).ended == "done"
    with pytest.raises(RuntimeError, match="broken"):
        run(broken, Budget(1, 120.0, 200))


def test_a_trial_over_the_memory_is_told_and_the_search_goes_on(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(settings: dict, seed: int) -> object:
        if settings["learner"] == "network":
            raise MemoryError
        return pipeline({"learner": "logistic", "columns": "as_given", "percent_kept": 100}, seed)

    monkeypatch.setattr(searches, "pipeline", prepared)
    told: list[Trial] = []
    searches.optimise(
        told.append, fits=60, rows=rows, seed=1, sampler="random", prune=False, trees=40
    )
    over = [each.settings["learner"] == "network" for each in told]
    assert [each.ended == "memory" for each in told] == over
    assert 0 < sum(over) < len(told)
    assert all((each.score is None) == (each.ended == "memory") for each in told)


@pytest.mark.parametrize("prune", [False, True])
def test_optuna_comes_out_alike_and_keeps_to_its_fits(rows: Rows, prune: bool) -> None:
    runs: list[list[Trial]] = [[], []]
    for told in runs:
        searches.optimise(
            told.append, fits=36, rows=rows, seed=3, sampler="tpe", prune=prune, trees=40
        )
    assert runs[0] == runs[1]
    assert 36 <= runs[0][-1].fits < 36 + FOLDS
    used = np.diff([0, *(each.fits for each in runs[0])])
    pruned = np.array([each.ended == "pruned" for each in runs[0]])
    assert (len(runs[0]) > 12) == pruned.any() == prune
    # Whoever has all folds has a score.
    assert (used[~pruned] == FOLDS).all()
    assert (used[pruned] < FOLDS).all()


def test_who_has_all_folds_is_not_pruned(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(self: object, study: object, trial: optuna.trial.FrozenTrial) -> bool:
        return len(trial.intermediate_values) == FOLDS

    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", prune)
    told: list[Trial] = []
    searches.optimise(told.append, fits=6, rows=rows, seed=3, sampler="tpe", prune=True, trees=40)
    assert [each.ended for each in told] == ["complete", "complete"]


def test_flaml_comes_out_alike_and_its_pipelines_are_extracted(rows: Rows) -> None:
    runs: list[list[Trial]] = [[], []]
    for told in runs:
        searches.flaml(told.append, fits=18, rows=rows, seed=3)
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
    told = {"one": one, "shifted": one + 5, "alike": one + rng.normal(0, 0.05, 2_000)}
    told["other"] = defaulted + rng.normal(0, 1, 2_000)
    errors = train.apart(train.resampled_areas(told, defaulted, 0), "one")
    # Of an area alone it is 0.011 on so many rows, and of two that share nothing 0.016.
    assert errors["one"] == errors["shifted"] == 0
    assert 0 < errors["alike"] < 0.002
    assert errors["other"] == pytest.approx(0.016, abs=0.003)


def test_the_search_that_took_least_is_chosen_within_the_error() -> None:
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


def test_searches_never_see_the_rows_that_judge_them(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []
    judges: list[np.ndarray] = []

    def here(search: budget.Search, budget: Budget, **arguments: Rows) -> budget.Found:
        given.append(arguments["rows"].numbers)
        told: list[Trial] = []
        search(told.append, fits=budget.fits, **arguments)
        return train.Found(told, "done")

    judged = train.judged

    def seen(name: str, settings: dict, found: object, first: Rows, second: Rows, seed: int):
        judges.append(second.numbers)
        return judged(name, settings, found, first, second, seed)

    monkeypatch.setattr(train, "run", here)
    monkeypatch.setattr(train, "judged", seen)
    some = sides["train"][:400]
    by_hand = [{"learner": "logistic", "preparation": "bins", **SETTINGS}]
    train.fit(
        train=Examples([each for each, _ in some], [truth for _, truth in some]),
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
    assert all(not searched & {row.tobytes() for row in each} for each in judges)
    assert {len(each) for each in judges} == {100}


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
def test_whatever_is_selected_can_be_served(rows: Rows, settings: dict, tmp_path: Path) -> None:
    with searches.quiet():
        made = pipeline({**settings, **SETTINGS}, 0).fit(rows.numbers, rows.defaulted)
    export_boosting()
    export_onnx(made, {"numbers": len(NUMBERS)}, tmp_path)
    (tmp_path / "decision.json").write_text('{"threshold": 0.5}')
    served = Automl()
    served.load(tmp_path)
    told = served.run({"numbers": rows.numbers})["probabilities"][:, 1]
    wanted = made.predict_proba(rows.numbers)[:, 1]
    assert np.abs(told - wanted).max() < 1e-4
    assert np.std(told) > 0.01


def test_a_search_that_the_clock_cut_is_not_served(
    sides: Sides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect = {"learner": "lightgbm", **SETTINGS}

    def cut(*_: object, **__: object) -> dict[str, train.Found]:
        return {"flaml": train.Found([Trial(perfect, 0.9, 3, "complete")], "time")}

    judged = train.judged

    def flattered(name: str, *rest: object):
        candidate, told = judged(name, *rest)
        if name == "flaml":
            candidate.metrics["roc_auc"] = 1.0
        return candidate, told

    monkeypatch.setattr(train, "searched", cut)
    monkeypatch.setattr(train, "judged", flattered)
    some = sides["train"][:300]
    examples = Examples([each for each, _ in some], [truth for _, truth in some])
    same = {"seed": 1, "fits": 3, "seconds": 1, "megabytes": 1, "trees": 40, "by_hand": []}
    fitted = train.fit(train=examples, weights=tmp_path, searches=["flaml"], **same)
    assert fitted.chosen != "flaml"
    assert "flaml" in {each.name for each in fitted.candidates}
