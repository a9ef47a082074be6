"""Linear against non-linear models, on all findings or selected ones, with recall first.

Each candidate is measured twice: on patients of hospitals that it knows (stratified folds) and on
those of a hospital left out. What was measured differs by hospital, and so does the share of sick:
a model can learn the hospital from the gaps, which helps over all rows and not inside a hospital.
Selection is part of the pipeline, so that it never sees the rows it is judged on.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import RFE, SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.candidates import BASELINE
from slipway.training.tabular import export_onnx

from .model import MEASURED, NUMBERS, HeartDisease, HeartRisk, Patient, features, risks

# Where gaps are features they name the hospital: shown, never served.
LEAKING = "logistic_with_gaps"
EXPLAINED, REFERENCES = 60, 40


def pipeline(
    estimator: ClassifierMixin, *, select: object | None = None, gaps: bool = False
) -> Pipeline:
    """Fill gaps with the mean, scale for all but trees, select, then `estimator`.

    The mean leaves a linear model's answer where the other findings put it.
    """
    steps: list[object] = [SimpleImputer(strategy="mean", add_indicator=gaps)]
    if not isinstance(estimator, RandomForestClassifier):
        steps.append(StandardScaler())
    if select is not None:
        steps.append(select)
    # A copy, so that fitting one pipeline leaves others of the same estimator as they are.
    return clone(make_pipeline(*steps, estimator))


def pipelines(seed: int, keep: int, trees: int) -> dict[str, Pipeline]:
    def svm(kernel: str) -> ClassifierMixin:
        # Platt's scaling makes probabilities of distances from the boundary.
        return CalibratedClassifierCV(SVC(kernel=kernel, C=0.5), ensemble=False, cv=5)

    logistic, best = LogisticRegression(C=0.1, max_iter=2000), SelectKBest(f_classif, k=keep)
    forest = RandomForestClassifier(
        trees, min_samples_leaf=5, max_features="sqrt", random_state=seed
    )
    return {
        # scikit-learn's name for a rule that looks at nobody: each gets the share of the sick.
        "baseline": pipeline(DummyClassifier(strategy="prior")),
        "logistic": pipeline(logistic),
        "logistic_kbest": pipeline(logistic, select=best),
        "logistic_rfe": pipeline(logistic, select=RFE(logistic, n_features_to_select=keep)),
        LEAKING: pipeline(logistic, gaps=True),
        "svm_linear": pipeline(svm("linear")),
        "svm_rbf": pipeline(svm("rbf")),
        "svm_rbf_kbest": pipeline(svm("rbf"), select=best),
        "forest": pipeline(forest),
        "forest_kbest": pipeline(forest, select=best),
    }


def within(probabilities: np.ndarray, sick: np.ndarray, groups: np.ndarray) -> float:
    """The area under the ROC curve inside each group, weighted by its rows.

    Across groups the order of hospitals would count, which is not the patient's illness.
    """
    every = [groups == group for group in np.unique(groups)]
    known = [rows for rows in every if 0 < sick[rows].sum() < rows.sum()]
    areas = [roc_auc_score(sick[rows], probabilities[rows]) for rows in known]
    return float(np.average(areas, weights=[rows.sum() for rows in known]))


def threshold_for(recall: float, probabilities: np.ndarray, sick: np.ndarray) -> float:
    """The highest threshold that still refers the wanted share of the sick.

    Raises:
        ValueError: nobody is sick, or the recall is not within 0 and 1.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
    if not sick.any():
        raise ValueError("a threshold for a recall needs at least one sick patient")
    falling = np.sort(probabilities[sick])[::-1]
    return float(falling[int(np.ceil(recall * len(falling))) - 1])


def figures(probabilities: np.ndarray, sick: np.ndarray, threshold: float) -> dict[str, float]:
    names, referred = ("roc_auc", "recall", "precision", "brier"), probabilities >= threshold
    found = measures.of_forecasts(sick, *names, told=probabilities, decided=referred)
    return {**found, "specificity": float(recall_score(~sick, ~referred))}


