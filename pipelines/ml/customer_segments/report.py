"""Test metrics of the served segments, and pictures of the segments."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import metric_with_interval

from .metrics import explained
from .model import Customer, Segment, features

EXAMPLES = [
    Customer(days_since_purchase=12, orders_365d=2, net_spent_365d=460),
    Customer(days_since_purchase=140, orders_365d=5, net_spent_365d=2100),
    # Returned the only order.
    Customer(days_since_purchase=235, orders_365d=1, net_spent_365d=0),
]


def score(*, predictions: list[Segment], labels: list[float]) -> dict[str, float]:
    """Return the metrics of the served segments.

    `silhouette` is the simplified one, the mean `sureness`. Most others use what the customers of
    each segment did in the 90 days after.
    """
    segments, spent = np.array([each.segment for each in predictions]), np.array(labels)
    after = [spent[segments == each] for each in np.unique(segments)]
    bought = [float((each > 0).mean()) for each in after]
    sureness, of_rule = (
        np.array([getattr(each, name) for each in predictions])
        for name in ("sureness", "rule_sureness")
    )
    return {
        # Over customers.
        **metric_with_interval(
            "silhouette", lambda rows: float(sureness[rows].mean()), len(sureness)
        ),
        # The groups of the quintile rule, with the same number of groups.
        "baseline_silhouette": float(of_rule.mean()),
        "spending_explained": explained(segments, spent),
        "share_buying": float((spent > 0).mean()),
        "share_expected": float(np.mean([each.share_buying for each in predictions])),
        "best_segment_buying": max(bought),
        "worst_segment_buying": min(bought),
        **relative_errors(predictions, segments, spent),
        "smallest_share": min(len(each) for each in after) / len(spent),
        "unusual": float(np.mean([each.unusual for each in predictions])),
    }


def relative_errors(
    predictions: list[Segment], segments: np.ndarray, spent: np.ndarray
) -> dict[str, float]:
    """Return by how much the predicted ratios to the average customer are wrong on average.

    `pairs_in_order` is the share of pairs of segments of which the one that is predicted to buy
    more does.
    """
    known = {each.segment: each for each in predictions}
    bought = {name: float((spent[segments == name] > 0).mean()) for name in known}
    ratios = {"buying": (spent > 0).astype(float), "spending": spent}
    errors = {}
    for kind, outcome in ratios.items():
        mean = max(float(outcome.mean()), 1e-9)
        found = {name: float(outcome[segments == name].mean()) / mean for name in known}
        off = [
            abs(getattr(known[name], f"relative_{kind}") - found[name])
            for name in segments.tolist()
        ]
        errors[f"relative_{kind}_error"] = float(np.mean(off))
    pairs = [
        (known[one].share_buying - known[other].share_buying) * (bought[one] - bought[other]) > 0
        for one, other in combinations(known, 2)
    ]
    return errors | {"pairs_in_order": float(np.mean(pairs)) if pairs else 1.0}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "choice_of_k", choice(evaluation)
    numbers = features(evaluation.test.records)["numbers"]
    labels = np.array([each.segment for each in evaluation.predictions])
    order = sorted(set(labels), key=lambda label: -numbers[labels == label, 2].mean())
    yield "plane", plane(features(evaluation.train.records)["numbers"], numbers, labels, order)
    yield "profiles", profiles(numbers, np.array(evaluation.test.labels), labels, order)


def choice(evaluation: Evaluation) -> Figure:
    """Draw the elbow, the silhouette and the stability for each k."""
    figure, axes = plots.panels(3, height=3)
    tried = {each.name: each.metrics for each in evaluation.candidates}
    ks = [k for k in range(2, 30) if f"kmeans_{k}" in tried]
    titles = {
        "inertia": "Elbow: squared distance to the centre",
        "silhouette": "Simplified silhouette",
        "stability": "Stability: Rand index of two halves",
    }
    for panel, (metric, title) in zip(axes, titles.items(), strict=True):
        values = [tried[f"kmeans_{k}"][metric] for k in ks]
        panel.plot(ks, values, color=plots.ACCENT, marker="o")
        panel.axvline(int(evaluation.chosen.rpartition("_")[2]), color=plots.PALE, linestyle=":")
        panel.set(xlabel="segments (dotted: chosen)", title=title)
    return figure


def plane(train: np.ndarray, numbers: np.ndarray, labels: np.ndarray, order: list[str]) -> Figure:
    """Draw test customers on the first two principal components of the training customers."""
    scaler = StandardScaler().fit(train)
    pca = PCA(2).fit(scaler.transform(train))
    figure, (left, right) = plots.panels(2, height=4)
    places = pca.transform(scaler.transform(numbers))
    for label in order:
        mine = labels == label
        left.scatter(places[mine, 0], places[mine, 1], s=4, alpha=0.4, linewidths=0, label=label)
    legend = left.legend(markerscale=4)
    for handle in legend.legend_handles:
        handle.set_alpha(1)  # type: ignore[union-attr]
    left.set_xlabel(f"first component ({pca.explained_variance_ratio_[0]:.0%} of the variance)")
    left.set_ylabel(f"second component ({pca.explained_variance_ratio_[1]:.0%})")
    left.set_title("Customers by segment (test rows)")
    names = [f"{field}, {part}" for part in ("first", "second") for field in ("R", "F", "M")]
    plots.signed_bars(right, names, pca.components_.ravel(), "What the components weigh")
    return figure


def profiles(
    numbers: np.ndarray, spent: np.ndarray, labels: np.ndarray, order: list[str]
) -> Figure:
    """Draw the median inputs of each segment, and its later spending."""
    known = ("days since the last purchase", "orders in the year", "pounds in the year")
    plain = pd.DataFrame(np.expm1(numbers), columns=[f"Median {each}" for each in known])
    table = plain.groupby(labels).median()
    table["Bought within 90 days"] = 100 * pd.Series(spent > 0).groupby(labels).mean()
    table["Pounds a head after"] = pd.Series(spent).groupby(labels).mean()
    figure, axes = plots.panels(5, height=2.6)
    figure.set_size_inches(15, 2.6)
    for panel, (title, values) in zip(axes, table.loc[order].items(), strict=True):
        form = "{:.0f} %" if title == "Bought within 90 days" else "{:,.0f}"
        plots.bars(panel, order, values.tolist(), horizontal=True, fmt=form, size=8)
        panel.margins(x=0.25)
        panel.set_xticks([])
        panel.set_title(str(title), fontsize=9)
    return figure
