"""Evidently's distances of a window from the reference."""

import math
from typing import TYPE_CHECKING

from slipway import home

if TYPE_CHECKING:
    import pandas as pd

NUMBER, CATEGORY, STABILITY = "wasserstein", "jensenshannon", "psi"


def distance(reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> float:
    """Return the Wasserstein distance of numbers or the Jensen-Shannon distance of categories.

    The former is in standard deviations of the reference. Neither series may hold missing values;
    the distance is 0 if one of them is empty.
    """
    return _evidently_score(NUMBER if numeric else CATEGORY, reference, window, numeric=numeric)


def stability(reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> float:
    """Return the population stability index, over Sturges' bins or the categories."""
    return _evidently_score(STABILITY, reference, window, numeric=numeric)


def _evidently_score(
    method: str, reference: "pd.Series", window: "pd.Series", *, numeric: bool
) -> float:
    if not len(reference) or not len(window):
        return 0.0
    home.silence_telemetry()
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Numerical if numeric else ColumnType.Categorical
    measure = get_stattest(reference, window, kind, method)
    found = float(measure(reference, window, kind, None).drift_score)
    # NaN where the two are equal to the last bit.
    return 0.0 if math.isnan(found) else found
