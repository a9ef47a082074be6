"""How far a forecast's interval reaches, from errors on rows that its model did not learn."""

import numpy as np


def limit(errors: np.ndarray, missed: float) -> float:
    """What a further error exceeds with probability `missed` at most; `errors` are (rows,).

    The rank of split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018), exact where
    rows are exchangeable. With too few rows for any rank the largest error stands for it. The limit
    below is that of the negated errors, negated.
    """
    rank = min(int(np.ceil((len(errors) + 1) * (1 - missed))), len(errors))
    return float(np.sort(errors)[rank - 1])
