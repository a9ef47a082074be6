"""Titanic: no passenger is in both splits, and titles and cabins are parsed."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.ml.titanic import data, report, train
from pipelines.ml.titanic.model import (
    CATEGORIES,
    NUMBERS,
    UNKNOWN,
    Passenger,
    deck,
    features,
    title,
)
from slipway.datasets import fetch

PASSENGER = Passenger(
    name="Perkin, Mr. John Henry",
    sex="male",
    passenger_class=3,
    siblings_spouses=0,
    parents_children=0,
    fare=7.25,
)


def named_features(passenger: Passenger) -> dict[str, object]:
    blocks = features([passenger])
    return dict(zip(NUMBERS, blocks["numbers"][0], strict=True)) | dict(
        zip(CATEGORIES, blocks["categories"][0], strict=True)
    )


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[Passenger, bool]]]:
    pairs = data.splits(fetch("titanic"), seed=11, test_share=0.2)
    return {name: list(rows) for name, rows in pairs.items()}


def test_no_passenger_is_in_both_splits_and_the_share_of_survivors_is_equal(splits: dict) -> None:
    sides = [[passenger.name for passenger, _ in splits[name]] for name in ("train", "test")]
    assert len({*sides[0], *sides[1]}) == sum(map(len, sides)) == 891
    shares = [np.mean([survived for _, survived in rows]) for rows in splits.values()]
    assert shares[0] == pytest.approx(shares[1], abs=0.005)


def test_the_model_card_counts_test_passengers_who_travelled_with_training_passengers(
    splits: dict,
) -> None:
    parties = [
        [(passenger.name.partition(",")[0], passenger.fare) for passenger, _ in splits[name]]
        for name in ("train", "test")
    ]
    assert sum(party in set(parties[0]) for party in parties[1]) == 53


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Cumings, Mrs. John Bradley (Florence Briggs Thayer)", "Mrs"),
        ("Rothes, the Countess. of (Lucy Noel Martha Dyer-Edwards)", "Rare"),
        ("Sagesser, Mlle. Emma", "Miss"),
        ("Mr. John Perkin", "Mr"),
        ("miss Laina Heikkinen", "Miss"),
        ("Perkin", "Rare"),
        (",", "Rare"),
    ],
)
def test_the_title_comes_after_the_comma_or_first(name: str, expected: str) -> None:
    assert title(name) == expected


def test_ten_titles_of_23_passengers_are_rare(splits: dict) -> None:
    names = [passenger.name for rows in splits.values() for passenger, _ in rows]
    rare = [name for name in names if title(name) == "Rare"]
    assert len(rare) == 23
    assert len({name.partition(", ")[2].partition(".")[0] for name in rare}) == 10


@pytest.mark.parametrize("cabin", [None, "", "  "])
def test_a_blank_cabin_counts_as_no_cabin(cabin: str | None) -> None:
    named = named_features(PASSENGER.model_copy(update={"cabin": cabin}))
    assert (named["has_cabin"], named["deck"]) == (0, UNKNOWN)


@pytest.mark.parametrize("cabin", ["C85", " c85", "C23 C25 C27"])
def test_the_deck_is_the_first_letter_of_the_cabin(cabin: str) -> None:
    named = named_features(PASSENGER.model_copy(update={"cabin": cabin}))
    assert (named["has_cabin"], named["deck"]) == (1, "C")


def test_a_cabin_and_its_deck_are_known_together(splits: dict) -> None:
    """A combination that no training row has would get an arbitrary prediction."""
    for passenger, _ in splits["train"]:
        assert (deck(passenger.cabin) == UNKNOWN) == (passenger.cabin is None)


def test_features_of_a_passenger_do_not_depend_on_other_rows(splits: dict) -> None:
    passengers = [passenger for passenger, _ in splits["test"]]
    together = features(passengers)
    for place in (0, 57, 178):
        alone = features([passengers[place]])
        np.testing.assert_array_equal(together["numbers"][place], alone["numbers"][0])
        assert together["categories"][place].tolist() == alone["categories"][0].tolist()
    assert features([])["numbers"].shape == (0, len(NUMBERS))


def test_gaps_are_filled_from_training_rows_alone() -> None:
    """Ages of a held-out fold must not move the median that fills gaps."""
    pipeline = train.pipeline(train.estimators(0)["logistic"])
    ages = [20.0, 20.0, 20.0, 70.0, 70.0, 70.0]
    columns = train.concatenate_blocks(
        features([PASSENGER.model_copy(update={"age": age}) for age in ages])
    )
    pipeline.fit(columns[:3], [True, False, True])
    imputer = pipeline["prepared"].named_transformers_["numbers"][0]
    assert imputer.statistics_[NUMBERS.index("age")] == 20


def test_a_name_over_200_characters_is_refused() -> None:
    with pytest.raises(ValidationError, match="at most 200"):
        Passenger(**{**PASSENGER.model_dump(), "name": "x" * 201})


def test_families_of_seven_or_more_share_one_bar() -> None:
    sizes = [PASSENGER.model_copy(update={"siblings_spouses": more}) for more in (0, 5, 6, 8)]
    assert [report.family_size(each) for each in sizes] == ["1", "6", "7+", "7+"]
