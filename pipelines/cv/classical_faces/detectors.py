"""The two ways to find faces, with scores that are probabilities."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from pydantic import BaseModel

from . import sliding
from .cascades import find_faces, load_cascade
from .hog import block_features
from .sliding import Blocks, Linear

CASCADE, HOG = "cascade", "hog"
FACES_FILE, EYES_FILE, SVM_FILE, SETTINGS_FILE = "face.xml", "eyes.xml", "svm.json", "settings.json"
# The least margin of a window that may still be a face; lower ones are mostly background.
MARGIN = -0.5
Found = tuple[np.ndarray, np.ndarray]


class Logistic(BaseModel):
    """The curve that turns what a detector measures into the probability of a face."""

    slope: float
    intercept: float

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Return the probabilities (n,) of the values (n,)."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * values + self.intercept))))


class FaceSettings(BaseModel):
    """The choice of `fit`: the detector, the cascades and the two curves."""

    auto: str
    cascade: str
    eyes: str
    """The cascade of eyes; empty if none is used."""
    filled: bool
    """True if an eye that is not found is put at its usual place."""
    curves: dict[str, Logistic]


class Detector(Protocol):
    """Finds faces: squares (n, 4), and a value (n,) that is higher for surer ones."""

    def find(self, gray: np.ndarray, min_face: float) -> Found: ...


@dataclass(frozen=True)
class CascadeDetector:
    """A cascade of OpenCV; its value is the logarithm of the windows that agree."""

    cascade: cv2.CascadeClassifier
    neighbors: int = 1
    ranked: bool = True
    """False if all faces count as equally sure, as OpenCV returns them by default."""

    def find(self, gray: np.ndarray, min_face: float) -> Found:
        boxes, agreeing = find_faces(
            self.cascade, gray, min_face=round(min_face), neighbors=self.neighbors
        )
        return boxes, np.log(np.maximum(agreeing, 1)) if self.ranked else np.zeros(len(boxes))


@dataclass(frozen=True)
class HogDetector:
    """The sliding classifier; its value is the logarithm of the margins that agree."""

    classifier: Linear
    blocks: Blocks = block_features

    def find(self, gray: np.ndarray, min_face: float) -> Found:
        return sliding.find(
            gray, self.classifier, min_face=min_face, threshold=MARGIN, blocks=self.blocks
        )


@dataclass(frozen=True)
class FaceFinder:
    """Both detectors and the cascade of eyes, as `fit` wrote them."""

    settings: FaceSettings
    detectors: dict[str, Detector]
    eyes: cv2.CascadeClassifier | None

    @classmethod
    def load(cls, weights: Path) -> "FaceFinder":
        """Read the files that `fit` wrote."""
        settings = FaceSettings(**json.loads((weights / SETTINGS_FILE).read_text()))
        svm = Linear.from_array(np.array(json.loads((weights / SVM_FILE).read_text())))
        detectors: dict[str, Detector] = {
            CASCADE: CascadeDetector(load_cascade(weights / FACES_FILE)),
            HOG: HogDetector(svm),
        }
        eyes = load_cascade(weights / EYES_FILE) if settings.eyes else None
        return cls(settings, detectors, eyes)

    def find(self, gray: np.ndarray, method: str, min_face: float, min_score: float) -> Found:
        """Return squares (n, 4) and their probabilities, the surest first."""
        boxes, values = self.detectors[method].find(gray, min_face)
        scores = self.settings.curves[method].probabilities(values)
        sure = scores >= min_score
        return boxes[sure], scores[sure]
