"""Score referrals; draw them by hospital and threshold, feature selection, and Shapley values."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.feature_selection import RFE, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.reporting import Evaluation, curves, plots
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval
from slipway.training.candidates import BASELINE

from .metrics import referral_metrics
from .model import MEASURED, NUMBERS, HeartDisease, HeartRisk, features

EXPLAINED, REFERENCES = 60, 40


def score(*, predictions: list[HeartRisk], labels: list[bool]) -> dict[str, float]:
    """Return the metrics of the referrals; the baseline gives all patients one probability."""
    sick = np.array(labels)
    probabilities = np.array([each.probability for each in predictions])
    referred = np.array([each.refer for each in predictions])

    def area(y_prob: np.ndarray, rows: np.ndarray) -> float:
        return float(roc_auc_score(sick[rows], y_prob[rows]))

    metrics = referral_metrics(probabilities, sick, predictions[0].threshold)
    return {
        # Resampled are patients of these hospitals: four hospitals are too few to be resampled.
        **metric_with_interval("roc_auc", partial(area, probabilities), len(sick)),
        **baseline_metric("roc_auc", partial(area, np.full(len(sick), 0.5)), len(sick)),
        **{name: value for name, value in metrics.items() if name != "roc_auc"},
        "missed": float((sick & ~referred).sum()),
        "referred": float(referred.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    y_prob = np.array([each.probability for each in evaluation.predictions])
    sick = np.array(evaluation.test.labels)
    yield "hospitals", hospitals(evaluation, y_prob, sick)
    yield "recall", recall_first(y_prob, sick, evaluation)
    yield "selection", selection(evaluation)
    yield "shapley", shapley(evaluation)


def hospitals(evaluation: Evaluation, y_prob: np.ndarray, sick: np.ndarray) -> Figure:
    """Draw candidates at known and new hospitals, and whom the chosen one refers at each."""
    figure, (left, right) = plots.panels(2, height=3.8)
    shown = [each for each in evaluation.candidates if each.name != BASELINE]
    areas = {
        "known hospitals, all rows": [each.metrics["roc_auc"] for each in shown],
        "inside known ones": [each.metrics["roc_auc_inside"] for each in shown],
        "inside one left out": [each.metrics["roc_auc_new_hospital"] for each in shown],
    }
    title, colours = "Area under the ROC curve (validation)", (plots.PALE, plots.INK, plots.ACCENT)
    plots.bars(left, [each.name for each in shown], areas, title, horizontal=True, colours=colours)
    left.set_xlim(0.6, 1)
    groups = np.array([each.hospital for each in evaluation.test.records])
    referred = np.array([each.refer for each in evaluation.predictions])
    names = np.unique(groups)
    kinds = {"of the sick (recall)": sick, "of the healthy": ~sick}
    rows = {kind: [group & (groups == name) for name in names] for kind, group in kinds.items()}
    shares = {kind: [referred[part].mean() for part in parts] for kind, parts in rows.items()}
    labels = [name.replace("_", "\n") for name in names]
    drawn = plots.bars(right, labels, shares, "Share referred, by hospital (test rows)")
    for bars, parts in zip(drawn, rows.values(), strict=True):
        right.bar_label(bars, [part.sum() for part in parts], fontsize=7)
    right.set_ylim(0, 1.3)
    return figure


def recall_first(y_prob: np.ndarray, sick: np.ndarray, evaluation: Evaluation) -> Figure:
    figure, (left, middle, right) = plots.panels(3)
    threshold = evaluation.predictions[0].threshold
    cuts = np.linspace(0.01, 0.95, 95)
    metrics = pd.DataFrame([referral_metrics(y_prob, sick, cut) for cut in cuts])
    colours = {"recall": plots.ACCENT, "specificity": plots.INK, "precision": "#d1793b"}
    for name, colour in colours.items():
        left.plot(cuts, metrics[name], color=colour, label=name)
    for cut, label in ((threshold, "chosen"), (0.5, "a half")):
        left.axvline(cut, color=plots.PALE, linestyle=":")
        left.text(cut, 0.02, f" {label}", fontsize=7)
    left.set(xlabel="threshold", ylim=(0, 1.02), title="What a threshold costs (test rows)")
    left.legend(loc="lower left", bbox_to_anchor=(0.5, 0.05))
    referred = [each.refer for each in evaluation.predictions]
    plots.confusion(middle, evaluation.test.labels, referred, [False, True])
    curves.roc(right, sick, y_prob)
    return figure


def selection(evaluation: Evaluation) -> Figure:
    """Draw univariate scores, and the order in which elimination drops features."""
    numbers = features(evaluation.train.records)["numbers"]
    sick = np.array(evaluation.train.labels)
    filled = make_pipeline(SimpleImputer(), StandardScaler()).fit_transform(numbers)
    scores, _ = f_classif(filled, sick)
    ranks = RFE(LogisticRegression(C=0.1, max_iter=2000), n_features_to_select=1)
    survived = len(NUMBERS) + 1 - ranks.fit(filled, sick).ranking_
    figure, axes = plots.panels(2, height=4)
    panels = {"SelectKBest: F statistic": scores, "RFE: rounds survived": survived}
    for panel, (title, values) in zip(axes, panels.items(), strict=True):
        order = np.argsort(-values)
        names = [NUMBERS[row].replace("_", " ") for row in order]
        plots.signed_bars(panel, names, values[order], title)
    return figure


def shapley(evaluation: Evaluation) -> Figure:
    """Draw Shapley values (Lundberg and Lee 2017: SHAP) of the served model's probability."""
    from slipway.explain.shapley import Shapley  # not needed to fit

    model = HeartDisease()
    model.load(evaluation.weights)
    explainer = Shapley(model, evaluation.train.records[:REFERENCES], max_rows=4000)
    records = evaluation.test.records[:EXPLAINED]
    explanations = [explainer.explain(each) for each in records]
    values = np.array([[each.contributions[name] for name in MEASURED] for each in explanations])
    order = np.argsort(-np.abs(values).mean(axis=0))
    figure, (left, right) = plots.panels(2, height=4)
    rng = np.random.default_rng(0)
    numbers = features(records)["numbers"]
    for place, column in enumerate(order):
        own = [row for row, name in enumerate(NUMBERS) if name.startswith(MEASURED[column])]
        # For a field with several flags, the last one set; the colour runs from low to high.
        level = (numbers[:, own] * np.arange(1, len(own) + 1)).max(axis=1)
        known, height = ~np.isnan(level), place + rng.uniform(-0.25, 0.25, len(values))
        left.scatter(values[~known, column], height[~known], color=plots.PALE, s=9)
        left.scatter(values[known, column], height[known], c=level[known], cmap="viridis", s=9)
    left.set_yticks(range(len(order)), [MEASURED[column].replace("_", " ") for column in order])
    left.invert_yaxis()
    left.axvline(0, color=plots.INK, linewidth=0.8)
    left.set_xlabel(
        "added to the probability; violet: low, yellow: high, grey: unmeasured\n"
        "categories have no order: violet is the reference (female, other pain, normal)"
    )
    left.set_title(f"Shapley values of {len(records)} test patients")
    surest = int(np.argmax([each.value for each in explanations]))
    one, patient = explanations[surest], records[surest]
    first = dict(list(one.contributions.items())[:9])
    labels = [f"{name.replace('_', ' ')} = {getattr(patient, name)}" for name in first]
    title = f"From {one.base:.2f} to the surest: {one.value:.2f}"
    plots.signed_bars(right, labels, list(first.values()), title)
    return figure
