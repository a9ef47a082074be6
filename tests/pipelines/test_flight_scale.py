"""Flight delays by Spark on a cluster, and its skewed joins.

In a file of its own, since a process can have one Spark session, that of test_flight_delay.py.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.ml.flight_delay import shuffles
from tests.conftest import ROOT
from tests.pipelines.test_flight_delay import sample_flights

CLUSTER = "local-cluster[2,1,1024]"


def test_separate_workers_prepare_and_learn_the_same(tmp_path: Path) -> None:
    """Two worker processes with an executor each, which import nothing from this project."""
    code = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from pipelines.ml.flight_delay.history import add_history, flights\n"
        "from pipelines.ml.flight_delay.spark import numbers, session\n"
        "from pipelines.ml.flight_delay.train import logistic\n"
        "from pyspark.sql import functions as F\n"
        "with session(sys.argv[1]) as spark:\n"
        "    found = flights(spark, Path(sys.argv[2]))\n"
        "    label = F.col('late').cast('double').alias('label')\n"
        "    made = add_history(found, found).select(numbers().alias('features'), label)\n"
        "    best = logistic(0.01).fit(made)\n"
        "    executors = spark.sparkContext._jsc.sc().getExecutorMemoryStatus\n"
        "    end = time.monotonic() + float(sys.argv[3])\n"
        "    while executors().size() < 3 and time.monotonic() < end:\n"
        "        time.sleep(0.5)\n"
        "    held = executors().size()\n"
        "    print(json.dumps([held, best.intercept, *best.coefficients.toArray()]))\n"
    )
    sample_flights(600).to_parquet(tmp_path / "flights.parquet")
    found = []
    rows = str(tmp_path / "flights.parquet")
    # On a busy machine one executor may do all the work before the other one has started.
    for master, patience in (("local[2]", "0"), (CLUSTER, "300")):
        command = [sys.executable, "-c", code, master, rows, patience]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(yaml.safe_load(done.stdout.splitlines()[-1]))
    (one, *here), (more, *there) = found
    assert (one, more) == (1, 3)  # the driver itself is counted
    assert there == pytest.approx(here, abs=1e-6)
    assert np.abs(here).max() > 0.01


def test_salting_spreads_a_skewed_join(tmp_path: Path) -> None:
    file = tmp_path / "flights.parquet"
    sample_flights(4000).to_parquet(file)
    read = {}
    for name in ("join_32", "join_salted"):
        by_task = shuffles.run_join(file, name, 40)
        read[name] = shuffles.loads(by_task, name)
        assert by_task["written"].sum() > 0
    # Four of five flights leave from one airport.
    assert read["join_32"][0] > 0.75 * sum(read["join_32"])
    assert read["join_salted"][0] < 0.4 * sum(read["join_salted"])


def test_adaptive_execution_splits_what_several_tasks_wrote(tmp_path: Path) -> None:
    distance = np.random.default_rng(5).integers(100, 4000, 20_000)
    frame = sample_flights(20_000).assign(distance=distance)
    largest = {}
    for parts in (1, 4):
        folder = tmp_path / str(parts)
        folder.mkdir()
        for part in range(parts):
            frame[part::parts].to_parquet(folder / f"{part}.parquet")
        by_task = shuffles.run_join(folder, "join_adaptive_split", 40)
        largest[parts] = shuffles.loads(by_task, "join_adaptive_split")[0]
    assert largest[1] > 0.75 * 20_000
    assert largest[4] < 0.25 * 20_000
