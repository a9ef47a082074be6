"""Searches for the tests of limits, in a module whose import is cheap for a process."""

import time

from pipelines.ml.automl_from_scratch.limits import Record, Trial

TRIED = Trial({"learner": "logistic"}, 0.5, 300)


def slow(record: Record) -> None:
    record(TRIED)
    time.sleep(600)


def hungry(record: Record) -> None:
    record(TRIED)
    bytearray(300 * 2**20)


def broken(record: Record) -> None:
    raise KeyError("no such setting")
