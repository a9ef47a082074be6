"""Logistic regression, forest and boosting twice on indicators, walking forward through the years.

Shares move together: rows of one day are nearly one row. So spans are divided between days, with an
embargo, and intervals come from blocks of rows. What a shuffled split would have told is measured
beside it, as a warning.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from xgboost import XGBClassifier

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import export_boosting, export_onnx

from .model import DAYS, MEASURED, NUMBERS, Direction, History, directions, ema, features

# At most five shares a day: two days lie between what is learnt from and what is answered.
EMBARGO = 10
# About a month of days for each resampled block, since neighbouring rows are alike.
BLOCK, DRAWS = 100, 4000


def estimators(seed: int) -> dict[str, Pipeline]:
    """By name; the baseline tells the share of rising days, whatever it is asked."""
    today = ColumnTransformer([("kept", "passthrough", [NUMBERS.index("return_1")])])
    forest = RandomForestClassifier(
        200, max_depth=6, min_samples_leaf=50, max_features=5, random_state=seed
    )
    boosting = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=100,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )
    # The same limits in XGBoost's words: a row weighs p (1 - p), a quarter, in its leaf.
    xgboost = XGBClassifier(
        n_estimators=80,
        learning_rate=0.03,
        max_leaves=8,
        grow_policy="lossguide",
        min_child_weight=25.0,
        reg_lambda=10.0,
        n_jobs=1,
        random_state=seed,
    )
    return {
        # scikit-learn's name for a rule that looks at no history.
        "baseline": make_pipeline(DummyClassifier(strategy="prior")),
        "return_of_today": make_pipeline(today, StandardScaler(), LogisticRegression()),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.01)),
        "random_forest": make_pipeline(forest),
        "boosting": make_pipeline(boosting),
        "xgboost": make_pipeline(xgboost),
    }


def spans(rows: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to answer, `count` times: the rows after the first third in equal
    spans, each answered from all that is over before it."""
    places, borders = np.arange(rows), np.linspace(rows // 3, rows, count + 1).astype(int)
    return [(places[: begin - EMBARGO], places[begin:end]) for begin, end in pairwise(borders)]


def answers(
    pipeline: Pipeline, numbers: np.ndarray, up: np.ndarray, parts: Sequence[tuple[np.ndarray, ...]]
) -> np.ndarray:
    """Probabilities (rows,) by a model fitted on the first of each part; nan where in no part."""
    found = np.full(len(up), np.nan)
    for learnt, asked in parts:
        pipeline.fit(numbers[learnt], up[learnt])
        found[asked] = pipeline.predict_proba(numbers[asked])[:, 1]
    return found


def interval(
    hits: np.ndarray, *, looks: int = 1, block: int = BLOCK, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the mean of hits (rows,), by a bootstrap of blocks of neighbours
    (Politis and Romano 1992); wide enough for the best of so many `looks` (Bonferroni)."""
    block = min(block, max(1, len(hits) // 4))
    rng = np.random.default_rng(seed)
    # Around the end to the beginning: else the rows there would be drawn too seldom.
    starts = rng.integers(0, len(hits), (DRAWS, -(-len(hits) // block)))
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([hits, hits[:block]]))])
    means = (sums[starts + block] - sums[starts]).mean(axis=1) / block
    low, high = np.quantile(means, [0.025 / looks, 1 - 0.025 / looks])
    return float(low), float(high)


def area(up: np.ndarray, probabilities: np.ndarray) -> float:
    """Under the ROC curve; one half where all days went the same way."""
    return float(roc_auc_score(up, probabilities)) if up.any() and not up.all() else 0.5


def measured(probabilities: np.ndarray, up: np.ndarray, looks: int = 1) -> dict[str, float]:
    """`brier_skill` is the share taken off the Brier score of telling one half."""
    hits = (probabilities >= 0.5) == up
    low, high = interval(hits.astype(float), looks=looks)
    return {
        "roc_auc": area(up, probabilities),
        "hit_rate": float(hits.mean()),
        "hit_rate_low": low,
        "hit_rate_high": high,
        "brier_skill": 1 - float(brier_score_loss(up, probabilities)) / 0.25,
        "share_up": float(up.mean()),
    }


def fit(*, train: Examples[History, bool], weights: Path, seed: int, count: int) -> Fitted:
    """Choose by the area under the ROC curve over the later spans, and fit the chosen on all."""
    numbers, up = features(train.records)["numbers"], np.array(train.truths)
    parts, tried = spans(len(up), count), []
    later = np.concatenate([asked for _, asked in parts])
    folds = list(KFold(count, shuffle=True, random_state=seed).split(numbers))
    # Boosting's threads wait for each other by spinning: on two busy cores 30 times slower.
    with threadpool_limits(limits=1):
        compared = estimators(seed)
        for name, pipeline in compared.items():
            walked = answers(pipeline, numbers, up, parts)
            shuffled = answers(pipeline, numbers, up, folds)
            metrics = measured(walked[later], up[later], looks=len(compared) - 1)
            # Within spans: between them the share of rising days changes, which no ranking is for.
            for key, told, spanned in (
                ("roc_auc", walked, parts),
                ("shuffled_roc_auc", shuffled, folds),
            ):
                areas = [area(up[asked], told[asked]) for _, asked in spanned]
                metrics[key] = float(np.mean(areas))
            rates = [float(((walked[span] >= 0.5) == up[span]).mean()) for _, span in parts]
            tried.append(Candidate(name, metrics, {}, {"hit rate": rates}))
        others = [each for each in tried if each.name != "baseline"]
        chosen = max(others, key=lambda each: each.metrics["roc_auc"])
        best = estimators(seed)[chosen.name].fit(numbers, up)
    export_boosting()
    export_onnx(best, {"numbers": len(NUMBERS)}, weights)
    beside = {key: chosen.metrics[key] for key in ("hit_rate", "hit_rate_low", "hit_rate_high")}
    (weights / MEASURED).write_text(json.dumps(beside, indent=1) + "\n")

    def native(histories: list[History]) -> list[Direction]:
        return directions(best.predict_proba(features(histories)["numbers"])[:, 1], beside)

    return Fitted(tried, chosen.name, native)


def score(*, answers: list[Direction], truths: list[bool]) -> dict[str, float]:
    """`always_up` is what a caller gets who never asks and always says up."""
    up = np.array(truths)
    told = measured(np.array([each.probability for each in answers]), up)
    always = told.pop("share_up")
    return {**told, "always_up": always}


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    up = np.array(evaluation.test.truths)
    told = np.array([each.probability for each in evaluation.answers])
    figure, (left, middle, right) = plots.panels(3)
    tried = {each.name: each.metrics for each in evaluation.candidates}
    served = f"{evaluation.chosen}, test rows"
    rates = {
        name: (100 * each["hit_rate"], 100 * each["hit_rate_low"], 100 * each["hit_rate_high"])
        for name, each in {**tried, served: evaluation.metrics}.items()
    }
    colours = [plots.INK] * len(tried) + [plots.ACCENT]
    plots.intervals(left, rates, "Hit rates, walking forward", colours=colours, nothing=50)
    left.set_xlabel(
        f"days told rightly, percent (95 %; candidates widened for {len(tried) - 1} looks)"
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
    plots.bars(right, list(tried), areas, title, lying=True, form="{:.3f}")
    yield "how_little", figure
    figure, (left, right) = plots.panels(2)
    plots.roc(left, up, told)
    order = np.argsort(told, kind="stable")
    fifths = [part for part in np.array_split(order, 5) if len(part)]
    means = [float(told[part].mean()) for part in fifths]
    # Of five rows in order one is in a fifth: a month of it is a fifth as long.
    ends = np.array(
        [interval(up[np.sort(each)].astype(float), block=BLOCK // 5) for each in fifths]
    )
    right.vlines(means, ends[:, 0], ends[:, 1], plots.INK)
    right.plot(means, [float(up[part].mean()) for part in fifths], "o", color=plots.ACCENT)
    right.axhline(float(up.mean()), color=plots.PALE, linestyle=":", label="all days")
    title = "Closed higher (test rows, 95 % interval)"
    right.set(xlabel="probability told, by fifths of the days", title=title)
    right.legend()
    yield "test", figure
    yield "indicators", indicators(evaluation.test.records[0])


def indicators(record: History) -> Figure:
    """What a model is told of one history: averages, RSI and MACD."""
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
