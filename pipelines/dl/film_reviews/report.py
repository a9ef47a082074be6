"""Score the served verdicts beside the baseline's, and draw attention over words."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.class_report import class_scores, confusion, learning_curves
from slipway.kits.text.vocabulary import words
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .model import LABELS, FilmReviews, Review, Sentiment
from .words import LENGTH

# Written for this page: the data set's reviews belong to their writers.
EXAMPLES = [
    Review(
        text="I expected little and was wrong. The story is simple, but the actors are wonderful, "
        "the music is beautiful, and the last scene moved me to tears. One of the best films of "
        "the year."
    ),
    Review(
        text="What a waste of two hours. The plot makes no sense, the dialogue is awful and even "
        "the good actors look bored. The only funny moment is the trailer. Avoid it."
    ),
    Review(
        text="It starts slowly and the first half hour is rather dull. Stay with it: what follows "
        "is clever, tense and surprisingly funny, and I would gladly watch it again."
    ),
    Review(
        text="The photography is great and the cast is excellent, which makes it even worse that "
        "the script is so poor. A beautiful film about nothing, boring from beginning to end."
    ),
]
POSITIVE, NEGATIVE = "#0b7189", "#c8553d"
COLUMNS = 92
# Words of the reviews, by which groups of lengths end.
BOUNDS = (100, 150, LENGTH, 350, 10**9)


def score(*, predictions: list[Sentiment], labels: list[str]) -> dict[str, float]:
    """Return the metrics of the verdicts, with an interval, and those of word counts."""
    right = np.array([each.label == label for each, label in zip(predictions, labels, strict=True)])
    by_counts = right_by_counts(predictions, labels)
    low, high = bootstrap_interval(lambda drawn: float(right[drawn].mean()), len(right), seed=7)
    metrics = class_scores(predictions, labels)
    agreed = right == by_counts
    return {
        "accuracy": metrics.pop("accuracy"),
        "accuracy_low": low,
        "accuracy_high": high,
        **metrics,
        "baseline_accuracy": float(by_counts.mean()),
        "agreed_share": float(agreed.mean()),
        "agreed_accuracy": float(right[agreed].mean()) if agreed.any() else 0.0,
    }


def right_by_counts(predictions: Sequence[Sentiment], labels: Sequence[str]) -> np.ndarray:
    """Return whether the second opinion is right, (rows,)."""
    positive = np.array([each.by_word_counts >= 0.5 for each in predictions])
    return np.asarray(positive == np.array([label == LABELS[1] for label in labels]))


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = FilmReviews()
    model.load(evaluation.weights)
    figure, axes = plt.subplots(figsize=(8.6, 4.6))
    attention(axes, model.predict(EXAMPLES))
    yield "attention", figure
    figure, (left, right) = plots.panels(2, height=4.6)
    looked_at(left, right, evaluation)
    yield "words", figure
    yield "learning_curves", learning_curves(evaluation, "accuracy")
    figure, (left, right) = plots.panels(2)
    readers(left, evaluation)
    lengths(right, evaluation)
    yield "comparison", figure
    yield "confusion", confusion(evaluation)


def attention(axes: Axes, predictions: Sequence[Sentiment]) -> None:
    """Write reviews word by word, on a background as strong as the attention."""
    row = 0
    for prediction in predictions:
        colour = POSITIVE if prediction.label == LABELS[1] else NEGATIVE
        title = f"{prediction.label}, {prediction.probability:.0%}"
        axes.text(0, -row, title, color=colour, weight="bold", size=9)
        row, column = row + 1, 0
        most = max(each.attention for each in prediction.words)
        for each in prediction.words:
            if column + len(each.word) > COLUMNS:
                row, column = row + 1, 0
            shade = 0.85 * each.attention / most
            box = {"facecolor": colour, "alpha": shade, "edgecolor": "none", "pad": 1.2}
            axes.text(column, -row, each.word, family="monospace", size=8.5, bbox=box)
            column += len(each.word) + 1
        row += 2
    axes.set(xlim=(0, COLUMNS), ylim=(-row + 1, 1))
    axes.set_axis_off()
    axes.set_title("Words that the network looked at, and its verdict")


def looked_at(left: Axes, right: Axes, evaluation: Evaluation) -> None:
    """Draw the words with the most attention, by the verdict of the reviews that have them."""
    shares: dict[str, list[float]] = defaultdict(list)
    positive: dict[str, list[bool]] = defaultdict(list)
    for prediction in evaluation.predictions:
        for each in prediction.words:
            # Relative to even attention, since short reviews have fewer words to look at.
            shares[each.word].append(each.attention * len(prediction.words))
            positive[each.word].append(prediction.label == LABELS[1])
    most = max(map(len, shares.values()))
    frequent = [word for word, found in shares.items() if len(found) >= min(40, most)]
    ranked = sorted(frequent, key=lambda word: -float(np.mean(shares[word])))
    for axes, label in ((left, LABELS[1]), (right, LABELS[0])):
        chosen = [
            word for word in ranked if (np.mean(positive[word]) > 0.5) == (label == LABELS[1])
        ][:18]
        values = [float(np.mean(shares[word])) for word in chosen]
        colour = POSITIVE if label == LABELS[1] else NEGATIVE
        plots.bars(
            axes,
            chosen,
            values,
            f"Most attention in {label} reviews",
            horizontal=True,
            fmt="{:.1f}",
            colours=(colour,),
        )
        axes.set_xlabel("times the attention of an average word")


def readers(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the validation errors of the candidates with their standard errors."""
    tried = evaluation.candidates
    errors = [100 * (1 - each.metrics["accuracy"]) for each in tried]
    spread = [100 * each.metrics["accuracy_se"] for each in tried]
    names = [
        {"baseline": "TF-IDF", "no_recurrence": "none"}.get(each.name, each.name.upper())
        for each in tried
    ]
    plots.bars(
        axes, names, errors, "Equal budgets: errors on validation", fmt="{:.1f}", half_width=spread
    )
    axes.set(ylabel="errors (%)", xlabel="reader of the words")


def lengths(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the test errors by the length of the review, of the network and of word counts."""
    labels = evaluation.test.labels
    counted = np.array([len(words(each.text)) for each in evaluation.test.records])
    wrong = {
        "served network": np.array(
            [
                each.label != label
                for each, label in zip(evaluation.predictions, labels, strict=True)
            ]
        ),
        "TF-IDF": ~right_by_counts(evaluation.predictions, labels),
    }
    groups = np.searchsorted(BOUNDS, counted)
    errors = {
        name: [
            100 * float(rows[groups == group].mean()) if (groups == group).any() else 0.0
            for group in range(len(BOUNDS))
        ]
        for name, rows in wrong.items()
    }
    starts = [1, *(bound + 1 for bound in BOUNDS[:-1])]
    names = [f"{start}-{end}" for start, end in zip(starts, BOUNDS[:-1], strict=False)]
    names.append(f"over {BOUNDS[-2]}")
    plots.bars(axes, names, errors, "Test errors by length", fmt="{:.1f}")
    axes.set(xlabel="words of the review", ylabel="errors (%)")
