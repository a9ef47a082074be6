"""Linear regression is scikit-learn's, ends are quantiles, and no block is in two splits."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression as Reference

from pipelines.dl.block_values import data, networks
from pipelines.dl.block_values.model import (
    FIELDS,
    HIGHEST,
    LOWEST,
    BlockGroup,
    block_values,
    numbers,
)
from slipway.datasets import fetch

GENERATOR = np.random.default_rng(1)
SPREAD = np.array([2, 12, 2, 0.5, 1000, 10, 2, 2])
NUMBERS = torch.from_numpy((GENERATOR.standard_normal((200, 8)) * SPREAD + 50).astype(np.float32))
VALUES = torch.from_numpy(GENERATOR.uniform(0.5, 5, 200).astype(np.float32))
SCALE = networks.Scale.from_rows(NUMBERS)


def test_the_baseline_is_linear_regression() -> None:
    own = networks.LinearRegression(SCALE).fit(NUMBERS, VALUES)
    reference = Reference().fit(NUMBERS.double().numpy(), VALUES.numpy())
    with torch.no_grad():
        value, low, high = own(NUMBERS).T.numpy()
    assert value == pytest.approx(reference.predict(NUMBERS.double().numpy()), abs=1e-4)
    inside = (low <= VALUES.numpy()) & (VALUES.numpy() <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.01)


def test_scaled_numbers_have_mean_0_and_deviation_1() -> None:
    scaled = networks.Standardized(SCALE)(NUMBERS)
    assert scaled.mean(dim=0).abs().max() < 1e-4
    assert scaled.std(dim=0).tolist() == pytest.approx([1] * 8, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in networks.RECIPES if name != "baseline"])
def test_the_value_is_between_the_ends(name: str) -> None:
    with torch.no_grad():
        value, low, high = networks.ValueNetwork(networks.RECIPES[name], SCALE)(NUMBERS).T
    assert (low <= value).all()
    assert (value <= high).all()


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    target = torch.arange(101.0)[:, None]
    found = [
        networks.pinball(torch.full_like(target, float(place)), target, 0.05).item()
        for place in range(101)
    ]
    assert int(np.argmin(found)) == 5


@pytest.mark.parametrize("huber", [False, True])
def test_the_ends_do_not_move_the_value(huber: bool) -> None:
    outputs = torch.tensor([[2.0, 1.0, 3.0]]).repeat(4, 1).requires_grad_()
    values = torch.tensor([2.1, 1.9, 4.5, 0.2])
    networks.loss_of(outputs, values, huber=huber).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    # The ends are value minus and plus a distance: what moves the value moves all three.
    moved = outputs.grad.sum(dim=1)
    error = outputs.detach()[:, 0] - values
    wanted = error.clamp(-1, 1) if huber else 2 * error
    assert moved.tolist() == pytest.approx((wanted / 4).tolist(), abs=1e-6)


def test_huber_counts_large_errors_by_their_size() -> None:
    far = torch.tensor([[10.0, 9.0, 11.0]]), torch.tensor([0.0])
    squared, straight = (networks.loss_of(*far, huber=each).item() for each in (False, True))
    assert squared - straight == pytest.approx(100 - 9.5)


def test_predictions_keep_within_the_data_and_their_order() -> None:
    outputs = np.array([[2.0, 1.5, 2.5], [9.0, 8.0, 12.0], [-3.0, -4.0, -2.0], [2.0, 1.9, 2.1]])
    found = block_values(outputs, np.array([1.0, 9.0, -9.0, 2.0]), -0.3)
    assert [each.value for each in found] == [200_000, HIGHEST, LOWEST, 200_000]
    assert (found[0].low, found[0].high) == pytest.approx((180_000, 220_000))
    assert all(each.low <= each.value <= each.high for each in found)
    # Moved inwards past the value, the ends stop there.
    assert (found[3].low, found[3].high) == (200_000, 200_000)


def test_no_block_is_in_both_splits_and_unknown_bedrooms_are_typical() -> None:
    splits = data.splits(fetch("california_housing"), seed=11, test_share=0.2)
    train, test = (
        set(map(tuple, numbers([record for record, _ in rows])["numbers"].tolist()))
        for rows in (splits["train"], splits["test"])
    )
    assert len(splits["test"]) == 4128
    assert len(train) + len(test) == 20_640
    assert not train & test
    known = [record for rows in splits.values() for record, _ in rows]
    given = [each for each in known if "bedrooms_per_household" in each.model_fields_set]
    assert len(known) - len(given) == 207
    typical = BlockGroup.model_fields["bedrooms_per_household"].default
    median = float(np.median([each.bedrooms_per_household for each in given]))
    assert typical == pytest.approx(median, abs=0.005)
    assert list(FIELDS) == list(BlockGroup.model_fields)
