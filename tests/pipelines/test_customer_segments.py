"""Customer segments: RFM features, no leakage from the future, look-ups, clustering and names."""

import csv
import json
import lzma
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydantic
import pytest
from sklearn.metrics import silhouette_samples

from pipelines.ml.customer_segments import data, report, train
from pipelines.ml.customer_segments.metrics import silhouettes
from pipelines.ml.customer_segments.model import (
    Customer,
    CustomerSegments,
    Segment,
    features,
    name,
    segments,
)
from pipelines.ml.customer_segments.quintiles import QuintileRule
from slipway.datasets import fetch
from slipway.features import definitions, lineage, offline, places
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import Online
from slipway.features.tables import TIME
from slipway.project import find
from slipway.stages.fit import fit
from slipway.stages.prepare import prepare
from slipway.training import LabelledRows
from slipway.training.frames import to_dicts
from slipway.training.workspace import Workspace

PROJECT = find("customer_segments")
PARAMS = PROJECT.params
MOMENT, HORIZON = pd.Timestamp(PARAMS.prepare["test_at"], tz="UTC"), pd.Timedelta(days=90)
# What identifies a line of an invoice, besides its customer.
COLUMNS = ("Invoice", "StockCode", "Quantity", "InvoiceDate", "Price")


@pytest.fixture(scope="module")
def file() -> Path:
    return fetch("online_retail_ii").path("online_retail.csv.xz")


@pytest.fixture(scope="module")
def days(own_home: Path) -> pd.DataFrame:
    """Return the customers' active days, with the features' tables built."""
    offline.build(data.YEARS)
    columns = list(data.SCHEMA.columns)
    return pq.read_table(offline.build(data.DAYS), columns=columns).to_pandas()


