"""Search a classifier for anyone's table, and compare it with defaults on rows held out.

    python -m pipelines.ml.automl_from_scratch.table FILE.csv --target COLUMN --seconds 60

writes the pipeline as `model.onnx` and what was found as `report.json` into `--output`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training.selection import bootstrap_interval
from slipway.training.tabular import export_onnx

from .columns import Table, TableError, held_out, read_table
from .learners import fitted
from .limits import SearchFailed, search_within
from .space import Settings
from .table_search import DEFAULTS, MOST_ROWS, best_trials, preparation, search, shuffled

# With --trials the seconds are only a safeguard, so that runs are reproducible.
SAFEGUARD = 3600.0
# The graph computes in float32, the framework in float64: a row in a thousand may differ.
AGREEMENT = 0.999


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parsed(arguments)
    try:
        report = run(
            options.file,
            options.target,
            seconds=options.seconds,
            trials=options.trials,
            megabytes=options.megabytes,
            seed=options.seed,
            output=options.output or Path(f"{options.file.name.split('.')[0]}_automl"),
        )
    except TableError as error:
        print(f"table: {error}", file=sys.stderr)
        return 1
    except SearchFailed as error:
        print(f"table: the search failed: {error}", file=sys.stderr)
        return 1
    print("\n".join(summary(report)))
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="table", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE.csv")
    parser.add_argument("--target", required=True, help="the column of the labels")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=positive, default=60.0, help="of the search; default 60")
    limit.add_argument("--trials", type=whole, help="settings to try, instead of seconds")
    parser.add_argument("--megabytes", type=whole, default=2000, help="of data; default 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a folder; default FILE_automl")
    return parser.parse_args(arguments)


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError(f"{text} is not above 0")
    return value


def whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(f"{text} is not above 0")
    return value


def run(
    file: Path,
    target: str,
    *,
    seconds: float,
    trials: int | None,
    megabytes: int,
    seed: int,
    output: Path,
) -> dict[str, Any]:
    """Search, score on the rows held out, and write the pipeline and the report.

    Raises:
        TableError: the table cannot be used, or no trial ended within the limits.
        SearchFailed: the search ended with an error.
    """
    table = read_table(file, target)
    learn, test = held_out(table, seed)
    limit = seconds if trials is None else SAFEGUARD
    arguments = {"table": table, "rows": learn, "seconds": limit, "seed": seed}
    most = 10_000 if trials is None else trials
    found, ended = search_within(
        search, arguments | {"trials": most}, seconds=limit, megabytes=megabytes
    )
    best = best_trials(found)
    if not best:
        raise TableError(
            f"no trial ended within {limit:g} seconds and {megabytes} MB: allow more of them"
        )
    rows = shuffled(learn, seed)[:MOST_ROWS]
    models: dict[str, Any] = {
        "majority": DummyClassifier().fit(table.cells[rows], table.labels[rows]),
        **{name: on_rows(table, rows, settings, seed) for name, settings in DEFAULTS.items()},
        "search": on_rows(table, rows, best[0].settings, seed),
    }
    output.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1):
        answers = {name: each.predict(table.cells[test]) for name, each in models.items()}
    report = {
        "file": file.name,
        "target": target,
        "labels": sorted(set(table.labels.tolist())),
        "inputs": {"numbers": table.numbers, "categories": table.categories},
        "left_out": table.left_out,
        "rows": {"learn": len(rows), "held_out": len(test), "without_label": table.unlabelled},
        "search": {
            "ended": ended,
            "trials": len(found),
            "over_memory": sum(each.score is None for each in found),
            "validation_accuracy": best[0].score,
            "settings": best[0].settings,
        },
        "held_out": compared(answers, table.labels[test]),
        "agreement": exported(models["search"], table, test, output),
        "trials": [vars(each) for each in found],
    }
    (output / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def on_rows(table: Table, rows: np.ndarray, settings: Settings, seed: int) -> Pipeline:
    """Return the pipeline of the settings, fitted on some rows of the table."""
    first = [("prepared", preparation(table))]
    return fitted(settings, (table.cells[rows], table.labels[rows]), seed, first)


def exported(model: Pipeline, table: Table, test: np.ndarray, output: Path) -> float:
    """Write `model.onnx`; return the share of held-out rows where its label is the pipeline's.

    Raises:
        TableError: the share is too small.
    """
    feeds = table.blocks(test)
    export_onnx(model, {name: block.shape[1] for name, block in feeds.items()}, output)
    session = onnxruntime.InferenceSession(
        output / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (labels,) = session.run(["label"], feeds)
    agreement = float(np.mean(np.asarray(labels) == model.predict(table.cells[test])))
    if agreement < AGREEMENT:
        raise TableError(
            f"the ONNX graph agrees with the pipeline on {agreement:.1%} of the held-out rows "
            "only: numbers that are very large or very close together lose digits in float32"
        )
    return agreement


def compared(answers: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Return each accuracy on the held-out rows, and how far the search is ahead of it.

    Intervals are of 95 %, by a bootstrap over rows; the differences are paired.
    """
    right = {name: (each == labels).astype(float) for name, each in answers.items()}
    shown = {}
    for name, each in right.items():
        shown[name] = with_interval("accuracy", each)
        if name != "search":
            shown[name] |= with_interval("search_ahead", right["search"] - each)
    return shown


def with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Return the mean of values (rows,) with its interval."""
    low, high = bootstrap_interval(
        lambda rows: float(values[rows].mean()), len(values), seed=0, resamples=1000
    )
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def summary(report: dict[str, Any]) -> list[str]:
    """Return the lines that are printed."""
    inputs, rows, found = report["inputs"], report["rows"], report["search"]
    lines = [
        f"{len(inputs['numbers'])} columns of numbers: {', '.join(inputs['numbers'])}",
        f"{len(inputs['categories'])} columns of categories: {', '.join(inputs['categories'])}",
        *(f"left out: {name} ({reason})" for name, reason in report["left_out"].items()),
        f"{rows['learn']} rows to learn from, {rows['held_out']} held out, "
        f"{rows['without_label']} without a label",
        f"{found['trials']} trials, {found['over_memory']} over the memory, ended: "
        f"{found['ended']}; the best on validation rows: {found['settings']}",
        "accuracy on the rows held out, with 95 % intervals:",
    ]
    for name, each in report["held_out"].items():
        text = f"  {name:16} {each['accuracy']:.3f} ({shown(each, 'accuracy')})"
        if "search_ahead" in each:
            text += f"; the search is {each['search_ahead']:+.3f} ({shown(each, 'search_ahead')})"
        lines.append(text)
    return lines


def shown(metrics: dict[str, float], name: str) -> str:
    return f"{metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f}"


if __name__ == "__main__":
    sys.exit(main())
