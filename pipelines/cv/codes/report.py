"""Score what was read, and show it by rotation, blur, size, tilt, noise and kind of code."""

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.media import decode_image
from slipway.reporting import Evaluation, plots

from .metrics import hits, is_common, read_metrics, rows_of
from .model import CodeReader, CodeRequest, Codes, Payload, written
from .pictures import LEVELS, UNITS

# Two codes before a background of no split.
PHOTO = Path(__file__).with_name("photo.jpg").read_bytes()
EXAMPLES = [
    CodeRequest(image=PHOTO, text="https://en.wikipedia.org/wiki/QR_code", correction="Q"),
    CodeRequest(image=PHOTO, effort="quick", text="400638133393", kind="ean_13"),
]
SEED = 12
# Rows whose payload is written as a new code and read back.
WRITTEN = 100
NAMES = {"qr_code": "QR code", "ean_13": "EAN-13"}


def texts_of(predictions: list[Codes]) -> list[list[str]]:
    """Return the payloads that were read in each picture."""
    return [[code.text for code in each.codes or []] for each in predictions]


def baseline_texts(labels: list[Payload]) -> list[list[str]]:
    """Return the payloads that the baseline read in each picture."""
    return [[each.baseline] if each.baseline else [] for each in labels]


def score(*, predictions: list[Codes], labels: list[Payload]) -> dict[str, float]:
    metrics = read_metrics(texts_of(predictions), labels, seed=SEED)
    del metrics["read_share_se"]
    baseline = read_metrics(baseline_texts(labels), labels, seed=SEED)
    made = [each for each in labels if each.kind in NAMES and each.condition != "photograph"]
    new = [written(CodeRequest(text=each.text, kind=each.kind)) for each in made[:WRITTEN]]
    return {
        **metrics,
        "baseline_read_share": baseline["read_share"],
        "baseline_wrong_share": baseline["wrong_share"],
        "written_read_share": float(np.mean([each is not None and each[1] for each in new])),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = CodeReader()
    model.load(evaluation.weights)
    yield "read", examples(model, evaluation)
    yield "limits", limits(evaluation)
    yield "kinds_and_time", kinds_and_time(evaluation)


def examples(model: CodeReader, evaluation: Evaluation) -> Figure:
    """Draw codes that were read, with their payloads, and a code that was written."""
    rows = evaluation.test.labels
    read = hits(texts_of(evaluation.predictions), rows)
    shown = [(PHOTO, model.predict([EXAMPLES[0]])[0])]
    for condition, level in (("tilt", 50), ("blur", 0.4), ("photograph", 0)):
        for place in np.flatnonzero(read):
            label, image = rows[place], evaluation.test.records[place].image
            if (label.condition, label.level) == (condition, level) and readable(label):
                shown.append((image, evaluation.predictions[place]))
                break
    ratios = [2, *[1] * len(shown)]
    figure, axes = plt.subplots(1, len(shown) + 1, figsize=(9.2, 2.3), width_ratios=ratios)
    for place, (image, prediction) in zip(axes, shown, strict=False):
        draw_codes(place, image, prediction)
    (new,) = model.predict(EXAMPLES[:1])
    axes[-1].imshow(decode_image(new.picture or b"", "L"), cmap="gray")
    axes[-1].set_title("written", size=8, weight="normal")
    axes[-1].set_axis_off()
    return figure


def draw_codes(axes: Axes, image: bytes, prediction: Codes) -> None:
    """Draw a picture with the corners of the codes in it; their payloads stand above."""
    axes.imshow(decode_image(image, "L"), cmap="gray", vmin=0, vmax=255)
    corners = np.array([(each.x, each.y) for each in prediction.corners or []]).reshape(-1, 4, 2)
    for quad in corners:
        axes.plot(*np.vstack([quad, quad[:1]]).T, color="#d55e00", linewidth=2)
    texts = [code.text[:34] for code in prediction.codes or []]
    axes.set_title("\n".join(texts[:2]), size=8, weight="normal")
    axes.set_axis_off()


def limits(evaluation: Evaluation) -> Figure:
    """Draw the share read at each level of each property, for both kinds and for the baseline."""
    labels = evaluation.test.labels
    results = {
        "served": hits(texts_of(evaluation.predictions), labels),
        "baseline": hits(baseline_texts(labels), labels),
    }
    figure, axes = plt.subplots(2, 3, figsize=(9.2, 5))
    for place, (condition, levels) in zip(axes.flat, LEVELS.items(), strict=False):
        for kind, color in zip(NAMES, (plots.ACCENT, "#d55e00"), strict=True):
            for name, read in results.items():
                shares = [share_read(read, labels, kind, condition, level) for level in levels]
                style = "o-" if name == "served" else "o:"
                place.plot(
                    levels, shares, style, color=color, markersize=3, label=f"{NAMES[kind]}, {name}"
                )
        place.set_title(condition)
        place.set_xlabel(UNITS[condition])
        place.set_ylim(-0.04, 1.04)
        if levels[0] > levels[-1]:
            place.invert_xaxis()
    axes[0, 0].set_ylabel("share read")
    axes[1, 0].set_ylabel("share read")
    handles, names = axes[0, 0].get_legend_handles_labels()
    axes[1, 2].legend(handles, names, loc="center")
    axes[1, 2].set_axis_off()
    return figure


def readable(label: Payload) -> bool:
    """Return whether the payload can be shown in a title."""
    return is_common(label) and label.text.isascii() and label.text.isprintable()


def share_read(
    read: np.ndarray, labels: list[Payload], kind: str, condition: str, level: float
) -> float:
    """Return the share of pictures that were read among those of a kind at a level, NaN of none."""

    def wanted(each: Payload) -> bool:
        return (each.kind, each.condition, each.level) == (kind, condition, level)

    places = rows_of(labels, wanted)
    return float(read[places].mean()) if places.size else float("nan")


def kinds_and_time(evaluation: Evaluation) -> Figure:
    """Draw the share of photographs read by kind, and the milliseconds of every reader."""
    labels = evaluation.test.labels
    photographs = rows_of(labels, lambda each: each.condition == "photograph")
    kinds = sorted({labels[place].kind for place in photographs})
    served, baseline = (
        hits(texts, labels) for texts in (texts_of(evaluation.predictions), baseline_texts(labels))
    )
    places = [[row for row in photographs if labels[row].kind == kind] for kind in kinds]
    names = [
        f"{kind.replace('_', ' ')} ({len(rows)})" for kind, rows in zip(kinds, places, strict=True)
    ]
    shares = {
        "served": [served[rows].mean() for rows in places],
        "baseline": [baseline[rows].mean() for rows in places],
    }
    figure, (left, right) = plots.panels(2, height=3.2)
    title = "Share of test photographs read, by kind"
    plots.bars(left, names, shares, title, horizontal=True, fmt="{:.2f}")
    left.set_xlim(0, 1.2)
    spent = json.loads(Path(__file__).with_name("speed.json").read_text())
    times = {
        "picture of the data": [each["picture"] for each in spent.values()],
        "frame of 640 x 480": [each["frame"] for each in spent.values()],
    }
    plots.bars(right, list(spent), times, "Milliseconds, one thread", horizontal=True, fmt="{:.0f}")
    return figure
