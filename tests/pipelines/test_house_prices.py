"""House prices: no sale in both splits, outliers leave training only, no column leaks the price."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ml.house_prices import data, recipes, train
from pipelines.ml.house_prices.model import NUMBERS, TYPICAL, House, features
from slipway.datasets import fetch
from slipway.training import LabelledRows
from slipway.training.frames import concatenate_blocks

SEED, SHARE = 11, 0.2


@pytest.fixture(scope="module")
def splits() -> dict[str, LabelledRows]:
    pairs = data.splits(fetch("ames_houses"), seed=SEED, test_share=SHARE)
    return {name: LabelledRows(*map(list, zip(*rows, strict=True))) for name, rows in pairs.items()}


@pytest.fixture(scope="module")
def house(splits: dict[str, LabelledRows]) -> House:
    return splits["train"].records[0]


def named_features(house: House) -> dict[str, float]:
    return dict(zip(NUMBERS, features([house])["numbers"][0].tolist(), strict=True))


def test_no_sale_is_in_both_splits(splits: dict[str, LabelledRows]) -> None:
    sides = [
        {(house.model_dump_json(), price) for house, price in splits[name]}
        for name in ("train", "test")
    ]
    assert not sides[0] & sides[1]
    assert [len(splits[name]) for name in ("train", "test")] == [1166, 292]


def huge(rows: list[tuple[House, float]]) -> int:
    return sum(house.living_area > 4000 and price < 300_000 for house, price in rows)


def test_outliers_leave_the_training_rows_only() -> None:
    """Depending on the seed, each of the two houses falls into either split."""
    found = set()
    for seed in range(12):
        rows = {
            name: list(each)
            for name, each in data.splits(fetch("ames_houses"), seed=seed, test_share=SHARE).items()
        }
        assert huge(rows["train"]) == 0
        assert len(rows["test"]) == 292
        assert len(rows["train"]) == 1166 + huge(rows["test"])
        found.add(huge(rows["test"]))
    assert {0, 1} <= found


def test_no_column_is_the_price(splits: dict[str, LabelledRows]) -> None:
    """Total area and quality come closest, with a correlation of 0.84 with the logarithm."""
    numbers = features(splits["train"].records)["numbers"]
    logs = np.log(splits["train"].labels)
    shares = pd.DataFrame(numbers).corrwith(pd.Series(logs)).abs()
    assert shares.max() < 0.9


def test_features_of_a_house_do_not_depend_on_other_rows(splits: dict[str, LabelledRows]) -> None:
    houses = splits["test"].records
    together = features(houses)
    for place in (0, 100, 291):
        alone = features([houses[place]])
        np.testing.assert_array_equal(together["numbers"][place], alone["numbers"][0])
        assert together["categories"][place].tolist() == alone["categories"][0].tolist()


def test_no_candidate_predicts_shuffled_prices(
    splits: dict[str, LabelledRows], tmp_path: Path
) -> None:
    """A leak of prices across folds would predict some of the held-out ones."""
    some_rows = splits["train"].head(300)
    shuffled = np.random.default_rng(0).permutation(some_rows.labels).tolist()
    fitted = train.fit(
        train=LabelledRows(some_rows.records, shuffled),
        weights=tmp_path,
        seed=1,
        folds=5,
        alphas=3,
        trees=20,
    )
    assert [each.name for each in fitted.candidates] == list(train.SIMPLEST_FIRST)
    scores = {each.name: each.metrics["r2_log"] for each in fitted.candidates}
    assert max(scores.values()) < 0.02, scores


def test_imputer_and_scaler_are_fitted_on_the_training_rows_alone(
    splits: dict[str, LabelledRows],
) -> None:
    columns = concatenate_blocks(features(splits["train"].records))[:200]
    logs = np.log(np.array(splits["train"].labels[:200]) / TYPICAL)
    for trees in (False, True):
        recipe = recipes.recipes(recipes.Ridge(), 5, 0)[
            "gradient_boosting" if trees else "ridge_mean"
        ]
        pipeline = recipes.pipeline(recipe).fit(columns[:100], logs[:100])
        numbers = pipeline["prepared"].named_transformers_["numbers"]
        frontage = NUMBERS.index("lot_frontage")
        known = columns[:100, frontage].astype(float)
        learnt = numbers.statistics_ if trees else numbers[0].mean_
        expected = np.nanmedian(known) if trees else np.nanmean(known)
        assert learnt[frontage] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("built", "remodelled", "expected"),
    [
        (1930, None, 1950),
        (1930, 1950, 1950),
        (1930, 1940, 1950),
        (2003, None, 2003),
        (1975, 1990, 1990),
    ],
)
def test_a_house_never_remodelled_gets_the_year_built_or_1950_as_in_the_assessors_table(
    house: House, built: int, remodelled: int | None, expected: int
) -> None:
    named = named_features(
        house.model_copy(
            update={"year_built": built, "year_remodelled": remodelled, "year_sold": 2008}
        )
    )
    assert named["year_remodelled"] == expected
    assert named["years_since_remodelled"] == 2008 - expected


def test_the_assessors_table_follows_that_rule(splits: dict[str, LabelledRows]) -> None:
    houses = splits["train"].records
    assert min(each.year_remodelled for each in houses) == 1950
    assert all(each.year_remodelled >= each.year_built for each in houses)
    assert all(named_features(each)["year_remodelled"] == each.year_remodelled for each in houses)


def test_unknown_is_not_zero(house: House) -> None:
    gaps = ("lot_frontage", "masonry_veneer_area", "garage_year")
    named = named_features(house.model_copy(update=dict.fromkeys(gaps)))
    assert {name for name, value in named.items() if np.isnan(value)} == {*gaps}
    assert all(named[f"{name}_missing"] == 1 for name in gaps)
    without = named_features(house.model_copy(update={"basement_quality": None}))
    assert without["basement_quality"] == 0


def test_baths_and_ages_are_computed(house: House) -> None:
    named = named_features(
        house.model_copy(
            update={
                "full_baths": 2,
                "half_baths": 1,
                "basement_full_baths": 1,
                "basement_half_baths": 1,
                "year_built": 2009,
                "year_sold": 2008,
                "living_area": 1000.0,
                "basement_area": 500.0,
            }
        )
    )
    assert named["total_baths"] == 4
    assert (named["age"], named["is_new"]) == (0, 1)  # sold before it was built
    assert named["log_total_area"] == pytest.approx(np.log(1500))
