"""Fit the trees on scikit-learn's copy of the data and write what a registered model contains."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.model.model import FIELDS, Cancer, Tumour
from slipway.training.workspace import write_json

SEED = 20
TREES = 100
TEST_ROWS = 143  # a quarter


@dataclass(frozen=True)
class Trained:
    weights: Path
    about: Path


def train(folder: Path) -> Trained:
    """Write `weights/model.onnx` and `about/` below `folder`, which must be empty.

    Raises:
        ValueError: the fields of the record are not the columns of the data.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import train_test_split

    from slipway.training.tabular import export_onnx

    data = load_breast_cancer()
    columns = tuple(str(name).replace(" ", "_") for name in data.feature_names)
    if columns != FIELDS:
        raise ValueError(f"the record must have the fields {', '.join(columns)}")
    malignant = data.target_names[data.target] == "malignant"
    # The model is served as float32: training must round thresholds the same way.
    numbers, test, labels, test_labels = train_test_split(
        data.data.astype(np.float32),
        malignant,
        test_size=TEST_ROWS,
        random_state=SEED,
        stratify=malignant,
    )
    trees = GradientBoostingClassifier(n_estimators=TREES, random_state=SEED).fit(numbers, labels)
    weights, about = folder / "weights", folder / "about"
    weights.mkdir(parents=True)
    about.mkdir()
    export_onnx(trees, {"numbers": len(FIELDS)}, weights)

    model = Cancer()
    model.load(weights)
    tumours = [Tumour(**dict(zip(FIELDS, row, strict=True))) for row in test.tolist()]
    predictions = model.predict(tumours)
    y_prob = np.array([each.probability for each in predictions])
    metrics = {
        "accuracy": float(accuracy_score(test_labels, y_prob >= 0.5)),
        "roc_auc": float(roc_auc_score(test_labels, y_prob)),
        "parity_error": float(np.abs(y_prob - trees.predict_proba(test)[:, 1]).max()),
    }
    write_json(about / "metrics.json", {"metrics": metrics})
    examples = [
        {"input": tumour.model_dump(), "output": prediction.model_dump()}
        for tumour, prediction in zip(tumours[:3], predictions[:3], strict=True)
    ]
    write_json(about / "examples.json", examples)
    (about / "card.md").write_text(card(metrics))
    return Trained(weights, about)


def card(metrics: dict[str, float]) -> str:
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    return (
        "# cancer\n\n**Is this breast tumour malignant?**\n\n"
        f"{TREES} boosted trees on 30 numbers: a load for measuring servers.\n\n"
        f"| metric (test rows) | value |\n| --- | ---: |\n{rows}\n"
    )
