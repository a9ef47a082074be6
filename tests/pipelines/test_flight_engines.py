"""Flight delays by Spark and by single machines: equal flights and equal results.

In a file of its own, since a process can have one Spark session at a time.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.ml.flight_delay import model
from pipelines.ml.flight_delay.scale import rows, skew, with_spark
from pipelines.ml.flight_delay.scale.engine import Result
from pipelines.ml.flight_delay.scale.memory import run_limited
from pipelines.ml.flight_delay.scale.task import BEGIN, END, EVERY, PREPARED, STRENGTHS, VALID_FROM
from pipelines.ml.flight_delay.spark import session
from slipway.features.tables.flight_routes import FIRST, with_history

AIRPORTS = ["ATL", "BOS", "DEN", "ORD", "SEA"]
OFTEN = [0.6, 0.1, 0.1, 0.1, 0.1]
ROWS = 48_000
# scikit-learn learns in float32, and sums up in the order of the rows, which differs between
# engines. With 500 validation flights a few near ties change places; with many that does not show.
FEW_ROUND, ROUND = 5e-4, 5e-5


def half_year(count: int) -> pd.DataFrame:
    """Return flights as in the file, most from one airport; some days and routes are later."""
    rng = np.random.default_rng(3)
    day = rng.integers(0, END, count)
    origin = rng.choice(len(AIRPORTS), count, p=OFTEN)
    # The last airport has no flights on Sundays, so that some days have no row of their own.
    day[(origin == 4) & (day % 7 == 6)] -= 1
    delay = rng.normal(4 + 4 * origin + 8 * (day % 11 < 3), 15).round().astype(int)
    frame = pd.DataFrame(
        {
            "date": FIRST + pd.to_timedelta(day * 1440 + rng.integers(0, 1440, count), unit="m"),
            "delay": delay,
            "distance": 500 + 100 * origin,
            "origin": np.array(AIRPORTS)[origin],
            "destination": rng.choice(AIRPORTS, count),
        }
    )
    frame = frame.sort_values("date", ignore_index=True)
    # The real file has a few flights after its last whole day.
    late = frame.tail(6).assign(date=FIRST + pd.Timedelta(days=END))
    return pd.concat([frame, late], ignore_index=True).astype({"date": "datetime64[us]"})


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("real") / "flights.parquet"
    half_year(20_000).to_parquet(file)
    return file


@pytest.fixture(scope="module")
def flights(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "CHUNK", 20_000)
        rows.grow(real, folder, ROWS)
    assert len(list(folder.iterdir())) == 3
    return folder


Prepared = dict[str, tuple[pd.DataFrame, dict[str, Any]]]


@pytest.fixture(scope="module")
def prepared(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Return each engine's prepared flights and results; Spark also on two executors."""
    found = {}
    for name, engine, options in (
        ("pandas", "pandas", {}),
        ("polars", "polars", {}),
        ("duckdb", "duckdb", {}),
        ("cluster", "spark", {"executors": 2, "partitions": 2}),
    ):
        place = tmp_path_factory.mktemp(name)
        words = [engine, flights, place / "made", place / "result", json.dumps(options)]
        (place / "made").mkdir()
        module = "pipelines.ml.flight_delay.scale.engine"
        command = [sys.executable, "-m", module, *map(str, words)]
        used = run_limited(command, limit=2**33, seconds=600, log=place / "log")
        assert used.ended == "done", (place / "log").read_text()[-2000:]
        result = json.loads((place / "result").read_text())
        assert result["step"] == "ended"
        found[name] = read(place / "made"), result
    place = tmp_path_factory.mktemp("spark")
    report = Result(place / "result")
    learned = with_spark.run(flights, place / "made", report, partitions=2, adaptive=False)
    report("ended", **learned)
    found["spark"] = read(place / "made"), report.content
    return found


def read(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder).sort_values("number", ignore_index=True)


def test_the_flights_are_drawn_by_the_rule(real: Path, flights: Path) -> None:
    """Real ones with replacement, as frequent as they are, with delays moved by some minutes."""
    given = pd.read_parquet(real)
    given = given[given["date"] < FIRST + pd.Timedelta(days=END)]
    grown = pd.read_parquet(flights)
    assert len(grown) == ROWS
    # The last file begins at its place, with numbers of its own.
    assert grown["number"].is_unique
    names = ["date", "distance", "origin", "destination"]
    known = set(map(tuple, given[names].to_numpy().tolist()))
    assert set(map(tuple, grown[names].to_numpy().tolist())) <= known
    # More flights than real ones: of a draw with replacement, 1 - exp(-2.4) of them occur.
    assert 0.88 < len(grown[names].drop_duplicates()) / len(known) < 0.93
    shares = grown["origin"].value_counts(normalize=True)
    expected = given["origin"].value_counts(normalize=True)
    # The standard error of a share of a half is 0.0023.
    assert (shares - expected).abs().max() < 0.01
    variance = grown["delay"].var() - given["delay"].var()
    assert variance == pytest.approx(rows.JITTER**2, abs=8)
    assert abs(grown["delay"].mean() - given["delay"].mean()) < 0.5


