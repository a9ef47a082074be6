"""How far a window lies from the reference, by Evidently's measures."""

import math
from typing import TYPE_CHECKING

from slipway import home

if TYPE_CHECKING:
    import pandas as pd

NUMBER, CATEGORY, STABILITY = "wasserstein", "jensenshannon", "psi"


def distance(reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> float:
    """Wasserstein distance in standard deviations of the reference, or Jensen-Shannon distance.

    Neither may hold missing values; 0 when one of them holds no value at all.
    """
    return _measured(NUMBER if numeric else CATEGORY, reference, window, numeric=numeric)


def stability(reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> float:
    """Population stability index, over Sturges' bins or the categories."""
    return _measured(STABILITY, reference, window, numeric=numeric)


def _measured(method: str, reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> float:
    if not len(reference) or not len(window):
        return 0.0
    home.silence_telemetry()
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Numerical if numeric else ColumnType.Categorical
    measure = get_stattest(reference, window, kind, method)
    found = float(measure(reference, window, kind, None).drift_score)
    # Not-a-number where the two are equal to the last bit.
    return 0.0 if math.isnan(found) else found
