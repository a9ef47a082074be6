"""Compare ready-made cascades with an own sliding classifier, on scenes of other people.

No cascade is trained here: the candidates differ in the cascade, or in what the classifier learns
from. The better cascade and the better classifier are both served.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from skimage.feature import hog

from slipway.datasets import fetch
from slipway.kits.metrics.boxes import box_metrics, map50_error
from slipway.media import Point, decode_image
from slipway.training import Candidate, Fitted, LabelledRows, labelled_rows
from slipway.training.platt import platt
from slipway.training.selection import bootstrap_error, simplest_within_error

from . import detectors
from .cascades import find_eyes, load_cascade
from .detectors import CASCADE, HOG, CascadeDetector, FaceFinder, FaceSettings, Found, HogDetector
from .hog import BINS, BLOCK, CELL
from .learning import Pictured, features, positives, random_negatives, train_classifier, window_of
from .matching import Counts, corners, eye_counts, f1, face_counts, matched, shares
from .model import FACE, SMALLEST, ClassicalFaces, FacePhoto, MarkedFaces
from .references import NEIGHBORS, boxes_of

Rows = LabelledRows[FacePhoto, MarkedFaces]
METRIC = "average_precision"


@dataclass(frozen=True)
class Cascade:
    """A candidate that is ready-made."""

    file: str
    neighbors: int = 1
    """Windows that must agree."""
    ranked: bool = True
    """More windows that agree make a face surer."""


@dataclass(frozen=True)
class Classifier:
    """A candidate that is trained here."""

    people: bool
    """Learn from the faces in training scenes, besides the patches."""
    mined: bool
    """Search training scenes for mistakes, and learn from them."""


# From the simplest to the most complex.
RECIPES: dict[str, Cascade | Classifier] = {
    "baseline": Cascade("haarcascade_frontalface_default.xml", NEIGHBORS, ranked=False),
    "lbp": Cascade("lbpcascade_frontalface.xml"),
    "haar_default": Cascade("haarcascade_frontalface_default.xml"),
    "haar_alt2": Cascade("haarcascade_frontalface_alt2.xml"),
    "hog_patches": Classifier(people=False, mined=False),
    "hog_people": Classifier(people=True, mined=False),
    "hog_mined": Classifier(people=True, mined=True),
}
# Faces are cut out this often, each time a little differently.
VARIANTS = 2
# By candidate: the file of a cascade of eyes, and whether their usual place fills the gaps.
EYES = {
    "eyes_usual_place": ("", True),
    "eyes_haar": ("haarcascade_eye.xml", False),
    "eyes_eyeglasses": ("haarcascade_eye_tree_eyeglasses.xml", False),
    "eyes_haar_filled": ("haarcascade_eye.xml", True),
    "eyes_eyeglasses_filled": ("haarcascade_eye_tree_eyeglasses.xml", True),
}


def fit(*, train: Rows, weights: Path, seed: int, rounds: int, penalty: float) -> Fitted:
    """Choose a detector and a cascade of eyes by the validation scenes, and write both."""
    data = weights.parent / "data"
    validation = labelled_rows.read(data / "validation.parquet", FacePhoto)
    patches = labelled_rows.read(data / "patches.parquet", FacePhoto)
    learning = Lesson(pictured(train), pictured(patches), seed, rounds, penalty)
    made = {name: learning.detector(recipe) for name, recipe in RECIPES.items()}
    tried, curves, found = [], {}, {}
    for name, detector in made.items():
        found[name] = [detector.find(each.gray, SMALLEST) for each in pictured(validation)]
        curves[name] = curve(found[name], validation)
        tried.append(candidate(name, found[name], curves[name], validation, seed))
        print(f"{name}: {METRIC} {tried[-1].metrics[METRIC]:.4f}", flush=True)
    chosen = simplest_within_error(tried, METRIC, best="highest").name
    best = {
        kind: simplest_within_error(
            [each for each in tried if isinstance(RECIPES[each.name], of)], METRIC, best="highest"
        ).name
        for kind, of in ((CASCADE, Cascade), (HOG, Classifier))
    }
    eyes = eye_candidates(validation, found[chosen], curves[chosen], seed)
    file, filled = EYES[simplest_within_error(eyes, "eyes_f1", best="highest").name]
    settings = FaceSettings(
        auto=next(kind for kind, name in best.items() if name == chosen),
        cascade=str(asdict(RECIPES[best[CASCADE]])["file"]),
        eyes=file,
        filled=filled,
        curves={kind: curves[name] for kind, name in best.items()},
    )
    write(weights, settings, made[best[HOG]])
    model = Reference()
    model.load(weights)
    return Fitted([*tried, *eyes], chosen, model.predict)


def pictured(rows: Rows) -> list[Pictured]:
    """Return the grey pictures with the squares of their faces."""
    return [
        Pictured(decode_image(record.image, "L"), corners(label.faces))
        for record, label in rows
        if record.image is not None
    ]


@dataclass(frozen=True)
class Lesson:
    """The rows that classifiers learn from."""

    scenes: list[Pictured]
    patches: list[Pictured]
    seed: int
    rounds: int
    penalty: float

    def detector(self, recipe: Cascade | Classifier) -> CascadeDetector | HogDetector:
        """Return the detector of a candidate, trained if it is one that learns."""
        if isinstance(recipe, Cascade):
            cascade = load_cascade(fetch("face_cascades").path(recipe.file))
            return CascadeDetector(cascade, recipe.neighbors, recipe.ranked)
        generator = np.random.default_rng(self.seed)
        others = [window_of(each.gray) for each in self.patches if not len(each.faces)]
        others += random_negatives(self.scenes, generator)
        faces = list(positives(self.patches, generator, VARIANTS))
        if recipe.people:
            faces += positives(self.scenes, generator, VARIANTS)
        classifier = train_classifier(
            features(faces),
            features(others),
            self.scenes,
            rounds=self.rounds if recipe.mined else 0,
            penalty=self.penalty,
        )
        return HogDetector(classifier)


def curve(found: Sequence[Found], rows: Rows) -> detectors.Logistic:
    """Return the probability of a face by what the detector measures (Platt 1999)."""
    values = np.concatenate([each for _, each in found])
    right = np.concatenate(
        [
            matched(corners(label.faces), boxes) >= 0
            for (boxes, _), label in zip(found, rows.labels, strict=True)
        ]
    )
    if right.all() or not right.any():  # a few rows of a test
        return detectors.Logistic(slope=1, intercept=0)
    slope, intercept = platt(values, right)
    return detectors.Logistic(slope=slope, intercept=intercept)


def candidate(
    name: str, found: Sequence[Found], likely: detectors.Logistic, rows: Rows, seed: int
) -> Candidate:
    """Return a detector's metrics on the validation scenes."""
    boxes = [boxes_of((each, likely.probabilities(values)), FACE) for each, values in found]
    marked = [each.faces for each in rows.labels]
    sure = [[box for box in each if box.score >= 0.5] for each in boxes]
    recall, precision = shares([face_counts(*pair) for pair in zip(marked, sure, strict=True)])
    metrics = {
        METRIC: box_metrics(marked, boxes, [FACE])["map50"],
        f"{METRIC}_se": map50_error(marked, boxes, [FACE], seed=seed),
        "recall": recall,
        "precision": precision,
    }
    return Candidate(name, metrics, asdict(RECIPES[name]))


