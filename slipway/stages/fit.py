"""The stage `fit`: train the candidates, export the chosen one, and measure its parity."""

import time

from slipway.stages.start import empty_folder, seed_globally
from slipway.training import candidates
from slipway.training.parity import ROWS, parity
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_json


def fit(work: Workspace) -> None:
    """Train the candidates, export the chosen one, and measure its parity."""
    seed_globally()
    project = work.project
    train = read_split(work, "train")
    weights = empty_folder(work.weights)
    start = time.perf_counter()
    fitted = project.module("train").fit(train=train, weights=weights, **work.params.fit)
    work.note("timing", {"fit_seconds": time.perf_counter() - start})
    candidates.write(fitted, work.candidates)
    model = project.model()
    model.load(weights)
    sample = train.records[:ROWS]
    write_json(work.parity, parity(fitted.framework_predict(sample), model.predict(sample)))
    for candidate in fitted.candidates:
        mark = "*" if candidate.name == fitted.chosen else " "
        values = "  ".join(f"{key} {value:.4g}" for key, value in candidate.metrics.items())
        print(f"{project.name}: {mark} {candidate.name:24} {values}", flush=True)
