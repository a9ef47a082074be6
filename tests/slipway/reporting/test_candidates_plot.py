"""The plot of the candidates shows their differences, whatever the baseline is."""

import pytest
from matplotlib.figure import Figure

from slipway.reporting.candidates_plot import candidates_plot
from slipway.training.candidates import Candidate


def tried(**values: float) -> list[Candidate]:
    return [
        Candidate(name, {"accuracy": value, "accuracy_se": 0.01}) for name, value in values.items()
    ]


def points(figure: Figure) -> list[tuple[float, str]]:
    """Return the position and marker of each point, from the top."""
    found = []
    for line in figure.axes[0].get_lines():
        if line.get_marker() in ("o", "<", ">"):
            found.append((float(line.get_xdata()[0]), str(line.get_marker())))
    return found


def test_the_axis_begins_where_the_candidates_do() -> None:
    figure = candidates_plot(
        tried(baseline=0.85, linear=0.88, forest=0.91), chosen="forest", metric="accuracy"
    )
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert (low, high) == pytest.approx((0.8336, 0.9264))
    assert points(figure) == [(0.85, "o"), (0.88, "o"), (0.91, "o")]
    assert [each.get_text() for each in axes.texts] == ["0.85", "0.88", "0.91"]
    weights = {each.get_text(): each.get_fontweight() for each in axes.get_yticklabels()}
    assert weights == {"baseline": "normal", "linear": "normal", "forest": "bold"}


def test_a_baseline_far_away_is_an_arrow_head_at_the_edge() -> None:
    figure = candidates_plot(
        tried(baseline=0.1, linear=0.88, forest=0.91), chosen="forest", metric="accuracy"
    )
    low, _ = figure.axes[0].get_xlim()
    assert 0.86 < low < 0.88
    assert points(figure)[0] == (pytest.approx(low), "<")
    assert figure.axes[0].texts[0].get_text() == "0.1"
    figure = candidates_plot(
        tried(baseline=9.0, linear=0.88, forest=0.91),
        chosen="forest",
        metric="accuracy",
        higher_is_better=False,
    )
    assert points(figure)[0] == (pytest.approx(figure.axes[0].get_xlim()[1]), ">")


@pytest.mark.parametrize(
    ("higher", "spread", "label"),
    [
        (True, "accuracy_se", "accuracy, higher is better; bars: one standard error"),
        (
            False,
            "accuracy_std",
            "accuracy, lower is better; bars: standard deviation over folds",
        ),
        (True, "other", "accuracy, higher is better"),
    ],
)
def test_the_label_names_direction_and_error_bars(higher: bool, spread: str, label: str) -> None:
    candidates = [Candidate("baseline", {"accuracy": 0.5, spread: 0.1})]
    figure = candidates_plot(
        candidates, chosen="baseline", metric="accuracy", higher_is_better=higher
    )
    assert figure.axes[0].get_xlabel() == label


def test_candidates_without_the_metric_are_left_out() -> None:
    candidates = [*tried(baseline=0.5, linear=0.6), Candidate("join_200", {"tasks": 205.0})]
    figure = candidates_plot(candidates, chosen="linear", metric="accuracy")
    assert len(points(figure)) == 2
