"""Training of the sliding classifier: windows with faces against windows without."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.svm import LinearSVC

from slipway.media import box_overlaps

from .hog import block_features
from .sliding import WINDOW, Linear, windows

# Windows that overlap a face by less are negative.
APART = 0.3
# Negatives drawn at random from each picture, and the worst mistakes that a round adds from each.
RANDOM, MISTAKES = 40, 30
# Pictures that are searched for mistakes: each costs a tenth of a second in each round.
SEARCHED = 70


@dataclass(frozen=True)
class Pictured:
    """A grey picture and the squares (faces, 4) of its faces."""

    gray: np.ndarray
    faces: np.ndarray


def features(images: Sequence[np.ndarray]) -> np.ndarray:
    """Return the features (images, FEATURES) of windows."""
    return np.array([block_features(each).ravel() for each in images])


def cut(gray: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return a square of the picture as a window; beyond the border its edge goes on."""
    x1, y1, x2, y2 = np.rint(square).astype(int)
    margin = max(0, -x1, -y1, x2 - gray.shape[1], y2 - gray.shape[0])
    padded = np.pad(gray, margin, mode="edge")
    part = padded[y1 + margin : y2 + margin, x1 + margin : x2 + margin]
    return np.asarray(cv2.resize(part, (WINDOW, WINDOW), interpolation=cv2.INTER_AREA))


def window_of(gray: np.ndarray) -> np.ndarray:
    """Return a whole picture as a window."""
    return np.asarray(cv2.resize(gray, (WINDOW, WINDOW), interpolation=cv2.INTER_LINEAR))


def positives(
    pictures: Sequence[Pictured], generator: np.random.Generator, variants: int
) -> Iterator[np.ndarray]:
    """Yield each face `variants` times, a little moved and scaled, and mirrored as well.

    Windows lie 4 pixels apart and sizes differ by 15 %, so that a face hardly ever fills a window
    exactly.
    """
    for picture in pictures:
        for square in picture.faces:
            side = square[2] - square[0]
            for _ in range(variants):
                shift = generator.uniform(-0.05, 0.05, 2) * side
                grown = generator.uniform(-0.05, 0.05) * side / 2
                moved = square + np.tile(shift, 2) + [-grown, -grown, grown, grown]
                window = cut(picture.gray, moved)
                yield from (window, np.ascontiguousarray(window[:, ::-1]))


def random_negatives(
    pictures: Sequence[Pictured], generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield windows of any size that hardly overlap a face."""
    for picture in pictures:
        height, width = picture.gray.shape
        side = np.exp(generator.uniform(np.log(WINDOW), np.log(min(height, width)), RANDOM))
        corner = generator.uniform(0, 1, (RANDOM, 2)) * (np.array([width, height]) - side[:, None])
        squares = np.hstack([corner, corner + side[:, None]])
        free = (box_overlaps(squares, picture.faces) < APART).all(axis=1)
        yield from (cut(picture.gray, each) for each in squares[free])


def hard_negatives(pictures: Sequence[Pictured], classifier: Linear) -> Iterator[np.ndarray]:
    """Yield the windows without a face that the classifier takes for one, the worst of each."""
    for picture in pictures:
        found, scores = windows(picture.gray, classifier, min_face=WINDOW, threshold=-0.5)
        free = (box_overlaps(found, picture.faces) < APART).all(axis=1)
        worst = np.argsort(-scores[free], kind="stable")[:MISTAKES]
        yield from (cut(picture.gray, each) for each in found[free][worst])


def train_classifier(
    faces: np.ndarray,
    others: np.ndarray,
    pictures: Sequence[Pictured],
    *,
    rounds: int,
    penalty: float,
) -> Linear:
    """Return a linear support vector machine for features of faces against others.

    In each round it searches the first `pictures`, and its mistakes there become further negatives.
    """
    classifier = fitted(faces, others, penalty)
    for _ in range(rounds):
        mistakes = list(hard_negatives(pictures[:SEARCHED], classifier))
        if not mistakes:
            break
        others = np.vstack([others, features(mistakes)])
        classifier = fitted(faces, others, penalty)
    return classifier


def fitted(faces: np.ndarray, others: np.ndarray, penalty: float) -> Linear:
    """Return the classifier of the largest margin, in which both classes count alike."""
    rows = np.vstack([faces, others])
    labels = np.repeat([1, 0], [len(faces), len(others)])
    machine = LinearSVC(C=penalty, class_weight="balanced", dual=False).fit(rows, labels)
    return Linear.from_array(np.append(machine.coef_[0], machine.intercept_[0]))
