"""Pictures of how the two detectors decide."""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slipway.datasets import fetch
from slipway.reporting import plots

from .cascades import find_faces, load_cascade
from .detectors import HOG, FaceFinder, HogDetector
from .hog import BINS, block_features, cell_histograms, gradients
from .sliding import SIDE, WINDOW, Linear, find, windows
from .stages import read_stages, surviving

# The photograph is shown at this width, and its face is about as large as this.
WIDTH, FACE = 256, 88
GROWN = 8


def draw_classifier(finder: FaceFinder, gray: np.ndarray) -> Figure:
    """Draw the steps from a picture to its faces, and what the classifier has learned."""
    own = finder.detectors[HOG]
    assert isinstance(own, HogDetector)
    small = cv2.resize(gray, (WIDTH, round(gray.shape[0] * WIDTH / gray.shape[1])))
    boxes, scores = windows(small, own.classifier, min_face=32, threshold=0)
    kept, _ = find(small, own.classifier, min_face=32, threshold=-0.5)
    figure, axes = plt.subplots(1, 6, figsize=(9.2, 2.3))
    picture(axes[0], small, "1 picture")
    picture(axes[1], gradients(small)[0].clip(0, 200), "2 gradients")
    scale = WINDOW / FACE
    level = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    glyphs(axes[2], cell_histograms(level), "3 cells")
    glyphs(axes[3], learned(own.classifier), "4 face votes")
    axes[4].imshow(own.classifier.scores(block_features(level)), cmap="viridis")
    axes[4].set_title("5 scores")
    axes[4].set_axis_off()
    axes[4].set_anchor("N")
    picture(axes[5], small, f"6 {len(boxes)} windows")
    for x1, y1, x2, y2 in boxes[np.argsort(-scores)][:40]:
        axes[5].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=0.4, ec="#ffc914"))
    for x1, y1, x2, y2 in kept[:1]:
        axes[5].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=1.6, ec="#e4572e"))
    return figure


def picture(axes: Axes, values: np.ndarray, title: str) -> None:
    axes.imshow(values // 8 * 8, cmap="gray")
    axes.set_title(title)
    axes.set_axis_off()
    axes.set_anchor("N")


def learned(classifier: Linear) -> np.ndarray:
    """Return the positive weights of each cell and direction, (cells, cells, 9).

    A cell is in up to four blocks; their weights are added.
    """
    total = np.zeros((SIDE + 1, SIDE + 1, BINS))
    parts = classifier.weights.reshape(SIDE, SIDE, 4, BINS)
    for part in range(4):
        down, right = divmod(part, 2)
        total[down : down + SIDE, right : right + SIDE] += parts[:, :, part]
    return np.maximum(total, 0)


def glyphs(axes: Axes, cells: np.ndarray, title: str) -> None:
    """Draw in each cell a line for each direction of an edge, the brighter the stronger.

    An edge runs across its gradient.
    """
    rows, columns = cells.shape[:2]
    strongest = np.quantile(cells, 0.995)
    axes.set_facecolor("black")
    for row, column, angle in np.argwhere(cells > 0.15 * strongest):
        share = min(cells[row, column, angle] / strongest, 1)
        turn = np.pi * (angle + 0.5) / BINS + np.pi / 2
        ends = 0.45 * np.array([-1, 1])
        across, down = column + ends * np.cos(turn), row + ends * np.sin(turn)
        axes.plot(across, down, color=str(share), linewidth=0.9)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_anchor("N")
    axes.set_title(title)


def draw_cascade(gray: np.ndarray) -> Figure:
    """Draw first features of a cascade on a face, and how many windows each stage leaves."""
    file = fetch("face_cascades").path("haarcascade_frontalface_default.xml")
    side, stages = read_stages(file)
    small = cv2.resize(gray, (WIDTH, round(gray.shape[0] * WIDTH / gray.shape[1])))
    found, _ = find_faces(load_cascade(file), small, min_face=side, neighbors=3)
    x1, y1, x2, y2 = found[0].astype(int)
    face, scale = small[y1:y2, x1:x2], (x2 - x1) / side
    figure, axes = plt.subplots(1, 4, figsize=(9.2, 2.4), width_ratios=(1, 1, 1, 1.9))
    for number, (place, weak) in enumerate(zip(axes, stages[0].votes[:3], strict=False), start=1):
        picture(place, face, f"vote {number}")
        for left, top, width, height, weight in weak.rectangles:
            place.add_patch(
                Rectangle(
                    (left * scale, top * scale),
                    *(width * scale, height * scale),
                    facecolor="white" if weight > 0 else "black",
                    edgecolor="#e4572e",
                    alpha=0.5,
                )
            )
    level = cv2.resize(small, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    left = [len(each) for each in surviving(level, side, stages)]
    axes[3].bar(range(len(left)), left, color=plots.ACCENT)
    axes[3].set_yscale("log")
    axes[3].set_xlabel("stages passed")
    axes[3].set_title(f"Windows left, of {left[0]:,}")
    return figure
