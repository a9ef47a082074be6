"""Shapley values, compared with their definition and with games of known values."""

import math
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import create_model

from slipway.contract import Model, Record
from slipway.explain import Explanation, NotExplainable, Shapley


class Output(Record):
    worth: float


Worth = Callable[[tuple[Any, ...]], float]


def game(count: int, worth: Worth, kind: Any = float) -> tuple[Model, Callable[..., Record]]:
    """Return a model of `count` fields that predicts `worth` of their values, and its records."""
    names = [f"field_{place}" for place in range(count)]
    fields: dict[str, Any] = dict.fromkeys(names, (kind, ...))
    sent: Any = create_model("Sent", __base__=Record, **fields)

    class Game(Model):
        explained = "worth"
        rows = 0

        def predict(self, model_input: list[sent]) -> list[Output]:
            self.rows += len(model_input)
            return [Output(worth=worth(tuple(vars(each).values()))) for each in model_input]

    return Game(), lambda values: sent(**dict(zip(names, values, strict=True)))


def by_definition(worth: Worth, own: tuple[Any, ...], reference: list[tuple[Any, ...]]) -> list:
    """Return each field's mean gain when it joins, over all orders and reference rows."""
    gains = np.zeros(len(own))
    orders = list(permutations(range(len(own))))
    for row in reference:
        for order in orders:
            mixed = list(row)
            for place in order:
                before = worth(tuple(mixed))
                mixed[place] = own[place]
                gains[place] += worth(tuple(mixed)) - before
    return list(gains / len(orders) / len(reference))


def in_order(explanation: Explanation, figures: str = "contributions") -> list[float]:
    """Return the values in the order of the record's fields."""
    found = getattr(explanation, figures)
    return [found[f"field_{place}"] for place in range(len(found))]


def gap(explanation: Explanation) -> float:
    return abs(explanation.base + sum(explanation.contributions.values()) - explanation.value)


def rows(count: int, fields: int, *, seed: int) -> list[tuple[float, ...]]:
    return [tuple(row) for row in np.random.default_rng(seed).normal(size=(count, fields)).tolist()]


def tangled(values: tuple[float, ...]) -> float:
    """Return products of three neighbours and a threshold, so that the order of fields matters."""
    triples = zip(values, values[1:], values[2:], strict=False)
    threshold = 2.0 * (sum(values) > 1)
    return sum(values) + sum(one * two * three for one, two, three in triples) + threshold


def test_a_linear_model_gives_each_field_its_weight_times_its_distance_from_the_mean() -> None:
    weights = [2.0, -1.0, 0.5, 0.0, 7.0]
    model, make = game(5, lambda values: sum(np.multiply(weights, values)))
    reference, own = rows(30, 5, seed=1), (1.0, 2.0, 3.0, 4.0, 5.0)
    explanation = Shapley(model, [make(row) for row in reference]).explain(make(own))
    expected = np.multiply(weights, own - np.mean(reference, axis=0))
    assert in_order(explanation) == pytest.approx(expected, abs=1e-12)
    assert explanation.base == pytest.approx(float(np.mean(reference, axis=0) @ weights))
    assert set(explanation.standard_error.values()) == {0.0}


