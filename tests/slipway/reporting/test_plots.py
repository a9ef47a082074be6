"""Plots show the given values, labels and intervals."""

import numpy as np
import pytest

from slipway.reporting import plots
from slipway.training.calibration import Reliability


def test_bars_are_labelled_and_the_chosen_one_stands_out() -> None:
    _, (axes,) = plots.panels(1)
    (drawn,) = plots.bars(axes, ["a", "b"], [1, 2], "Title", fmt="{:.1f}", chosen="b")
    assert [bar.get_height() for bar in drawn] == [1, 2]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["a", "b"]
    assert [each.get_text() for each in axes.texts] == ["1.0", "2.0"]
    first, second = (bar.get_facecolor() for bar in drawn)
    assert first != second
    assert axes.get_legend() is None
    assert axes.get_title(loc="left") == "Title"


def test_several_series_of_bars_are_grouped_with_a_legend() -> None:
    _, (axes,) = plots.panels(1)
    drawn = plots.bars(
        axes, ["a", "b"], {"predicted": [1, 2], "true": [3, 4]}, half_width=[0.5, 0.5]
    )
    predicted, true = ([bar.get_x() for bar in each] for each in drawn)
    width = drawn[0][0].get_width()
    assert np.allclose(np.array(predicted) + width, true)
    assert [each.get_text() for each in axes.get_legend().get_texts()] == ["predicted", "true"]
    # Only the last series has error bars.
    assert drawn[0].errorbar is None
    assert drawn[1].errorbar is not None


def test_horizontal_bars_start_at_the_top() -> None:
    _, (axes,) = plots.panels(1)
    (drawn,) = plots.bars(axes, ["a", "b"], [1, 2], horizontal=True)
    assert [bar.get_width() for bar in drawn] == [1, 2]
    assert axes.yaxis_inverted()
    assert [each.get_text() for each in axes.get_yticklabels()] == ["a", "b"]


def test_intervals_reach_from_low_to_high() -> None:
    _, (axes,) = plots.panels(1)
    plots.intervals(axes, {"a": (1.0, 0.5, 2.0), "b": (3.0, 3.0, 3.5)}, fmt="{:.1f}")
    ends = [each.get_segments()[0][:, 0].tolist() for each in axes.collections]
    assert ends == [[0.5, 2.0], [3.0, 3.5]]
    assert [each.get_text() for each in axes.texts] == ["1.0", "3.0"]


def test_reliability_shows_observed_against_predicted() -> None:
    _, (axes,) = plots.panels(1)
    y_prob, y_true = np.array([0.2, 0.2, 0.8, 0.8]), np.array([False, False, True, False])
    plots.reliability(
        axes, Reliability.from_predictions(y_prob, y_true, 2), "Title", label="served"
    )
    dotted, line = axes.get_lines()[:2]
    assert np.array_equal(dotted.get_xdata(), dotted.get_ydata())
    assert line.get_xdata() == pytest.approx([0.2, 0.8])
    assert line.get_ydata() == pytest.approx([0.0, 0.5])


def test_a_heat_map_writes_each_value_in_its_cell_white_where_it_is_dark() -> None:
    _, [axes] = plots.panels(1)
    table = np.array([[1.0, -0.001], [-0.9, 0.1]])
    plots.heatmap(axes, table, ["up", "down"], ["left", "right"], fmt="{:z.2f}", limit=1)
    texts = {each.get_position(): (each.get_text(), each.get_color()) for each in axes.texts}
    assert texts == {
        (0, 0): ("1.00", "white"),
        (1, 0): ("0.00", plots.INK),
        (0, 1): ("-0.90", "white"),
        (1, 1): ("0.10", plots.INK),
    }
    assert axes.images[0].get_clim() == (-1, 1)
    assert [each.get_text() for each in axes.get_yticklabels()] == ["up", "down"]


def test_confusion_counts_true_labels_in_rows() -> None:
    _, [axes] = plots.panels(1)
    plots.confusion(axes, ["ham", "ham", "spam"], ["ham", "spam", "spam"], ["ham", "spam"])
    texts = {each.get_position(): each.get_text() for each in axes.texts}
    assert texts == {(0, 0): "1", (1, 0): "1", (0, 1): "0", (1, 1): "1"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
