"""`slipway new`: the skeleton of a project, which runs as it stands and then is rewritten."""

import re
from collections.abc import Iterable
from pathlib import Path

from slipway.project import NAME

TRACKS = {"ml": "training", "dl": "torch", "cv": "torch"}

_STAGES = """\
stages:
  prepare:
    cmd: python -m slipway prepare
    deps:
      - data.py
      - model.py
      - ../../datasets/${dataset}.yaml
@shared datasets training
    params: [dataset, prepare]
    outs: [work/data]
  fit:
    cmd: python -m slipway fit
    deps:
      - train.py
      - model.py
      - work/data
@shared training@deep
    params: [fit]
    outs: [work/weights, work/candidates.json, work/parity.json]
  evaluate:
    cmd: python -m slipway evaluate
    deps:
      - train.py
      - model.py
      - data.py
      - work/data
      - work/weights
      - work/candidates.json
      - work/parity.json
@shared training@deep
    params: [primary]
    outs:
      - work/report
      - examples.json: {cache: false}
    metrics:
      - metrics.json: {cache: false}
  register:
    cmd: python -m slipway register
    deps:
      - model.py
      - work/data
      - work/weights
      - work/candidates.json
      - work/report
      - metrics.json
      - examples.json
      - ../../datasets/${dataset}.yaml
@shared datasets registry training
    params: [dataset, gate, primary]
    outs: [work/receipt.json]
"""


def dvc_yaml(environment: str, beside: Iterable[str] = ()) -> str:
    """The stages of every project that trains in `environment`, to the byte.

    `beside`: the files of its folder among which a project divides the code of its train.py.
    """
    divided = "".join(f"      - {name}\n" for name in ("train.py", *sorted(beside)))
    stages = _STAGES.replace("      - train.py\n", divided)

    def shared(match: re.Match[str]) -> str:
        parts = ["contract", *match[1].replace("@deep", " deep").split()]
        if environment != "torch" and "deep" in parts:
            parts.remove("deep")
        lines = [f"      - ../../../slipway/{part}" for part in sorted(parts)]
        lines.append("      - ../../../infra/environment/locks/${environment}.txt")
        return "\n".join(lines)

    return re.sub(r"^@shared (.+)$", shared, stages, flags=re.MULTILINE)


_MODEL = '''\
"""Which species is this iris?

Data: 150 flowers of three species, measured by Anderson in 1935.
Task: classification.
Model: logistic regression on the measured lengths, as ONNX.
Limits: the starting point that `slipway new` wrote for {name}.
"""

import numpy as np
from pydantic import Field

from slipway.contract import OnnxModel, Record, publish

SPECIES = ("setosa", "versicolor", "virginica")


class Flower(Record):
    """The four lengths of a flower, in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    sepal_width: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)
    petal_width: float = Field(gt=0, le=20)


class Species(Record):
    """The likeliest species."""

    species: str = Field(pattern="^(setosa|versicolor|virginica)$")
    probability: float = Field(ge=0, le=1)


def features(flowers: list[Flower]) -> dict[str, np.ndarray]:
    """Lengths (rows, 4) float32, in centimetres."""
    lengths = [list(flower.model_dump().values()) for flower in flowers]
    return {{"numbers": np.array(lengths, dtype=np.float32).reshape(-1, 4)}}


def species(probabilities: np.ndarray) -> list[Species]:
    """From the probabilities (rows, 3)."""
    best = probabilities.argmax(axis=1)
    return [
        Species(species=SPECIES[place], probability=float(row[place]))
        for place, row in zip(best, probabilities, strict=True)
    ]


class {class_name}(OnnxModel):
    def predict(self, model_input: list[Flower]) -> list[Species]:
        return species(self.run(features(model_input))["probabilities"])


publish({class_name}())
'''