@pytest.mark.parametrize(
    ("worth", "count", "expected"),
    [
        pytest.param(all, 3, [1 / 3] * 3, id="and"),
        pytest.param(any, 4, [1 / 4] * 4, id="or"),
        pytest.param(lambda values: values[0] != values[1], 2, [0, 0], id="xor of two"),
        pytest.param(lambda values: sum(values) % 2, 3, [1 / 3] * 3, id="xor of three"),
        pytest.param(
            lambda values: values[0] and (values[1] or values[2]),
            3,
            [2 / 3, 1 / 6, 1 / 6],
            id="one left glove and two right ones",
        ),
        pytest.param(
            lambda values: 4 * values[0] + 2 * values[1] + values[2] + values[3] > 4,
            4,
            [3 / 4, 1 / 12, 1 / 12, 1 / 12],
            id="a weighted vote, 4 2 1 1 with a quota of 5",
        ),
    ],
)
def test_games_whose_values_are_known(worth: Worth, count: int, expected: list[float]) -> None:
    model, make = game(count, lambda values: float(worth(values)), bool)
    explanation = Shapley(model, [make([False] * count)]).explain(make([True] * count))
    assert in_order(explanation) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_equal_to_the_definition(count: int) -> None:
    model, make = game(count, tangled)
    reference, own = rows(4, count, seed=count), rows(1, count, seed=99)[0]
    explanation = Shapley(model, [make(row) for row in reference]).explain(make(own))
    assert in_order(explanation) == pytest.approx(by_definition(tangled, own, reference), abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(1, 4))
def test_shares_of_any_set_function_add_up_and_fit_the_definition(
    data: st.DataObject, count: int
) -> None:
    worths = data.draw(st.lists(st.floats(-100, 100), min_size=2**count, max_size=2**count))
    flags = st.tuples(*[st.booleans()] * count)
    own, reference = data.draw(flags), data.draw(st.lists(flags, min_size=1, max_size=4))

    def worth(values: tuple[bool, ...]) -> float:
        return worths[sum(value << place for place, value in enumerate(values))]

    model, make = game(count, worth, bool)
    for orders in (4, 200):
        explainer = Shapley(model, [make(row) for row in reference], permutations=orders)
        explanation = explainer.explain(make(own))
        assert gap(explanation) < 1e-9
        assert explanation.value == worth(own)
    assert in_order(explanation) == pytest.approx(by_definition(worth, own, reference), abs=1e-9)


def test_fields_that_the_model_treats_alike_get_equal_shares() -> None:
    model, make = game(4, lambda values: math.exp(values[0] * values[1]) + values[2] ** 2)
    explanation = Shapley(model, [make([0.5, 0.5, 1, 1])]).explain(make([2, 2, 3, 3]))
    shares = in_order(explanation)
    assert shares[0] == pytest.approx(shares[1], abs=1e-12)
    assert shares[0] > 1


def test_a_field_that_the_model_ignores_gets_nothing() -> None:
    for count in (4, 40):
        model, make = game(count, lambda values: tangled(values[1:]))
        explainer = Shapley(model, [make(row) for row in rows(5, count, seed=2)])
        explanation = explainer.explain(make(rows(1, count, seed=3)[0]))
        assert explanation.contributions["field_0"] == pytest.approx(0, abs=1e-12)
        assert explanation.standard_error["field_0"] == pytest.approx(0, abs=1e-12)


def test_a_field_equal_in_every_reference_row_costs_no_row_and_gets_exactly_nothing() -> None:
    model, make = game(20, lambda values: tangled(values) * values[5])
    own = (1.0,) * 20
    reference = [(2.0, *own[1:19], place) for place in (3.0, 4.0)]
    explanation = Shapley(model, [make(row) for row in reference]).explain(make(own))
    assert explanation.evaluations == 1 + 2 * (2**2 - 2)
    assert [place for place, share in enumerate(in_order(explanation)) if share != 0] == [0, 19]
    assert gap(explanation) < 1e-9


def test_a_record_equal_to_all_reference_rows_costs_its_own_row_only() -> None:
    model, make = game(3, tangled)
    explanation = Shapley(model, [make([1, 2, 3])] * 5).explain(make([1, 2, 3]))
    assert explanation.evaluations == 1
    assert explanation.contributions == {"field_0": 0.0, "field_1": 0.0, "field_2": 0.0}
    assert explanation.base == explanation.value


