"""`python -m pipelines.ml.boosting_from_scratch.speed`: seconds to fit, ours and the libraries'.

Times are no two runs' the same, and so no part of a run: they stand in speed.json, for a picture.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.project import find
from slipway.training.stages import split
from slipway.training.workspace import Workspace

from .boosting import Boosting, LogLoss
from .train import Table, libraries, own

FILE = Path(__file__).with_name("speed.json")


def main() -> None:
    project = find("boosting_from_scratch")
    told = project.params.fit
    trees, rate, seed = told["trees"], told["learning_rate"], told["seed"]
    held = told["validation_share"]
    table = Table.of(split(Workspace.of(project), "train"))
    learn = table.at(np.random.default_rng(seed).random(len(table.values)) >= held)
    every = own(trees, rate, seed) | libraries(trees, rate, seed, classify=False)
    found = {}
    with threadpool_limits(limits=1):
        for name, model in every.items():
            found[name] = seconds(model, learn.numbers, learn.values)
        found["log_loss"] = seconds(
            Boosting(LogLoss(), trees, rate, seed=seed), learn.numbers, learn.dear
        )
    for name, taken in found.items():
        print(f"{name:26} {taken:8.2f} s")
    FILE.write_text(json.dumps(found, indent=1) + "\n")


def seconds(model: Any, numbers: np.ndarray, truths: np.ndarray) -> float:
    start = time.perf_counter()
    model.fit(numbers, truths)
    return round(time.perf_counter() - start, 2)


if __name__ == "__main__":
    main()
