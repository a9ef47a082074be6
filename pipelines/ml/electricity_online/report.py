"""Test metrics of the served weights, and pictures of online and batch learning and of drift."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from river.drift import ADWIN, KSWIN, PageHinkley

from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .learner import Learner
from .model import DAY, NUMBERS, Outlook, features
from .prequential import MONTH, no_change, online, roc_auc_by_days, stream_metrics

DETECTORS: dict[str, Callable[[], Any]] = {
    "ADWIN": ADWIN,
    "Page-Hinkley": PageHinkley,
    "KSWIN": lambda: KSWIN(seed=0),
}


def score(*, predictions: list[Outlook], labels: list[bool]) -> dict[str, float]:
    """Return the metrics of the served weights, which are not updated.

    Rows are in order: the label of each is `is_up` of the next one.
    """
    up, y_prob = np.array(labels), np.array([each.probability for each in predictions])
    # The baseline predicts no change.
    unchanged = stream_metrics(up[:-1].astype(float), up[1:], up[:-1])
    area, days = roc_auc_by_days(up[1:], y_prob[1:])
    low, high = bootstrap_interval(area, days, seed=0)
    return {
        **stream_metrics(y_prob[1:], up[1:], up[:-1]),
        # Over whole days, since half hours of one day resemble each other.
        "roc_auc_low": low,
        "roc_auc_high": high,
        "baseline_roc_auc": unchanged["roc_auc"],
        "baseline_accuracy": unchanged["accuracy"],
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    figure, (left, right) = plots.panels(2)
    months(left, evaluation)
    learning_on(right, evaluation)
    yield "online_and_batch", figure
    figure, (left, middle, right) = plots.panels(3)
    y_prob = np.array([each.probability for each in evaluation.predictions])
    detectors(left, middle, np.abs(evaluation.test.labels - y_prob))
    stream(right, evaluation)
    yield "drift", figure


def months(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the accuracy by month of the training stream, in points above no-change."""
    monthly = {each.name: np.array(each.curves["accuracy"]) for each in evaluation.candidates}
    styles = {
        evaluation.chosen: (plots.ACCENT, "-", 2.0),
        "adaptive_forest": ("#d1793b", "-", 1.0),
        "batch_once": (plots.INK, ":", 1.2),
        "batch_monthly": (plots.INK, "-", 1.2),
        "boosting_monthly": (plots.PALE, "-", 2.0),
    }
    for name, (colour, style, width) in styles.items():
        gained = 100 * (monthly[name] - monthly["baseline"])
        axes.plot(range(2, len(gained) + 2), gained, style, color=colour, lw=width, label=name)
    axes.axhline(0, color=plots.INK, linewidth=0.6)
    axes.set(xlabel="month of the stream", ylabel="points of accuracy over no-change")
    axes.set_title("Online against batch")
    axes.legend(fontsize=8)


def rolling(axes: Axes, values: np.ndarray, width: int, colour: str, label: str) -> None:
    """Draw the mean over the past `width` half hours, by day."""
    means = np.convolve(values, np.full(width, 1 / width), "valid")
    axes.plot((np.arange(len(means)) + width) / DAY, means, color=colour, label=label)


def learning_on(axes: Axes, evaluation: Evaluation) -> None:
    """Draw accuracy on the test stream: the served weights, and the learner updated from them."""
    state = json.loads((evaluation.weights / "learner.json").read_text())
    numbers = features(evaluation.test.records)["numbers"]
    up, width = np.array(evaluation.test.labels), min(MONTH, len(evaluation.test))
    for name, y_prob, colour in (
        ("learning on", online(Learner.from_state(state))(numbers, up), plots.ACCENT),
        ("as shipped", np.array([each.probability for each in evaluation.predictions]), plots.INK),
        ("no change", no_change(numbers, up), plots.PALE),
    ):
        right = (y_prob >= 0.5) == up
        rolling(axes, 100 * right, width, colour, f"{name}: {100 * right.mean():.1f} %")
    axes.set(xlabel="day of the test stream", ylabel="accuracy of the past 30 days, %")
    axes.set_title("Updated without training anew")
    axes.legend()


