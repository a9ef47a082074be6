"""The stage `fit`: train the candidates, export the chosen one, and measure its parity."""

import time

from slipway.contract import Record
from slipway.quality.comparison import comparison
from slipway.stages.start import empty_folder, seed_globally
from slipway.training import candidates
from slipway.training.batches import batches, predict
from slipway.training.candidates import Fitted
from slipway.training.parity import ParityMeter
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
    write_json(work.parity, _parity(work, fitted, train.records[: work.params.parity.rows]))
    for candidate in fitted.candidates:
        mark = "*" if candidate.name == fitted.chosen else " "
        values = "  ".join(f"{key} {value:.4g}" for key, value in candidate.metrics.items())
        print(f"{project.name}: {mark} {candidate.name:24} {values}", flush=True)


def _parity(work: Workspace, fitted: Fitted, sample: list[Record]) -> dict[str, float]:
    """Return the parity of the exported model; nothing if the project has a reason for none."""
    settings = work.params.parity
    if settings.kind == "none":
        return {}
    if fitted.framework_predict is None:
        raise ValueError(
            f"{work.project.name}: train.fit returned no framework_predict to measure parity with; "
            "without a framework, set parity in params.yaml to kind none with the reason"
        )
    meter, model = ParityMeter(comparison(settings.kind, settings.iou)), work.model()
    for part in batches(sample, work.params.batch):
        meter.add(fitted.framework_predict(part), predict(model, part))
    return meter.metrics()
