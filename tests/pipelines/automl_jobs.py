"""Searches for the tests of AutoML's budget, in a module whose import is cheap for a process."""

import time

from pipelines.ml.automl.budget import Journal, Trial

TRIED = Trial({"learner": "logistic"}, 0.5, 3, "complete")


def slow(record: Journal, *, fits: int) -> None:
    record(TRIED)
    time.sleep(600)


def hungry(record: Journal, *, fits: int) -> None:
    record(TRIED)
    bytearray(300 * 2**20)


def broken(record: Journal, *, fits: int) -> None:
    raise KeyError("no such setting")