def test_sampling_agrees_with_exact_within_four_standard_errors() -> None:
    model, make = game(10, tangled)
    reference = [make(row) for row in rows(12, 10, seed=4)]
    own = make(rows(1, 10, seed=5)[0])
    exact = Shapley(model, reference).explain(own)
    assert set(exact.standard_error.values()) == {0.0}
    distances = []
    for seed in range(40):
        explanation = Shapley(model, reference, permutations=40, seed=seed).explain(own)
        assert gap(explanation) < 1e-9
        away = np.subtract(in_order(explanation), in_order(exact)) / in_order(
            explanation, "standard_error"
        )
        distances += away.tolist()
    assert np.abs(distances).max() < 4
    # The standard errors are neither too large nor too small.
    assert 0.9 < np.std(distances) < 1.1


def test_reversed_orders_share_products_of_two_without_error() -> None:
    """An order and its reverse contain each pair of fields both ways, so no error is left."""
    model, make = game(12, lambda values: sum(values) ** 2)
    reference = [make(row) for row in rows(3, 12, seed=6)]
    explanation = Shapley(model, reference, permutations=4).explain(make([1.0] * 12))
    assert max(explanation.standard_error.values()) < 1e-9


def test_equal_seeds_give_equal_explanations() -> None:
    model, make = game(30, tangled)
    reference, own = [make(row) for row in rows(10, 30, seed=7)], make(rows(1, 30, seed=8)[0])
    explainer = Shapley(model, reference, seed=5, max_rows=3_000)
    first = explainer.explain(own)
    explainer.explain(reference[0])
    assert explainer.explain(own) == first
    assert Shapley(model, reference, seed=5, max_rows=3_000).explain(own) == first
    assert Shapley(model, reference, seed=6, max_rows=3_000).explain(own) != first


@pytest.mark.parametrize(("count", "used"), [(8, 62), (60, 67), (500, 8)])
def test_many_fields_stay_within_the_rows_allowed(count: int, used: int) -> None:
    model, make = game(count, tangled)
    reference, own = [make(row) for row in rows(100, count, seed=9)], rows(1, count, seed=10)[0]
    explainer = Shapley(model, reference)
    model.rows = 0
    explanation = explainer.explain(make(own))
    assert explanation.evaluations == model.rows <= 16_000
    assert explanation.references == used
    assert gap(explanation) < 1e-9
    assert (max(explanation.standard_error.values()) == 0) == (count == 8)
    assert list(explanation.contributions) == list(explanation.standard_error)


def test_the_largest_contributions_come_first() -> None:
    model, make = game(3, lambda values: values[0] - 5 * values[1] + 2 * values[2])
    explanation = Shapley(model, [make([0, 0, 0])]).explain(make([1, 1, 1]))
    assert list(explanation.contributions) == ["field_1", "field_2", "field_0"]
    assert list(explanation.contributions.values()) == pytest.approx([-5, 2, 1])


def test_prices_add_up_as_closely_as_probabilities() -> None:
    model, make = game(43, lambda values: 160_000 * math.exp(0.1 * math.sin(tangled(values))))
    reference = [make(row) for row in rows(50, 43, seed=11)]
    assert gap(Shapley(model, reference).explain(make(rows(1, 43, seed=12)[0]))) < 1e-9


class Guest(Record):
    name: str
    age: float | None = None
    cabin: str | None = None

    @cached_property
    def deck(self) -> str:
        return self.cabin[0] if self.cabin else "none"


class Hotel(Model):
    explained = "worth"

    def predict(self, model_input: list[Guest]) -> list[Output]:
        return [
            Output(worth=(30 if each.age is None else each.age) + 10 * (each.deck == "C"))
            for each in model_input
        ]


def test_missing_values_count_and_cached_properties_do_not() -> None:
    reference = [Guest(name="A", age=20, cabin="B1"), Guest(name="B"), Guest(name="C", cabin="C2")]
    own = Guest(name="D", age=50, cabin="C3")
    for guest in (*reference, own):
        assert guest.deck  # computed and cached
    explanation = Shapley(Hotel(), reference).explain(own)
    assert explanation.contributions == pytest.approx({"age": 70 / 3, "cabin": 20 / 3, "name": 0})
    nameless = Shapley(Hotel(), reference).explain(Guest(name="D"))
    assert nameless.contributions == pytest.approx({"age": 10 / 3, "cabin": -10 / 3, "name": 0})


