"""Flight delays at scale: the limit of memory, the cluster of processes, and the measurement."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.ml.flight_delay.scale import __main__ as script
from pipelines.ml.flight_delay.scale import page, rows
from pipelines.ml.flight_delay.scale.__main__ import Measured, Run, measure, out_of_memory
from pipelines.ml.flight_delay.scale.cluster import cluster
from pipelines.ml.flight_delay.scale.memory import run_limited
from pipelines.ml.flight_delay.scale.task import EVERY
from tests.pipelines.test_flight_engines import ROUND, ROWS, half_year


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown") / "flights"
    folder.mkdir()
    half_year(20_000).to_parquet(folder.with_suffix(".parquet"))
    rows.grow(folder.with_suffix(".parquet"), folder, ROWS)
    return folder


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
            started = set(psutil.Process().children(recursive=True)) - before
            # The shells that start them leave others, which have ended.
            held.update(each for each in started if each.name() == "java")
            raise ValueError("in the block")

    with pytest.raises(ValueError, match="in the block"):
        fail_on_a_cluster()
    # A master and a worker.
    assert len(held) == 2
    assert not any(each.is_running() for each in held)


def test_a_cluster_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(psutil.Process().children(recursive=True))
    with (
        pytest.raises(RuntimeError, match=r"(?s)'Registering worker'.*--properties-file"),
        cluster(1, cores=1, memory="lots"),
    ):
        raise AssertionError("a worker with this memory has started")
    left = set(psutil.Process().children(recursive=True)) - before
    assert "java" not in {each.name() for each in left}


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
