"""`python -m pipelines.ml.boosting_from_scratch.speed`: seconds to fit, ours and the libraries'.

Times are no two runs' the same, and so no part of a run: they stand in speed.json, for a picture.
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
    told = project.params.fit
    trees, rate, seed = told["trees"], told["learning_rate"], told["seed"]
    table = Table.of(read_split(Workspace.of(project), "train"))
    learn, _ = table.split(told["validation_share"], seed)
    every = own(trees, rate, seed) | libraries(trees, rate, seed, classify=False)
    every["log_loss"] = Boosting(LogLoss(), trees, rate, seed=seed)
    found = {}
    with threadpool_limits(limits=1):
        for name, model in every.items():
            truths = learn.dear if name == "log_loss" else learn.values
            start = time.perf_counter()
            model.fit(learn.numbers, truths)
            found[name] = round(time.perf_counter() - start, 2)
            print(f"{name:26} {found[name]:8.2f} s")
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
