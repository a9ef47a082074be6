"""Test metrics of both detectors and the references, and pictures of how they work."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.kits.detection.report import outline
from slipway.kits.metrics.boxes import box_metrics, map50_interval
from slipway.media import Box, Point, decode_frames, decode_image
from slipway.reporting import Evaluation, plots

from .detectors import CASCADE, HOG
from .how_it_works import draw_cascade, draw_classifier
from .matching import Counts, corners, eye_counts, face_counts, matched, shares
from .model import EYE, FACE, ClassicalFaces, FacePhoto, FoundFaces, MarkedFaces

# A photograph in the public domain, and a camera that moves over it.
PHOTO = Path(__file__).with_name("photo.jpg").read_bytes()
VIDEO = Path(__file__).with_name("pan.mp4").read_bytes()
EXAMPLES = [
    FacePhoto(image=PHOTO),
    FacePhoto(image=PHOTO, method="hog", min_face=60),
    FacePhoto(video=VIDEO),
]
# Sides of faces in pixels: at least, and below.
SIZES = {"24-40": (0, 40), "40-64": (40, 64), "64-": (64, 10_000)}
SURE = 0.5
BOTH = {CASCADE: "cascade", HOG: "own HOG + SVM"}
COLORS = {"cascade": plots.ACCENT, "own HOG + SVM": "#d9a441", "YuNet": plots.INK}


def score(*, predictions: list[FoundFaces], labels: list[MarkedFaces]) -> dict[str, float]:
    """Return the metrics of the chosen method, of both, and of the references.

    Each picture comes three times: by the chosen method, by the cascade and by the classifier.
    """
    auto, cascade, own = (predictions[place::3] for place in range(3))
    marked = labels[::3]
    faces = [each.faces for each in marked]
    found = [each.faces for each in auto]
    low, high = map50_interval(faces, found, [FACE], seed=1)
    recall, precision = face_shares(faces, found)
    eye_recall, eye_precision = eye_shares(marked, [each.eyes for each in auto])
    yunet = [each.yunet for each in marked]
    photographs = [place for place, each in enumerate(marked) if not each.people and each.faces]
    return {
        "average_precision": box_metrics(faces, found, [FACE])["map50"],
        "average_precision_low": low,
        "average_precision_high": high,
        "recall": recall,
        "precision": precision,
        "eye_recall": eye_recall,
        "eye_precision": eye_precision,
        **of_method("cascade", faces, [each.faces for each in cascade]),
        **of_method("hog", faces, [each.faces for each in own]),
        **of_method("baseline", faces, [each.baseline for each in marked]),
        **of_method("yunet", faces, yunet),
        "yunet_eye_recall": eye_shares(marked, [each.yunet_eyes for each in marked])[0],
        **{
            f"{name}_photographs_found": face_shares(
                [faces[place] for place in photographs], [boxes[place] for place in photographs]
            )[0]
            for name, boxes in (("auto", found), ("hog", [each.faces for each in own]))
        },
    }


def of_method(
    name: str, marked: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]
) -> dict[str, float]:
    """Return a method's average precision, and recall and precision of what it is sure of."""
    recall, precision = face_shares(marked, found)
    return {
        f"{name}_average_precision": box_metrics(marked, found, [FACE])["map50"],
        f"{name}_recall": recall,
        f"{name}_precision": precision,
    }


def face_shares(
    marked: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]
) -> tuple[float, float]:
    """Return recall and precision of the faces with a score of at least one half."""
    sure = [[box for box in boxes if box.score >= SURE] for boxes in found]
    return shares([face_counts(*pair) for pair in zip(marked, sure, strict=True)])


def eye_shares(
    marked: Sequence[MarkedFaces], found: Sequence[Sequence[Point]]
) -> tuple[float, float]:
    """Return recall and precision of eyes; those of missed faces count as missed."""
    pairs = zip(marked, found, strict=True)
    return shares([eye_counts(label.eyes, points) for label, points in pairs])


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = ClassicalFaces()
    model.load(evaluation.weights)
    yield "faces", found_in_photographs(evaluation)
    yield "classifier", draw_classifier(model.finder, decode_image(PHOTO, "L"))
    yield "cascade", draw_cascade(decode_image(PHOTO, "L"))
    yield "comparison", comparison(model, evaluation)
    yield "video", video_frames(model)