class Level(Record):
    level: int | bool


class Strict(Model):
    explained = "worth"

    def predict(self, model_input: list[Level]) -> list[Output]:
        return [Output(worth=5.0 if each.level is True else 1.0) for each in model_input]


def test_true_is_not_one() -> None:
    explanation = Shapley(Strict(), [Level(level=1)]).explain(Level(level=True))
    assert explanation.contributions == {"level": 4.0}


class Rounding(Hotel):
    """A model like a graph whose sums depend, in the last digit, on the batch size."""

    def predict(self, model_input: list[Guest]) -> list[Output]:
        noise = 1e-6 * len(model_input)
        return [Output(worth=each.worth + noise) for each in super().predict(model_input)]


def test_contributions_add_up_although_rounding_depends_on_the_batch() -> None:
    reference = [Guest(name="A", age=20), Guest(name="B", age=30), Guest(name="C", cabin="C1")]
    explanation = Shapley(Rounding(), reference).explain(reference[0])
    assert gap(explanation) < 1e-9
    assert explanation.base == pytest.approx((20 + 30 + 40) / 3, abs=1e-4)


class Unnamed(Hotel):
    explained = None


class Misnamed(Hotel):
    explained = "price"


class Word(Record):
    worth: str | float | None


class Speechless(Model):
    explained = "worth"
    value: Any = None

    def predict(self, model_input: list[Guest]) -> list[Word]:
        return [Word(worth=self.value) for _ in model_input]


class Forgetful(Hotel):
    def predict(self, model_input: list[Guest]) -> list[Output]:
        return super().predict(model_input)[:1]


GUESTS = [Guest(name="A"), Guest(name="B")]


@pytest.mark.parametrize(
    ("model", "reference", "reason"),
    [
        (Unnamed(), GUESTS, "Unnamed names no number to explain: set `explained`"),
        (Misnamed(), GUESTS, "Misnamed explains 'price', but Output has only worth"),
        (Hotel(), [], "Hotel has no reference rows to compare with"),
        (Speechless(), GUESTS, "Speechless predicted None for 'worth'"),
    ],
)
def test_a_model_that_cannot_be_explained_raises_the_reason(
    model: Model, reference: list[Record], reason: str
) -> None:
    with pytest.raises(NotExplainable, match=reason):
        Shapley(model, reference)


def test_a_text_in_one_prediction_is_not_explainable() -> None:
    model = Speechless()
    model.value = 1.0
    explainer = Shapley(model, GUESTS)
    model.value = "much"
    with pytest.raises(NotExplainable, match="predicted 'much' for 'worth', which is not a finite"):
        explainer.explain(Guest(name="C"))


def test_a_missing_prediction_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 records sent, 1 predictions came back"):
        Shapley(Forgetful(), GUESTS)


def test_only_numpy_and_pydantic_are_imported() -> None:
    code = "import slipway.explain, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"scipy", "pandas", "mlflow", "sklearn", "shap"} & set(loaded.stdout.split())


def test_errors_of_small_budgets_name_the_least() -> None:
    model, make = game(60, tangled)
    reference = [make(row) for row in rows(3, 60, seed=13)]
    with pytest.raises(ValueError, match="max_rows must be at least 237 for 60 fields, got 236"):
        Shapley(model, reference, max_rows=236)
    explanation = Shapley(model, reference, max_rows=237).explain(make([0.0] * 60))
    assert (explanation.references, explanation.evaluations) == (1, 237)
    with pytest.raises(ValueError, match="permutations must be 4 or more, two pairs, got 3"):
        Shapley(model, reference, permutations=3)
