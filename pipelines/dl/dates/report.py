"""Score served dates, and draw how a text is read: attention, hidden states, beams, formats."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.kits.metrics.sequences import error_rate, exact_share
from slipway.reporting import Evaluation, plots
from slipway.training.selection import bootstrap_interval

from .model import CalendarDate, Dates, WrittenDate
from .reading import Reading, read_text
from .written import FORMATS, MONTH_ONLY, MONTHS, SHORT_YEAR, Parts, write

EXAMPLES = [
    WrittenDate(text="the twenty-first of Febuary, 1999"),
    WrittenDate(text="03/04/2021"),
    WrittenDate(text="signed on Friday, 5 March 2021"),
    WrittenDate(text="Feb 30, 2021"),
    WrittenDate(text="meet me at the old bridge"),
]
# Two texts whose attention is drawn: words and numbers, in another order than the date's.
READ = ("the twenty-first of Febuary, 1999", "Date: Fri, 5 Mar 2021")
BEAMS = (1, 2, 4, 8)
PER_FORMAT = 120
SHOWN_STATES = 500


def score(*, predictions: list[CalendarDate], labels: list[str]) -> dict[str, float]:
    """Return the share of exact dates with its interval, and the same for parts of the rows."""
    right = np.array([each.date == true for each, true in zip(predictions, labels, strict=True)])
    named = np.array([bool(label) for label in labels])
    confident = np.array([each.confident for each in predictions])
    rules = [each.by_rules for each in predictions]
    low, high = bootstrap_interval(lambda drawn: float(right[drawn].mean()), len(right), seed=7)
    dates = np.flatnonzero(named)
    return {
        "exact": float(right.mean()),
        "exact_low": low,
        "exact_high": high,
        "baseline_exact": exact_share(labels, rules),
        "exact_where_a_date": mean(right[named]),
        "exact_where_no_date": mean(right[~named]),
        "character_error_rate": error_rate(
            [labels[row] for row in dates], [predictions[row].date for row in dates]
        ),
        "confident_share": float(confident.mean()),
        "confident_exact": mean(right[confident]),
    }


def mean(values: np.ndarray) -> float:
    """Return the share of True, 0 for no rows."""
    return float(values.mean()) if len(values) else 0.0


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = Dates()
    model.load(evaluation.weights)
    figure, axes = plt.subplots(2, 1, figsize=(7.6, 6.2), gridspec_kw={"height_ratios": (1, 1)})
    for each, text in zip(axes, READ, strict=True):
        attention(each, read_text(model, text))
    yield "reading", figure
    yield "hidden_states", hidden_states(model, evaluation)
    figure, (left, right) = plots.panels(2)
    shown = [each for each in evaluation.candidates if each.curves]
    plots.curves(left, shown, "exact", "Exact dates on rows held out")
    plots.curves(right, shown, "loss", "Loss in training")
    right.set(yscale="log", ylabel="loss per symbol (log scale)")
    yield "teacher_forcing", figure
    yield "beams", beams(model, evaluation)
    yield "formats", formats(model, evaluation)


def attention(axes: Axes, reading: Reading) -> None:
    """Draw which characters (columns) each symbol of the date (rows) was read from."""
    title = f'"{reading.text}" is read as {reading.date}'
    symbols = [*reading.date, "end"]
    plots.heatmap(axes, reading.attention, symbols, list(reading.text), title, size=9, wide=True)
    plt.setp(axes.get_xticklabels(), rotation=0, ha="center", family="monospace")
    axes.set(xlabel="characters of the text", ylabel="written symbols")


def hidden_states(model: Dates, evaluation: Evaluation) -> Figure:
    """Draw the encoder's states along one text, and those from which months are read."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), width_ratios=(1.1, 1))
    reading = read_text(model, "March 5th, 2021")
    states = reading.states.T
    # Units that are active together lie together: sorted by the place of their largest value.
    order = np.argsort(np.abs(states).argmax(axis=1), kind="stable")
    # Without smoothing, the picture is a quarter of the size.
    drawn = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "aspect": "auto"}
    shown = left.imshow(states[order], interpolation="nearest", **drawn)
    figure.colorbar(shown, ax=left, shrink=0.7, label="state")
    left.set_xticks(range(len(reading.text)), list(reading.text), family="monospace")
    left.set(xlabel="characters read", ylabel="units of both LSTMs, by where they peak")
    left.set_title("Hidden states of the encoder")
    months(right, model, evaluation)
    return figure


