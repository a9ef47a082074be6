"""Score predicted directions; draw hit rates, areas, calibration and one history's indicators."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.uncertainty import metric_with_interval, neighbouring, over_groups

from .data import synthetic_walk
from .metrics import BLOCK, area, direction_metrics, interval
from .model import DAYS, NUMBERS, Direction, History, ema, features

# Invented: the documentation must not show real prices.
EXAMPLES = [
    History(
        closes=[round(float(close), 2) for close in synthetic_walk(DAYS, seed)],
        volumes=[1_000_000.0 + 10_000 * day for day in range(DAYS)],
    )
    for seed in (1, 2)
]


def score(*, predictions: list[Direction], labels: list[bool]) -> dict[str, float]:
    """Return the metrics; `always_up` is the hit rate of always predicting up.

    The baseline gives all days one probability, whatever its value is.
    """
    up, y_prob = np.array(labels), np.array([each.probability for each in predictions])
    metrics = direction_metrics(y_prob, up)
    always = metrics.pop("share_up")
    # Shares move together and days follow each other, so blocks of a month are resampled.
    months = neighbouring(len(up), BLOCK)
    by_month = over_groups(lambda rows: area(up[rows], y_prob[rows]), months)
    return {
        **metric_with_interval("roc_auc", by_month, len(months)),
        "baseline_roc_auc": area(up, np.full(len(up), 0.5)),
        **{name: value for name, value in metrics.items() if name != "roc_auc"},
        "always_up": always,
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    up = np.array(evaluation.test.labels)
    y_prob = np.array([each.probability for each in evaluation.predictions])
    figure, (left, middle, right) = plots.panels(3)
    tried = {each.name: each.metrics for each in evaluation.candidates}
    served = f"{evaluation.chosen}, test rows"
    rates = {
        name: (100 * each["hit_rate"], 100 * each["hit_rate_low"], 100 * each["hit_rate_high"])
        for name, each in {**tried, served: evaluation.metrics}.items()
    }
    colours = [plots.INK] * len(tried) + [plots.ACCENT]
    plots.intervals(left, rates, "Hit rates, walking forward", colours=colours, no_effect=50)
    left.set_xlabel(
        f"days predicted correctly, percent (95 %; candidates widened for {len(tried) - 1} looks)"
    )
    plots.curves(middle, evaluation.candidates, "hit rate", "Hit rate by span of time")
    middle.axhline(0.5, color=plots.PALE, linestyle=":")
    middle.set_xlabel("span")
    low, high = middle.get_ylim()
    middle.set_ylim(low - 0.3 * (high - low), high)
    middle.legend(fontsize=7, loc="lower left", ncols=2)
    kinds = {"roc_auc": "walking forward", "shuffled_roc_auc": "shuffled"}
    areas = {kind: [each[key] - 0.5 for each in tried.values()] for key, kind in kinds.items()}
    title = "Area under ROC, above one half"
    plots.bars(right, list(tried), areas, title, horizontal=True, fmt="{:.3f}")
    yield "how_little", figure
    figure, (left, right) = plots.panels(2)
    curves.roc(left, up, y_prob)
    order = np.argsort(y_prob, kind="stable")
    fifths = [part for part in np.array_split(order, 5) if len(part)]
    means = [float(y_prob[part].mean()) for part in fifths]
    # A fifth has one in five consecutive rows, so a month of it is a fifth as long.
    ends = np.array(
        [interval(up[np.sort(each)].astype(float), block=BLOCK // 5) for each in fifths]
    )
    right.vlines(means, ends[:, 0], ends[:, 1], plots.INK)
    right.plot(means, [float(up[part].mean()) for part in fifths], "o", color=plots.ACCENT)
    right.axhline(float(up.mean()), color=plots.PALE, linestyle=":", label="all days")
    title = "Closed higher (test rows, 95 % interval)"
    right.set(xlabel="predicted probability, by fifths of the days", title=title)
    right.legend()
    yield "test", figure
    yield "indicators", indicators(evaluation.test.records[0])


def indicators(record: History) -> Figure:
    """Draw the indicators of one history: averages, RSI and MACD."""
    closes = np.array(record.closes)
    figure, (left, right) = plots.panels(2, height=3)
    days = np.arange(DAYS) - DAYS + 1
    left.plot(days, closes, color=plots.INK, label="close")
    for span, colour in ((5, plots.ACCENT), (20, plots.PALE)):
        average = np.convolve(closes, np.ones(span) / span, "valid")
        left.plot(days[span - 1 :], average, color=colour, label=f"SMA {span}")
    left.set_title("The first test history")
    macd = (ema(closes[None], 12) - ema(closes[None], 26))[0] / closes
    right.plot(days, 100 * macd, color=plots.INK, label="MACD, percent of the price")
    right.plot(days, 100 * ema(macd[None], 9)[0], color=plots.ACCENT, label="its signal")
    numbers = features([record])["numbers"][0]
    right.set_title(f"MACD; RSI of the last day {numbers[NUMBERS.index('rsi_14')]:.2f}")
    for panel in (left, right):
        panel.set_xlabel("trading days before the question")
        panel.legend()
    return figure