def at_new_hospitals(
    probabilities: np.ndarray, sick: np.ndarray, hospitals: np.ndarray, threshold: float
) -> dict[str, float]:
    """What the threshold is worth on patients (rows,) of hospitals that the model never saw."""
    told = figures(probabilities, sick, threshold)
    referred = probabilities >= threshold
    recalls = [referred[sick & (hospitals == each)].mean() for each in np.unique(hospitals[sick])]
    return {
        "brier_new_hospital": told["brier"],
        "recall_new_hospital": told["recall"],
        "recall_new_hospital_least": float(min(recalls)),
        "specificity_new_hospital": told["specificity"],
    }


def fit(
    *,
    train: Examples[Patient, bool],
    weights: Path,
    seed: int,
    folds: int,
    keep: int,
    trees: int,
    wanted_recall: float,
) -> Fitted:
    """Choose by the Brier score at hospitals left out; the threshold is for rows left out too."""
    numbers, sick = features(train.records)["numbers"], np.array(train.truths)
    hospitals = np.array([each.hospital for each in train.records])
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    tried, thresholds = [], {}
    for name, made in pipelines(seed, keep, trees).items():
        told = cross_val_predict(made, numbers, sick, cv=splits, method="predict_proba")[:, 1]
        # Each by a model that saw nobody of the patient's hospital.
        abroad = cross_val_predict(
            made, numbers, sick, groups=hospitals, cv=LeaveOneGroupOut(), method="predict_proba"
        )[:, 1]
        thresholds[name] = threshold_for(wanted_recall, told, sick)
        metrics = {
            "roc_auc_inside": within(told, sick, hospitals),
            "roc_auc_new_hospital": within(abroad, sick, hospitals),
            **at_new_hospitals(abroad, sick, hospitals, thresholds[name]),
            **figures(told, sick, thresholds[name]),
        }
        selects = name.endswith(("_kbest", "_rfe"))
        tried.append(Candidate(name, metrics, {"columns": keep if selects else len(NUMBERS)}))
    served = [each for each in tried if each.name not in (BASELINE, LEAKING)]
    chosen = min(served, key=lambda each: each.metrics["brier_new_hospital"]).name
    best, threshold = pipelines(seed, keep, trees)[chosen].fit(numbers, sick), thresholds[chosen]
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    (weights / "threshold.json").write_text(json.dumps({"threshold": threshold}) + "\n")

    def native(patients: list[Patient]) -> list[HeartRisk]:
        probabilities = best.predict_proba(features(patients)["numbers"])[:, 1]
        return risks(patients, probabilities, threshold)

    return Fitted(tried, chosen, native)