def test_a_file_depends_on_its_place_and_the_seed(
    real: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 500)
    for name, count, seed in (("short", 700, 1), ("long", 1000, 1), ("other", 700, 2)):
        (tmp_path / name).mkdir()
        rows.grow(real, tmp_path / name, count, seed)
    first = {name: (tmp_path / name / "00000.parquet").read_bytes() for name in ("short", "long")}
    assert first["short"] == first["long"]
    assert first["short"] != (tmp_path / "other" / "00000.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "short" / "00001.parquet").metadata.num_rows == 200


def test_a_gigabyte_on_disk_is_a_gigabyte_of_values(flights: Path) -> None:
    size = sum(file.stat().st_size for file in flights.iterdir())
    assert size == pytest.approx(ROWS * rows.ROW_BYTES, rel=0.01)
    assert rows.rows_of(10) * rows.ROW_BYTES == pytest.approx(10e9)


def test_writing_more_flights_needs_no_more_memory(real: Path, tmp_path: Path) -> None:
    """Three files instead of one; each has a million flights, of 46 MB."""
    code = (
        "import sys; from pathlib import Path; from pipelines.ml.flight_delay.scale import rows; "
        "rows.grow(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
    )
    peaks = []
    for count in (1_000_000, 3_000_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", code, str(real), str(folder), str(count)]
        used = run_limited(command, limit=2**30, seconds=300, log=tmp_path / "log")
        assert used.ended == "done", (tmp_path / "log").read_text()
        peaks.append(used.peak_bytes)
    assert peaks[1] < peaks[0] + 100e6


def test_all_engines_prepare_the_same(prepared: Prepared) -> None:
    frame, _ = prepared["pandas"]
    assert list(frame) == list(PREPARED)
    for name, (other, _) in prepared.items():
        assert list(other) == list(PREPARED), name
        assert len(other) == len(frame), name
        np.testing.assert_allclose(
            other.to_numpy(dtype=float), frame.to_numpy(dtype=float), rtol=1e-12, atol=1e-12
        )


def test_they_prepare_what_the_feature_store_has(flights: Path, prepared: Prepared) -> None:
    """The table of the feature store comes from other code, which counts by whole columns."""
    every = pd.read_parquet(flights)
    day = (every["date"].dt.normalize() - FIRST).dt.days
    every = every.assign(day=day, weekday=day % 7, late=every["delay"] > 15)
    table = with_history(every.drop(columns=["date", "delay"]))
    table = table[(table["number"] % EVERY == 0) & (table["day"] >= BEGIN)].sort_values("number")
    frame, _ = prepared["duckdb"]
    np.testing.assert_allclose(
        frame.to_numpy(dtype=float), table[list(PREPARED)].to_numpy(dtype=float), rtol=1e-12
    )
    assert len(frame) > ROWS / EVERY / 2


def test_all_engines_learn_the_same(prepared: Prepared) -> None:
    _, expected = prepared["pandas"]
    frame, _ = prepared["pandas"]
    assert expected["rows"] == (frame["day"] < VALID_FROM).sum()
    assert set(expected["valid_roc_auc"]) == {f"{each:g}" for each in STRENGTHS}
    # Far from chance, so that an equal area means an equal ranking.
    assert expected["test_roc_auc"] > 0.6
    for name, (_, result) in prepared.items():
        assert result["rows"] == expected["rows"], name
        assert result["strength"] == expected["strength"], name
        assert result["valid_roc_auc"] == pytest.approx(expected["valid_roc_auc"], abs=FEW_ROUND), (
            name
        )
        assert result["test_roc_auc"] == pytest.approx(expected["test_roc_auc"], abs=FEW_ROUND), (
            name
        )


def test_the_penalty_is_the_best_on_the_validation_days(prepared: Prepared) -> None:
    for name, (_, result) in prepared.items():
        best = max(result["valid_roc_auc"], key=result["valid_roc_auc"].get)
        assert float(best) == result["strength"], name


def test_sparks_expressions_are_the_columns_of_the_model(prepared: Prepared) -> None:
    frame, _ = prepared["spark"]
    expected = model.columns({name: frame[name].to_numpy() for name in model.FIELDS})
    with session() as spark:
        made = spark.createDataFrame(frame).select(*with_spark.numbers()).toPandas()
    assert list(made) == list(model.NUMBERS)
    np.testing.assert_allclose(made.to_numpy(dtype=np.float32), expected, rtol=1e-6, atol=1e-6)


def test_spark_reports_what_it_shuffled(prepared: Prepared) -> None:
    for name in ("spark", "cluster"):
        _, result = prepared[name]
        assert result["tasks"] > 0
        assert result["shuffled_mb"] > 0
        assert set(result["steps"]) == {"starting", "preparing", "learning"}


def test_every_kind_of_the_skewed_join_gives_the_same(flights: Path) -> None:
    found = {way: skew.join(flights, way) for way in skew.WAYS}
    for way, figures in found.items():
        assert figures["total"] == pytest.approx(found["plain"]["total"], rel=1e-9), way
    every = pd.read_parquet(flights)
    usual = every.groupby("origin")["distance"].transform("mean")
    assert found["plain"]["total"] == pytest.approx(((every["distance"] - usual) ** 2).sum(), abs=1)
    # Six of ten flights leave from one airport.
    assert found["plain"]["largest_share"] > 0.55
    assert found["salted"]["largest_share"] < 0.4
    assert found["salted"]["cores_used"] > 1
    assert "largest_share" not in found["broadcast"]
