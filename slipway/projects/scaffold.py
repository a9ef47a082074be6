"""The skeleton that `slipway new` creates: a project that runs, ready to be rewritten."""

import re
from pathlib import Path

from slipway.dependencies.dvcfile import dvc_yaml
from slipway.project import NAME, Project

TRACKS = {"ml": "training", "dl": "torch", "cv": "torch"}

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
    """The four measured lengths of a flower, in centimetres."""

    sepal_length: float = Field(gt=0, le=20)
    sepal_width: float = Field(gt=0, le=20)
    petal_length: float = Field(gt=0, le=20)
    petal_width: float = Field(gt=0, le=20)


class Species(Record):
    """The likeliest species."""

    species: str = Field(pattern="^(setosa|versicolor|virginica)$")
    probability: float = Field(ge=0, le=1)


def features(flowers: list[Flower]) -> dict[str, np.ndarray]:
    """Return the lengths (rows, 4) as float32, in centimetres."""
    lengths = [list(flower.model_dump().values()) for flower in flowers]
    return {{"numbers": np.array(lengths, dtype=np.float32).reshape(-1, 4)}}


def species(probabilities: np.ndarray) -> list[Species]:
    """Return the most probable species from probabilities (rows, 3)."""
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
"""Iris flowers, split with the same share of each species in both parts."""

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
    """Split the flowers, with their species as labels."""
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
"""Compare logistic regression with the most frequent species by cross-validation."""

from pathlib import Path

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import fold_error, simplest_within_error
from slipway.training.tabular import export_onnx

from .model import SPECIES, Flower, Species, features, species


def pipelines() -> dict[str, Pipeline]:
    """Return the candidates from the simplest to the most complex."""
    return {{
        "baseline": make_pipeline(DummyClassifier(strategy="most_frequent")),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }}


def fit(*, train: LabelledRows[Flower, str], weights: Path, folds: int) -> Fitted:
    """Choose by cross-validated accuracy, and fit the chosen candidate on all training rows."""
    lengths = features(train.records)["numbers"]
    kinds = np.array([SPECIES.index(label) for label in train.labels])
    tried = []
    for name, pipeline in pipelines().items():
        scores = cross_val_score(pipeline, lengths, kinds, cv=folds)
        metrics = {{"accuracy": float(scores.mean()), "accuracy_se": fold_error(scores)}}
        tried.append(Candidate(name, metrics))
    chosen = simplest_within_error(tried, "accuracy", best="highest").name
    best = pipelines()[chosen].fit(lengths, kinds)
    export_onnx(best, {{"numbers": 4}}, weights)

    def framework_predict(flowers: list[Flower]) -> list[Species]:
        return species(best.predict_proba(features(flowers)["numbers"]))

    return Fitted(tried, chosen, framework_predict)
'''

_REPORT = '''\
"""Accuracy and confusion matrix on the test rows."""

from collections.abc import Iterator

from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score

from slipway.reporting import Evaluation, plots

from .model import SPECIES, Species


def score(*, predictions: list[Species], labels: list[str]) -> dict[str, float]:
    return {{"accuracy": float(accuracy_score(labels, [each.species for each in predictions]))}}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (axes,) = plots.panels(1)
    predicted = [each.species for each in evaluation.predictions]
    plots.confusion(axes, evaluation.test.labels, predicted, SPECIES)
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
    """Create a project skeleton at `place`, such as `ml/loan_default`; return its folder.

    Raises:
        ValueError: the place is not a track and a name.
        FileExistsError: a project of this name exists in some track.
    """
    track, _, name = place.partition("/")
    if track not in TRACKS or not re.match(NAME, name):
        raise ValueError(
            f"a project is one of {'/, '.join(TRACKS)}/ and a snake_case name, got {place!r}"
        )
    taken = list(root.glob(f"pipelines/*/{name}"))
    if taken:
        raise FileExistsError(
            f"{taken[0].relative_to(root)} exists; names must be unique across tracks"
        )
    folder = root / "pipelines" / track / name
    folder.mkdir(parents=True)
    class_name = "".join(word.capitalize() for word in name.split("_"))
    environment = TRACKS[track]
    contents = {
        "model.py": _MODEL.format(name=name, class_name=class_name),
        "data.py": _DATA.format(),
        "train.py": _TRAIN.format(),
        "report.py": _REPORT.format(),
        "params.yaml": _PARAMS.format(environment=environment),
        "README.md": f"# {name}\n\n<!-- results -->\n<!-- /results -->\n",
    }
    for file, text in contents.items():
        (folder / file).write_text(text)
    (folder / "dvc.yaml").write_text(dvc_yaml(Project(folder)))
    return folder