def months(axes: Axes, model: Dates, evaluation: Evaluation) -> None:
    """Draw the states that attention picks for the month, of texts that name it by a word."""
    found, number = [], []
    for record, label in evaluation.test:
        if len(label) == 10 and MONTHS[int(label[5:7]) - 1][:3].lower() in record.text.lower():
            reading = read_text(model, record.text)
            # The last digit of the month is the seventh symbol.
            place = reading.attention[min(6, len(reading.attention) - 1)].argmax()
            found.append(reading.states[place])
            number.append(int(label[5:7]))
        if len(found) == SHOWN_STATES:
            break
    places = projection(np.stack(found))
    left, up = places.T
    axes.scatter(left, up, c=number, s=8, cmap="tab20", vmin=0.5, vmax=20.5)
    for month in sorted(set(number)):
        middle = np.median(places[np.array(number) == month], axis=0)
        axes.annotate(MONTHS[month - 1][:3], middle, ha="center", weight="bold", size=10)
    axes.set(xlabel="first principal component", ylabel="second", xticks=[], yticks=[])
    axes.set_title("States from which the month is read")


def projection(states: np.ndarray) -> np.ndarray:
    """Return the first two principal components (rows, 2) of states."""
    centered = states - states.mean(axis=0)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    return np.asarray(centered @ directions[:2].T)


def beams(model: Dates, evaluation: Evaluation) -> Figure:
    """Draw the test errors by the number of beams, and the alternatives for unclear texts."""
    figure, (left, right) = plots.panels(2, height=3.4)
    texts = [each.text for each in evaluation.test.records]
    errors, beyond = [], []
    for count in BEAMS:
        found = model.predict([WrittenDate(text=text, beams=count) for text in texts])
        pairs = list(zip(found, evaluation.test.labels, strict=True))
        errors.append(sum(each.date != true for each, true in pairs))
        kept = [true in [other.date for other in each.alternatives] for each, true in pairs]
        beyond.append(kept.count(False))
    names = [str(count) if count > 1 else "1 (greedy)" for count in BEAMS]
    values = {"best one is wrong": errors, "none is right": beyond}
    plots.bars(left, names, values, f"Errors in {len(texts):,} test texts", fmt="{:.0f}")
    left.set(xlabel="beams", ylabel="texts")
    unclear = [
        (text, other.date or "no date", other.probability)
        for text, prediction in zip(UNCLEAR, model.predict(UNCLEAR_RECORDS), strict=True)
        for other in prediction.alternatives[:3]
    ]
    labels = [f'"{text}": {date}' for text, date, _ in unclear]
    shares = [probability for *_, probability in unclear]
    plots.bars(
        right, labels, shares, "Alternatives of unclear texts", horizontal=True, fmt="{:.3f}"
    )
    right.set_xlabel("probability")
    return figure


UNCLEAR = ("Ju 5, 2021", "5 Mrch 202", "31 April 2021")
UNCLEAR_RECORDS = [WrittenDate(text=text) for text in UNCLEAR]


def formats(model: Dates, evaluation: Evaluation) -> Figure:
    """Draw the errors on test days in each format, of the network and of the rules."""
    generator = np.random.default_rng(1)
    days = [label for label in evaluation.test.labels if len(label) == 10]
    errors: dict[str, list[float]] = {"network": [], "rules": []}
    for kind in FORMATS:
        fitting = [day for day in days if kind != SHORT_YEAR or "1970" <= day[:4] <= "2069"]
        fitting = fitting[:PER_FORMAT]
        texts = [write(parts(day), kind, generator) for day in fitting]
        wanted = [day[:7] if kind == MONTH_ONLY else day for day in fitting]
        found = model.predict([WrittenDate(text=text) for text in texts])
        errors["network"].append(100 - 100 * exact_share(wanted, [each.date for each in found]))
        errors["rules"].append(100 - 100 * exact_share(wanted, [each.by_rules for each in found]))
    figure, axes = plt.subplots(figsize=(7.6, 5.2))
    title = f"Errors in % by format: {PER_FORMAT} test days each, written anew"
    plots.bars(axes, list(FORMATS), errors, title, horizontal=True, fmt="{:.0f}")
    return figure


def parts(day: str) -> Parts:
    """Return the numbers of an ISO date."""
    year, month, number = (int(each) for each in day.split("-"))
    return Parts(year, month, number)
