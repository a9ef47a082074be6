"""The stage `evaluate`: score the exported model on the test rows, and draw the report."""

import importlib
import json
from typing import Any

import matplotlib

from slipway.reporting import plots
from slipway.reporting.candidates_plot import candidates_plot
from slipway.reporting.evaluation import Evaluation
from slipway.stages.start import empty_folder, seed_globally
from slipway.training import candidates
from slipway.training.batches import predict_all
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_examples, write_json

SHOWN = 3


def evaluate(work: Workspace) -> None:
    """Predict the test rows with the exported model; write metrics, examples and plots.

    If the project defines `report.describe(candidate)`, the metrics that it returns are added to
    the candidate's. If it defines `report.EXAMPLES`, those records are the examples instead of the
    first test rows.
    """
    seed_globally()
    project = work.project
    report = project.module("report")
    test, train = read_split(work, "test"), read_split(work, "train")
    model = work.model()
    predictions = predict_all(model, test.records, work.params.batch)
    metrics = report.score(predictions=predictions, labels=test.labels)
    metrics |= json.loads(work.parity.read_text())
    chosen, tried = candidates.read(work.candidates)
    if describe := getattr(report, "describe", None):
        tried = [each.with_metrics(describe(each)) for each in tried]
    write_json(
        work.metrics,
        {
            "metrics": metrics,
            "chosen": chosen,
            "candidates": {each.name: each.metrics for each in tried},
            "rows": {"train": len(train), "test": len(test)},
        },
    )
    shown = getattr(report, "EXAMPLES", test.records[:SHOWN])
    write_examples(work.examples, shown, predict_all(model, shown, work.params.batch))
    evaluation = Evaluation(train, test, predictions, metrics, tried, chosen, work.weights)
    _draw(work, report, evaluation)
    values = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    print(f"{project.name}: {values}", flush=True)


def _draw(work: Workspace, report: Any, evaluation: Evaluation) -> None:
    matplotlib.use("Agg")
    folder = empty_folder(work.report)
    plots.save(
        candidates_plot(
            evaluation.candidates,
            chosen=evaluation.chosen,
            metric=work.params.primary,
            higher_is_better=work.params.gate.condition(work.params.primary).sign == ">=",
        ),
        folder / "candidates.png",
    )
    for name, figure in report.draw(evaluation):
        plots.save(figure, folder / f"{name}.png")
    if work.params.profile:
        # Imported by name: only projects with a profile depend on the library that writes it.
        profile = importlib.import_module("slipway.reporting.profile")
        work.volatile.mkdir(parents=True, exist_ok=True)
        profile.write_profile(evaluation.train, work.project.name, work.volatile / "profile.html")
