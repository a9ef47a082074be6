"""The stage `evaluate`: score the exported model's predictions for the test rows, and draw them."""

import importlib
import json
from typing import Any

import matplotlib

from slipway.reporting import plots
from slipway.reporting.evaluation import Evaluation
from slipway.stages.start import empty_folder, seed_globally
from slipway.training import candidates
from slipway.training.batches import predict_all
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_examples, write_json

SHOWN = 3


def evaluate(work: Workspace) -> None:
    """Score the exported model's predictions for the test rows; write metrics, examples, pictures.

    What `report.describe(candidate)` returns, if the project has it, joins that candidate's
    metrics. `report.EXAMPLES`, if there, are the records of the examples instead of the first test
    rows.
    """
    seed_globally()
    project = work.project
    report = project.module("report")
    test, train = read_split(work, "test"), read_split(work, "train")
    model = project.model()
    model.load(work.weights)
    answers = predict_all(model, test.records)
    metrics = report.score(answers=answers, truths=test.truths)
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
    write_examples(work.examples, shown, predict_all(model, shown))
    _draw(work, report, Evaluation(train, test, answers, metrics, tried, chosen, work.weights))
    values = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    print(f"{project.name}: {values}", flush=True)


def _draw(work: Workspace, report: Any, evaluation: Evaluation) -> None:
    matplotlib.use("Agg")
    folder = empty_folder(work.report)
    plots.save(
        plots.candidates(evaluation.candidates, evaluation.chosen, work.params.primary),
        folder / "candidates.png",
    )
    for name, figure in report.draw(evaluation):
        plots.save(figure, folder / f"{name}.png")
    if work.params.profile:
        # By name: only projects with a profile depend on the library that writes it.
        profile = importlib.import_module("slipway.reporting.profile")
        work.volatile.mkdir(parents=True, exist_ok=True)
        profile.write_profile(evaluation.train, work.project.name, work.volatile / "profile.html")
