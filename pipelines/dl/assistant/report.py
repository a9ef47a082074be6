"""Score ratings and answers, and show an answer with the probabilities of its tokens."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots

from .chat import ChatTokenizer
from .model import Assistant, Completion, Conversation, Message, Reference
from .perplexity import passage_counts, perplexity, perplexity_interval

QUESTION = "What is the capital of France?"
EXAMPLES = [
    Conversation(messages=[Message(role="user", content=QUESTION)], max_tokens=40),
    Conversation(
        messages=[
            Message(role="system", content="You answer in one short sentence."),
            Message(role="user", content="Name a fruit that is yellow."),
        ],
        max_tokens=24,
        temperature=0.7,
        seed=2,
        stop=["."],
    ),
    Conversation(messages=[], rated="The cat sat on the mat."),
]
SHOWN = 28


def score(*, predictions: list[Completion], labels: list[Reference]) -> dict[str, float]:
    """Return the perplexity of the passages, and the share of questions that were answered."""
    pairs = list(zip(predictions, labels, strict=True))
    rated = [pair for pair in pairs if pair[1].trigram_log_probability is not None]
    answers = [pair for pair in pairs if pair[1].trigram_log_probability is None]
    counts = passage_counts([each for each, _ in rated])
    low, high = perplexity_interval(counts)
    trigrams = sum(label.trigram_log_probability or 0.0 for _, label in rated)
    held = [label.text.lower() in each.text.lower() for each, label in answers]
    size = sum(len(label.text.encode()) for _, label in rated)
    return {
        "perplexity": perplexity(counts),
        "perplexity_low": low,
        "perplexity_high": high,
        "baseline_perplexity": float(np.exp(-trigrams / counts[:, 1].sum())),
        "bits_per_byte": float(-counts[:, 0].sum() / np.log(2) / size),
        "tokens": float(counts[:, 1].sum()),
        "answered": float(np.mean(held)),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = Assistant()
    model.load(evaluation.weights)
    (answer,) = model.predict(EXAMPLES[:1])
    yield "answer", draw_answer(answer, ChatTokenizer.read(evaluation.weights))
    figure, (axes,) = plots.panels(1)
    draw_sizes(axes, evaluation)
    yield "bits", figure


def draw_answer(answer: Completion, tokenizer: ChatTokenizer) -> Figure:
    """Draw a bar for each token of the answer: how probable the model found it."""
    tokens = answer.tokens[:SHOWN]
    names = [tokenizer.tokenizer.decode([each], skip_special_tokens=False) for each in tokens]
    figure, (axes,) = plots.panels(1, height=2.6)
    figure.set_figwidth(8.4)
    probabilities = np.exp(answer.log_probabilities[:SHOWN])
    plots.bars(axes, [repr(each)[1:-1].strip() or "␣" for each in names], probabilities)
    axes.tick_params(axis="x", rotation=60)
    axes.set(ylim=(0, 1.05), ylabel="probability", title=QUESTION)
    return figure


def draw_sizes(axes: Axes, evaluation: Evaluation) -> None:
    """Draw the perplexity of each graph against the size of its file."""
    for each in evaluation.candidates[1:]:
        color = plots.ACCENT if each.name == evaluation.chosen else plots.INK
        place = each.metrics["megabytes"], each.metrics["perplexity"]
        axes.errorbar(*place, yerr=each.metrics["perplexity_se"], fmt="o", color=color, capsize=3)
        axes.annotate(each.name, place, (6, 6), textcoords="offset points", color=color)
    axes.margins(0.2)
    axes.set(xlabel="megabytes", title="Validation perplexity, lower is better")