def eye_candidates(
    rows: Rows, found: Sequence[Found], likely: detectors.Logistic, seed: int
) -> list[Candidate]:
    """Return how well eyes are found in the faces that the chosen detector found.

    Eyes of faces that it missed count as missed. The marked squares would favor the usual place,
    since they follow from the eyes.
    """
    tried = []
    pictures = pictured(rows)
    for name, (file, filled) in EYES.items():
        cascade = load_cascade(fetch("face_cascades").path(file)) if file else None
        counts = []
        for picture, label, (boxes, values) in zip(pictures, rows.labels, found, strict=True):
            places = [
                Point(x=x, y=y)
                for square in boxes[likely.probabilities(values) >= 0.5]
                for x, y in find_eyes(cascade, picture.gray, square, filled=filled)
            ]
            counts.append(eye_counts(label.eyes, places))
        recall, precision = shares(counts)
        metrics = {
            "eyes_f1": f1(counts),
            "eyes_f1_se": bootstrap_error(part_f1(counts), len(counts), seed=seed),
            "eyes_recall": recall,
            "eyes_precision": precision,
        }
        tried.append(Candidate(name, metrics, {"cascade": file, "filled": filled}))
    return tried


def part_f1(counts: list[Counts]) -> Callable[[np.ndarray], float]:
    """Return the F1 score of the pictures in given places."""
    return lambda places: f1([counts[place] for place in places.tolist()])


def write(weights: Path, settings: FaceSettings, trained: CascadeDetector | HogDetector) -> None:
    """Write the settings, the classifier, and copies of the cascades."""
    assert isinstance(trained, HogDetector)
    (weights / detectors.SETTINGS_FILE).write_text(settings.model_dump_json() + "\n")
    svm = json.dumps(trained.classifier.to_array().tolist())
    (weights / detectors.SVM_FILE).write_text(svm)
    cascades = fetch("face_cascades")
    shutil.copyfile(cascades.path(settings.cascade), weights / detectors.FACES_FILE)
    if settings.eyes:
        shutil.copyfile(cascades.path(settings.eyes), weights / detectors.EYES_FILE)


def scikit_image_blocks(gray: np.ndarray) -> np.ndarray:
    """Return the blocks (rows, columns, 36) of a picture by scikit-image."""
    blocks = hog(
        gray, BINS, (CELL, CELL), (BLOCK, BLOCK), block_norm="L2-Hys", feature_vector=False
    )
    return np.asarray(blocks.reshape(*blocks.shape[:2], -1))


class Reference(ClassicalFaces):
    """The model with scikit-image's histograms in the place of own ones."""

    def load(self, weights: Path) -> None:
        finder = FaceFinder.load(weights)
        own = finder.detectors[HOG]
        assert isinstance(own, HogDetector)
        other = {**finder.detectors, HOG: replace(own, blocks=scikit_image_blocks)}
        self.finder = replace(finder, detectors=other)