def found_in_photographs(evaluation: Evaluation) -> Figure:
    """Draw the photographs and scenes with the faces and eyes that were found in them."""
    rows = list(zip(evaluation.test, evaluation.predictions, strict=True))[::3]
    chosen = [*rows[:3], rows[4], *(each for each in rows[5:] if len(each[0][1].faces) > 2)][:8]
    figure, grid = plt.subplots(2, 4, figsize=(6.2, 3.2))
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, ((record, label), prediction) in zip(grid.flat, chosen, strict=False):
        show(axes, decode_image(record.image, "L"))
        outline(axes, label.faces, [FACE], linestyle=":", linewidth=1)
        outline(axes, prediction.faces, [FACE], linewidth=1.4)
        eyes = np.array([[each.x, each.y] for each in prediction.eyes]).reshape(-1, 2)
        axes.plot(*eyes.T, "+", color="#17bebb", markersize=5)
    figure.suptitle("Test pictures: faces found (solid) and marked (dotted), and eyes found (+)")
    return figure


def show(axes: Axes, gray: np.ndarray, title: str = "") -> None:
    """Draw a grey picture without axes; few levels of grey make a smaller file."""
    axes.imshow(gray // 16 * 16, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    axes.set_title(title)


def comparison(model: ClassicalFaces, evaluation: Evaluation) -> Figure:
    """Draw precision by recall of both methods and the references, and recall by size."""
    pairs = list(evaluation.test)[::3]
    records = [record for record, _ in pairs]
    labels = [label for _, label in pairs]
    marked = [label.faces for label in labels]
    found = {
        title: [each.faces for each in predictions_of(model, records, method)]
        for method, title in BOTH.items()
    } | {"YuNet": [label.yunet for label in labels]}
    figure, (left, right) = plots.panels(2)
    for name, boxes in found.items():
        recall, precision = precision_recall(marked, boxes)
        left.plot(recall, precision, color=COLORS[name], label=name)
    point = face_shares(marked, [label.baseline for label in labels])
    left.plot(*np.array([point]).T, "o", color="#c0392b", label="baseline: OpenCV's defaults")
    left.set_xlim(0, 1.02)
    left.set_ylim(0, 1.05)
    left.set_xlabel("recall")
    left.set_ylabel("precision")
    left.set_title("Test pictures")
    left.legend(loc="lower left")
    by_size = {name: [recall_of(marked, boxes, *size) for size in SIZES.values()]
               for name, boxes in found.items()}  # fmt: skip
    counts = [len([1 for boxes in marked for box in boxes if low <= box.x2 - box.x1 < high])
              for low, high in SIZES.values()]  # fmt: skip
    names = [f"{name} px\n({count} faces)" for name, count in zip(SIZES, counts, strict=True)]
    colors = [COLORS[name] for name in found]
    plots.bars(right, names, by_size, "Faces found, by their side", fmt="{:.2f}", colours=colors)
    right.set_ylim(0, 1.3)
    return figure


def predictions_of(
    model: ClassicalFaces, records: Sequence[FacePhoto], method: str
) -> list[FoundFaces]:
    """Return what a method finds, also where it is not sure."""
    return model.predict(
        [each.model_copy(update={"method": method, "min_score": 0.05}) for each in records]
    )


def precision_recall(
    marked: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision as the least score is lowered step by step."""
    scores = np.array([box.score for boxes in found for box in boxes])
    right = np.concatenate(
        [matched(corners(label), corners(boxes)) >= 0
         for label, boxes in zip(marked, found, strict=True)]
    )  # fmt: skip
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    return hits / sum(map(len, marked)), hits / np.arange(1, len(hits) + 1)


def recall_of(
    marked: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]], low: float, high: float
) -> float:
    """Return the share of faces with a side in that range that were surely found."""
    inside: Callable[[Box], bool] = lambda box: low <= box.x2 - box.x1 < high  # noqa: E731
    counts = []
    for label, boxes in zip(marked, found, strict=True):
        sure = corners([box for box in boxes if box.score >= SURE])
        hits = matched(corners(label), sure)
        wanted = [place for place, box in enumerate(label) if inside(box)]
        counts.append(Counts(len(wanted), len(wanted), len(set(wanted) & set(hits.tolist()))))
    return shares(counts)[0]


def video_frames(model: ClassicalFaces) -> Figure:
    """Draw frames of a real video with the face and the eyes in them."""
    clip = fetch("carphone_clip").path("carphone_pristine.mp4").read_bytes()
    (found,) = model.predict([FacePhoto(video=clip, every=29, min_face=30)])
    figure, axes = plt.subplots(1, 5, figsize=(9.2, 1.9))
    for place, (number, frame) in zip(axes, enumerate(decode_frames(clip, every=29)), strict=False):
        show(place, frame, f"frame {29 * number}")
        boxes = [each.box for each in found.tracks if each.frame == 29 * number]
        outline(place, boxes, [FACE, EYE], linewidth=1.3)
    return figure
