"""Flight delays: no leakage from the day itself, Spark beside pandas, ONNX beside MLlib."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from pipelines.ml.flight_delay import metrics, train
from pipelines.ml.flight_delay.history import add_history, flights
from pipelines.ml.flight_delay.model import (
    COUNTS,
    FIELDS,
    FLIGHTS,
    LATE,
    NUMBERS,
    SHARES,
    THRESHOLD,
    Flight,
    FlightDelay,
    columns,
)
from pipelines.ml.flight_delay.spark import numbers, session, table
from slipway.datasets import fetch
from slipway.features.tables import flight_routes
from slipway.features.tables.flight_routes import FIRST, mornings, with_history
from slipway.project import find

TEXTS = ("origin", "destination")
AIRPORTS = ["ATL", "BOS", "ORD"]
FLIGHT = Flight.model_validate(
    {"origin": "ATL", "destination": "BOS", "distance": 700, "weekday": 1}
    | dict.fromkeys(SHARES, 0.2)
    | dict.fromkeys(COUNTS, 100)
)


def sample_flights(rows: int) -> pd.DataFrame:
    """Return flights as in the file: 40 days, most from one airport, some days without any."""
    rng = np.random.default_rng(0)
    day = rng.choice([*range(12), *range(15, 40)], rows)
    minute = rng.integers(0, 1440, rows)
    frame = pd.DataFrame(
        {
            "date": pd.Timestamp("2001-01-01") + pd.to_timedelta(day * 1440 + minute, unit="m"),
            "delay": rng.normal(5, 15, rows).round().astype(int),
            "distance": 700,
            "origin": rng.choice(AIRPORTS, rows, p=[0.8, 0.1, 0.1]),
            "destination": rng.choice(AIRPORTS, rows),
        }
    )
    return frame.astype({"date": "datetime64[us]"}).sort_values("date", ignore_index=True)


def single(frame: pd.DataFrame) -> pd.DataFrame:
    day = (frame["date"].dt.normalize() - pd.Timestamp("2001-01-01")).dt.days
    table = frame.assign(day=day, weekday=day % 7, late=frame["delay"] > 15)
    return with_history(table.drop(columns=["date", "delay"]))


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with session() as spark:
        yield spark


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    file = tmp_path_factory.mktemp("flights") / "flights.parquet"
    sample_flights(600).to_parquet(file)
    found = flights(spark, file)
    table = add_history(found, found).select("*", numbers().alias("features"))
    return table.toPandas().sort_values(["day", "origin", "destination"], ignore_index=True)


def test_spark_and_pandas_compute_the_same_features(made: pd.DataFrame) -> None:
    wanted = single(sample_flights(600)).sort_values(
        ["day", "origin", "destination"], ignore_index=True
    )
    assert len(made) == 600
    for name in FIELDS:
        assert made[name].to_numpy() == pytest.approx(wanted[name].to_numpy(), abs=1e-12), name


def test_spark_and_the_store_have_the_same_features(made: pd.DataFrame) -> None:
    """Every field of the record, looked up by its route on the morning of the flight."""
    frame = sample_flights(600)
    day = (frame["date"].dt.normalize() - FIRST).dt.days
    stored = mornings(frame.assign(day=day, late=frame["delay"] > 15))
    moment = FIRST.tz_localize("UTC") + pd.to_timedelta(made["day"], unit="D")
    route = made["origin"] + "-" + made["destination"]
    rows = pd.DataFrame({"route": route, "event_timestamp": moment})
    found = rows.merge(stored, "left", ["route", "event_timestamp"])
    for name in Flight.model_fields:
        wanted = made[name].tolist()
        assert found[name].tolist() == (wanted if name in TEXTS else pytest.approx(wanted)), name
    assert (FLIGHTS, LATE) == (flight_routes.FLIGHTS, flight_routes.LATE)
    newest = stored.groupby("route")["event_timestamp"].max()
    assert set(newest) == {pd.Timestamp("2001-02-10", tz="UTC")}


def test_spark_and_the_service_have_the_same_features(made: pd.DataFrame) -> None:
    names = list(Flight.model_fields)
    rows = [Flight.model_validate(row) for row in made[names].head(50).to_dict("records")]
    computed = np.stack([each.toArray() for each in made["features"].head(50)])
    assert computed == pytest.approx(train.features(rows)["numbers"], abs=1e-6)
    assert computed.shape == (50, len(NUMBERS))


def test_features_do_not_use_the_same_day_or_later() -> None:
    """Delays from a day on do not change the features up to that day."""
    frame = sample_flights(600)
    turned = frame.assign(delay=frame["delay"].where(frame["date"] < "2001-01-20", 999))
    one, other = single(frame), single(turned)
    until = (one["day"] <= 19).to_numpy()
    for name in SHARES:
        assert (one[name][until] == other[name][until]).all(), name
    assert (one["network_yesterday"] != other["network_yesterday"])[~until].any()


def test_the_hour_reveals_the_delay_and_is_not_a_feature() -> None:
    """`date` is the actual departure, not the planned one: flights at night are late ones."""
    file = fetch("us_flights_3m").path("flights-3m.parquet")
    real = pd.read_parquet(file, columns=["date", "delay"])
    late = real["delay"] > 15
    night = real["date"].dt.hour.isin([2, 3])
    assert late[night].mean() > 0.66
    assert late.mean() < 0.2
    frame = sample_flights(600)
    moved = frame.assign(date=frame["date"].dt.normalize() + pd.Timedelta(minutes=61))
    features = [
        columns({name: each[name].to_numpy() for name in FIELDS})
        for each in (single(frame), single(moved))
    ]
    assert (features[0] == features[1]).all()
    assert not {"hour", "date", "delay", "day"} & set(Flight.model_fields)


def test_shares_by_hand() -> None:
    found = pd.DataFrame(
        {
            "origin": ["ATL", "ATL", "BOS", "ATL"],
            "destination": ["BOS", "ORD", "ORD", "BOS"],
            "distance": 700,
            "day": [0, 0, 7, 8],
            "weekday": [0, 0, 0, 1],
            "late": [True, False, True, False],
        }
    )
    last = with_history(found).iloc[-1]
    assert last["origin_yesterday"] == pytest.approx(1 / 5)
    assert last["origin_month"] == pytest.approx((1 + 1) / (2 + 5))
    assert last["route_month"] == pytest.approx((1 + 1) / (1 + 5))
    assert last["network_yesterday"] == pytest.approx((1 + 1) / (1 + 5))
    assert last["network_week"] == pytest.approx((1 + 1) / (1 + 5))
    assert last["origin_flights"] == pytest.approx(2 / 28)


def fitted(spark: SparkSession) -> LogisticRegressionModel:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(400, len(NUMBERS))).astype(np.float32)
    labels = (rows[:, 0] + rng.normal(size=400) > 1).tolist()
    return train.logistic(0.01).fit(table(spark, rows, labels, train.PARTITIONS))


def test_the_graph_predicts_like_mllib(spark: SparkSession, tmp_path: Path) -> None:
    best = fitted(spark)
    train.export(best.coefficients.toArray(), best.intercept, tmp_path / "model.onnx")
    (tmp_path / THRESHOLD).write_text('{"late_from": 0.3}')
    served = FlightDelay()
    served.load(tmp_path)
    rows = np.random.default_rng(2).normal(size=(50, len(NUMBERS))).astype(np.float32)
    wanted = train.probabilities(best, table(spark, rows, [False] * 50, 2))
    assert served.run({"numbers": rows})["probabilities"][:, 0] == pytest.approx(wanted, abs=1e-6)
    records = [FLIGHT, FLIGHT.model_copy(update={"network_yesterday": 0.9, "route_week": 0.9})]
    predictions = served.predict(records)
    assert [each.late for each in predictions] == [each.probability >= 0.3 for each in predictions]
    sent = {name: np.array([getattr(each, name) for each in records]) for name in FIELDS}
    assert served.predict_columns(sent)["late"].tolist() == [each.late for each in predictions]
    # Both methods use the threshold.
    served._late_from = predictions[0].probability
    assert served.predict(records)[0].late
    assert served.predict_columns(sent)["late"][0]
    assert served.predict([]) == []


def test_as_many_are_predicted_late_as_were_late() -> None:
    rng = np.random.default_rng(3)
    y_prob, late = rng.random(1000) * 0.4, rng.random(1000) < 0.2
    assert (y_prob >= train.late_from(y_prob, late)).sum() == pytest.approx(late.sum(), abs=1)


def test_the_standard_error_of_roc_auc_equals_the_spread_over_samples() -> None:
    rng = np.random.default_rng(0)
    areas, errors = [], []
    for _ in range(300):
        late = rng.random(400) < 0.2
        y_prob = (late + rng.normal(size=400)).round(1)  # rounded: some are equal
        areas.append(roc_auc_score(late, y_prob))
        errors.append(metrics.roc_auc_error(late, y_prob))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.1)


def test_the_strongest_penalty_comes_first(spark: SparkSession) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, len(NUMBERS))).astype(np.float32)
    late = rng.random(60) < 0.5
    tried = train.by_spark(spark, rows, late, 40, 0, [0.0, 0.1, 1.0], 1)
    assert [next(tried).parameters["strength"] for _ in range(3)] == [1.0, 0.1, 0.0]


def test_an_impossible_value_is_refused_with_its_field() -> None:
    with pytest.raises(ValidationError, match="origin_flights"):
        Flight.model_validate(FLIGHT.model_dump() | {"origin_flights": 1e308})


def test_the_files_beside_train_make_the_stages_run_again() -> None:
    stages = yaml.safe_load((find("flight_delay").folder / "dvc.yaml").read_text())["stages"]
    assert {"history.py", "spark.py"} <= set(stages["prepare"]["deps"])
    assert {"history.py", "spark.py", "shuffles.py", "events.py"} <= set(stages["fit"]["deps"])
