"""Flight delays by Spark and by single machines: equal results, bounded memory, a clean end.

In a file of its own, since a process can have one Spark session at a time.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from pipelines.ml.flight_delay import model
from pipelines.ml.flight_delay.scale import __main__ as script
from pipelines.ml.flight_delay.scale import page, rows, skew, with_spark
from pipelines.ml.flight_delay.scale.__main__ import Measured, Run, measure, out_of_memory
from pipelines.ml.flight_delay.scale.cluster import cluster
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


CHILD = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', "
    "'import time; kept = bytearray(200_000_000); time.sleep({seconds})']); "
    "open({file!r}, 'w').write(str(child.pid)); {then}"
)


def child_of(file: Path) -> bool:
    """Return whether the process whose number is in the file still runs."""
    pid = int(file.read_text())
    return bool(psutil.pid_exists(pid)) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("limit", "ended"), [(100_000_000, "memory"), (400_000_000, "done")])
def test_the_limit_counts_the_descendants_and_ends_them(
    limit: int, ended: str, tmp_path: Path
) -> None:
    """The child takes 200 MB, the process itself about 10."""
    file = tmp_path / "child"
    code = CHILD.format(seconds=1, file=str(file), then="child.wait()")
    command, log = [sys.executable, "-c", code], tmp_path / "log"
    used = run_limited(command, limit=limit, seconds=60, log=log)
    assert used.ended == ended
    assert 100e6 < used.peak_bytes < 260e6
    assert not child_of(file)


def test_a_process_that_takes_too_long_is_ended_with_its_child(tmp_path: Path) -> None:
    file = tmp_path / "child"
    code = CHILD.format(seconds=100, file=str(file), then="child.wait()")
    began = time.perf_counter()
    used = run_limited([sys.executable, "-c", code], limit=10**9, seconds=2, log=tmp_path / "log")
    assert used.ended == "time"
    assert time.perf_counter() - began < 30
    assert not child_of(file)


def test_what_a_process_leaves_behind_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "child"
    code = CHILD.format(seconds=100, file=str(file), then="time.sleep(1); sys.exit(3)")
    used = run_limited([sys.executable, "-c", code], limit=10**9, seconds=60, log=tmp_path / "log")
    assert used.ended == "failed"
    assert not child_of(file)


def test_cpu_seconds_include_the_descendants(tmp_path: Path) -> None:
    busy = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    used = run_limited([sys.executable, "-c", code], limit=10**9, seconds=60, log=tmp_path / "log")
    # The last tenth of a second may be missing, more on a busy machine.
    assert used.cpu_seconds > 0.6


def test_an_engine_is_ended_at_the_limit_and_says_where(flights: Path) -> None:
    short = measure(Run("pandas", 0.0), flights, limit=120_000_000)
    assert short["ended"] == "memory"
    assert short["peak_gb"] > 0.12
    enough = measure(Run("pandas", 0.0), flights)
    assert enough["ended"] == "done"
    assert enough["result"]["means"]["rows"] > ROWS / EVERY / 2
    assert enough["result"]["means"]["late"] > 0.1
    assert list(flights.parent.glob("scale-*")) == []


def test_an_engine_that_fails_otherwise_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No files|no files|Unable|not found|No such"):
        measure(Run("duckdb", 0.0), tmp_path / "missing")


def test_memory_errors_of_every_engine_are_recognized() -> None:
    assert out_of_memory("java.lang.OutOfMemoryError: Java heap space")
    assert out_of_memory("_duckdb.OutOfMemoryException: Out of Memory Error: could not allocate")
    assert out_of_memory("pyarrow.lib.ArrowMemoryError: malloc of size 64 failed")
    assert not out_of_memory("ValueError: columns overlap")


@pytest.fixture
def two_workers() -> Iterator[list[psutil.Process]]:
    before = set(psutil.Process().children(recursive=True))
    with cluster(2, cores=1, memory="512m") as url:
        assert url.startswith("spark://127.0.0.1:")
        yield [each for each in psutil.Process().children(recursive=True) if each not in before]


def test_a_cluster_listens_on_the_loopback_alone(two_workers: list[psutil.Process]) -> None:
    sockets = [
        socket
        for each in two_workers
        for socket in each.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    ]
    # Each of the three has a port for the others and a page.
    assert len(sockets) == 6
    assert {socket.laddr.ip.removeprefix("::ffff:") for socket in sockets} == {"127.0.0.1"}


def test_a_cluster_ends_with_its_block() -> None:
    before = set(psutil.Process().children(recursive=True))
    held: set[psutil.Process] = set()

    def fail_on_a_cluster() -> None:
        with cluster(1, cores=1, memory="512m"):
            held.update(set(psutil.Process().children(recursive=True)) - before)
            raise ValueError("in the block")

    with pytest.raises(ValueError, match="in the block"):
        fail_on_a_cluster()
    # A master and a worker.
    assert len(held) == 2
    assert not any(each.is_running() for each in held)


def test_a_cluster_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().children(recursive=True)
    with (
        pytest.raises(RuntimeError, match=r"(?s)did not log.*lots"),
        cluster(1, cores=1, memory="lots"),
    ):
        raise AssertionError("a worker with this memory has started")
    assert psutil.Process().children(recursive=True) == before


def test_an_interrupted_measurement_goes_on(
    flights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []

    def fake_measure(run: Run, flights: Path) -> dict[str, Any]:
        calls.append((run.engine, run.gigabytes))
        if len(calls) == 3:
            raise RuntimeError("interrupted")
        return {**run.key(), "ended": "done", "seconds": 1, "peak_gb": 1}

    monkeypatch.setattr(script, "measure", fake_measure)
    monkeypatch.setattr(script, "generate", lambda folder, gigabytes: {"rows": 1})
    monkeypatch.setattr(script, "key_shares", dict)
    runs = [[Run(name, 0.1) for name in script.RIVALS], [Run("skew", 0.2, {"way": "plain"})]]
    file = tmp_path / "measured.json"
    (tmp_path / "a").mkdir()
    with pytest.raises(RuntimeError, match="interrupted"):
        script.measure_all(Measured(file, fresh=False), runs, tmp_path / "a")
    (tmp_path / "b").mkdir()
    script.measure_all(Measured(file, fresh=False), runs, tmp_path / "b")
    # The one that failed is measured again, those before it are not.
    names = [engine for engine, _ in calls]
    assert names == ["pandas", "polars", "duckdb", "duckdb", "spark", "skew"]
    assert len(json.loads(file.read_text())["runs"]) == 5
    script.measure_all(Measured(file, fresh=False), runs, tmp_path / "b")
    assert len(calls) == 6
    assert list((tmp_path / "b").iterdir()) == []


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(script.MEASURED.read_text())
    return found


def test_the_page_shows_the_committed_figures(committed: dict[str, Any]) -> None:
    text = page.README.read_text()
    begin, end = f"<!-- {page.MARK} -->", f"<!-- /{page.MARK} -->"
    shown = text[text.index(begin) + len(begin) : text.index(end)]
    assert shown.strip() == page.block(committed)
    for name in ("rivals", "configurations"):
        assert (page.PICTURES / f"{name}.png").stat().st_size < 200_000


def test_the_engines_agreed_on_every_size_of_the_measurement(committed: dict[str, Any]) -> None:
    """The means of all features, the penalty and the test ROC AUC, of all that finished."""
    done = [run for run in committed["runs"] if run["ended"] == "done"]
    for size in {run["gigabytes"] for run in done}:
        found = [r["result"] for r in done if r["gigabytes"] == size and r["engine"] != "skew"]
        assert len(found) > 1
        for each in found:
            assert each["means"] == pytest.approx(found[0]["means"], rel=1e-9)
            assert each["strength"] == found[0]["strength"]
            assert each["test_roc_auc"] == pytest.approx(found[0]["test_roc_auc"], abs=ROUND)
    joins = [run["result"]["total"] for run in done if run["engine"] == "skew"]
    assert len(joins) > 1
    assert joins == pytest.approx([joins[0]] * len(joins), rel=1e-9)
    largest = max(committed["generated"].values(), key=lambda each: each["bytes"])
    assert largest["bytes"] >= 10e9
    assert largest["peak_gb"] < 1.1
