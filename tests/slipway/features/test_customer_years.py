"""The last 365 days of each customer: counts, expiry, no rows of the future, equality online."""

from datetime import datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest

from slipway.features import definitions, offline, tables
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import Online
from slipway.features.tables import TIME, customer_years
from tests.slipway.features.feature_repository import (
    KEY,
    MOMENT,
    START,
    FeatureRepository,
    Line,
    customers,
    entity_rows,
    made_up,
    rows,
)

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("feature_repo/*", "slipway/features/*")

SERVICE = "customer_segments"
NAMES = ["days_since_purchase", "orders_365d", "net_spent_365d"]
MOMENTS = [START + timedelta(days=day) for day in (30, 200, 390, 430, 500, 640, 700)]


@pytest.fixture
def two_years(feature_repository: FeatureRepository) -> FeatureRepository:
    """Return the repository with more than two years of lines; half of the customers come back."""
    lines = made_up()
    for invoice, *rest, time, price, customer, country in made_up(seed=4):
        if customer is not None and customer % 2:
            number = invoice.replace("5", "7", 1)
            lines.append((number, *rest, time + timedelta(days=400), price, customer, country))
    feature_repository.write(lines)
    build()
    return feature_repository


def counted(lines: list[Line], customer: int, moment: datetime) -> dict[str, object] | None:
    """Count the features at a midnight line by line; None before the first purchase."""
    own = {each for each in lines if each[6] == customer and each[1][:5].isdigit()}
    own = {each for each in own if each[4] < moment}
    sold = [each for each in own if each[0][0] != "C" and each[3] > 0 and each[5] > 0]
    if not sold:
        return None
    # Credit notes before the day of the first sale are left out.
    opening = min(each[4] for each in sold).replace(hour=0, minute=0)
    back = [each for each in own if each[0][0] == "C" and each[4] >= opening]
    begin = moment - timedelta(days=365)
    pounds = sum(each[3] * each[5] for each in (*sold, *back) if each[4] >= begin)
    return {
        "days_since_purchase": (moment - max(each[4] for each in sold)) / timedelta(days=1),
        "orders_365d": len({each[0] for each in sold if each[4] >= begin}),
        "net_spent_365d": max(0.0, pounds),
    }


def build() -> None:
    for table in ("customer_days", "customer_years"):
        offline.build(table)


def test_the_year_equals_a_count_line_by_line(two_years: FeatureRepository) -> None:
    lines = two_years.lines
    pairs = [(key, moment) for key in customers(lines) for moment in MOMENTS]
    found = training_set(SERVICE, entity_rows(*map(list, zip(*pairs, strict=True))))
    wanted = [counted(lines, key, moment) for key, moment in pairs]
    for row, expected in zip(rows(found, NAMES), wanted, strict=True):
        assert row == (pytest.approx(expected) if expected else dict.fromkeys(NAMES))
    known = [each for each in wanted if each]
    # Some have not bought for a year, and some sent more back than they bought in it.
    assert 0 < sum(each["orders_365d"] == 0 for each in known) < len(known)
    assert any(each["orders_365d"] and not each["net_spent_365d"] for each in known)
    assert None in wanted


def test_orders_of_the_future_change_no_earlier_year(two_years: FeatureRepository) -> None:
    keys = customers(two_years.lines)
    before = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    planted = [("999999", "77777", "planted", 1000, MOMENT, 9.0, key, "Atlantis") for key in keys]
    two_years.write([*two_years.lines, *planted])
    build()
    after = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    pd.testing.assert_frame_equal(before, after)
    next_day = MOMENT.replace(hour=0, minute=0) + timedelta(days=1)
    seen = training_set(SERVICE, entity_rows(keys, [next_day] * len(keys)))
    # Returns may be subtracted.
    assert (seen["net_spent_365d"] > 5_000).all()


def test_no_row_is_later_than_the_data(two_years: FeatureRepository) -> None:
    days, years = (
        pq.read_table(offline.build(table)).to_pandas()
        for table in ("customer_days", "customer_years")
    )
    assert years[TIME].max() == days[TIME].max()
    assert len(years) > len(days)


def test_online_features_are_the_training_features(two_years: FeatureRepository) -> None:
    keys = customers(two_years.lines)
    for moment in MOMENTS:
        materialize(until=moment)
        trained = training_set(SERVICE, entity_rows(keys, [moment] * len(keys)))
        online = Online(timeout=2.0).look_up(SERVICE, KEY, list(keys))
        for found, row in zip(online, rows(trained, NAMES), strict=True):
            if row["orders_365d"] is None:
                assert found is None
            else:
                assert found == pytest.approx(row, abs=1e-3)  # the clock runs on: 86 s


def test_the_table_is_built_again_with_the_one_that_it_is_built_from() -> None:
    """If this fails, write the new fingerprint into `customer_years.DAYS_CODE`."""
    assert tables.find(customer_years.DAYS).fingerprint == customer_years.DAYS_CODE


def test_both_customer_models_read_the_same_views(feature_repository: FeatureRepository) -> None:
    known = definitions.load()
    mine, theirs = known.plan(SERVICE), known.plan("repurchase")
    assert {read.view.name for read in theirs.reads} < {read.view.name for read in mine.reads}
    assert mine.transformations == theirs.transformations
