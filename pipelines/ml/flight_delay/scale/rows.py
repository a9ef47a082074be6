"""Write any number of flights, drawn from the real ones, file by file.

    python -m pipelines.ml.flight_delay.scale.rows FOLDER ROWS

The rule: each flight is a real one, drawn with replacement and with equal chances, so that routes,
airports and days are as frequent as they really are. Its delay is moved by a normal error of three
minutes, rounded. It gets a number of its own. A file depends on its place and the seed alone.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway.datasets import fetch
from slipway.features.tables.flight_routes import END, FILE

# Rows per file, so that writing needs little memory.
CHUNK = 1_000_000
JITTER = 3
SEED = 22
# Four columns of 8 bytes, and two airports of 3 bytes with their lengths of 4.
ROW_BYTES = 4 * 8 + 2 * (3 + 4)


def rows_of(gigabytes: float) -> int:
    return round(gigabytes * 1e9 / ROW_BYTES)


def real_flights(file: Path) -> pa.Table:
    """Return the real flights up to `END`, after which the file has only six."""
    return pq.read_table(file, filters=pc.field("date") < pa.scalar(END.to_pydatetime()))


def draw(real: pa.Table, place: int, count: int, seed: int) -> pa.Table:
    """Return the `count` flights of the file at this place, in the order of their dates."""
    rng = np.random.default_rng([seed, place])
    drawn = real.take(pa.array(np.sort(rng.integers(0, len(real), count))))
    moved = drawn["delay"].to_numpy() + rng.normal(0, JITTER, count).round().astype(np.int64)
    columns = {"number": pa.array(np.arange(count) + place * CHUNK), "date": drawn["date"]}
    columns |= {"delay": pa.array(moved), "distance": drawn["distance"]}
    columns |= {name: drawn[name].cast(pa.string()) for name in ("origin", "destination")}
    return pa.table(columns)


def grow(file: Path, folder: Path, rows: int, seed: int = SEED) -> None:
    """Write `rows` flights drawn from those of `file`.

    The values are stored as they are, without dictionaries and compression: a gigabyte on disk is a
    gigabyte of values.
    """
    real = real_flights(file)
    for place, start in enumerate(range(0, rows, CHUNK)):
        table = draw(real, place, min(CHUNK, rows - start), seed)
        target = folder / f"{place:05}.parquet"
        pq.write_table(table, target, use_dictionary=False, compression="none")


if __name__ == "__main__":
    grow(fetch("us_flights_3m").path(FILE), Path(sys.argv[1]), int(sys.argv[2]))
