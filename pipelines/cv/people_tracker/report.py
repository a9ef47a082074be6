"""Score found boxes and tracks, and show people with the ways that they came."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slipway.datasets import Dataset, fetch
from slipway.kits.detection.report import box_scores
from slipway.kits.metrics.boxes import box_metrics
from slipway.media import decode_image
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .classical import opencv_people
from .crossings import VARIANTS, crossing_metrics, tracked
from .data import frames
from .model import LABELS, Detections, Frame, People, PeopleTracker
from .mot_metrics import Identified, Sequence, mot_metrics

EXAMPLES = [Frame(image=Path(__file__).with_name("frame.jpg").read_bytes())]
# The drawn frames, and how many frames before the first of them the tracker begins.
SHOWN, BEFORE = (661, 700), 40
# The test frames, as in params.yaml.
TESTED = range(601, 796, 4)
# The unit of the interval: people stay in view for seconds, so frames near each other are alike.
# 7 frames are 2.8 seconds, and 49 test frames are 7 blocks.
BLOCK = 7
# Different enough for neighbors.
COLORS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]


def score(*, predictions: list[People], labels: list[Detections]) -> dict[str, float]:
    """Return the precision of single frames, and the metrics of the tracker.

    The tracker is measured where identities are known: in a street scene, given the boxes of
    another tracker's result without their identities, and on made crossings.
    """
    found = [Detections(boxes=[track.box for track in each.tracks]) for each in predictions]
    low, high = frames_interval(labels, found)
    off = [
        abs(each.people - len(label.boxes)) for each, label in zip(predictions, labels, strict=True)
    ]
    crossings = crossing_metrics(VARIANTS["reidentified"])
    return {
        **box_scores(found, labels, LABELS),
        "map50_low": low,
        "map50_high": high,
        "baseline_map50": baseline(labels)["map50"],
        "count_error": float(np.mean(off)),
        **street_metrics(fetch("mot15_tud")),
        **{f"crossing_{name}": value for name, value in crossings.items()},
    }


def frames_interval(labels: list[Detections], found: list[Detections]) -> tuple[float, float]:
    """Return the 95 % interval of `map50` by a bootstrap over blocks of successive frames."""
    blocks = np.array_split(np.arange(len(labels)), max(len(labels) // BLOCK, 1))

    def map50(drawn: np.ndarray) -> float:
        rows = [row for block in drawn for row in blocks[block]]
        marked, seen = ([each[row].boxes for row in rows] for each in (labels, found))
        return box_metrics(marked, seen, LABELS)["map50"]

    return bootstrap_interval(map50, len(blocks), seed=3)


def baseline(labels: list[Detections]) -> dict[str, float]:
    """Return the metrics of OpenCV's detector on the first test frames, whose boxes these are.

    Predictions and labels alone are scored, so the frames are read from the data set.

    Raises:
        ValueError: the labels are not those of the frames `TESTED`.
    """
    rows = list(islice(frames(fetch("vtest_pedestrians"), TESTED), len(labels)))
    if [label for _, label in rows] != labels:
        raise ValueError("the test frames are not those of TESTED: compare it with params.yaml")
    pictures = [decode_image(frame.image) for frame, _ in rows if frame.image is not None]
    marked = [each.boxes for each in labels]
    return box_metrics(marked, opencv_people(pictures), LABELS)


def street_metrics(dataset: Dataset) -> dict[str, float]:
    """Return the tracking metrics of TUD-Stadtmitte."""
    truth = read_sequence(dataset.path("tud_stadtmitte_gt.txt"))
    seen = read_sequence(dataset.path("tud_stadtmitte_result.txt"))
    return mot_metrics(truth, tracked(seen, VARIANTS["reidentified"], (640, 480)))


def read_sequence(file: Path) -> Sequence:
    """Return the boxes and identities of a file in the form of MOTChallenge, by frame."""
    table = np.loadtxt(file, delimiter=",")
    corners = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return {
        int(frame): Identified(table[rows, 1].astype(int), corners[rows])
        for frame in np.unique(table[:, 0])
        for rows in [table[:, 0] == frame]
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "tracks", tracks(evaluation)
    figure, (left, right) = plots.panels(2)
    networks = [each for each in evaluation.candidates if each.curves]
    plots.curves(left, networks, "map50", "mAP50 on later frames, held out")
    associations(right)
    yield "learning_curves", figure


def tracks(evaluation: Evaluation) -> Figure:
    """Draw two frames of the test part, with the state carried through all frames before."""
    model = PeopleTracker()
    model.load(evaluation.weights)
    figure, (places,) = plt.subplots(1, len(SHOWN), figsize=(6.8, 2.9), squeeze=False)
    free, state = iter(places), None
    scene = frames(fetch("vtest_pedestrians"), range(SHOWN[0] - BEFORE, SHOWN[-1] + 1))
    for number, (frame, _) in enumerate(scene, start=SHOWN[0] - BEFORE):
        (people,) = model.predict([frame.model_copy(update={"state": state})])
        state = people.state
        if number in SHOWN:
            draw_people(next(free), frame, people)
    figure.suptitle("Frames of the test part: each person with number and way")
    return figure


def draw_people(axes: Axes, frame: Frame, people: People) -> None:
    """Draw a picture in grey with the box, the number and the trail of each person."""
    assert frame.image is not None
    # Few levels of grey make a smaller file.
    axes.imshow(decode_image(frame.image, "L") // 16 * 16, cmap="gray", vmin=0, vmax=255)
    axes.axis("off")
    for each in people.tracks:
        color, box = COLORS[each.id % len(COLORS)], each.box
        size = box.x2 - box.x1, box.y2 - box.y1
        axes.add_patch(Rectangle((box.x1, box.y1), *size, fill=False, color=color, linewidth=1.5))
        axes.text(box.x1, box.y1 - 6, f"{each.id}", color=color, fontsize=8, weight="bold")
        if each.trail:
            axes.plot(*zip(*((p.x, p.y) for p in each.trail), strict=True), color=color)


def associations(axes: Axes) -> None:
    """Draw the tracking metrics on crossings with parts of the tracker left out."""
    results = {name: crossing_metrics(settings) for name, settings in VARIANTS.items()}
    values = {metric: [each[metric] for each in results.values()] for metric in ("mota", "idf1")}
    plots.bars(axes, list(results), values, "Crossings: what each part adds")
    axes.legend(loc="upper left")
