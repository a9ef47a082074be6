"""The verbs behind every project's `dvc.yaml`: prepare, fit, evaluate.

Each reads and writes files only, so that DVC can tell what must run again.
"""

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from slipway.datasets import fetch
from slipway.training import candidates, examples
from slipway.training.evaluation import Evaluation
from slipway.training.examples import Examples
from slipway.training.parity import ROWS, parity
from slipway.training.workspace import Workspace, write_json

SPLITS = ("train", "test")
SHOWN = 3


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _seeded() -> None:
    """A last resort for what takes no seed; every project seeds what it draws itself."""
    random.seed(0)
    np.random.seed(0)


def prepare(work: Workspace) -> None:
    """Fetch the data set, and write `data.splits` of it as Parquet."""
    _seeded()
    dataset = fetch(work.params.dataset)
    splits = work.project.module("data").splits(dataset, **work.params.prepare)
    if missing := [name for name in SPLITS if name not in splits]:
        raise ValueError(f"{work.project.name}: data.splits gave no {' and no '.join(missing)}")
    folder = _emptied(work.data)
    for name, rows in splits.items():
        count = examples.write(rows, folder / f"{name}.parquet", limit=work.rows)
        print(f"{work.project.name}: {name} {count} rows", flush=True)
    work.note("origins", dataset.origins)


def split(work: Workspace, name: str) -> Examples[Any, Any]:
    file = work.data / f"{name}.parquet"
    return examples.read(file, work.project.model().input_type())


def fit(work: Workspace) -> None:
    """Train the candidates, export the chosen one, and measure its parity."""
    _seeded()
    project = work.project
    train = split(work, "train")
    weights = _emptied(work.weights)
    start = time.perf_counter()
    fitted = project.module("train").fit(train=train, weights=weights, **work.params.fit)
    work.note("timing", {"fit_seconds": time.perf_counter() - start})
    candidates.write(fitted, work.candidates)
    model = project.model()
    model.load(weights)
    sample = train.records[:ROWS]
    figures = parity(fitted.native(sample), model.predict(sample))
    write_json(work.parity, figures)
    for candidate in fitted.candidates:
        mark = "*" if candidate.name == fitted.chosen else " "
        told = "  ".join(f"{key} {value:.4g}" for key, value in candidate.metrics.items())
        print(f"{project.name}: {mark} {candidate.name:24} {told}", flush=True)


def evaluate(work: Workspace) -> None:
    """Score the exported model's answers to the test rows; write metrics, examples, pictures."""
    import json

    _seeded()
    project = work.project
    training = project.module("train")
    test = split(work, "test")
    model = project.model()
    model.load(work.weights)
    answers = answer(model, test.records)
    metrics = training.score(answers=answers, truths=test.truths)
    metrics |= json.loads(work.parity.read_text())
    chosen, tried = candidates.read(work.candidates)
    train = split(work, "train")
    write_json(
        work.metrics,
        {
            "metrics": metrics,
            "chosen": chosen,
            "candidates": {each.name: each.metrics for each in tried},
            "rows": {"train": len(train), "test": len(test)},
        },
    )
    own = getattr(project.module("data"), "EXAMPLES", None)
    shown = own if own is not None else test.records[:SHOWN]
    write_json(
        work.examples,
        [
            {"input": sent.model_dump(mode="json"), "output": told.model_dump(mode="json")}
            for sent, told in zip(shown, answer(model, shown), strict=True)
        ],
    )
    evaluation = Evaluation(train, test, answers, metrics, tried, chosen, work.weights)
    _draw(work, training, evaluation)
    told = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    print(f"{project.name}: {told}", flush=True)


def answer(model: Any, records: list[Any], batch: int = 1000) -> list[Any]:
    """The model's answers, a batch at a time so that memory stays bounded.

    Raises:
        ValueError: as many answers as records did not come back.
    """
    answers = []
    for start in range(0, len(records), batch):
        sent = records[start : start + batch]
        told = model.predict(sent)
        if len(told) != len(sent):
            raise ValueError(f"{len(sent)} records sent, {len(told)} answers came back")
        answers += told
    return answers


def _draw(work: Workspace, training: Any, evaluation: Evaluation) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from slipway.training import plots

    folder = _emptied(work.report)
    plots.save(
        plots.candidates(evaluation.candidates, evaluation.chosen, work.params.primary),
        folder / "candidates.png",
    )
    for name, figure in training.draw(evaluation):
        plots.save(figure, folder / f"{name}.png")
    if work.params.profile:
        from slipway.training.profile import write_profile

        work.volatile.mkdir(parents=True, exist_ok=True)
        write_profile(evaluation.train, work.project.name, work.volatile / "profile.html")
