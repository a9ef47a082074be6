"""Score spam predictions; draw the errors and the words that weigh most."""

import json
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import f1_score

from slipway.kits.tabular.report import binary_scores, errors
from slipway.reporting import Evaluation, plots
from slipway.reporting.uncertainty import baseline_metric, metric_with_interval

from .model import Email, Verdict

# Invented: the corpus contains real people's messages, which the documentation must not show.
EXAMPLES = [
    Email(
        subject="Congratulations, you have been selected",
        body="Claim your FREE prize of $5,000 now! Click http://prize.example/claim before "
        "midnight. No obligation, this is a limited time offer.",
    ),
    Email(
        subject="Re: build fails on the new server",
        body="I could reproduce it: the test needs a newer compiler. I will send a patch tonight.",
    ),
]


def score(*, predictions: list[Verdict], labels: list[bool]) -> dict[str, float]:
    names = ("precision", "recall", "accuracy", "average_precision")
    y_true, y_pred = np.array(labels), np.array([each.spam for each in predictions])
    # The baseline calls every message spam.
    every = np.ones_like(y_true)
    f1, baseline_f1 = (
        lambda rows, decided=decided: float(f1_score(y_true[rows], decided[rows]))
        for decided in (y_pred, every)
    )
    return {
        # Over messages: no campaign occurs twice.
        **metric_with_interval("f1", f1, len(y_true)),
        **baseline_metric("f1", baseline_f1, len(y_true)),
        **binary_scores(predictions, labels, "spam", *names),
        "false_positive_rate": float(y_pred[~y_true].mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    yield "errors", errors(evaluation, "spam", "precision_recall")
    known = json.loads((evaluation.weights / "vocabulary.json").read_text())
    pushes = json.loads((evaluation.weights / "word_weights.json").read_text())
    ranked = sorted(zip(pushes, known, strict=True))
    figure, (left, right) = plots.panels(2, height=4.6)
    for axes, shown, title in (
        (left, ranked[::-1][:20], "Words that speak most for spam"),
        (right, ranked[:20], "Words that speak most for ham"),
    ):
        plots.signed_bars(axes, [word for _, word in shown], [push for push, _ in shown], title)
    yield "words", figure
