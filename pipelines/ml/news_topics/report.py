"""Score predicted topics; draw their correlations, F1 by rarity, and the comparison on yeast."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.datasets import fetch
from slipway.reporting import Evaluation, plots
from slipway.reporting.baseline_rows import train_and_test_rows
from slipway.reporting.candidates_plot import candidates_plot
from slipway.reporting.uncertainty import metric_with_interval
from slipway.training import Candidate

from .data import splits
from .metrics import f1, indicator, multilabel_metrics
from .model import TOPICS, Story, Subjects

# Invented: the stories are Reuters'.
EXAMPLES = [
    Story(
        text="WHEAT AND MAIZE SHIPMENTS DELAYED BY STRIKE. Exports of 200,000 tonnes of wheat and "
        "corn are waiting at the port, where dock workers stopped loading vessels on Monday."
    ),
    Story(
        text="EXAMPLE CORP 1ST QTR NET. Shr 32 cts vs 21 cts. Net 4.1 mln vs 2.7 mln. The company "
        "also said it agreed to buy all shares of Sample Inc for 45 mln dlrs."
    ),
]


def score(*, predictions: list[Subjects], labels: list[list[str]]) -> dict[str, float]:
    """Return the metrics of the topics; the baseline gives all stories the topics of most."""
    y_pred, y_true = indicator([each.topics for each in predictions]), indicator(labels)
    train, _ = train_and_test_rows(__file__, splits, fetch("reuters21578"), labels)
    usual = np.tile(indicator(train.labels).mean(axis=0) >= 0.5, (len(labels), 1))

    def macro(rows: np.ndarray) -> float:
        return float(f1(y_true[rows], y_pred[rows], average="macro"))

    metrics = multilabel_metrics(y_true, y_pred)
    return {
        # The interval resamples stories.
        **metric_with_interval("macro_f1", macro, len(labels)),
        "baseline_macro_f1": float(f1(y_true, usual, average="macro")),
        **{name: value for name, value in metrics.items() if name != "macro_f1"},
        "topics_predicted": float(y_pred.sum(axis=1).mean()),
        "topics_true": float(y_true.sum(axis=1).mean()),
        "stories_of_none": float((~y_true.any(axis=1)).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield (
        "yeast",
        candidates_plot(evaluation.candidates, chosen=evaluation.chosen, metric="macro_f1_yeast"),
    )
    labels = indicator(evaluation.train.labels)
    figure, (left, right) = plots.panels(2, height=5)
    correlations(left, labels)
    together(right, labels)
    yield "correlations", figure
    figure, (left, right) = plots.panels(2, height=5)
    y_pred = indicator([each.topics for each in evaluation.predictions])
    by_topic = f1(indicator(evaluation.test.labels), y_pred, average=None)
    names = [f"{name}, {count}" for name, count in zip(TOPICS, labels.sum(axis=0), strict=True)]
    title = "F1 by topic and its training\nstories (test rows)"
    plots.signed_bars(left, names, by_topic, title)
    left.tick_params("y", labelsize=7)
    by_rarity(right, evaluation.candidates)
    yield "imbalance", figure


def correlations(axes: Axes, labels: np.ndarray) -> None:
    """Draw Pearson's correlation of the labels, which for two binary columns is called phi."""
    with np.errstate(invalid="ignore"):  # for a topic without stories
        phi = np.nan_to_num(np.corrcoef(labels.T.astype(float)))
    plots.heatmap(axes, phi, TOPICS, TOPICS, "Correlation of topics (training)", limit=1, size=6)


def together(axes: Axes, labels: np.ndarray, shown: int = 16) -> None:
    """Draw the pairs of topics in which the first most often implies the second."""
    both = labels.T.astype(float) @ labels
    share = both / np.maximum(both.diagonal()[:, None], 1)
    np.fill_diagonal(share, 0)
    order = np.argsort(-share, axis=None)[:shown]
    pairs = [divmod(place, len(TOPICS)) for place in order.tolist()]
    names = [f"{TOPICS[one]} → {TOPICS[other]}" for one, other in pairs]
    title = "Share of the first topic's stories\nthat are of the second too"
    plots.signed_bars(axes, names, [share[pair] for pair in pairs], title)


def by_rarity(axes: Axes, tried: list[Candidate]) -> None:
    shown = {
        each.name: [np.mean(third) for third in np.array_split(each.curves["f1"], 3)]
        for each in tried
        if each.name.startswith(("binary", "chain_frequent_first"))
    }
    thirds, colours = ("most frequent", "between", "rarest third"), [f"C{n}" for n in range(8)]
    plots.bars(axes, thirds, shown, "Mean F1 by frequency (validation)", colours=colours)
    axes.set_ylim(0.4, 1.25)
    axes.legend(fontsize=6, ncols=2, loc="upper center")
