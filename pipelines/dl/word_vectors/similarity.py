"""Agreement of cosines with the similarity of words that people see."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from .questions import unit_rows


def read_pairs(file: Path) -> list[tuple[str, str, float]]:
    """Return the pairs of words with the mean judgement of people."""
    lines = [line.split("\t") for line in file.read_text().splitlines() if line[:1] != "#"]
    return [(one.lower(), other.lower(), float(value)) for one, other, value in lines]


def correlations(
    vectors: np.ndarray, places: Mapping[str, int], files: Mapping[str, Path]
) -> dict[str, float]:
    """Return Spearman's correlation by list, over the pairs whose words both have a vector.

    It is 0 if there are fewer than three such pairs.
    """
    found = {}
    for name, file in files.items():
        known = [each for each in read_pairs(file) if each[0] in places and each[1] in places]
        if len(known) < 3:
            found[name] = 0.0
            continue
        one = unit_rows(vectors[[places[each[0]] for each in known]])
        other = unit_rows(vectors[[places[each[1]] for each in known]])
        judged = [each[2] for each in known]
        found[name] = float(spearmanr((one * other).sum(axis=1), judged).statistic)
    return found
