"""Measure the seconds to fit our own models and the libraries', and write them to speed.json.

Run it with `python -m pipelines.ml.boosting_from_scratch.speed`. It is not a stage, because times
differ between runs. A picture of the report shows them.
"""

import json
import time
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.project import find
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace

from .boosting import Boosting, LogLoss
from .train import Table, libraries, own

FILE = Path(__file__).with_name("speed.json")


def main() -> None:
    project = find("boosting_from_scratch")
    given = project.params.fit
    trees, rate, seed = given["trees"], given["learning_rate"], given["seed"]
    table = Table.from_rows(read_split(Workspace.for_project(project), "train"))
    learn, _ = table.split(given["validation_share"], seed)
    every = own(trees, rate, seed) | libraries(trees, rate, seed, classify=False)
    every["log_loss"] = Boosting(LogLoss(), trees, rate, seed=seed)
    seconds = {}
    with threadpool_limits(limits=1):
        for name, model in every.items():
            y_true = learn.expensive if name == "log_loss" else learn.values
            start = time.perf_counter()
            model.fit(learn.numbers, y_true)
            seconds[name] = round(time.perf_counter() - start, 2)
            print(f"{name:26} {seconds[name]:8.2f} s")
    FILE.write_text(json.dumps(seconds, indent=1) + "\n")


if __name__ == "__main__":
    main()
