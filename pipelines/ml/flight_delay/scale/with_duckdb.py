"""The history by DuckDB, which writes to disk what does not fit into its share of the memory."""

import tempfile
from pathlib import Path

import duckdb

from slipway.features.tables.flight_routes import DAYS, FIRST, FLIGHTS, KEYS, LATE, LATE_FROM

from . import one_machine
from .task import BEGIN, CORES, EVERY, PREPARED, Learned, Report

# The rest of the limit is for Python, its libraries and the learning.
MEMORY = "2GB"


def known(group: str) -> str:
    """Return the query for shares and counts of the days before each day, by keys and day."""
    keys = KEYS[group]
    by = ", ".join([*keys, "day"])
    parts = f"PARTITION BY {', '.join(keys)}" if keys else ""
    values, windows = [], []
    for span, width in DAYS.items():
        late, flown = (
            f"coalesce(sum({name}) OVER {span}, 0)::DOUBLE" for name in ("late", "flights")
        )
        values.append(f"({late} + {LATE}) / ({flown} + {FLIGHTS}) AS {group}_{span}")
        windows.append(
            f"{span} AS ({parts} ORDER BY day RANGE BETWEEN {width} PRECEDING AND 1 PRECEDING)"
        )
    if keys:
        values.append(f"{flown} / {width} AS {group}_flights")
    sums = f"SELECT {by}, sum(flights) AS flights, sum(late) AS late FROM days GROUP BY {by}"
    return f"SELECT {by}, {', '.join(values)} FROM ({sums}) WINDOW {', '.join(windows)}"


def run(flights: Path, prepared: Path, report: Report) -> Learned:
    """Prepare by DuckDB, and learn by scikit-learn."""
    report("counting")
    with tempfile.TemporaryDirectory(prefix="duckdb-") as spilled, duckdb.connect() as database:
        database.execute(f"SET memory_limit = '{MEMORY}'; SET threads = {CORES}")
        database.execute(f"SET temp_directory = '{spilled}'; SET preserve_insertion_order = false")
        database.execute(
            f"""CREATE VIEW flights AS SELECT number, origin, destination, distance,
            date_diff('day', DATE '{FIRST.date()}', date::DATE) AS day,
            date_diff('day', DATE '{FIRST.date()}', date::DATE) % 7 AS weekday,
            delay > {LATE_FROM} AS late FROM read_parquet('{flights}/*.parquet')"""
        )
        database.execute(
            """CREATE TABLE days AS SELECT origin, destination, day, count(*) AS flights,
            sum(late::INT) AS late FROM flights GROUP BY origin, destination, day"""
        )
        cells = database.sql("SELECT count(*) FROM days").fetchall()[0][0]
        report("joining", cells=cells)
        joins = ""
        for group, keys in KEYS.items():
            database.execute(f"CREATE TABLE known_{group} AS {known(group)}")
            joins += f" JOIN known_{group} USING ({', '.join([*keys, 'day'])})"
        database.execute(
            f"""COPY (SELECT {", ".join(PREPARED)} FROM flights {joins}
            WHERE number % {EVERY} = 0 AND day >= {BEGIN})
            TO '{prepared}/duckdb.parquet' (FORMAT parquet)"""
        )
    report("learning")
    return one_machine.learn(prepared)
