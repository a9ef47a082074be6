"""Reviews in the authors' split, which is by films; no review occurs twice."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset
from slipway.kits.text.vocabulary import words

from .model import LABELS, Review

SCHEMA = pa.DataFrameSchema(
    {
        "split": pa.Column(str, pa.Check.isin(["train", "val", "test"])),
        "label": pa.Column(str, pa.Check.isin(["neg", "pos"])),
        "text": pa.Column(str),
    }
)
NAMES = dict(zip(("neg", "pos"), LABELS, strict=True))
Row = tuple[Review, str]


def splits(dataset: Dataset, *, seed: int, train: int, test: int) -> dict[str, list[Row]]:
    """Return `train` and `test` reviews in random order, with their verdicts.

    The first occurrence of a review counts, that in the test reviews before one in the training
    reviews. Two reviews are the same if their words are.
    """
    raw = pd.read_csv(dataset.path("imdb_50k.csv.xz"), keep_default_na=False)
    frame = SCHEMA.validate(raw)
    parts = {
        name: frame[(frame["split"] == "test") == (name == "test")] for name in ("test", "train")
    }
    generator, seen = np.random.default_rng(seed), set[str]()
    found = {}
    for (name, part), count in zip(parts.items(), (test, train), strict=True):
        kept = list(distinct(part, seen))
        order = generator.permutation(len(kept))[:count]
        found[name] = [kept[place] for place in order]
    return found


def distinct(frame: pd.DataFrame, seen: set[str]) -> Iterator[Row]:
    """Yield the reviews whose words were not `seen` yet, and add them to these."""
    for label, text in zip(frame["label"], frame["text"], strict=True):
        plain = text.replace("<br />", "\n")
        key = " ".join(words(plain))
        if key and key not in seen:
            seen.add(key)
            yield Review(text=plain), NAMES[label]