def alarms(detector: Any, values: np.ndarray) -> np.ndarray:
    """Return the rows (alarms,) at which a detector raised an alarm."""
    rows = []
    for row, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            rows.append(row)
    return np.array(rows, dtype=int)


def plant_drift(errors: np.ndarray, kind: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return errors in a random order with a drift planted in the second half.

    The random order removes any drift of the errors themselves. The drift flips 3 labels of 10, all
    at once for `sudden` and increasingly for `gradual`; `none` flips no label.
    """
    drawn, middle = rng.choice(errors, rows), rows // 2
    share = np.zeros(rows)
    if kind != "none":
        share[middle:] = 0.3 if kind == "sudden" else np.linspace(0, 0.3, rows - middle)
    turned = rng.random(rows) < share
    return np.where(turned, 1 - drawn, drawn)


def detectors(left: Axes, right: Axes, errors: np.ndarray) -> None:
    """Draw the delay from a planted drift to the first alarm, and false alarms without a drift."""
    rows, runs = min(3_000, len(errors)), 1 if len(errors) < MONTH else 5
    middle, rng = rows // 2, np.random.default_rng(0)
    streams = {
        kind: [plant_drift(errors, kind, rows, rng) for _ in range(runs)]
        for kind in ("sudden", "gradual", "none")
    }
    late: dict[str, list[np.ndarray]] = {"sudden": [], "gradual": []}
    false = []
    for make in DETECTORS.values():
        for kind, delays in late.items():
            by_stream = [alarms(make(), each) for each in streams[kind]]
            # Up to the end of the stream if there was no alarm.
            first = [each[each >= middle].min(initial=rows) for each in by_stream]
            delays.append(np.array(first) - middle)
        count = sum(len(alarms(make(), each)) for each in streams["none"])
        false.append(1e4 * count / runs / rows)
    means = {kind: [float(each.mean()) for each in delays] for kind, delays in late.items()}
    drawn = plots.bars(left, [*DETECTORS], means, colours=(plots.ACCENT, plots.INK))
    for bars, delays in zip(drawn, late.values(), strict=True):
        seen = [(each < rows - middle).sum() for each in delays]
        left.bar_label(bars, [f"{count}/{runs}" for count in seen], fontsize=7)
    left.set_ylabel(f"half hours to the alarm (mean; {rows - middle:,} if none)")
    left.set_title("Planted drifts: delay, and how many seen", fontsize=10)
    plots.bars(right, [*DETECTORS], false, fmt="{:.2g}", size=8)
    right.set_ylabel("alarms in 10,000 half hours")
    right.set_title("False alarms where nothing drifts", fontsize=10)


def stream(axes: Axes, evaluation: Evaluation) -> None:
    """Draw ADWIN's alarms on the real stream, for the prices and for the learner's errors."""
    numbers = features(evaluation.train.records)["numbers"]
    up = np.array(evaluation.train.labels)
    rate = json.loads((evaluation.weights / "learner.json").read_text())["rate"]
    errors = np.abs(online(Learner(rate))(numbers, up) - up)
    prices = numbers[:, NUMBERS.index("log_price")].astype(np.float64)
    rolling(axes, prices, min(DAY * 7, len(up)), plots.PALE, "log price")
    for level, values, name, colour in (
        (0.03, prices, "price drifts", plots.INK),
        (0.09, errors, "the learner's error drifts", plots.ACCENT),
    ):
        days = alarms(ADWIN(), values) / DAY
        axes.plot(days, np.full(len(days), level), "|", color=colour, ms=9,
                  transform=axes.get_xaxis_transform(), label=f"{name}: {len(days)}")  # fmt: skip
    transfers = numbers[:, NUMBERS.index("transfer")]
    joined = np.argmax(transfers != transfers[0])
    axes.axvline(joined / DAY, color=plots.INK, linestyle=":", label="Victoria joins")
    axes.set(xlabel="day of the training stream", ylabel="log price, mean of a week")
    axes.set_title("The real stream (ADWIN)")
    axes.legend(fontsize=7)
