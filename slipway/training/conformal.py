"""The half-width of prediction intervals, from errors on rows that the model was not fitted to."""

import numpy as np


def conformal_quantile(errors: np.ndarray, missed: float) -> float:
    """Return the value that a new error exceeds with a probability of at most `missed`.

    `errors` are (rows,). This is the quantile of split conformal prediction (Papadopoulos et al.
    2002; Lei et al. 2018), exact if rows are exchangeable. With too few rows it is the largest
    error. For a lower limit, negate the errors and the result.
    """
    rank = min(int(np.ceil((len(errors) + 1) * (1 - missed))), len(errors))
    return float(np.sort(errors)[rank - 1])
