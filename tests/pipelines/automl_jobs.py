"""Searches for tests of AutoML's budget; apart, so that their processes import nothing heavy."""

import time

from pipelines.ml.automl.budget import Journal, Trial

TRIED = Trial({"learner": "logistic"}, 0.5, 3, "complete")


def slow(tell: Journal, *, fits: int) -> None:
    tell(TRIED)
    time.sleep(600)


def hungry(tell: Journal, *, fits: int) -> None:
    tell(TRIED)
    bytearray(300 * 2**20)


def broken(tell: Journal, *, fits: int) -> None:
    raise KeyError("no such setting")