@pytest.fixture(scope="module")
def work(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace trained on few customers."""
    work = Workspace.tiny(PROJECT, tmp_path_factory.mktemp("customer_segments"))
    prepare(work)
    fit(work)
    return work


@pytest.fixture(scope="module")
def planted() -> LabelledRows[Customer, float]:
    """Return three kinds of customers, far apart on the scale of logarithms."""
    rng = np.random.default_rng(0)
    records, spent = [], []
    for recency, orders, pounds in ((4, 60, 20_000), (150, 15, 3_000), (320, 1, 40)):
        for _ in range(80):
            wobble = rng.uniform(0.9, 1.1, 2)
            record = {
                "days_since_purchase": recency * wobble[0],
                "net_spent_365d": pounds * wobble[1],
            }
            records.append(Customer(orders_365d=orders, **record))
            spent.append(float(pounds > 10_000))
    return LabelledRows(records, spent)


def test_rfm_and_later_spending_equal_a_count_line_by_line(file: Path, days: pd.DataFrame) -> None:
    moment = datetime.fromisoformat(PARAMS.prepare["test_at"])
    seen, lines = set(), {}
    with lzma.open(file, "rt", newline="") as stream:
        for line in csv.DictReader(stream):
            who = line["Customer ID"]
            if not who or float(who) % 97 or not line["StockCode"][:5].isdigit():
                continue
            key = (who, *(line[field] for field in COLUMNS))
            if key not in seen:
                seen.add(key)
                time = datetime.strptime(line["InvoiceDate"], "%m/%d/%Y %H:%M")
                own = (time, line["Invoice"], int(line["Quantity"]), float(line["Price"]))
                lines.setdefault(int(float(who)), []).append(own)
    expected = []
    for _, own in sorted(lines.items()):
        bought = [each for each in own if each[2] > 0 and each[3] > 0]
        year = [each for each in own if moment - timedelta(days=365) <= each[0] < moment]
        orders = {each[1] for each in year if each in bought}
        if not orders:
            continue
        # What is sent back before the first purchase was bought before the data begin.
        first = min(each[0] for each in bought).date()
        net = sum(each[2] * each[3] for each in year if each[0].date() >= first)
        last = max(each[0] for each in bought if each[0] < moment)
        after = [each for each in bought if moment <= each[0] < moment + timedelta(days=90)]
        spent = sum(each[2] * each[3] for each in after)
        expected.append(((moment - last) / timedelta(days=1), len(orders), max(net, 0), spent))
    rows = data.known_at(days[days[data.KEY] % 97 == 0], MOMENT, HORIZON)
    counted = [(*vars(each).values(), spent) for each, spent in rows]
    assert np.array(counted) == pytest.approx(np.array(expected), abs=1e-6)
    assert len(counted) > 30


def test_labels_do_not_change_the_records(days: pd.DataFrame) -> None:
    few = days[days[data.KEY] % 20 == 0].copy()
    known = data.known_at(few, MOMENT, HORIZON)
    few.loc[few[TIME] > MOMENT, "spent"] *= 50
    changed = data.known_at(few, MOMENT, HORIZON)
    assert [record for record, _ in changed] == [record for record, _ in known]
    assert sum(spent for _, spent in changed) > 10 * sum(spent for _, spent in known)


def test_the_version_records_the_features_it_was_trained_on(work: Workspace) -> None:
    recorded = json.loads((work.weights / lineage.FILE).read_text())
    assert recorded == lineage.record("customer_segments")
    assert set(recorded["features"]) == set(Customer.model_fields)


def test_a_customer_number_alone_is_enough(
    work: Workspace, days: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.delenv(places.REDIS, raising=False)
    lookup = CustomerSegments.looked_up
    assert lookup is not None
    reads = definitions.load().plan(lookup.service).reads
    materialize(until=MOMENT.to_pydatetime(), views=[read.view.name for read in reads])
    keys = days.loc[days[TIME] <= MOMENT, data.KEY].drop_duplicates().sort_values()[::50]
    trained = training_set(lookup.service, pd.DataFrame({data.KEY: keys, TIME: MOMENT}))
    found = Online(timeout=2.0).look_up(lookup.service, lookup.entity, keys.tolist())
    expected = [{name: row[name] for name in Customer.model_fields} for row in to_dicts(trained)]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-2)  # the store's clock runs on
    model = CustomerSegments()
    model.load(work.weights)
    online, joined = (
        model.predict([Customer(**each) for each in rows if each["orders_365d"]])
        for rows in (found, expected)
    )
    distances = [[each.distance for each in predictions] for predictions in (online, joined)]
    assert distances[0] == pytest.approx(distances[1], abs=0.01)
    assert 20 < len(online) < len(keys)
    lapsed = next(each for each in found if not each["orders_365d"])
    with pytest.raises(pydantic.ValidationError, match="orders_365d"):
        Customer(**lapsed)


def test_periods_that_overlap_are_refused() -> None:
    close = {**PARAMS.prepare, "train_at": "2011-08-01"}
    with pytest.raises(ValueError, match="is beyond test_at"):
        data.splits(fetch("online_retail_ii"), **close)
    early = {**PARAMS.prepare, "train_at": "2010-06-01"}
    with pytest.raises(ValueError, match="needed: 2009-06-01"):
        data.splits(fetch("online_retail_ii"), **early)


def test_later_spending_changes_no_segment(
    planted: LabelledRows[Customer, float], tmp_path: Path
) -> None:
    by_labels = []
    for labels in (planted.labels, planted.labels[::-1]):
        settings = {**PARAMS.fit, "least": 3, "most": 4, "repeats": 2}
        fitted = train.fit(
            train=LabelledRows(planted.records, labels), weights=tmp_path, **settings
        )
        by_labels.append(
            [(each.segment, each.distance) for each in fitted.framework_predict(planted.records)]
        )
    assert by_labels[0] == by_labels[1]


def test_planted_groups_are_found_and_named(
    planted: LabelledRows[Customer, float], tmp_path: Path
) -> None:
    settings = {**PARAMS.fit, "least": 3, "most": 5, "repeats": 2}
    fitted = train.fit(train=planted, weights=tmp_path, **settings)
    assert fitted.chosen == "kmeans_3"
    tried = {each.name: each.metrics for each in fitted.candidates}
    assert all(list(each)[-1] == "silhouette_se" for each in tried.values())
    # The error is the standard deviation over two repeats, with 1 instead of 2 as denominator.
    assert tried["kmeans_3"]["silhouette_se"] == pytest.approx(
        tried["kmeans_3"]["silhouette_std"] * np.sqrt(2)
    )
    found = [each.segment for each in fitted.framework_predict(planted.records)]
    assert found[:80] == ["champions"] * 80
    assert found[160:] == ["hibernating"] * 80
    stray = fitted.framework_predict(
        [Customer(days_since_purchase=1, orders_365d=9_000, net_spent_365d=0)]
    )[0]
    assert stray.unusual
    assert sum(each.unusual for each in fitted.framework_predict(planted.records)) <= 3


def test_the_simplified_silhouette_equals_the_common_one_for_single_points() -> None:
    """Both are the same if each segment has one other point, its centre."""
    points = np.array([[0.0, 0, 0], [4.0, 0, 0]])
    queries = np.array([[1.0, 0, 0], [3.5, 0, 0], [3.0, 0, 0]])
    labels = np.array([0, 1, 0])
    plain = [
        silhouette_samples(np.vstack([points, one]), [0, 1, label])[2]
        for one, label in zip(queries, labels, strict=True)
    ]
    assert silhouettes(queries, labels, points) == pytest.approx(plain)


def test_the_quintile_rule_scores_as_direct_marketing_does() -> None:
    numbers = np.stack([np.arange(100.0), np.arange(100.0), np.arange(100.0)], axis=1)
    labels = train.quintile_rule(numbers, 4)
    best, middle, worst = [0.0, 99, 99], [50.0, 50, 50], [99.0, 0, 0]
    assert labels(np.array([best, middle, worst])).tolist() == [3, 1, 0]


def test_customers_tied_at_a_quintile_score_below_it() -> None:
    """Four in ten customers have one order, which is the first edge, and get the lowest score."""
    orders = np.array([1.0] * 40 + list(range(2, 62)))
    numbers = np.stack([np.zeros(100), orders, np.zeros(100)], axis=1)
    labels = train.quintile_rule(numbers, 13)(numbers)
    # Thirteen groups are the sums 0 to 12; recency is constant and adds 4.
    assert np.unique(labels, return_counts=True)[1].tolist() == [40, 20, 20, 20]
    assert labels[0] == 4


def test_names_follow_the_rule_and_the_two_nearest_are_returned() -> None:
    centres = [(-1, 2, 1), (-1, 1, 0.4), (-1, 0, 0), (1, 1, 0), (1, -1, 0)]
    names = [name(np.array(centre)) for centre in centres]
    assert names == ["champions", "loyal", "promising", "at_risk", "hibernating"]
    after = dict.fromkeys(("share_buying", "spent_after", "relative_buying"), 0.5)
    rows = [{"segment": each, "kind": each, "relative_spending": 1.0, **after} for each in names]
    rule = QuintileRule.fit(np.arange(60.0).reshape(20, 3), 4).to_json()
    predictions = segments(
        np.array([[1.0, 2.0, 3.0]]),
        np.array([[4.0, 1.0, 2.0, 9.0, 9.0]]),
        {"segments": rows, "usual_distance": 0.5, "rule": rule},
    )
    assert (predictions[0].segment, predictions[0].next_segment) == ("loyal", "promising")
    assert predictions[0].sureness == pytest.approx(0.5)
    assert predictions[0].unusual


def test_segments_with_the_same_name_are_numbered() -> None:
    rng = np.random.default_rng(1)
    kinds = [(300, 1, 10), (300, 1, 400), (2, 40, 9_000), (2, 80, 90_000)]
    records = [
        Customer(
            days_since_purchase=r * rng.uniform(0.9, 1),
            orders_365d=o,
            net_spent_365d=s * rng.uniform(0.9, 1),
        )
        for r, o, s in kinds
        for _ in range(30)
    ]
    numbers = features(records)["numbers"]
    about = train.profile_segments(train.kmeans(4, 0).fit(numbers), numbers, np.zeros(120))
    named = [each["segment"] for each in about["segments"]]
    assert len(set(named)) == 4
    assert "hibernating 2" in named


def test_the_stored_rule_groups_customers_as_the_fitted_one_and_knows_their_distances() -> None:
    rng = np.random.default_rng(2)
    numbers, labels = rng.normal(size=(300, 3)), train.quintile_rule
    rule = QuintileRule.from_json(QuintileRule.fit(numbers, 4).to_json())
    assert rule.groups(numbers).tolist() == labels(numbers, 4)(numbers).tolist()
    points = rule.points(numbers)
    means = [points[rule.groups(numbers) == group].mean(axis=0) for group in range(4)]
    assert rule.centres == pytest.approx(np.array(means))
    with pytest.raises(ValueError, match="into one group"):
        QuintileRule.fit(np.ones((9, 3)), 4)


def test_ratios_to_the_average_are_compared_with_what_customers_did_later() -> None:
    """Half of all bought; of segment b, which is said to buy as often as the average, all did."""
    shared = {
        "recommendation": "", "distance": 1.0, "next_segment": "", "sureness": 0.5,
        "unusual": False, "spent_after": 1.0, "relative_spending": 1.0, "rule_group": 1,
        "rule_sureness": 0.25,
    }  # fmt: skip
    kinds = {"a": (0.2, 0.5), "b": (0.4, 1.0)}
    predictions = [
        Segment(segment=name, share_buying=share, relative_buying=ratio, **shared)
        for name, (share, ratio) in kinds.items()
        for _ in range(4)
    ]
    found = report.score(predictions=predictions, labels=[0.0] * 4 + [10.0] * 4)
    # Found are 0 and 2 times the average.
    assert found["relative_buying_error"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["pairs_in_order"] == 1.0
    assert found["baseline_silhouette"] == 0.25
    assert found["silhouette_low"] == found["silhouette_high"] == 0.5
