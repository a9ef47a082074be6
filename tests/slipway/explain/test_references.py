"""The reference rows that explanations of fields compare with: one choice, whatever the budget."""

import time
from itertools import pairwise

import numpy as np
import pytest

from slipway.contract import Model, Record
from slipway.explain import NotExplainable, Shapley
from slipway.explain.shapley import reference_rows


class Point(Record):
    x: float
    y: float
    z: float = 0.0


class Height(Record):
    height: float


class Plane(Model):
    explained = "height"
    seconds = 0.0

    def predict(self, model_input: list[Point]) -> list[Height]:
        time.sleep(self.seconds * len(model_input))
        return [Height(height=2 * each.x - each.y) for each in model_input]


ROWS = [Point(x=x, y=y) for x, y in np.random.default_rng(0).normal(size=(100, 2)).tolist()]


def test_a_smaller_budget_compares_with_some_of_the_same_rows() -> None:
    chosen = [reference_rows(ROWS, fields=3, max_rows=rows) for rows in (60, 120, 240, 480, 2000)]
    assert [len(each) for each in chosen] == [9, 19, 39, 79, 100]
    for fewer, more in pairwise(chosen):
        assert [each for each in more if each in fewer] == fewer
    assert chosen[-1] == ROWS


def test_only_a_slow_model_gets_fewer_rows() -> None:
    quick = Shapley.within_seconds(Plane(), ROWS, max_rows=600).explain(ROWS[0])
    assert quick == Shapley(Plane(), ROWS, max_rows=600).explain(ROWS[0])
    slow = Plane()
    slow.seconds = 0.001
    # The rest goes to half of the rows, and then to half of these, until they fit.
    found = Shapley.within_seconds(slow, ROWS, max_rows=600, seconds=0.25).explain(ROWS[0])
    assert found.references < quick.references
    assert found.references in {(600 // 2**halved - 1) // 6 for halved in range(1, 6)}


def test_no_reference_row_is_a_refusal() -> None:
    with pytest.raises(NotExplainable, match="no reference rows"):
        Shapley.within_seconds(Plane(), [])
