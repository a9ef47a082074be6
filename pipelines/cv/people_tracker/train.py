"""Compare detectors on later frames: OpenCV's, which was trained elsewhere, and own networks."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from slipway.deep import Plan
from slipway.kits.detection.study import DetectionStudy, detection_head
from slipway.kits.metrics.boxes import box_metrics, map50_error
from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows

from .classical import opencv_people
from .model import LABELS, STRIDE, Detections, Frame, decode


@dataclass(frozen=True)
class Recipe:
    """The settings of one network."""

    layers: int


# From the simplest to the most complex.
RECIPES = {"shallow": Recipe(layers=1), "deep": Recipe(layers=3)}
CHANNELS = 48


class PeopleStudy(DetectionStudy[Recipe]):
    """A study that validates on the last rows, because successive frames are almost the same."""

    validates_on = "last"


def network(recipe: Recipe) -> nn.Module:
    """Return an untrained network that makes a picture smaller by `STRIDE`.

    The first layer takes steps of 4 pixels, where a convolution costs most. With three more layers
    a cell sees 61 pixels of the frame, half again as much as a person is tall.
    """
    layers = [*convolution(3, 32, 5, 4), *convolution(32, CHANNELS, 3, 2)]
    for _ in range(recipe.layers):
        layers += convolution(CHANNELS, CHANNELS, 3)
    return nn.Sequential(*layers, detection_head(CHANNELS, len(LABELS)))


def convolution(inputs: int, outputs: int, side: int, stride: int = 1) -> list[nn.Module]:
    """Return the layers of one convolution with batch normalization."""
    layer = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def plan(recipe: Recipe, epochs: int) -> Plan:
    """Return the hyperparameters of the training."""
    return Plan(epochs, 0.01, "one_cycle", batch=8, weight_decay=0.01)


def baseline(rows: LabelledRows[Frame, Detections], seed: int) -> Candidate:
    """Return OpenCV's detector as a candidate, validated on `rows`."""
    pictures = [decode_image(each.image) for each in rows.records if each.image is not None]
    pair = [each.boxes for each in rows.labels], opencv_people(pictures)
    metrics = box_metrics(*pair, LABELS)
    return Candidate("baseline", {**metrics, "map50_se": map50_error(*pair, LABELS, seed=seed)})


def fit(
    *, train: LabelledRows[Frame, Detections], weights: Path, seed: int, held_out: int, epochs: int
) -> Fitted:
    """Choose a network by its precision on the last frames; then train it on all of them."""
    study = PeopleStudy(
        LABELS,
        network,
        decode,
        stride=STRIDE,
        weights=weights,
        seed=seed,
        plan=plan,
    )
    study.compare(train, RECIPES, held_out=held_out, epochs=epochs)
    later = LabelledRows(train.records[-held_out:], train.labels[-held_out:])
    return study.refit_best(train, references=[baseline(later, seed)])