def score(*, answers: list[HeartRisk], truths: list[bool]) -> dict[str, float]:
    sick = np.array(truths)
    probabilities = np.array([each.probability for each in answers])
    referred = np.array([each.refer for each in answers])
    return figures(probabilities, sick, answers[0].threshold) | {
        "missed": float((sick & ~referred).sum()),
        "referred": float(referred.mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    told = np.array([each.probability for each in evaluation.answers])
    sick = np.array(evaluation.test.truths)
    yield "hospitals", hospitals(evaluation, told, sick)
    yield "recall", recall_first(told, sick, evaluation)
    yield "selection", selection(evaluation)
    yield "shapley", shapley(evaluation)


def hospitals(evaluation: Evaluation, told: np.ndarray, sick: np.ndarray) -> Figure:
    """Candidates at known and new hospitals, and whom the chosen one refers at each."""
    figure, (left, right) = plots.panels(2, height=3.8)
    shown = [each for each in evaluation.candidates if each.name != BASELINE]
    areas = {
        "known hospitals, all rows": [each.metrics["roc_auc"] for each in shown],
        "inside known ones": [each.metrics["roc_auc_inside"] for each in shown],
        "inside one left out": [each.metrics["roc_auc_new_hospital"] for each in shown],
    }
    title, colours = "Area under the ROC curve (validation)", (plots.PALE, plots.INK, plots.ACCENT)
    plots.bars(left, [each.name for each in shown], areas, title, lying=True, colours=colours)
    left.set_xlim(0.6, 1)
    groups = np.array([each.hospital for each in evaluation.test.records])
    referred = np.array([each.refer for each in evaluation.answers])
    names = np.unique(groups)
    kinds = {"of the sick (recall)": sick, "of the healthy": ~sick}
    rows = {kind: [of & (groups == name) for name in names] for kind, of in kinds.items()}
    shares = {kind: [referred[part].mean() for part in parts] for kind, parts in rows.items()}
    labels = [name.replace("_", "\n") for name in names]
    drawn = plots.bars(right, labels, shares, "Share referred, by hospital (test rows)")
    for bars, parts in zip(drawn, rows.values(), strict=True):
        right.bar_label(bars, [part.sum() for part in parts], fontsize=7)
    right.set_ylim(0, 1.3)
    return figure


def recall_first(told: np.ndarray, sick: np.ndarray, evaluation: Evaluation) -> Figure:
    figure, (left, middle, right) = plots.panels(3)
    threshold = evaluation.answers[0].threshold
    cuts = np.linspace(0.01, 0.95, 95)
    found = pd.DataFrame([figures(told, sick, cut) for cut in cuts])
    colours = {"recall": plots.ACCENT, "specificity": plots.INK, "precision": "#d1793b"}
    for name, colour in colours.items():
        left.plot(cuts, found[name], color=colour, label=name)
    for cut, label in ((threshold, "chosen"), (0.5, "a half")):
        left.axvline(cut, color=plots.PALE, linestyle=":")
        left.text(cut, 0.02, f" {label}", fontsize=7)
    left.set(xlabel="threshold", ylim=(0, 1.02), title="What a threshold costs (test rows)")
    left.legend(loc="lower left", bbox_to_anchor=(0.5, 0.05))
    referred = [answer.refer for answer in evaluation.answers]
    plots.confusion(middle, evaluation.test.truths, referred, [False, True])
    plots.roc(right, sick, told)
    return figure


def selection(evaluation: Evaluation) -> Figure:
    """Univariate scores, and the order in which elimination gives features up."""
    numbers = features(evaluation.train.records)["numbers"]
    sick = np.array(evaluation.train.truths)
    filled = make_pipeline(SimpleImputer(), StandardScaler()).fit_transform(numbers)
    scores, _ = f_classif(filled, sick)
    ranks = RFE(LogisticRegression(C=0.1, max_iter=2000), n_features_to_select=1)
    survived = len(NUMBERS) + 1 - ranks.fit(filled, sick).ranking_
    figure, axes = plots.panels(2, height=4)
    told = {"SelectKBest: F statistic": scores, "RFE: rounds survived": survived}
    for panel, (title, values) in zip(axes, told.items(), strict=True):
        order = np.argsort(-values)
        names = [NUMBERS[row].replace("_", " ") for row in order]
        plots.weights(panel, names, values[order], title)
    return figure


def shapley(evaluation: Evaluation) -> Figure:
    """Shapley values (Lundberg and Lee 2017: SHAP) of the served model, in probability."""
    from slipway.explain.shapley import Shapley  # not needed to fit

    model = HeartDisease()
    model.load(evaluation.weights)
    explainer = Shapley(model, evaluation.train.records[:REFERENCES], max_rows=4000)
    records = evaluation.test.records[:EXPLAINED]
    told = [explainer.explain(each) for each in records]
    values = np.array([[each.contributions[name] for name in MEASURED] for each in told])
    order = np.argsort(-np.abs(values).mean(axis=0))
    figure, (left, right) = plots.panels(2, height=4)
    rng = np.random.default_rng(0)
    numbers = features(records)["numbers"]
    for place, column in enumerate(order):
        own = [row for row, name in enumerate(NUMBERS) if name.startswith(MEASURED[column])]
        # Of a field of several flags the last that is set; the colour runs from low to high.
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
    surest = int(np.argmax([each.value for each in told]))
    one, patient = told[surest], records[surest]
    first = dict(list(one.contributions.items())[:9])
    labels = [f"{name.replace('_', ' ')} = {getattr(patient, name)}" for name in first]
    title = f"From {one.base:.2f} to the surest: {one.value:.2f}"
    plots.weights(right, labels, list(first.values()), title)
    return figure