_DATA = '''\
"""Flowers, split so that both parts hold the same share of each species."""

from collections.abc import Iterable

import pandas as pd
import pandera.pandas as pa
from sklearn.model_selection import train_test_split

from slipway.datasets import Dataset

from .model import SPECIES, Flower

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
SCHEMA = pa.DataFrameSchema({{"species": pa.Column(int, pa.Check.isin([0, 1, 2]))}})


def splits(
    dataset: Dataset, *, seed: int, test_share: float
) -> dict[str, Iterable[tuple[Flower, str]]]:
    """Flowers with their species."""
    raw = pd.read_csv(dataset.path("iris.csv"), skiprows=1, names=COLUMNS)
    frame = SCHEMA.validate(raw)
    train, test = train_test_split(
        frame, test_size=test_share, random_state=seed, stratify=frame["species"]
    )
    return {{"train": flowers(train), "test": flowers(test)}}


def flowers(frame: pd.DataFrame) -> list[tuple[Flower, str]]:
    return [
        (Flower(**{{name: row[name] for name in COLUMNS[:4]}}), SPECIES[int(row["species"])])
        for row in frame.to_dict("records")
    ]
'''

_TRAIN = '''\
"""Logistic regression against the most frequent species, by cross-validation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import export_onnx

from .model import SPECIES, Flower, Species, features, species


def pipelines() -> dict[str, Pipeline]:
    return {{
        "baseline": make_pipeline(DummyClassifier(strategy="most_frequent")),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }}


def fit(*, train: Examples[Flower, str], weights: Path, folds: int) -> Fitted:
    """Choose by cross-validated accuracy, and fit the chosen on all training rows."""
    lengths = features(train.records)["numbers"]
    kinds = np.array([SPECIES.index(truth) for truth in train.truths])
    tried = []
    for name, pipeline in pipelines().items():
        scores = cross_val_score(pipeline, lengths, kinds, cv=folds)
        metrics = {{"accuracy": float(scores.mean()), "accuracy_std": float(scores.std())}}
        tried.append(Candidate(name, metrics))
    chosen = max(tried, key=lambda each: each.metrics["accuracy"]).name
    best = pipelines()[chosen].fit(lengths, kinds)
    export_onnx(best, {{"numbers": 4}}, weights)

    def native(flowers: list[Flower]) -> list[Species]:
        return species(best.predict_proba(features(flowers)["numbers"]))

    return Fitted(tried, chosen, native)


def score(*, answers: list[Species], truths: list[str]) -> dict[str, float]:
    return {{"accuracy": float(accuracy_score(truths, [each.species for each in answers]))}}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    told = [each.species for each in evaluation.answers]
    plots.confusion(axes, evaluation.test.truths, told, SPECIES)
    yield "errors", figure
'''

_PARAMS = """\
dataset: iris
environment: {environment}
prepare:
  seed: 1
  test_share: 0.2
fit:
  folds: 5
primary: accuracy
gate:
  accuracy: ">= 0.9"
  parity_error: "<= 1e-5"
  parity_agreement: ">= 1"
tiny:
  rows: 60
  fit: {{folds: 2}}
"""


def create(place: str, root: Path) -> Path:
    """Write the skeleton of `ml/loan_default`; returns its folder.

    Raises:
        ValueError: the place is not a track and a name.
        FileExistsError: the name is taken, in this track or another.
    """
    track, _, name = place.partition("/")
    if track not in TRACKS or not re.match(NAME, name):
        raise ValueError(
            f"a project is one of {'/, '.join(TRACKS)}/ and a snake_case name, got {place!r}"
        )
    taken = list(root.glob(f"pipelines/*/{name}"))
    if taken:
        raise FileExistsError(
            f"{taken[0].relative_to(root)} exists; names are unique over all tracks"
        )
    folder = root / "pipelines" / track / name
    folder.mkdir(parents=True)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    environment = TRACKS[track]
    contents = {
        "model.py": _MODEL.format(name=name, class_name=class_name),
        "data.py": _DATA.format(),
        "train.py": _TRAIN.format(),
        "params.yaml": _PARAMS.format(environment=environment),
        "dvc.yaml": dvc_yaml(environment),
        "README.md": f"# {name}\n\n<!-- results -->\n<!-- /results -->\n",
    }
    for file, text in contents.items():
        (folder / file).write_text(text)
    return folder
