"""House prices: no sale on both sides, outliers leave training only, no column knows the price."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ml.house_prices import data, recipes, train
from pipelines.ml.house_prices.model import NUMBERS, TYPICAL, House, features
from slipway.datasets import fetch
from slipway.training import Examples
from slipway.training.frames import together

SEED, SHARE = 11, 0.2


@pytest.fixture(scope="module")
def splits() -> dict[str, Examples]:
    made = data.splits(fetch("ames_houses"), seed=SEED, test_share=SHARE)
    return {name: Examples(*map(list, zip(*rows, strict=True))) for name, rows in made.items()}


@pytest.fixture(scope="module")
def house(splits: dict[str, Examples]) -> House:
    return splits["train"].records[0]


def told(house: House) -> dict[str, float]:
    return dict(zip(NUMBERS, features([house])["numbers"][0].tolist(), strict=True))


def test_no_sale_is_on_both_sides(splits: dict[str, Examples]) -> None:
    sides = [
        {(house.model_dump_json(), price) for house, price in splits[name]}
        for name in ("train", "test")
    ]
    assert not sides[0] & sides[1]
    assert [len(splits[name]) for name in ("train", "test")] == [1166, 292]


def huge(rows: list[tuple[House, float]]) -> int:
    return sum(house.living_area > 4000 and price < 300_000 for house, price in rows)


def test_outliers_leave_the_training_rows_only() -> None:
    """With one seed or another the two houses fall to either side."""
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


def test_no_column_is_the_price(splits: dict[str, Examples]) -> None:
    """Total area and quality come nearest: 0.84 of the logarithm."""
    numbers = features(splits["train"].records)["numbers"]
    logs = np.log(splits["train"].truths)
    shares = pd.DataFrame(numbers).corrwith(pd.Series(logs)).abs()
    assert shares.max() < 0.9


def test_a_column_knows_its_house_and_no_other(splits: dict[str, Examples]) -> None:
    houses = splits["test"].records
    together = features(houses)
    for place in (0, 100, 291):
        alone = features([houses[place]])
        np.testing.assert_array_equal(together["numbers"][place], alone["numbers"][0])
        assert together["categories"][place].tolist() == alone["categories"][0].tolist()


def test_prices_dealt_out_at_random_are_told_by_no_candidate(
    splits: dict[str, Examples], tmp_path: Path
) -> None:
    """Whatever is learnt of prices outside the folds would tell some of those held out."""
    few = splits["train"].head(300)
    dealt = np.random.default_rng(0).permutation(few.truths).tolist()
    fitted = train.fit(
        train=Examples(few.records, dealt), weights=tmp_path, seed=1, folds=5, alphas=3, trees=20
    )
    assert [each.name for each in fitted.candidates] == list(train.SIMPLEST_FIRST)
    told = {each.name: each.metrics["r2_log"] for each in fitted.candidates}
    assert max(told.values()) < 0.02, told


def test_gaps_are_filled_and_scaled_by_the_rows_that_are_fitted(
    splits: dict[str, Examples],
) -> None:
    columns = together(features(splits["train"].records))[:200]
    logs = np.log(np.array(splits["train"].truths[:200]) / TYPICAL)
    for trees in (False, True):
        recipe = recipes.recipes(recipes.Ridge(), 5, 0)[
            "gradient_boosting" if trees else "ridge_mean"
        ]
        made = recipes.pipeline(recipe).fit(columns[:100], logs[:100])
        numbers = made["prepared"].named_transformers_["numbers"]
        frontage = NUMBERS.index("lot_frontage")
        known = columns[:100, frontage].astype(float)
        learnt = numbers.statistics_ if trees else numbers[0].mean_
        wanted = np.nanmedian(known) if trees else np.nanmean(known)
        assert learnt[frontage] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("built", "remodelled", "wanted"),
    [
        (1930, None, 1950),
        (1930, 1950, 1950),
        (1930, 1940, 1950),
        (2003, None, 2003),
        (1975, 1990, 1990),
    ],
)
def test_never_remodelled_is_the_year_built_or_1950_as_in_the_assessors_table(
    house: House, built: int, remodelled: int | None, wanted: int
) -> None:
    made = told(
        house.model_copy(
            update={"year_built": built, "year_remodelled": remodelled, "year_sold": 2008}
        )
    )
    assert made["year_remodelled"] == wanted
    assert made["years_since_remodelled"] == 2008 - wanted


def test_the_assessors_table_says_so(splits: dict[str, Examples]) -> None:
    houses = splits["train"].records
    assert min(each.year_remodelled for each in houses) == 1950
    assert all(each.year_remodelled >= each.year_built for each in houses)
    assert all(told(each)["year_remodelled"] == each.year_remodelled for each in houses)


def test_unknown_is_not_zero(house: House) -> None:
    gaps = ("lot_frontage", "masonry_veneer_area", "garage_year")
    made = told(house.model_copy(update=dict.fromkeys(gaps)))
    assert {name for name, value in made.items() if np.isnan(value)} == {*gaps}
    assert all(made[f"{name}_missing"] == 1 for name in gaps)
    without = told(house.model_copy(update={"basement_quality": None}))
    assert without["basement_quality"] == 0


def test_baths_and_ages_are_worked_out(house: House) -> None:
    made = told(
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
    assert made["total_baths"] == 4
    assert (made["age"], made["is_new"]) == (0, 1)  # sold before it stood
    assert made["log_total_area"] == pytest.approx(np.log(1500))
